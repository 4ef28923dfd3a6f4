"""`gauntlet observe`: Prometheus with the rules beside a running service, and Alertmanager where it is installed.

Both are programs of others and are looked for on PATH. What they need is written below the installation's folder, where
the numbers stay too. Where the service answers is read from the folder again and again: it may start anew elsewhere.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import msgspec
import yaml

from bentos.errors import GauntletError, InUse, InvalidSetting, NotFound, Unavailable, shown
from bentos.folder import Folder
from service.entry import listen
from service.stopping import stop_at_signals
from service.whereabouts import Whereabouts, read_whereabouts

JOB = "gauntlet"
"""The name of the scrape job, as on Kubernetes: rules look for it."""

ALERTMANAGER = ("alertmanager", "prometheus-alertmanager")
"""What it is called; Debian's package says whose it is."""

_HOST = "127.0.0.1"
_READY_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_GRACE_SECONDS = 60.0
_INSTALL = (
    "{0} is not on PATH, and `gauntlet observe` runs the real one: install it (https://prometheus.io/download, "
    "`apt-get install {0}` on Debian, `brew install {0}` on a Mac)"
)


@dataclass(frozen=True)
class Watching:
    """What is watched by.

    Attributes:
        rules: The folder of rules.
        routes: Alertmanager's configuration.
        runbooks: Where runbooks lie, for alerts to lead there.
    """

    rules: Path
    routes: Path
    runbooks: str


def observe(
    folder: Folder,
    by: Watching,
    *,
    port: int = 9090,
    alertmanager_port: int = 9093,
    targets: Sequence[str] = (),
    announce: Callable[[str], None] | None = None,
) -> int:
    """Watch the folder's service until SIGTERM or SIGINT.

    Args:
        folder: The installation's folder.
        by: Rules and routes.
        port: Where Prometheus answers, on loopback.
        alertmanager_port: Where Alertmanager answers, where it is installed.
        targets: `host:port` of scoring's admin ports elsewhere; none for the service that runs from the folder.
        announce: Gets lines for people; stderr where none is given.

    Returns:
        0 after a clean stop.

    Raises:
        NotFound: Prometheus is not installed, or nobody serves from the folder.
        InvalidSetting: A target is none.
        InUse: Somebody observes the folder already.
        Unavailable: A port is taken, or a program did not start, or ended.
    """
    say, place = announce or _say, folder.path.resolve() / "observing"
    program = _find("prometheus")
    if program is None:
        raise NotFound(_INSTALL.format("prometheus"))
    found = _targets(folder, targets)
    stop, routing = stop_at_signals(), _find(*ALERTMANAGER)
    place.mkdir(parents=True, exist_ok=True)
    alerts_to = f"{_HOST}:{alertmanager_port}" if routing else None
    configuration = place / "prometheus.yaml"
    commands, ports = [_prometheus(program, configuration, place, port)], {"--port": port}
    if routing is not None:
        commands.append(_alertmanager(routing, by.routes, place, alertmanager_port))
        ports["--alertmanager-port"] = alertmanager_port
    with ExitStack() as undo:
        undo.enter_context(_alone(place))
        for flag, wanted in ports.items():
            listen(_HOST, wanted, flag).close()  # the programs would say that it is taken, and not by which option
        _write(place / "targets.json", found)
        configuration.write_text(prometheus_configuration(by, place / "targets.json", alerts_to))
        processes = undo.enter_context(running(commands, place))
        _await_ready(f"http://{_HOST}:{port}/-/ready", processes, place)
        say(f"watching {', '.join(one['targets'][0] for one in found)} at http://{_HOST}:{port}/alerts; Ctrl-C stops")
        say(f"alerts go to http://{alerts_to}" if alerts_to else "alertmanager is not on PATH: alerts go nowhere")
        while not stop.wait(_LOOK_SECONDS):
            _check(processes, place)
            found = _follow(folder, targets, found, place / "targets.json")
    return 0


