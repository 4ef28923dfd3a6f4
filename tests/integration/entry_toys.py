"""Scoring processes of the fast entry as containers run them: `python -m service.entry` over a Bento of toys."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
from packing_toys import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


class Entry:
    """One scoring process, started again on the same port as often as one likes.

    Attributes:
        before: What the command begins with, such as a program that sets limits.
        url: Where it answers clients.
        admin: Where it answers the administration.
        spool: The folder of its spools.
        process: While it runs.
    """

    def __init__(self, bento: Path, place: Path, *, before: Sequence[str] = (), **settings: object) -> None:
        self.bento, self.place = bento, place
        self.port, self.admin_port = free_port(), free_port()
        self.url, self.admin = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.admin_port}"
        self.spool = place / "spool"
        self.settings = settings
        self.before = before
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, ready_seconds: float = 60) -> Entry:
        """Start it and wait until it is ready."""
        self.place.mkdir(parents=True, exist_ok=True)
        own = {
            "bento": self.bento,
            "port": self.port,
            "admin_port": self.admin_port,
            "spool_folder": self.spool,
            "worker": "toy",
            **self.settings,
        }
        environment = {**os.environ, **{f"GAUNTLET_{name.upper()}": str(value) for name, value in own.items()}}
        environment |= {"PYTHONPATH": str(ROOT), "BENTOML_HOME": str(self.place / "bentoml")}
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.before, sys.executable, "-m", "service.entry"],
                cwd=self.place,
                env=environment,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + ready_seconds
        while not self.is_ready():
            assert self.process.poll() is None, (self.place / "log").read_text()
            assert time.monotonic() < until, (self.place / "log").read_text()
            time.sleep(0.05)
        return self

    def is_ready(self) -> bool:
        """Whether it says that it should get requests."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self, seconds: float = 60) -> int:
        """Tell it to stop and wait; gives its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it without a word; may be called twice."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Entry:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
