"""`gauntlet serve`: scoring, the shipper of its prediction log and the judge, as children of one process.

The port is this process's own, so requests wait while scoring restarts. A child that dies is started again with a
growing pause, children end when this process does, and a stop goes in order: scoring first, then what drains its log.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from bentos.errors import NotFound, Refused, Unavailable
from bentos.folder import Folder
from bentos.roles import ROLES, read_roles
from service.children import Child
from service.entry import BAD_START, listen, prepare
from service.experiment import first_experiment, write_experiment
from service.logs import log_to_stderr
from service.stopping import stop_at_signals

logger = logging.getLogger("gauntlet.supervisor")

CODE = Path(__file__).resolve().parent.parent
LOOK_SECONDS = 0.1
GRACE_SECONDS = 30.0
"""How long a stop waits for each child before it is killed: more than scoring waits for its requests."""


class Supervisor:
    """The children of one installation's folder.

    Attributes:
        url: Where scoring answers.
        children: In the order in which they are stopped.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        host: str = "127.0.0.1",
        port: int = 3000,
        policy: Path | None = None,
        scoring_only: bool = False,
    ) -> None:
        """Take the port and look at what is served; nothing runs before `start`.

        Raises:
            Unavailable: The port cannot be had.
            NotFound: There is no Bento in the folder, or no such policy.
            ArtifactDamaged: The Bento cannot be read.
        """
        self._folder = Folder(folder.path.resolve())
        if policy is not None and not policy.is_file():
            raise NotFound(f"there is no policy {policy}")
        self._source()
        self._socket = listen(host, port)
        self._port: int = self._socket.getsockname()[1]
        address = f"[{host}]" if ":" in host else host
        self.url = f"http://{address}:{self._port}"
        judge_port = _free_port()
        self.children = [self._scoring(judge_port, scoring_only)]
        if not scoring_only:
            self.children += [self._shipper(), self._judge(judge_port, policy)]
        self._turn = threading.Lock()

    def start(self) -> None:
        """Start every child; writes the first experiment file if there is none."""
        write_first_experiment(self._folder, now=datetime.now(UTC))
        for child in self.children:
            child.start(self._log(child))

    def look(self) -> None:
        """Start again what died, when its pause is over.

        Raises:
            Refused: Scoring says that it cannot serve this Bento, however often it is started.
        """
        with self._turn:
            now = time.monotonic()
            for child in self.children:
                code = child.look(now)
                if code is not None:
                    extra = {"child": child.name, "exit_code": code, "pause_seconds": child.pause_seconds}
                    logger.error("child_died", extra=extra)
                    if child.name == "scoring" and code == BAD_START:
                        raise Refused(f"scoring cannot start: {self._last_reason(child)}")
                if child.is_due(now):
                    child.start(self._log(child))

    def stop(self) -> None:
        """Stop scoring, then let the shipper drain its log, then the judge."""
        with self._turn:
            for child in self.children:
                child.stop(GRACE_SECONDS)
            self._socket.close()

    def tail(self, lines: int = 15) -> str:
        """The end of scoring's log, for people who wonder."""
        log = self._log(self.children[0])
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.is_file() else ""

    def _log(self, child: Child) -> Path:
        return self._folder.path / "logs" / f"{child.name}.log"

    def _last_reason(self, child: Child) -> str:
        lines = self._log(child).read_text(errors="replace").splitlines()
        try:
            return str(json.loads(lines[-1])["reason"])
        except (IndexError, ValueError, KeyError, TypeError):
            return f"see {self._log(child)}"

    def _source(self) -> Path:
        """The code of the Bento that the folder's link points at now."""
        source = self._folder.bento.resolve() / "src"
        if not (source / ROLES).is_file():
            raise NotFound(f"{self._folder.path} holds no Bento to serve; build one with `gauntlet package`")
        return source

    def _scoring(self, judge_port: int, scoring_only: bool) -> Child:
        environment = {
            "GAUNTLET_FOLDER": str(self._folder.path),
            "GAUNTLET_BENTO": str(self._folder.bento),
            "GAUNTLET_WORKER": "scoring",
            "BENTOML_HOME": str(self._folder.bentoml),
        }
        if not scoring_only:
            environment["GAUNTLET_JUDGE_URL"] = f"http://127.0.0.1:{judge_port}"
        arguments = ("--fd", str(self._socket.fileno()))
        return Child("scoring", "service.entry", arguments, environment, self._source, self._socket)

    def _shipper(self) -> Child:
        return Child("shipper", "gauntlet", ("ship", *self._in_folder()), {}, lambda: CODE)

    def _judge(self, port: int, policy: Path | None) -> Child:
        rules = () if policy is None else ("--policy", str(policy.resolve()))
        arguments = ("judge", "--host", "127.0.0.1", "--port", str(port), *rules, *self._in_folder())
        return Child("judge", "gauntlet", arguments, {}, lambda: CODE)

    def _in_folder(self) -> tuple[str, str]:
        return "--folder", str(self._folder.path)


