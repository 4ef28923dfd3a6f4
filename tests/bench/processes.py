"""Servers as processes: started on one core, waited for, looked at, and ended with every child that they made."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.machine import ROOT, SERVER_CORE, CannotMeasure

_MARK = "GAUNTLET_BENCH_RUN"
"""Set in the environment of everything that is started here, so that no child escapes by leaving its group."""
_STOP_SECONDS = 20.0
_LOG_LINES = 15


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        url: Where, without a path.
        pid: Of the process that was started; its children carry the same mark.
        mark: What its processes carry in their environment.
        seconds: From the start of the process to its first answer of 200 at its readiness route.
        log: Its stdout and stderr.
    """

    url: str
    pid: int
    mark: str
    seconds: float
    log: Path

    def pids(self) -> list[int]:
        """Its processes."""
        return _marked(self.mark)

    def memory_mb(self) -> float:
        """Resident memory of all its processes; pages that they share count once."""
        return sum(_pss_kb(pid) for pid in self.pids()) / 1024

    def worker(self, *words: str) -> int:
        """The one process among its own whose command holds all these words, or the only one.

        Raises:
            CannotMeasure: There is none, or more than one.
        """
        found = [pid for pid in self.pids() if all(word.encode() in _command(pid) for word in words)]
        if len(found) != 1:
            raise CannotMeasure(f"{len(found)} processes of the server hold {words}; there must be one")
        return found[0]


@contextmanager
def serving(
    command: Sequence[str],
    *,
    port: int,
    ready: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
    core: int | str = SERVER_CORE,
    start_seconds: float = 120.0,
) -> Iterator[Running]:
    """Run a server while the block runs.

    Args:
        command: Listens on that port of 127.0.0.1.
        port: See `free_port`.
        ready: The path that answers 200 once it serves.
        log: Takes its stdout and stderr.
        environment: Beside this process's own.
        core: That it and its children may use, or several as `taskset` takes them.
        start_seconds: How long it may take to be ready.

    Raises:
        CannotMeasure: It ends or is not ready in time; the message ends with its log.
    """
    mark = uuid.uuid4().hex
    given = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {}), _MARK: mark}
    began = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            # If this process is killed, the server is told to end.
            ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *command],
            cwd=ROOT,
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        seconds = _wait(process, port, ready, log, began, start_seconds)
        yield Running(f"http://127.0.0.1:{port}", process.pid, mark, seconds, log)
    finally:
        _end(process, mark)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def ask(
    url: str, *, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Ask once, over a connection of its own; never through a proxy.

    Returns:
        Status and body.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=30)
    try:
        connection.request(method, parts.path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def end_by_signals() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that what it started is ended too."""

    def end(_number: int, _frame: object) -> None:
        sys.exit(143)

    signal.signal(signal.SIGTERM, end)


def rss_mb(pid: int) -> float:
    """Resident memory of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def tail(log: Path) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])


def _wait(
    process: subprocess.Popen[bytes], port: int, ready: str, log: Path, began: float, start_seconds: float
) -> float:
    said = "no answer"
    while time.perf_counter() - began < start_seconds:
        if process.poll() is not None:
            raise CannotMeasure(f"it ended with exit code {process.returncode}: {tail(log)}")
        try:
            status, body = ask(f"http://127.0.0.1:{port}{ready}")
        except (OSError, http.client.HTTPException) as e:
            said = str(e)
        else:
            if status == 200:
                return time.perf_counter() - began
            said = f"{status} {body[:200].decode(errors='replace')}"
        time.sleep(0.01)
    raise CannotMeasure(f"it was not ready within {start_seconds:g} s ({said}): {tail(log)}")


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """SIGTERM for the group, and SIGKILL for what is left of it, by pid."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    until = time.monotonic() + _STOP_SECONDS
    while _marked(mark) and time.monotonic() < until:
        process.poll()
        time.sleep(0.05)
    for pid in _marked(mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _marked(mark: str) -> list[int]:
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended, or is somebody else's
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
