"""The gate against a real `mlflow server`, over HTTP, artifacts too."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gate_toys import GOOD, WORSE, register

from bentos.artifact import check_blessing, read_blessing
from bentos.errors import NotFound
from bentos.folder import Folder
from bentos.registry import open_registry
from validation.gate.defaults import POLICY
from validation.gate.run import run_gate

pytestmark = pytest.mark.servers

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
START_SECONDS = 180


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("mlflow-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{home / 'mlflow.db'}",
        "--artifacts-destination",
        str(home / "files"),
    ]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, home / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"the server did not start in {START_SECONDS} s: {log.read_text()}")


def test_a_first_model_passes_a_worse_one_fails_and_a_lost_holdout_is_named(server, tmp_path):
    folder = Folder(tmp_path / "home")
    registry = open_registry(folder, server)

    def gate():
        return run_gate(
            "models:/toy/latest", against=None, policy_path=POLICY, registry=registry, folder=folder, now=NOW
        )

    champion = register(registry, GOOD)
    assert gate().verdict == "PASS"
    registry.fetch(champion.version, tmp_path / "fetched")
    check_blessing(read_blessing(tmp_path / "fetched"), artifact=champion.version.digest, now=NOW, scope="split")
    assert registry.resolve("models:/toy@challenger").tags["gate_verdict"] == "PASS"

    registry.set_alias(champion.version, "champion")
    register(registry, WORSE)
    failed = gate()
    assert (failed.verdict, failed.champion.version) == ("FAIL", "1")

    register(registry, WORSE, keep_holdout=False)
    with pytest.raises(NotFound, match=r"the run of toy version 3 has no data/holdout\.parquet"):
        gate()
    assert not folder.tracking.exists()
