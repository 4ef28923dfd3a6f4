"""What kills cost, under load, against the table of faults in the README: an answered prediction is lost only where the
table says so, and then only what was not shipped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from acts import both_ready, kill_container
from cluster_tools import Kube, Step, TestCluster, wait_for
from installing import HOST, INGRESS, Installation, ask_store, features_of, missing
from load import Load, loading

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

RATE = 100
CALM = 3.0
"""Seconds of load before and after a fault."""
_DIGITS = 12
"""Of a UUIDv7, in hexadecimal: its milliseconds since 1970."""


@contextmanager
def under_load(installation: Installation) -> Iterator[Load]:
    headers = {"host": HOST, "authorization": f"Bearer {installation.key}"}
    features = features_of(installation.contract)
    with loading(f"{INGRESS}/v1/score", headers=headers, features=features, rate=RATE) as load:
        time.sleep(CALM)
        yield load
        time.sleep(CALM)


def all_landed(kube: Kube, load: Load) -> None:
    wait_for(lambda: not missing(kube, load), "not every answered prediction came to PostgreSQL", seconds=180)


def told(load: Load) -> str:
    if not load.failures:
        return "0 requests failed"
    first, last = load.failures[0][0], load.failures[-1][0]
    return f"{len(load.failures)} requests failed within {last - first:.1f} s: {load.told}"


@pytest.mark.parametrize("container", ["scoring", "shipper"])
def test_a_container_that_is_killed_loses_nothing_that_was_answered(
    installation: Installation, cluster: TestCluster, step: Step, container: str, note: Callable[[str], None]
) -> None:
    kube = installation.kube
    pod = sorted(kube.pods("scoring"))[0]
    with under_load(installation) as load, step(f"kill -9 of a {container} container"):
        kill_container(installation, cluster, pod, container)
        both_ready(installation)
    note(f"kill -9 of {container}: {told(load)}; of {len(load.answers):,} answered none is lost")
    if container == "shipper":
        assert load.failures == []
    else:  # what was in its hands, and what came until the endpoint was withdrawn
        assert {kind for _, kind in load.failures} <= {"status 502", "status 503", "ServerDisconnectedError"}
    with step("all of it in PostgreSQL"):
        all_landed(kube, load)


@pytest.mark.parametrize("store", ["up", "down"])
def test_a_pod_that_is_deleted_by_force_loses_at_most_what_was_not_shipped(
    installation: Installation, step: Step, store: str, note: Callable[[str], None]
) -> None:
    """Its containers are killed and its emptyDir goes with it, as with a node that never comes back."""
    kube = installation.kube
    pod = sorted(kube.pods("scoring"))[0]
    with under_load(installation) as load, step(f"a pod deleted by force, store {store}"):
        if store == "down":
            kube("scale", "statefulset/gauntlet-postgres", "--replicas=0")
            kube("wait", "--for=delete", "pod/gauntlet-postgres-0", "--timeout=90s", may_fail=True)
            time.sleep(2 * CALM)
        kube("delete", "pod", pod, "--grace-period=0", "--force")
        if store == "down":
            kube("scale", "statefulset/gauntlet-postgres", "--replicas=1")
            kube("rollout", "status", "statefulset/gauntlet-postgres", "--timeout=180s")
        both_ready(installation)
    with step("what is left is in PostgreSQL"):
        shipped = settled(kube, load)
    watermark = int(ask_store(kube, f"select watermark from spools where worker = '{pod}'")[0])
    lost = sorted(missing(kube, load))
    after = [at for at in map(milliseconds, lost) if at >= watermark // 1000]
    span = (milliseconds(lost[-1]) - milliseconds(lost[0])) / 1000 if lost else 0.0
    note(
        f"pod deleted by force, store {store}: {told(load)}; {len(lost)} of {len(load.answers):,} answered are lost, "
        f"made within {span:.1f} s, all after its last watermark"
    )
    assert len(after) == len(lost), f"lost before the watermark {watermark}: {lost[:5]}"
    assert shipped == len(load.answers) - len(lost)
    if store == "down":
        assert lost, "nothing was lost, so nothing was in that spool and the test is about nothing"


def settled(kube: Kube, load: Load) -> int:
    """How many answered predictions the store holds, once both living shippers have shipped what they have."""
    last = max(map(milliseconds, load.answers))

    def passed() -> bool:
        living = ", ".join(f"'{pod}'" for pod in kube.pods("scoring"))
        told_by = ask_store(kube, f"select watermark from spools where worker in ({living})")
        return len(told_by) >= 2 and all(int(one) > last * 1000 for one in told_by)

    wait_for(passed, "the living shippers did not come so far", seconds=180)
    return len(load.answers) - len(missing(kube, load))


def milliseconds(prediction_id: str) -> int:
    """When it was made."""
    return int(prediction_id.replace("-", "")[:_DIGITS], 16)
