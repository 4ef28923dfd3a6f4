"""`gauntlet serve`: scoring workers, the shipper, the judge and, if asked for, insight and console, as its children.

The port is this process's own, so requests wait while a worker restarts. A child that dies is started again with a
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from msgspec.structs import replace

from bentos.errors import NotFound, Refused, Unavailable
from bentos.folder import Folder
from bentos.roles import ROLES, read_roles
from service.children import Child, Children
from service.entry import listen, prepare
from service.logs import log_to_stderr
from service.scoring.experiment import first_experiment, write_experiment
from service.settings import Settings, read_settings
from service.stopping import stop_at_signals
from service.whereabouts import Whereabouts, write_whereabouts
from service.workers import LOOK_SECONDS, Sockets, Workers, keep_workers, make_workers

logger = logging.getLogger("gauntlet.supervisor")

CODE = Path(__file__).resolve().parent.parent
GRACE_SECONDS = 30.0
"""How long a stop waits for each child before it is killed: more than scoring waits for its requests."""


class Supervisor:
    """The children of one installation's folder.

    Attributes:
        url: Where scoring answers.
        admin_url: Where its metrics are.
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
        workers: int | None = None,
        admin_port: int | None = None,
        scoring: Mapping[str, str] | None = None,
        insight: bool = False,
        console_port: int | None = None,
    ) -> None:
        """Take the ports and look at what is served; nothing runs before `start`. `scoring` are variables for it.

        Raises:
            Unavailable: A port cannot be had.
            NotFound: There is no Bento in the folder, or no such policy.
            ArtifactDamaged: The Bento cannot be read.
            InvalidSetting: A setting of scoring is not allowed.
        """
        self._folder = Folder(folder.path.resolve())
        if policy is not None and not policy.is_file():
            raise NotFound(f"there is no policy {policy}")
        self._source()
        insight_port = _free_port() if insight else None
        explained = {} if insight_port is None else {"GAUNTLET_INSIGHT_URL": f"http://127.0.0.1:{insight_port}"}
        self._variables = {**explained, **(scoring or {})}
        settings = read_settings(folder=self._folder.path, worker="scoring", host=host)
        self._sockets = _listen(settings, port, admin_port)
        self.url = _url_of(self._sockets.clients, "https" if settings.tls_certificate else "http")
        self.admin_url = _url_of(self._sockets.admin)
        judge_port = _free_port()
        self._scoring = self._workers(settings, workers, judge_port, scoring_only)
        shipped, judged = _shipper_metrics_url(), f"http://127.0.0.1:{judge_port}"
        alone = Whereabouts(scoring=self.admin_url, insight=explained.get("GAUNTLET_INSIGHT_URL"))
        self._whereabouts = alone if scoring_only else replace(alone, shipper=shipped, judge=judged)
        beside = [] if scoring_only else [self._shipper(shipped), self._judge(judge_port, policy)]
        explaining = [] if insight_port is None else [self._insight(insight_port)]
        looking = [] if console_port is None else [self._console(console_port)]
        self._others = Children([*beside, *explaining, *looking])
        self._turn = threading.Lock()

    @property
    def children(self) -> tuple[Child, ...]:
        """Everyone, in the order in which they are stopped."""
        return (*self._scoring.children.children, *self._others.children)

    def start(self) -> None:
        """Start every child; writes the first experiment file if there is none."""
        write_first_experiment(self._folder, now=datetime.now(UTC))
        self._scoring.start()
        self._others.start()
        write_whereabouts(self._folder.serving, self._whereabouts)

    def look(self) -> None:
        """Start again what died, when its pause is over.

        Raises:
            Refused: Scoring says that it cannot serve this Bento, however often it is started.
        """
        with self._turn:
            now = time.monotonic()
            refusing = self._scoring.look(now)
            if refusing is not None:
                raise Refused(f"scoring cannot start: {_last_reason(refusing)}")
            self._others.look(now)
            self._others.start_due(now)

    def stop(self) -> None:
        """Stop scoring, then let the shipper drain its log, then the judge."""
        with self._turn:
            self._folder.serving.unlink(missing_ok=True)
            self._scoring.stop(GRACE_SECONDS)
            for child in self._others.children:
                child.tell_to_stop()
                child.wait(GRACE_SECONDS)
            self._sockets.close()

    def tail(self, lines: int = 15) -> str:
        """The end of scoring's log, for people who wonder."""
        log = self.children[0].log
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log and log.is_file() else ""

    def _source(self) -> Path:
        """The code of the Bento that the folder's link points at now."""
        source = self._folder.bento.resolve() / "src"
        if not (source / ROLES).is_file():
            raise NotFound(f"{self._folder.path} holds no Bento to serve; build one with `gauntlet package`")
        return source

    def _workers(self, settings: Settings, count: int | None, judge_port: int, scoring_only: bool) -> Workers:
        path = self._folder.path
        environment = {
            "GAUNTLET_FOLDER": str(path),
            "GAUNTLET_BENTO": str(self._folder.bento),
            "BENTOML_HOME": str(self._folder.bentoml),
            **self._variables,
        }
        if not scoring_only:
            environment["GAUNTLET_JUDGE_URL"] = f"http://127.0.0.1:{judge_port}"
        return make_workers(
            settings,
            self._sockets,
            count=count or settings.workers,
            code=self._source,
            environment=environment,
            logs=self._logs,
        )

    def _shipper(self, metrics: str) -> Child:
        host, _, port = metrics.removeprefix("http://").rpartition(":")
        arguments = ("ship", "--metrics-host", host, "--metrics-port", port, *self._in_folder())
        return Child("shipper", "gauntlet", arguments, {}, lambda: CODE, log=self._logs / "shipper.log")

    def _judge(self, port: int, policy: Path | None) -> Child:
        rules = () if policy is None else ("--policy", str(policy.resolve()))
        arguments = ("judge", "--host", "127.0.0.1", "--port", str(port), *rules, *self._in_folder())
        return Child("judge", "gauntlet", arguments, {}, lambda: CODE, log=self._logs / "judge.log")

    def _insight(self, port: int) -> Child:
        arguments = ("insight", "--host", "127.0.0.1", "--port", str(port), *self._in_folder())
        return Child("insight", "gauntlet", arguments, {}, lambda: CODE, log=self._logs / "insight.log")

    def _console(self, port: int) -> Child:
        arguments = ("console", "--port", str(port), "--service", self.url, *self._in_folder())
        return Child("console", "gauntlet", arguments, {}, lambda: CODE, log=self._logs / "console.log")

    @property
    def _logs(self) -> Path:
        return self._folder.path / "logs"

    def _in_folder(self) -> tuple[str, str]:
        return "--folder", str(self._folder.path)


