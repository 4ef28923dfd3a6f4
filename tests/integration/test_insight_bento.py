"""The insight Bento as `gauntlet package` builds it of real models and `bentoml serve` serves it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from insight_toys import BOOSTED, ENCODER, LINEAR, explainer_of, write_explained
from packing_toys import ToyRegistry, bentoml_serving
from serving_toys import FEATURES, NOW, bless

from bentos.folder import Folder
from bentos.packing import package
from bentos.registry import Version
from service.insight.explainers import explain

ROW = ENCODER.encode_row(FEATURES)


def registered(registry: ToyRegistry, estimator: str, *aliases: str, **blessing: str) -> Version:
    """A real model in the registry of toys, blessed."""
    number = str(len(registry.versions) + 1)
    digest = write_explained(registry.folder / number, estimator)
    bless(registry.folder / number, **blessing)
    registry.versions.append(Version(name="toy", number=number, digest=digest, run=number, aliases=aliases, tags={}))
    return registry.versions[-1]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    registry = ToyRegistry(tmp_path_factory.mktemp("registry"))
    folder = Folder(tmp_path_factory.mktemp("installation"))
    champion = registered(registry, BOOSTED, "champion")
    challenger = registered(registry, LINEAR, baseline=champion.digest)
    return folder, package(registry, champion=champion, challengers=[challenger], folder=folder, now=NOW)


@pytest.fixture(scope="module")
def url(packed, tmp_path_factory):
    folder, _ = packed
    place = tmp_path_factory.mktemp("serving")
    with bentoml_serving(folder, place, bento=folder.insight_bento, GAUNTLET_INSIGHT_WORKERS="1") as (found, _):
        yield found


def ask(url: str, **asked: object) -> httpx.Response:
    return httpx.post(f"{url}/v1/explain", json={"features": FEATURES, **asked}, timeout=60)


def workers_of(folder: Folder) -> list[int]:
    """Processes that explain from this Bento, wherever BentoML put their parent."""
    source = str((folder.insight_bento / "src").resolve())
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
        except OSError:  # it ended while this looked
            continue
        if "service.insight.worker" in words and source in words:
            found.append(int(process.name))
    return found


def test_both_models_are_explained_from_the_bento(url, packed):
    _, made = packed
    for estimator, model in ((BOOSTED, made.champion), (LINEAR, made.challengers[0])):
        answer = ask(url, model=model.digest).json()
        expected = explain(explainer_of(estimator), ROW)
        assert answer["model"] == {"name": "toy", "version": model.version, "digest": model.digest}
        np.testing.assert_array_equal(list(answer["explanation"]["contributions"].values()), expected.contributions)


def test_without_a_word_the_bentos_champion_is_explained(url, packed):
    answer = ask(url).json()
    assert (answer["model"]["digest"], answer["variant"]) == (packed[1].champion.digest, "champion")


def test_errors_are_problem_documents_behind_bentoml_too(url):
    answer = ask(url, model="sha256:unknown")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_killed_worker_is_replaced_behind_bentoml_too(url, packed):
    (before,) = workers_of(packed[0])
    os.kill(before, signal.SIGKILL)
    for tenure in range(20, 72):  # rows that nobody asked for, so that no kept answer stands in
        answer = httpx.post(f"{url}/v1/explain", json={"features": {**FEATURES, "tenure": tenure}}, timeout=60)
        if answer.status_code == 200:
            break
        time.sleep(0.5)
    assert answer.status_code == 200
    (after,) = workers_of(packed[0])
    assert after != before


def test_the_bento_carries_the_templates_of_drafts_and_says_how_it_fares(url):
    asked = {"features": FEATURES, "language": "de", "tone": "formal"}
    answer = httpx.post(f"{url}/v1/retention-email", json=asked, timeout=60).json()
    assert (answer["source"], answer["reason"]) == ("template", "no_key")
    assert answer["draft"]["text"].startswith("Sehr geehrte Kundin, sehr geehrter Kunde,\n\n")
    metrics = httpx.get(f"{url}/metrics", timeout=60).text
    assert 'gauntlet_insight_email_drafts_total{reason="no_key",source="template"} 1.0' in metrics
