"""The machine that measures: what it is, and whether it has what a bench needs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVER_CORE, LOAD_CORE = 0, 1
"""Where the server runs and where its load comes from, so that neither takes time from the other."""
_VERSIONS = (
    "bentoml", "httptools", "msgspec", "numpy", "onnxruntime", "scikit-learn", "uvicorn", "uvloop",
)  # fmt: skip


class CannotMeasure(Exception):
    """This machine lacks something, or what was to be measured does not work; the message says what."""


@dataclass(frozen=True)
class Facts:
    """What a figure means nothing without.

    Attributes:
        at: When, in UTC.
        cpu: The processor's name.
        cores: How many this process may use.
        memory_gb: Of the machine.
        kernel: Its name and release.
        python: Of the servers that run in the project's own environment.
        versions: Of the libraries that answer a request.
        wrk: The load generator's version; None where it is not installed.
        revision: The checkout's, with `+` where files differ from it.
        load: Processes that ran or waited over the last minute when the bench began; near 0 on a quiet machine.
    """

    at: str
    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    versions: dict[str, str]
    wrk: str | None
    revision: str | None
    load: float

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self)

    def to_lines(self) -> list[str]:
        """As lines of Markdown."""
        libraries = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [
            f"{self.cpu}, {self.cores} cores, {self.memory_gb:.0f} GB, {self.kernel}; Python {self.python};",
            f"{libraries}; wrk {self.wrk}; revision {self.revision}; {self.at}; load before {self.load:.2f}.",
        ]


def look() -> Facts:
    """Look at this machine."""
    return Facts(
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions={name: importlib.metadata.version(name) for name in _VERSIONS},
        wrk=_wrk_version(),
        revision=_revision(),
        load=os.getloadavg()[0],
    )


def check(*programs: str) -> None:
    """See that this machine can measure.

    Raises:
        CannotMeasure: It has one core, or a program is not installed.
    """
    if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise CannotMeasure(f"cores {SERVER_CORE} and {LOAD_CORE} are needed, one for the server and one for its load")
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise CannotMeasure(f"{', '.join(missing)} must be installed (Debian packages: wrk, util-linux)")


def say(line: str = "") -> None:
    """A line of the result, on stdout."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def progress(line: str) -> None:
    """A line for whoever waits, on stderr."""
    sys.stderr.write(f"… {line}\n")
    sys.stderr.flush()


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _wrk_version() -> str | None:
    if shutil.which("wrk") is None:
        return None
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split()
    return said[1] if len(said) > 1 else "of an unknown version"


def _revision() -> str | None:
    if shutil.which("git") is None:
        return None
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
