"""A million rows by the component `batch`: an Indexed Job of four shards, two of which lose their pod in the middle."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from cluster_tools import Kube, Step, TestCluster, wait_for
from installing import Installation

from service.files.chunks import CHUNK_ROWS
from training.generator import generate_customers

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

SHARDS = 4
ROWS = 1_000_004
BAD = {1: ("tenure", 999.0), 400_000: ("Contract", "Hourly"), 1_000_003: ("customerID", "SYN-7-000001")}
"""Rows that the contract does not allow: too large a number, an unknown category, an id that comes twice."""
SAMPLE = 20_000
KILLED, DELETED = 1, 2
"""The shard whose process gets SIGKILL, and the one whose pod is deleted without waiting for its end."""

OUT = "/data/scores.parquet"
ASIDE = f"{OUT}.bad-rows.jsonl"
JOB = "score-million"

UNTIL_A_CHUNK = f"""
import glob, os, sys, time
part, until = "part-%05d-of-{SHARDS:05d}", time.monotonic() + 180
while not glob.glob(f"{OUT}/.{{part}}.partial/chunk-*.arrow"):
    if time.monotonic() > until or os.path.exists(f"{OUT}/{{part}}.parquet"):
        sys.exit(part + " was never seen in the middle")
    time.sleep(0.05)
"""
"""Waits in a pod that has the volume, and from before the Job is made: else all chunks are done before one is seen."""


@dataclass(frozen=True)
class Batch:
    """What came of it.

    Attributes:
        source: What was scored.
        output: A copy of the folder of parts.
        aside: A copy of the folder of rows that were set aside.
        model: Who scored.
    """

    source: Path
    output: Path
    aside: Path
    model: str

    def customers(self) -> pd.DataFrame:
        """The rows of the input that are not bad."""
        return pd.read_parquet(self.source).drop(index=list(BAD)).reset_index(drop=True)

    def scores(self) -> pd.DataFrame:
        """The parts as one table, in their order."""
        return pq.read_table(self.output).to_pandas()


@pytest.fixture(scope="module")
def desk(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The component in the installation's namespace, and a pod with its volume, through which files go in and out."""
    kube = installation.kube
    image = kube.read("deployment", "gauntlet-judge")["spec"]["template"]["spec"]["containers"][0]["image"]
    with installation.taking(tmp_path_factory.mktemp("batch"), "batch"):
        kube("create", "-f", "-", given=json.dumps(desk_pod(image)))
        kube("wait", "--for=condition=Ready", "pod/desk", "--timeout=120s")
        yield "desk"
        kube("delete", "pod", "desk")


def desk_pod(image: str) -> dict[str, Any]:
    restricted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "desk",
        "image": image,
        "command": ["sleep", "infinity"],
        "securityContext": restricted,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    user = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "desk", "labels": {"app.kubernetes.io/component": "desk"}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "gauntlet-batch"}}],
        },
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A million customers and one, and three rows that are bad."""
    customers = generate_customers(ROWS, seed=7)
    for row, (column, value) in BAD.items():
        customers.loc[row, column] = value
    path = tmp_path_factory.mktemp("customers") / "in.parquet"
    customers.to_parquet(path, index=False)
    return path


@pytest.fixture(scope="module")
def batch(
    installation: Installation,
    cluster: TestCluster,
    desk: str,
    source: Path,
    step: Step,
    tmp_path_factory: pytest.TempPathFactory,
) -> Batch:
    """A million rows scored by the forest, which takes long enough to be killed meanwhile."""
    kube, place = installation.kube, tmp_path_factory.mktemp("scores")
    model = f"models:/{installation.contract.name}/{installation.roles.challengers[0].version}"
    with step(f"{ROWS:,} customers onto the volume"):
        kube("cp", source, f"{desk}:/data/in.parquet")
    with step(f"Job of {SHARDS} shards, one killed and one deleted"):
        with ThreadPoolExecutor() as watching:
            killed, deleted = (
                watching.submit(kube, "exec", desk, "--", "python", "-c", UNTIL_A_CHUNK % index)
                for index in (KILLED, DELETED)
            )
            kube.start_job(JOB, "score-file", MODEL=model, KEEP="Churn")
            kill_in_the_middle(kube, cluster, killed)
            delete_in_the_middle(kube, deleted)
        assert kube.completes(JOB, seconds=300)
    with step("output off the volume"):
        for name in (OUT, ASIDE):
            kube("cp", f"{desk}:{name}", place / Path(name).name)
    return Batch(source, place / Path(OUT).name, place / Path(ASIDE).name, model)


def kill_in_the_middle(kube: Kube, cluster: TestCluster, seen: Future[str]) -> None:
    def container() -> str | None:
        found = [pod["status"].get("containerStatuses", [{}])[0].get("containerID") for pod in pods_of(kube, KILLED)]
        return found[0] if found else None

    named = wait_for(container, f"shard {KILLED} never ran")
    seen.result()
    cluster.kill(named.rpartition("/")[2])


def delete_in_the_middle(kube: Kube, seen: Future[str]) -> None:
    """Its Job sees no end of it, and its process lives on for a moment: another pod may meet it."""
    seen.result()
    (pod,) = pods_of(kube, DELETED)
    kube("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")


def pods_of(kube: Kube, index: int, job: str = JOB) -> list[Any]:
    """The pods of one shard, the oldest first."""
    chosen = f"job-name={job},batch.kubernetes.io/job-completion-index={index}"
    return sorted(kube.read("pods", "-l", chosen)["items"], key=lambda pod: pod["metadata"]["creationTimestamp"])


def ends_of(kube: Kube, index: int, job: str = JOB) -> list[tuple[int, str]]:
    """Exit code and last words of each of a shard's pods, the oldest first."""
    ends = [pod["status"]["containerStatuses"][0]["state"]["terminated"] for pod in pods_of(kube, index, job)]
    return [(end["exitCode"], end.get("message", "")) for end in ends]