def serve(
    folder: Folder,
    *,
    host: str = "127.0.0.1",
    port: int = 3000,
    policy: Path | None = None,
    scoring_only: bool = False,
    announce: Callable[[str], None] | None = None,
) -> int:
    """Serve the folder's Bento until SIGTERM or SIGINT.

    Args:
        folder: The installation's folder.
        host: Address to listen on.
        port: Port to listen on; 0 for any.
        policy: The judge's rules; None for the default ones.
        scoring_only: Serve in this very process, without shipper and judge, as a container does.
        announce: Gets one line for people when it begins; stderr where none is given.

    Returns:
        0 after a clean stop.

    Raises:
        Unavailable: The port cannot be had.
        NotFound: There is no Bento to serve.
        Refused: The Bento cannot be served.
    """
    say = announce or _say
    if scoring_only:
        return _serve_alone(folder, host, port)
    supervisor = Supervisor(folder, host=host, port=port, policy=policy)
    log_to_stderr("serve")
    stop = stop_at_signals()
    try:
        supervisor.start()
        say(f"serving {supervisor.url}/docs; logs in {folder.path / 'logs'}; Ctrl-C stops")
        while not stop.wait(LOOK_SECONDS):
            supervisor.look()
    finally:
        supervisor.stop()
    return 0


@contextmanager
def serving(
    folder: Folder,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    policy: Path | None = None,
    scoring_only: bool = False,
    ready_seconds: float = 60.0,
) -> Iterator[str]:
    """Serve the folder's Bento while the block runs; gives the base URL once scoring is ready.

    Args:
        folder: The installation's folder.
        host: Address to listen on.
        port: Port to listen on; 0 for any.
        policy: The judge's rules; None for the default ones.
        scoring_only: Start scoring alone.
        ready_seconds: How long scoring may take.

    Raises:
        Unavailable: The port cannot be had, or scoring is not ready in time; the message ends with its log.
        NotFound: There is no Bento to serve.
        Refused: The Bento cannot be served.
    """
    supervisor = Supervisor(folder, host=host, port=port, policy=policy, scoring_only=scoring_only)
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(supervisor, over), name="supervisor", daemon=True)
    try:
        supervisor.start()
        _wait_until_ready(supervisor, ready_seconds)
        keeper.start()
        yield supervisor.url
    finally:
        over.set()
        if keeper.is_alive():
            keeper.join()
        supervisor.stop()


def write_first_experiment(folder: Folder, *, now: datetime) -> None:
    """Write the experiment file that a new installation starts from, with the Bento's own champion; keeps any other."""
    if not folder.experiment.exists():
        roles = read_roles(folder.bento / "src" / ROLES)
        write_experiment(folder.experiment, first_experiment(roles.champion.digest, now=now))


def _serve_alone(folder: Folder, host: str, port: int) -> int:
    prepare()
    from service.entry import run
    from service.settings import read_settings

    path = folder.path.resolve()
    settings = read_settings(folder=path, bento=Folder(path).bento, host=host, port=port)
    os.environ.setdefault("BENTOML_HOME", str(Folder(path).bentoml))
    listening = listen(host, port)
    if settings.experiment_file is None:
        write_first_experiment(Folder(path), now=datetime.now(UTC))
    log_to_stderr("scoring")
    run(settings, listening)
    return 0


def _keep(supervisor: Supervisor, over: threading.Event) -> None:
    while not over.wait(LOOK_SECONDS):
        try:
            supervisor.look()
        except Refused as e:
            logger.error("scoring_refused", extra={"reason": str(e)})
            return


def _wait_until_ready(supervisor: Supervisor, seconds: float) -> None:
    opener = build_opener(ProxyHandler({}))
    until = time.monotonic() + seconds
    reason = "no answer"
    while time.monotonic() < until:
        supervisor.look()
        try:
            with opener.open(f"{supervisor.url}/readyz", timeout=1):
                return
        except HTTPError as e:
            reason = e.read().decode(errors="replace")
        except (URLError, OSError) as e:
            reason = str(e)
        time.sleep(0.02)
    raise Unavailable(f"scoring was not ready within {seconds:g} s: {reason}\n{supervisor.tail()}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
