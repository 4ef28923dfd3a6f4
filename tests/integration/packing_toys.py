"""A registry of toys, whose artifacts are fetched and verified as from MLflow; and the real `bentoml serve`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from serving_toys import bless, write_artifact

from bentos.artifact import Artifact, load_artifact
from bentos.errors import NotFound
from bentos.registry import Version


class ToyRegistry:
    """Gives out copies of the artifacts that were added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions: list[Version] = []

    def add(self, probability: float, *, aliases=(), blessing=None, tags=None, **artifact) -> Version:
        """Register a toy; `blessing` are the arguments of `bless`, None for no blessing at all."""
        number = str(len(self.versions) + 1)
        digest = write_artifact(self.folder / number, probability, **artifact)
        if blessing is not None:
            bless(self.folder / number, **blessing)
        version = Version(name="toy", number=number, digest=digest, run=number, aliases=tuple(aliases), tags=tags or {})
        self.versions.append(version)
        return version

    def find_by_digest(self, name: str, digest: str) -> Version | None:
        """As the registry does."""
        return next((version for version in self.versions if version.digest == digest), None)

    def fetch_file(self, version: Version, path: str, folder: Path) -> Path:
        """As the registry does; a toy's run has its artifact alone."""
        found = self.folder / version.run / path.removeprefix("artifact/")
        if not found.is_file():
            raise NotFound(f"the run of {version} has no {path}")
        return found

    def fetch(self, version: Version, folder: Path) -> Artifact:
        """As the registry does."""
        load_artifact(self.folder / version.run)
        shutil.copytree(self.folder / version.run, folder)
        return load_artifact(folder)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def bentoml_serving(
    folder, place: Path, *, bento: Path | None = None, **environment: str | None
) -> Iterator[tuple[str, str]]:
    """`bentoml serve` of the folder's Bento, as a user starts it, on free ports.

    Args:
        folder: The installation's.
        place: Where its spool and log go.
        bento: Another Bento than the one that scores.
        environment: Variables beside the usual ones; None takes one away.

    Yields:
        The URL of its routes, and that of its admin port.
    """
    port, admin_port = free_port(), free_port()
    usual = {
        "BENTOML_HOME": str(folder.bentoml),
        "BENTOML_DO_NOT_TRACK": "true",
        "GAUNTLET_SPOOL_FOLDER": str(place / "spool"),
        "GAUNTLET_HOST": "127.0.0.1",
        "GAUNTLET_ADMIN_HOST": "127.0.0.1",
        "GAUNTLET_ADMIN_PORT": str(admin_port),
    }
    given = {name: value for name, value in {**os.environ, **usual, **environment}.items() if value is not None}
    program = str(Path(sys.executable).with_name("bentoml"))
    command = [program, "serve", str(bento or folder.bento), "--host", "127.0.0.1", "--port", str(port)]
    log = place / "bentoml.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=place, env=given, stdout=file, stderr=file)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process, log)
        yield url, f"http://127.0.0.1:{admin_port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())
