"""The component `batch`: what its Job is made of, beside what `test_manifests` asks of every pod."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
from renderings import KUBECTL, OVERLAYS, Manifest, named, one, pods, rendered

import gauntlet
from k8s.secrets import TRUST_KEY, TRUST_REVOKED

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl, which renders the manifests, is not installed")


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return f"{request.param} with batch"


def job_of(overlay: str) -> Manifest:
    spec: Manifest = one(overlay, "CronJob", "score-file")["spec"]["jobTemplate"]["spec"]
    return spec


def container_of(overlay: str) -> Manifest:
    (container,) = job_of(overlay)["template"]["spec"]["containers"]
    found: Manifest = container
    return found


def environment_of(overlay: str) -> dict[str, Any]:
    return {variable["name"]: variable.get("value") for variable in container_of(overlay)["env"]}


def command_line(overlay: str, **environment: str) -> dict[str, Any]:
    """What the command makes of the arguments, once Kubernetes has put the variables in."""
    known = environment_of(overlay) | {"JOB_COMPLETION_INDEX": "3"} | environment
    name, *arguments = [re.sub(r"\$\((\w+)\)", lambda found: known[found[1]], a) for a in container_of(overlay)["args"]]
    command = gauntlet.cli.commands[name]
    parsed: dict[str, Any] = command.make_context(name, arguments, parent=click.Context(gauntlet.cli)).params
    return parsed


def test_no_overlay_runs_batches_unless_it_takes_the_component() -> None:
    for name in OVERLAYS:
        assert "CronJob/score-file" not in {named(manifest) for manifest in rendered(name)}


def test_it_waits_to_be_asked(overlay: str) -> None:
    assert one(overlay, "CronJob", "score-file")["spec"]["suspend"] is True


def test_there_is_a_pod_for_each_share_of_the_rows(overlay: str) -> None:
    job = job_of(overlay)
    assert job["completionMode"] == "Indexed"
    assert str(job["completions"]) == environment_of(overlay)["SHARDS"]
    assert 1 < job["parallelism"] <= job["completions"]
    assert command_line(overlay)["shard"] == f"3/{job['completions']}"


def test_bad_input_is_not_tried_again_and_what_was_killed_or_lost_is(overlay: str) -> None:
    """137 of a kill and 75 of the command itself fall under no rule: they are tried again, so many times."""
    job = job_of(overlay)
    lost, bad = job["podFailurePolicy"]["rules"]
    assert lost == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    assert bad == {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [gauntlet.BAD_INPUT]}}
    assert gauntlet.TRY_AGAIN != gauntlet.BAD_INPUT
    assert 3 <= job["backoffLimitPerIndex"] <= 6
    assert "backoffLimit" not in job  # it would count the tries of all shards together
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # without which there is no podFailurePolicy


def test_it_ends_some_time_and_is_cleared_away(overlay: str) -> None:
    job = job_of(overlay)
    assert job["activeDeadlineSeconds"] > 0
    assert job["ttlSecondsAfterFinished"] >= 3600


def test_by_default_the_champion_scores_every_row_and_sets_bad_ones_aside(overlay: str) -> None:
    given = command_line(overlay)
    assert given["model"] == "models:/churn@champion"
    assert given["bad_rows"] == Path(f"{given['output']}.bad-rows.jsonl")
    assert given["summary"] is True
    assert given["restart"] is False
    assert [name for name in given["keep"] if name] == []


def test_the_variables_say_what_is_scored(overlay: str) -> None:
    given = command_line(overlay, IN="/data/a.csv", OUT="/data/b.parquet", MODEL="models:/churn/7", KEEP="Churn,tenure")
    assert (given["input_file"], given["output"]) == (Path("/data/a.csv"), Path("/data/b.parquet"))
    assert (given["model"], given["keep"]) == ("models:/churn/7", ("Churn,tenure",))


def test_input_and_output_lie_on_the_claim(overlay: str) -> None:
    spec, container = job_of(overlay)["template"]["spec"], container_of(overlay)
    (claimed,) = [v for v in spec["volumes"] if "persistentVolumeClaim" in v]
    assert one(overlay, "PersistentVolumeClaim", claimed["persistentVolumeClaim"]["claimName"])
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == claimed["name"]]
    assert not mount.get("readOnly")
    for name in ("IN", "OUT"):
        assert Path(environment_of(overlay)[name]).is_relative_to(mount["mountPath"])


def test_its_last_words_are_kept(overlay: str) -> None:
    path = container_of(overlay).get("terminationMessagePath", "/dev/termination-log")
    assert environment_of(overlay)["GAUNTLET_TERMINATION_FILE"] == path


def test_a_model_needs_a_blessing_that_the_gates_key_signed(overlay: str) -> None:
    variables = environment_of(overlay)
    trust = next(m["mountPath"] for m in container_of(overlay)["volumeMounts"] if m["name"] == "trust")
    assert variables["GAUNTLET_BLESSING_PUBLIC_KEY_FILE"] == f"{trust}/{TRUST_KEY}"
    assert variables["GAUNTLET_REVOCATIONS_FILE"] == f"{trust}/{TRUST_REVOKED}"


def test_its_pods_are_let_to_mlflow_and_nowhere_else(overlay: str) -> None:
    (labels,) = [t["metadata"]["labels"] for m, t in pods(overlay) if named(m) == "CronJob/score-file"]
    assert labels["app.kubernetes.io/component"] == "score-file"
    assert labels["app.kubernetes.io/name"] == "gauntlet"
    ways = [m["metadata"]["name"] for m in rendered(overlay) if m["kind"] == "NetworkPolicy" and leads(m, labels)]
    assert ways in (["deny-all", "dns", "to-mlflow"], ["deny-all", "dns", "to-tracking"])


def leads(policy: Manifest, labels: dict[str, str]) -> bool:
    """Whether a policy is about pods with these labels."""
    selector = policy["spec"]["podSelector"]
    plain = labels.items() >= selector.get("matchLabels", {}).items()
    return plain and all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))
