"""Under load through the Ingress: what happens in good order costs no request and no answered prediction.

`GAUNTLET_LOAD_MINUTES=10 pytest -m cluster tests/cluster/test_under_load.py` goes on with it for ten minutes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from acts import both_ready, delete, evict, kill_container, restart_postgres, roll_image
from cluster_tools import Kube, Step, TestCluster, wait_for
from installing import HOST, INGRESS, LEAD, Installation, ask_store, features_of, missing
from load import loading

from service.scoring.experiment import start_shadow, stop, swap_roles

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

RATE = 200
CALM = 4.0
"""Seconds of load before and after each event."""
MINUTES = float(os.environ.get("GAUNTLET_LOAD_MINUTES", "1"))


@pytest.fixture
def quiet(installation: Installation) -> Iterator[Installation]:
    """Nobody on trial, before and after."""
    still(installation)
    yield installation
    still(installation)


def still(installation: Installation) -> None:
    installation.change(stop(installation.experiment(), now=datetime.now(UTC), lead=timedelta(0)))


def shadow(installation: Installation) -> None:
    """The model that is not champion, in the shadow."""
    current = installation.experiment()
    models = {model.digest for model in installation.roles.models}
    (other,) = models - {current.champion}
    off, now = stop(current, now=datetime.now(UTC), lead=timedelta(0)), datetime.now(UTC)
    installation.change(start_shadow(off, other, now=now, salt=f"load-{off.revision}", lead=timedelta(0)))


def promote(installation: Installation) -> None:
    """Roles swapped, as `gauntlet promote` writes them: at one instant on every replica."""
    installation.change(swap_roles(installation.experiment(), now=datetime.now(UTC), lead=LEAD))


def test_nothing_that_happens_in_good_order_costs_a_request_or_a_prediction(
    quiet: Installation, cluster: TestCluster, gauntlet: Callable[..., str], step: Step, note: Callable[[str], None]
) -> None:
    installation, kube = quiet, quiet.kube
    headers = {"host": HOST, "authorization": f"Bearer {installation.key}"}
    features = features_of(installation.contract)
    where = ("--on-cluster", "--namespace", kube.namespace)

    def first() -> str:
        return sorted(kube.pods("scoring"))[0]

    def kill_a_shipper() -> None:
        kill_container(installation, cluster, first(), "shipper")
        both_ready(installation)

    events: list[tuple[str, Callable[[], object]]] = [
        ("shadow", lambda: shadow(installation)),
        ("split 50", lambda: gauntlet("experiment", "split", "50", *where)),
        ("a pod deleted", lambda: delete(installation, first())),
        ("a pod evicted", lambda: evict(installation, sorted(kube.pods("scoring"))[0])),
        ("the other pod evicted", lambda: evict(installation, sorted(kube.pods("scoring"))[1])),
        ("promotion", lambda: promote(installation)),
        ("image rolled", lambda: roll_image(installation, cluster)),
        ("PostgreSQL restarted", lambda: restart_postgres(installation)),
        ("a shipper killed", kill_a_shipper),
        ("challenger off", lambda: gauntlet("experiment", "off", *where)),
    ]
    open_before = open_spools(kube)
    seen: dict[str, int] = {}
    began, rounds = time.monotonic(), 0
    with loading(f"{INGRESS}/v1/score", headers=headers, features=features, rate=RATE) as load:
        while rounds == 0 or time.monotonic() - began < 60 * MINUTES:
            for name, act in events:
                time.sleep(CALM)
                before = len(load.failures)
                with step(f"under {RATE} req/s: {name}"):
                    act()
                time.sleep(CALM)
                seen[name] = seen.get(name, 0) + len(load.failures) - before
            rounds += 1
        minutes = (time.monotonic() - began) / 60
    note(f"{minutes:.1f} minutes under {RATE} req/s, each of {len(events)} events {rounds} times: {load.told}")
    assert load.failures == [], f"{load.told}; by event {seen}; {load.failures[:10]}"
    assert set(load.answers.values()) == {"champion", "challenger"}
    with step(f"{len(load.answers):,} predictions in PostgreSQL"):
        wait_for(lambda: not missing(kube, load), "not every answered prediction came to PostgreSQL", seconds=180)
    gone = open_spools(kube) - open_before - set(kube.pods("scoring"))
    assert not gone, f"cohorts wait for ever for {gone}, whose pods ended in good order"


def open_spools(kube: Kube) -> set[str]:
    """Those that keep cohorts open until they are shipped."""
    return set(ask_store(kube, "select worker from spools where lost_at is null"))
