"""What `/v1/explain` does around the explaining: kept answers, bounds, and clients that are told to come again."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from insight_toys import FOREST, fitted, make_explained_bento
from serving_toys import CONTRACT, FEATURES, REFERENCE

from bentos.errors import NotExplained, Unavailable
from service.http.messages import Request
from service.http.problems import HttpRefusal
from service.insight.answering import Cache, ExplainHandler
from service.insight.answering import Explaining as Explainer
from service.insight.application import InsightApplication
from service.insight.explanation import ExplainedModel
from service.insight.frames import Ask
from service.insight.metrics import InsightCounts
from service.insight.settings import read_insight_settings
from service.scoring.experiment import first_experiment, write_experiment
from service.scoring.models import find_source, load_models
from service.scoring.watching import ExperimentWatch

NOW_MICROS = 1_800_000_000_000_000


class Explaining:
    """A handler whose rows are explained here, counted."""

    def __init__(self, folder, *, most=10, experiment=None, fails=None):
        self.asked = []
        self.fails = fails
        (folder / "bento").mkdir()
        self.digests = make_explained_bento(folder / "bento", [FOREST, "logistic_regression"])
        models = load_models(find_source(folder / "bento"), [folder / "bento" / "models"], is_late=True)
        self.model = ExplainedModel(fitted(FOREST), CONTRACT, REFERENCE)
        self.watch = watch = ExperimentWatch(experiment, models.by_digest, models.built_in)
        watch.poll()
        self.cache = Cache(most)
        self.counts = InsightCounts()
        self.explaining = Explainer(
            models,
            watch,
            self.explain,
            cache=self.cache,
            clock=lambda: NOW_MICROS,
            count=self.counts.count_explained,
        )
        self.handler = ExplainHandler(self.explaining)

    async def explain(self, asked: Ask):
        self.asked.append(asked)
        if self.fails is not None:
            raise self.fails
        return self.model.explain(np.frombuffer(asked.row, dtype=np.float32))

    def ask(self, features=FEATURES, **asked):
        body = json.dumps({"features": features, **asked}).encode()
        return json.loads(asyncio.run(self.handler.answer(Request({}, body))).body)


def test_a_row_is_explained_once_for_each_model(tmp_path):
    explaining = Explaining(tmp_path)
    first = explaining.ask()
    assert explaining.ask() == first
    assert explaining.ask({**FEATURES, "senior": "0"}) == first  # another spelling of the same row
    assert len(explaining.asked) == 1
    explaining.ask({**FEATURES, "tenure": 4})
    explaining.ask(model=explaining.digests[1])
    assert [one.digest for one in explaining.asked] == [*explaining.digests[:1] * 2, explaining.digests[1]]


def test_of_the_kept_answers_those_that_nobody_asked_for_longest_are_forgotten(tmp_path):
    explaining = Explaining(tmp_path, most=2)
    for tenure in (1, 2, 1, 3, 1, 2):
        explaining.ask({**FEATURES, "tenure": tenure})
    assert len(explaining.cache) == 2
    assert len(explaining.asked) == 4  # 1, 2, 3, and 2 again, which 3 put out


def test_nothing_is_kept_where_nothing_is_to_be(tmp_path):
    explaining = Explaining(tmp_path, most=0)
    explaining.ask()
    explaining.ask()
    assert (len(explaining.asked), len(explaining.cache)) == (2, 0)


def test_who_gets_no_explanation_in_time_is_told_when_to_come_again_and_nothing_is_kept(tmp_path):
    explaining = Explaining(tmp_path, fails=Unavailable("too slow"))
    with pytest.raises(HttpRefusal, match="too slow") as caught:
        explaining.ask()
    assert (caught.value.kind.status, dict(caught.value.headers)) == (503, {b"retry-after": b"5"})
    explaining.fails = None
    assert explaining.ask()["variant"] == "champion"
    assert explaining.counts.explained == {("toy:1", "unavailable"): 1, ("toy:1", "explained"): 1}


def test_an_explanation_that_does_not_add_up_is_no_answer_and_is_not_kept(tmp_path):
    explaining = Explaining(tmp_path, fails=NotExplained("it misses"))
    with pytest.raises(NotExplained):
        explaining.ask()
    assert len(explaining.cache) == 0
    assert explaining.counts.explained == {("toy:1", "failed"): 1}


def test_without_a_valid_experiment_file_a_model_has_to_be_named(tmp_path):
    explaining = Explaining(tmp_path, experiment=tmp_path / "experiment.yaml")
    with pytest.raises(HttpRefusal, match="name a model by its digest") as caught:
        explaining.ask()
    assert caught.value.kind.status == 503
    named = explaining.ask(model=explaining.digests[0])
    assert (named["model"]["digest"], named["variant"]) == (explaining.digests[0], None)


def test_the_experiment_file_says_who_is_champion(tmp_path):
    (tmp_path / "beside").mkdir()
    digests = Explaining(tmp_path / "beside").digests
    path = tmp_path / "experiment.yaml"
    write_experiment(path, first_experiment(digests[1], now=datetime(2025, 1, 1, tzinfo=UTC)))
    answer = Explaining(tmp_path, experiment=path).ask()
    assert (answer["model"]["digest"], answer["variant"]) == (digests[1], "champion")


def test_where_the_champion_is_another_than_this_bento_carries_nobody_elses_word_is_explained_for_it(tmp_path):
    path = tmp_path / "experiment.yaml"
    (tmp_path / "beside").mkdir()
    digests = Explaining(tmp_path / "beside").digests
    first = first_experiment(digests[0], now=datetime(2025, 1, 1, tzinfo=UTC))
    write_experiment(path, first)
    explaining = Explaining(tmp_path, experiment=path)
    assert explaining.ask()["variant"] == "champion"
    elsewhere = msgspec.structs.replace(first, revision=2, champion="sha256:" + "9" * 64)
    write_experiment(path, elsewhere)
    explaining.watch.poll()
    with pytest.raises(HttpRefusal, match="roll out insight's image of the Bento that is served") as caught:
        explaining.ask()
    assert caught.value.kind.status == 503
    assert explaining.ask(model=digests[0])["variant"] is None


async def asked(application, method, path, body=b""):
    """One request over ASGI; its status, headers and body."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    await application(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def test_more_requests_than_may_wait_are_told_to_come_again(tmp_path):
    (tmp_path / "bento").mkdir()
    make_explained_bento(tmp_path / "bento", [FOREST])
    settings = read_insight_settings(bento=tmp_path / "bento", insight_workers=1, insight_queue=2)
    application = InsightApplication(settings)  # its workers are not started, so that every request waits
    body = json.dumps({"features": FEATURES}).encode()

    async def act():
        waiting = [asyncio.create_task(asked(application, "POST", "/v1/explain", body)) for _ in range(3)]
        await asyncio.sleep(0)
        refused = await asked(application, "POST", "/v1/explain", body)
        probes = [await asked(application, "GET", path) for path in ("/livez", "/readyz")]
        for one in waiting:
            one.cancel()
        return refused, probes

    (status, headers, _), probes = asyncio.run(act())
    assert (status, headers[b"retry-after"]) == (429, b"1")
    assert [probe[0] for probe in probes] == [200, 503]
    assert b"loading" in probes[1][2]
