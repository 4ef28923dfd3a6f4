"""A real PostgreSQL server in a temporary folder, as any user, stopped and started at will."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

MISSING = "no PostgreSQL server is installed (initdb is neither on PATH nor in /usr/lib/postgresql)"


def server_programs() -> Path | None:
    """The folder of initdb and pg_ctl; None where there is none."""
    found = shutil.which("initdb")
    candidates = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((path for path in reversed(candidates) if (path / "initdb").exists()), None)


class Server:
    """One server; its databases are empty and live as long as it does."""

    def __init__(self, place: Path, programs: Path, settings: str = "") -> None:
        self._place = place
        self._programs = programs
        self._settings = settings
        self._as_user = _somebody_else()
        if self._as_user:
            os.chown(place, self._as_user["user"], self._as_user["group"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"postgresql://gauntlet@127.0.0.1:{self._port}"
        self._run("initdb", "-D", place / "data", "-U", "gauntlet", "-A", "trust", "-E", "UTF8")

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self._port} -k {self._place} {self._settings}"
        self._run("pg_ctl", "-D", self._place / "data", "-w", "-l", self._place / "log", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", self._place / "data", "-w", "-m", mode, "stop")

    def kill(self) -> None:
        """kill -9 of the postmaster, and waits until its children have gone."""
        pid = self._pid()
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + 30
        while _answers(self._port) or Path(f"/proc/{pid}").exists():
            if time.monotonic() > until:
                raise RuntimeError("the server outlives kill -9")
            time.sleep(0.02)
        time.sleep(0.5)  # its children see that it is gone, and end

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """All its processes stand still: connections stay, and nothing is answered."""
        them = [self._pid(), *self._children()]
        for pid in them:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in them:
                os.kill(pid, signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """Processor time of all its processes that live, since they began."""
        ticks = 0
        for pid in (self._pid(), *self._children()):
            with contextlib.suppress(OSError):
                fields = _stat_of(Path(f"/proc/{pid}"))
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def make_database(self, name: str) -> str:
        """An empty database; gives its URL."""
        maker = sa.create_engine(driver_url(f"{self.url}/postgres"), isolation_level="AUTOCOMMIT")
        with maker.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        maker.dispose()
        return f"{self.url}/{name}"

    def _children(self) -> Iterator[int]:
        postmaster = self._pid()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if int(_stat_of(process)[1]) == postmaster:
                    yield int(process.name)

    def _pid(self) -> int:
        return int((self._place / "data" / "postmaster.pid").read_text().split()[0])

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._place, **self._as_user)


@contextlib.contextmanager
def running_server(settings: str = "") -> Iterator[Server]:
    """A server that has started; `settings` are options of `postgres`. LookupError where none is installed."""
    programs = server_programs()
    if programs is None:
        raise LookupError(MISSING)
    place = Path(tempfile.mkdtemp(prefix="gauntlet-postgresql-"))
    place.chmod(0o755)
    try:
        server = Server(place, programs, settings)
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # a test has stopped it
                server.stop("immediate")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def driver_url(url: str) -> str:
    """The URL as SQLAlchemy wants it for psycopg."""
    return url.replace("postgresql:", "postgresql+psycopg:")


def _stat_of(process: Path) -> list[str]:
    """What the kernel says of a process, from its state on."""
    return (process / "stat").read_text().rpartition(")")[2].split()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _somebody_else() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return {"user": found.pw_uid, "group": found.pw_gid}
    raise LookupError("PostgreSQL does not run as root, and there is nobody else here")
