"""The judge: closes cohorts, judges the current experiment again and again, and answers `GET /v1/experiment`."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from bentos.errors import GauntletError, InvalidPolicy, InvalidSetting
from bentos.folder import Folder
from service.scoring.experiment import Experiment, read_experiment
from service.stopping import Stop, stop_at_signals
from service.store import Store
from validation.judge.closing import close_cohorts
from validation.judge.contracts import contracts_of
from validation.judge.looking import judge_experiment, look
from validation.judge.metrics import CONTENT_TYPE, Looks, render_metrics
from validation.judge.outcomes import OutcomeCounter, Told
from validation.judge.policy import OnlinePolicy, load_policy
from validation.judge.status import Status, describe_status, keep_verdict
from validation.judge.tallying import GroupWatch, Tallies
from validation.judge.trials import name_of_lineage, register_trials

__all__ = ["answer_http", "look", "run_judge", "step"]

_LOG = logging.getLogger("gauntlet.judge")
_SHARE_OF_TIME = 0.05
"""The part of a core that looking may take: where a look takes long, the pauses grow."""

_Message = MutableMapping[str, Any]


@dataclass
class _Board:
    """What the judge says now; written by one thread and read by another, one value at a time."""

    stop: Stop
    status: Status | None = None
    problem: str = "the judge has not looked yet"
    looks: Looks = field(default_factory=Looks)
    groups: Tallies = field(default_factory=dict)
    outcomes: Mapping[Told, int] = field(default_factory=dict)


def run_judge(
    folder: Folder,
    *,
    store: Store,
    policy_path: Path,
    host: str,
    port: int,
    contract_path: Path | None = None,
    scoring: str | None = None,
    interval_seconds: float = 3.0,
) -> None:
    """Judge until SIGTERM or SIGINT. Run it in the main thread of its process.

    Args:
        folder: The installation, for its experiment file, which is reread at every look.
        store: Its store.
        policy_path: The online policy, read once.
        host: Address to answer on.
        port: Port to answer on.
        contract_path: The champion's `contract.json`, which says what is protected; None: as scoring tells it.
        scoring: Base URL of scoring's admin port; None and no file: as the folder's Bento says.
        interval_seconds: Pause between two looks, longer where a look takes long.

    Raises:
        NotFound: There is no policy file.
        InvalidPolicy: The policy cannot be judged by.
        InvalidSetting: Address or port cannot be used.
    """
    import uvicorn

    policy = load_policy(policy_path)
    listener = _listen(host, port)
    # uvicorn ends at these signals too, and then passes them on to whoever was there before: to this, not to the end.
    board = _Board(stop=stop_at_signals())
    groups = GroupWatch(store, policy, contracts_of(folder, path=contract_path, scoring=scoring))
    given = (board, folder, store, policy, groups, interval_seconds)
    watching = threading.Thread(target=_watch, args=given, daemon=True)
    watching.start()
    application = _application(board)
    config = uvicorn.Config(application, lifespan="off", log_config=None, access_log=False, loop="asyncio", ws="none")
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        board.stop.set()
        watching.join()
        listener.close()


def step(folder: Folder, store: Store, policy: OnlinePolicy, *, now: datetime) -> Status:
    """One look: close what is due, judge the ledger, keep the verdict if it changed.

    Raises:
        GauntletError: Experiment file or store cannot be used.
    """
    experiment, lineage = read_experiment(folder.experiment), name_of_lineage(folder, store)
    register_trials(store, experiment, lineage=lineage, now=now)
    first, *further = [_judge_trial(store, trial, policy, lineage=lineage, now=now) for trial in experiment.trials]
    return msgspec.structs.replace(first, further=tuple(further))


def _judge_trial(store: Store, experiment: Experiment, policy: OnlinePolicy, *, lineage: str, now: datetime) -> Status:
    try:
        for cohort in close_cohorts(store, experiment.id, policy, now=now):
            _LOG.info("cohort_closed", extra={"experiment": cohort.experiment, "start": cohort.start})
    except InvalidPolicy as e:
        _LOG.warning("cohorts_not_closed", extra={"reason": str(e)})  # the verdict is INVALID, and says so too
    verdict = judge_experiment(store, experiment, policy, lineage=lineage, now=now)
    if keep_verdict(store, verdict, policy, now=now):
        _LOG.info("verdict_changed", extra={"experiment": verdict.experiment, "verdict": verdict.verdict})
    return describe_status(store, experiment, verdict, policy, now=now)


def answer_http(method: str, path: str, status: Status | None, problem: str) -> tuple[int, str, bytes]:
    """The judge's answer to a request: status code, content type and body.

    Args:
        method: HTTP method.
        path: Path of the URL.
        status: What the judge says; None if it cannot say anything.
        problem: Why it cannot.
    """
    if method not in ("GET", "HEAD"):
        return _problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not allowed; it must be GET")
    if path == "/livez":
        return HTTPStatus.OK, "text/plain", b"ok\n"
    if path != "/v1/experiment":
        return _problem(HTTPStatus.NOT_FOUND, f"there is no {path}; there are /v1/experiment, /metrics and /livez")
    if status is None:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, problem)
    return HTTPStatus.OK, "application/json", msgspec.json.encode(status)


def _watch(
    board: _Board, folder: Folder, store: Store, policy: OnlinePolicy, groups: GroupWatch, interval_seconds: float
) -> None:
    """Look again and again. A failure leaves the problem on the board in place of a verdict that no longer holds."""
    pause, outcomes = 0.0, OutcomeCounter(store)
    while not board.stop.wait(pause):
        began = time.monotonic()
        failed = board.looks.failed
        try:
            now = datetime.now(UTC)
            board.status = status = step(folder, store, policy, now=now)
            board.groups, board.outcomes = groups.look(status), outcomes.look(status, now)
        except (GauntletError, OSError) as e:
            failed += 1
            _blank(board, str(e))
        except Exception as e:  # a judge that is gone would look like one that has nothing to say
            failed += 1
            _LOG.exception("look_failed")
            _blank(board, f"internal error: {type(e).__name__}")
        took = time.monotonic() - began
        board.looks = Looks(seconds=took, failed=failed, knows_contract=groups.knows_contract)
        pause = max(interval_seconds, took / _SHARE_OF_TIME)


def _blank(board: _Board, problem: str) -> None:
    if board.status is not None or board.problem != problem:
        _LOG.warning("no_verdict", extra={"reason": problem})
    board.problem, board.status, board.groups = problem, None, {}


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as e:
        listener.close()
        raise InvalidSetting(f"the judge cannot answer on {host} port {port}: {e}; choose another with --port") from e
    return listener


def _application(
    board: _Board,
) -> Callable[[_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]]:
    async def application(
        scope: _Message, _receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        if scope["path"] == "/metrics" and scope["method"] in ("GET", "HEAD"):
            code, content_type = 200, CONTENT_TYPE
            body = render_metrics(board.status, board.looks, board.groups, board.outcomes)
        else:
            code, content_type, body = answer_http(scope["method"], scope["path"], board.status, board.problem)
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": int(code), "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return application


def _problem(status: HTTPStatus, detail: str) -> tuple[int, str, bytes]:
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    return status, "application/problem+json", msgspec.json.encode(body)
