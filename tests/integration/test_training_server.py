"""Training against a real MLflow server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bentos.errors import Unavailable
from bentos.folder import Folder
from bentos.registry import open_registry
from training.train import TrainRequest, train

pytestmark = pytest.mark.servers

CANCER = Path(__file__).parents[2] / "training" / "use_cases" / "breast_cancer.yaml"
REQUEST = TrainRequest(use_case=CANCER, parameters={"n_estimators": 20})
_PATIENCE_SECONDS = 120


@dataclass
class Server:
    """A running `mlflow server`.

    Attributes:
        url: Where it answers.
        process: Its supervisor.
    """

    url: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", f"{tmp_path}/files"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen([*command, *stores], stdout=log, stderr=log, env=environment, cwd=tmp_path)
    made = Server(f"http://127.0.0.1:{port}", process)
    try:
        _wait_until_ready(made, tmp_path / "server.log")
        yield made
    finally:
        made.stop()


def _wait_until_ready(server: Server, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"mlflow server did not start: {log.read_text()[-2000:]}")


def test_a_model_is_trained_tracked_and_fetched_through_a_server(server: Server, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "home")
    registry = open_registry(folder, server.url)
    trained = train(REQUEST, registry=registry, folder=folder)
    found = open_registry(folder, server.url).resolve("models:/malignancy@candidate")
    artifact = registry.fetch(found, tmp_path / "artifact")
    assert found.digest == artifact.digest == trained.digest
    assert registry.fetch_file(found, "data/holdout.parquet", tmp_path / "data").stat().st_size > 0
    assert registry.client.get_run(found.run).info.status == "FINISHED"
    assert not folder.tracking.exists()


def test_a_server_that_goes_away_while_training_is_told_and_nothing_is_registered(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder = Folder(tmp_path / "home")
    registry = open_registry(folder, server.url)

    def stop_before_tracking(step: str) -> None:
        if step == "tracking":
            server.stop()

    with pytest.raises(Unavailable, match="tracking server"):
        train(REQUEST, registry=registry, folder=folder, progress=stop_before_tracking)