def serve(
    folder: Folder,
    *,
    host: str = "127.0.0.1",
    port: int = 3000,
    policy: Path | None = None,
    scoring_only: bool = False,
    workers: int | None = None,
    admin_port: int | None = None,
    insight: bool = False,
    console_port: int | None = None,
    announce: Callable[[str], None] | None = None,
) -> int:
    """Serve the folder's Bento until SIGTERM or SIGINT.

    Args:
        folder: The installation's folder.
        host: Address to listen on.
        port: Port to listen on; 0 for any.
        policy: The judge's rules; None for the default ones.
        scoring_only: Serve without shipper and judge, as a container does; one worker is this very process.
        workers: How many scoring processes share the port; None: as GAUNTLET_WORKERS says.
        admin_port: Port of the metrics; None: as the settings say, and any where `port` is 0.
        insight: Start insight too, which explains.
        console_port: Start the console too, on this port; None: do not.
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
        return _serve_alone(folder, host, port, workers, admin_port)
    supervisor = Supervisor(
        folder,
        host=host,
        port=port,
        policy=policy,
        workers=workers,
        admin_port=admin_port,
        insight=insight,
        console_port=console_port,
    )
    log_to_stderr("serve")
    stop = stop_at_signals()
    try:
        supervisor.start()
        console = "" if console_port is None else f"; console http://127.0.0.1:{console_port}"
        say(f"serving {supervisor.url}/docs{console}; logs in {folder.path / 'logs'}; Ctrl-C stops")
        while not stop.wait(LOOK_SECONDS):
            supervisor.look()
    finally:
        supervisor.stop()
    return 0


@contextmanager
def serving(folder: Folder, **options: Any) -> Iterator[str]:
    """Serve the folder's Bento while the block runs; gives the base URL once scoring is ready. See `supervised`."""
    with supervised(folder, **options) as supervisor:
        yield supervisor.url