def test_every_row_is_in_the_output_once(batch: Batch) -> None:
    customers, scores = batch.customers(), batch.scores()
    assert len(scores) == ROWS - len(BAD)
    assert scores["customerID"].is_unique
    assert scores["customerID"].tolist() == customers["customerID"].tolist()
    assert scores["Churn"].tolist() == customers["Churn"].tolist()


def test_a_bad_row_is_set_aside_and_stops_nobody(batch: Batch) -> None:
    lines = [json.loads(line) for path in sorted(batch.aside.iterdir()) for line in path.read_text().splitlines()]
    assert [line["row"] for line in lines] == sorted(BAD)
    for line, (column, value) in zip(lines, BAD.values(), strict=True):
        (problem,) = line["problems"]
        assert problem.startswith(f"{column}: {value!r} is not allowed")


def test_the_shards_that_lost_their_pod_went_on_where_it_was(installation: Installation, batch: Batch) -> None:
    killed, (code, said) = ends_of(installation.kube, KILLED)
    assert (killed, code) == ((137, ""), 0)
    assert CHUNK_ROWS <= done_before(said) < ROWS // SHARDS
    *busy, (code, said) = ends_of(installation.kube, DELETED)
    assert {code for code, _ in busy} <= {75}, busy  # it met the one that was deleted, and was tried again
    assert code == 0
    assert done_before(said) >= CHUNK_ROWS


def done_before(said: str) -> int:
    """How many rows of its shard a pod found done."""
    if "; nothing was done" in said:  # a pod that is deleted has a moment to finish
        return ROWS // SHARDS
    found = re.search(r", ([\d,]+) of its rows in an earlier run \(", said)
    assert found is not None, said
    return int(found[1].replace(",", ""))


def test_the_summary_is_in_one_file_and_in_the_last_words_of_whoever_ended_last(
    installation: Installation, batch: Batch
) -> None:
    found = json.loads((batch.output / "_summary.json").read_text())
    assert (found["n_rows"], found["n_scored"], found["n_set_aside"]) == (ROWS, ROWS - len(BAD), len(BAD))
    assert found["model"]["digest"] == installation.roles.challengers[0].digest
    assert sum(shard["n_rows"] for shard in found["shards"]) == ROWS
    assert all(shard["seconds"] > 0 for shard in found["shards"])
    assert [shard["runs"] for shard in found["shards"] if shard["shard"] != f"{DELETED}/{SHARDS}"] == [1, 2, 1]
    words = [said for index in range(SHARDS) for _, said in ends_of(installation.kube, index)]
    told = f"{OUT} is complete: of {ROWS:,} rows of /data/in.parquet, each there once, {ROWS - len(BAD):,} scored by "
    assert any(told in said for said in words)


def test_the_probabilities_are_those_of_a_run_on_this_machine_that_nobody_killed(
    installation: Installation, batch: Batch, gauntlet: Callable[..., str], tmp_path: Path
) -> None:
    chosen = np.sort(np.random.default_rng(0).choice(ROWS - len(BAD), SAMPLE, replace=False))
    batch.customers().iloc[chosen].to_parquet(tmp_path / "in.parquet", index=False)
    named = ("score-file", tmp_path / "in.parquet", tmp_path / "out.parquet", "--keep", "Churn", "--model", batch.model)
    with installation.kube.forward("service/gauntlet-mlflow", 5000) as tracking:
        gauntlet(*named, "--folder", tmp_path / "home", tracking=tracking)
    there, here = batch.scores().iloc[chosen].reset_index(drop=True), pq.read_table(tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(there, here.to_pandas(), check_exact=True)


def test_the_same_job_again_scores_nothing_and_checks_the_output(installation: Installation, batch: Batch) -> None:
    kube = installation.kube
    assert kube.run_job("score-again", "score-file", MODEL=batch.model, KEEP="Churn")
    for index in range(SHARDS):
        ((code, said),) = ends_of(kube, index, "score-again")
        assert code == 0
        assert "; nothing was done\n" in said
        assert " is complete: " in said


def test_a_part_too_many_fails_the_job_with_its_name(installation: Installation, batch: Batch, desk: str) -> None:
    kube, copy = installation.kube, f"{OUT}/copy.parquet"
    kube("exec", desk, "--", "cp", f"{OUT}/part-00000-of-00004.parquet", copy)
    try:
        assert not kube.run_job("score-doubled", "score-file", MODEL=batch.model, KEEP="Churn")
    finally:
        kube("exec", desk, "--", "rm", copy)
    for index in range(SHARDS):
        ((code, said),) = ends_of(kube, index, "score-doubled")
        assert code == 2
        assert said.startswith(f"ERROR: {copy} is none of the 4 parts")


def test_bad_input_is_said_and_not_tried_again(installation: Installation, desk: str) -> None:
    kube = installation.kube
    assert not kube.run_job("score-nothing", "score-file", IN="/data/nothing.parquet", OUT="/data/nobody.parquet")
    for index in range(SHARDS):
        assert ends_of(kube, index, "score-nothing") == [(2, "ERROR: there is no data file /data/nothing.parquet")]