def prometheus_configuration(by: Watching, targets: Path, alerts_to: str | None) -> str:
    """Prometheus's configuration in YAML.

    Args:
        by: Rules, and where runbooks lie.
        targets: The file that says where the service answers; it is reread when it changes.
        alerts_to: Alertmanager's `host:port`.
    """
    content: dict[str, Any] = {
        "global": {
            "scrape_interval": "5s",
            "evaluation_interval": "15s",
            "external_labels": {"runbooks": by.runbooks},
        },
        "rule_files": [f"{by.rules}/*.yaml"],
        "scrape_configs": [{"job_name": JOB, "file_sd_configs": [{"files": [str(targets)]}]}],
    }
    if alerts_to is not None:
        content["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alerts_to]}]}]}
    return yaml.safe_dump(content, sort_keys=False)


def targets_of(found: Whereabouts) -> list[dict[str, Any]]:
    """What Prometheus scrapes, with the labels that pods have on Kubernetes."""
    told = (
        ("scoring", "scoring", found.scoring),
        ("scoring", "shipper", found.shipper),
        ("judge", "judge", found.judge),
        ("insight", "insight", found.insight),
    )
    return [_target(component, container, url) for component, container, url in told if url is not None]


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Keep others out: programs of two would write one log and one configuration."""
    with (place / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise InUse(f"another `gauntlet observe` runs in {place}; end it, or watch another folder") from e
        yield


def _find(*names: str) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)


def _target(component: str, container: str, url: str) -> dict[str, Any]:
    labels = {"app_kubernetes_io_component": component, "container": container}
    return {"targets": [url.removeprefix("http://")], "labels": labels}


def _targets(folder: Folder, given: Sequence[str]) -> list[dict[str, Any]]:
    if given:
        return [_target("scoring", "scoring", _checked(one)) for one in given]
    return targets_of(read_whereabouts(folder.serving))


def _checked(target: str) -> str:
    if re.fullmatch(r"[^\s/:]+:[0-9]{1,5}|\[[0-9a-fA-F:.]+\]:[0-9]{1,5}", target) is None:
        raise InvalidSetting(f"--target is {shown(target)}; it must be HOST:PORT, such as 10.0.0.7:3001")
    return target


def _follow(folder: Folder, given: Sequence[str], before: list[dict[str, Any]], file: Path) -> list[dict[str, Any]]:
    """Where the service answers now; where it does not say, it stays as it was and is seen to be down."""
    try:
        found = _targets(folder, given)
    except GauntletError:
        return before
    if found != before:
        _write(file, found)
    return found


def _write(file: Path, targets: list[dict[str, Any]]) -> None:
    beside = file.with_suffix(".new")
    beside.write_bytes(msgspec.json.encode(targets))
    beside.replace(file)


def _prometheus(program: str, configuration: Path, place: Path, port: int) -> tuple[str, ...]:
    data = f"--storage.tsdb.path={place / 'prometheus'}"
    address = f"--web.listen-address={_HOST}:{port}"
    return (program, f"--config.file={configuration}", data, address, "--enable-feature=exemplar-storage")


def _alertmanager(program: str, routes: Path, place: Path, port: int) -> tuple[str, ...]:
    data = f"--storage.path={place / 'alertmanager'}"
    address = f"--web.listen-address={_HOST}:{port}"
    return (program, f"--config.file={routes}", data, address, "--cluster.listen-address=")


@contextmanager
def running(commands: Iterable[tuple[str, ...]], place: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run programs while the block runs, each with its log in `place`."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            with _log_of(command[0], place).open("wb") as log:
                # Ctrl-C in a terminal is for this process, which stops them.
                processes.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))  # noqa: S603
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _log_of(program: str, place: Path) -> Path:
    return place / f"{Path(program).name}.log"


def _check(processes: Sequence[subprocess.Popen[bytes]], place: Path) -> None:
    for process in processes:
        if process.poll() is not None:
            program = str(process.args[0])  # type: ignore[index]
            log = _log_of(program, place)
            last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise Unavailable(f"{Path(program).name} ended with exit code {process.returncode}: {last[0]} ({log})")


def _await_ready(url: str, processes: Sequence[subprocess.Popen[bytes]], place: Path) -> None:
    opener, until = build_opener(ProxyHandler({})), time.monotonic() + _READY_SECONDS
    while time.monotonic() < until:
        _check(processes, place)
        try:
            with opener.open(url, timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise Unavailable(f"prometheus was not ready within {_READY_SECONDS:g} s; its log is in {place}")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