@contextmanager
def supervised(
    folder: Folder,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    policy: Path | None = None,
    scoring_only: bool = False,
    workers: int | None = None,
    admin_port: int | None = None,
    scoring: Mapping[str, str] | None = None,
    insight: bool = False,
    ready_seconds: float = 60.0,
) -> Iterator[Supervisor]:
    """Serve the folder's Bento while the block runs; gives the supervisor once scoring is ready.

    Args:
        folder: The installation's folder.
        host: Address to listen on.
        port: Port to listen on; 0 for any.
        policy: The judge's rules; None for the default ones.
        scoring_only: Start scoring alone.
        workers: How many scoring processes share the port; None: as GAUNTLET_WORKERS says.
        admin_port: Port of the metrics; None: as the settings say, and any where `port` is 0.
        scoring: Variables for scoring beside this process's own.
        insight: Start insight too; nobody waits for it.
        ready_seconds: How long scoring may take.

    Raises:
        Unavailable: A port cannot be had, or scoring is not ready in time; the message ends with its log.
        NotFound: There is no Bento to serve.
        Refused: The Bento cannot be served.
    """
    supervisor = Supervisor(
        folder,
        host=host,
        port=port,
        policy=policy,
        scoring_only=scoring_only,
        workers=workers,
        admin_port=admin_port,
        scoring=scoring,
        insight=insight,
    )
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(supervisor, over), name="supervisor", daemon=True)
    try:
        supervisor.start()
        _wait_until_ready(supervisor, ready_seconds)
        keeper.start()
        yield supervisor
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


def _serve_alone(folder: Folder, host: str, port: int, workers: int | None, admin_port: int | None) -> int:
    prepare()
    from service.entry import run

    path = folder.path.resolve()
    given = {} if workers is None else {"workers": workers}
    settings = read_settings(folder=path, bento=Folder(path).bento, host=host, port=port, **given)
    os.environ.setdefault("BENTOML_HOME", str(Folder(path).bentoml))
    sockets = _listen(settings, port, admin_port)
    if settings.experiment_file is None:
        write_first_experiment(Folder(path), now=datetime.now(UTC))
    log_to_stderr("scoring")
    if settings.workers > 1:
        environment = {"GAUNTLET_FOLDER": str(path), "GAUNTLET_BENTO": str(settings.bento)}
        return keep_workers(settings, sockets, environment, CODE)
    run(settings, sockets.clients, sockets.admin)
    return 0


def _listen(settings: Settings, port: int, admin_port: int | None) -> Sockets:
    """Take both ports, or none."""
    if admin_port is None:
        admin_port = settings.admin_port if port else 0
    with ExitStack() as undo:
        clients = undo.enter_context(listen(settings.host, port))
        admin = listen(settings.admin_host or settings.host, admin_port, "--admin-port")
        undo.pop_all()
    return Sockets(clients, admin)


def _url_of(listening: socket.socket, scheme: str = "http") -> str:
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _last_reason(child: Child) -> str:
    if child.log is None or not child.log.is_file():
        return "it left no log"
    lines = child.log.read_text(errors="replace").splitlines()
    try:
        return str(json.loads(lines[-1])["reason"])
    except (IndexError, ValueError, KeyError, TypeError):
        return f"see {child.log}"


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
            with opener.open(f"{supervisor.admin_url}/readyz", timeout=1):
                return
        except HTTPError as e:
            reason = e.read().decode(errors="replace")
        except (URLError, OSError) as e:
            reason = str(e)
        time.sleep(0.02)
    raise Unavailable(f"scoring was not ready within {seconds:g} s: {reason}\n{supervisor.tail()}")


def _shipper_metrics_url() -> str:
    """Where GAUNTLET_SHIPPER_METRICS_HOST and _PORT say, else on a free port of loopback."""
    host = os.environ.get("GAUNTLET_SHIPPER_METRICS_HOST", "127.0.0.1")
    return f"http://{host}:{os.environ.get('GAUNTLET_SHIPPER_METRICS_PORT') or _free_port()}"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
