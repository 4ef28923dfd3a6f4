"""Alertmanager's own programs take the routes, and keep back what follows from another alert."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from packing_toys import free_port

ROUTES = Path(__file__).parents[2] / "grafana" / "alertmanager.yaml"
PROGRAMS = {name: shutil.which(name) for name in ("amtool", "alertmanager")}

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not all(PROGRAMS.values()), reason="amtool and alertmanager are not on PATH"),
]


def run(program: str, *arguments: object) -> str:
    command = [str(PROGRAMS[program]), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_amtool_takes_routes_and_inhibition() -> None:
    assert "SUCCESS" in run("amtool", "check-config", ROUTES)


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "on-call"), ("warning", "tickets"), ("info", "notes")])
def test_a_severity_reaches_its_receiver(severity: str, receiver: str) -> None:
    found = run("amtool", "config", "routes", "test", f"--config.file={ROUTES}", f"severity={severity}")
    assert found.strip() == receiver


@contextmanager
def alertmanager(place: Path) -> Iterator[httpx.Client]:
    """The real program with the committed routes."""
    port = free_port()
    command = [
        str(PROGRAMS["alertmanager"]),
        f"--config.file={ROUTES}",
        f"--storage.path={place}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with (place / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                _await(client)
                yield client
        finally:
            process.terminate()
            process.wait(30)


def _await(client: httpx.Client) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("alertmanager did not become ready")


def kept_back(client: httpx.Client, *alerts: dict[str, str]) -> set[str]:
    """Which of these alerts are inhibited when all of them fire."""
    now = datetime.now(UTC).isoformat()
    client.post("/api/v2/alerts", json=[{"labels": one, "startsAt": now} for one in alerts]).raise_for_status()
    found: list[dict[str, dict[str, str]]] = []
    until = time.monotonic() + 30
    while len(found) < len(alerts) and time.monotonic() < until:
        time.sleep(0.1)
        found = client.get("/api/v2/alerts", params={"silenced": "true", "inhibited": "true"}).json()
    return {one["labels"]["alertname"] for one in found if one["status"]["inhibitedBy"]}


def alert(name: str, severity: str = "warning", **labels: str) -> dict[str, str]:
    return {"alertname": name, "severity": severity, "namespace": "shop", **labels}


CASES = {
    "without traffic nothing can have drifted": (
        [alert("GauntletTrafficGone", "critical"), alert("GauntletFeatureDrift"), alert("GauntletStoreUnreachable")],
        {"GauntletFeatureDrift"},
    ),
    "elsewhere it can": (
        [alert("GauntletTrafficGone", "critical"), {**alert("GauntletFeatureDrift"), "namespace": "other"}],
        set(),
    ),
    "a pod that is down is why its spool lags": (
        [alert("GauntletPodDown", pod="a", container="shipper"), alert("GauntletSpoolLags", pod="a")],
        {"GauntletSpoolLags"},
    ),
    "another pod's spool lags for a reason of its own": (
        [alert("GauntletPodDown", pod="a", container="shipper"), alert("GauntletSpoolLags", pod="b")],
        set(),
    ),
    "on one machine, which has no pods, so it does where the judge is down": (
        [alert("GauntletPodDown", container="judge"), alert("GauntletSpoolLags")],
        set(),
    ),
    "where nobody is there everything else is kept back": (
        [alert("GauntletGone", "critical"), alert("GauntletVerdictWaits", "info"), alert("GauntletTrafficGone")],
        {"GauntletVerdictWaits", "GauntletTrafficGone"},
    ),
    "a mismatch of the split is why a verdict is invalid": (
        [alert("GauntletSampleRatioMismatch", "critical", model="m"), alert("GauntletVerdictInvalid", model="m")],
        {"GauntletVerdictInvalid"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_follows_from_another_alert_is_kept_back(case: str, tmp_path: Path) -> None:
    firing, expected = CASES[case]
    with alertmanager(tmp_path) as client:
        assert kept_back(client, *firing) == expected
