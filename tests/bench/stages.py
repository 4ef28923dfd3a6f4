"""The stages of one request by themselves, in one process and without HTTP; `profile_request` starts this.

Every stage is done by the function that serves, over 500 different customers, for one request and for several that
arrive together. `python -m tests.bench.stages` reads what it needs from the environment and prints one line of JSON:
microseconds a request, by number of requests that arrive together and by stage.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec
import uvloop

from service.application import Application
from service.http.application import Pairs
from service.http.limits import RateLimit
from service.http.messages import Request, Response
from service.metrics import Metrics, ScoringState
from service.prediction_log.lines import encode_lines
from service.prediction_log.spool import Spool
from service.routes.asking import Asking
from service.routes.bodies import read_score
from service.scoring.batching import Asked
from service.scoring.deciding import Scored, ScoreRequest, decide
from service.scoring.models import Model, Rows
from service.settings import read_settings
from tests.bench.counting import PREDICTION_ID
from tests.bench.installation import BODY_END

TOGETHER = (1, 8, 32)
WHOLE = "whole"
"""The stage that is the application as a whole: all the others and what is between them."""
_ROUNDS = 15
_ROUTE = (b"POST", b"/v1/score")

Stage = Callable[[Sequence[int]], object]
"""Does a stage's work for the customers of these numbers."""


@dataclass(frozen=True)
class Prepared:
    """Each customer's request as it stands between the stages."""

    bodies: list[bytes]
    requests: list[Request]
    asked: list[Asked]
    scored: list[Scored]


def open_application() -> Application:
    """The application as it serves, by the settings of this process's environment."""
    folder = Path(os.environ["GAUNTLET_FOLDER"])
    os.environ.setdefault("BENTOML_HOME", str(folder / "bentoml"))
    return Application(read_settings(bento=folder / "bento", worker="profile"))


def prepare(application: Application, bodies: list[bytes]) -> Prepared:
    """Take every customer through all stages once."""
    models, asking = application.models, Asking(application.watch)
    headers = _headers()
    requests = [Request(headers, body, client="bench", started=time.perf_counter()) for body in bodies]
    asked = [asking.ask(read_score(request.body, models.rows.encoder), request) for request in requests]
    scored = []
    for one in asked:
        models.rows.fill(0, one.request.features)
        challenger = one.assignment.challenger
        found = None if challenger is None else challenger.scorer.score_first(1)[0]
        scored.append(_decide(one, one.roles.champion.scorer.score_first(1)[0], found))
    return Prepared(bodies, requests, asked, scored)


def stages_of(application: Application, prepared: Prepared) -> dict[str, Stage]:
    """The stages in the order in which a request goes through them, each by the function that serves."""
    models, guard = application.models, application.http.guard
    asking, encode = Asking(application.watch), msgspec.json.Encoder().encode
    metrics, spool = _open_metrics(application), _open_spool()
    bodies, requests, asked, scored = prepared.bodies, prepared.requests, prepared.asked, prepared.scored
    read = [one.request for one in asked]
    champion, challenger = asked[0].roles.champion, asked[0].assignment.challenger
    shown = requests[0].headers[b"authorization"]
    records = [one.prediction for one in scored]
    if challenger is None or guard.keys is None:
        raise SystemExit("the installation is not in shadow mode, or asks for no keys")
    keys = guard.keys
    return {
        "key": lambda some: [keys.client_of(shown, "score") for _ in some],
        "rate limit": lambda some: _take(guard.rate, some, requests),
        "decode": lambda some: [read_score(bodies[i], models.rows.encoder) for i in some],
        "id, roles, variant": lambda some: [asking.ask(read[i], requests[i]) for i in some],
        "encode the row": lambda some: _fill(models.rows, some, read),
        "champion": lambda some: champion.scorer.score_first(len(some)),
        "challenger": lambda some: challenger.scorer.score_first(len(some)),
        "decide": lambda some: [_decide(asked[i], 0.25, 0.75) for i in some],
        "record as lines": lambda some: encode_lines([records[i] for i in some]),
        "write, with the lines": lambda some: spool.append_all([records[i] for i in some]),
        "count the predictions": lambda some: metrics.count_scored(
            [scored[i] for i in some], models.rows.values[: len(some)]
        ),
        "count the calls": lambda some: _count_calls(metrics, (champion, challenger), len(some)),
        "count the request": lambda some: _count_requests(metrics, len(some)),
        "encode the answer": lambda some: [encode(scored[i].answer) for i in some],
    }


def time_stage(stage: Stage, customers: int, together: int, fill: Callable[[Sequence[int]], object]) -> float:
    """Microseconds a request: the median of some rounds over all customers.

    Args:
        stage: What is timed.
        customers: How many there are.
        together: How many arrive at once.
        fill: Is done before each call and not timed: the rows that models score are of the right customers.
    """
    groups = [range(start, start + together) for start in range(0, customers - together + 1, together)]
    rounds = []
    for _ in range(_ROUNDS):
        spent = 0.0
        for some in groups:
            fill(some)
            began = time.perf_counter()
            stage(some)
            spent += time.perf_counter() - began
        rounds.append(spent / (len(groups) * together))
    return 1e6 * median(rounds)


async def time_whole(application: Application, prepared: Prepared, together: int) -> float:
    """Microseconds a request through the whole application, from a read request to its answer's bytes."""
    http, loop = application.http, asyncio.get_running_loop()
    route = http.soon_routes()[_ROUTE]
    groups = [range(at, at + together) for at in range(0, len(prepared.bodies) - together + 1, together)]
    rounds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for some in groups:
            told: list[int] = []
            note = _noting(told)
            for i in some:
                request = Request(prepared.requests[i].headers, prepared.bodies[i], started=time.perf_counter())
                http.answer_soon(route, request, note)
            done = loop.create_future()  # behind what the application put off to the next turn
            loop.call_soon(done.set_result, None)
            await done
            if told != [200] * together:
                raise SystemExit(f"the application answered {told}")
        rounds.append((time.perf_counter() - began) / (len(groups) * together))
    return 1e6 * median(rounds)


async def main() -> None:
    """Time everything, and print."""
    bodies = Path(os.environ["BENCH_BODIES"]).read_bytes().split(BODY_END)[:-1]
    application = open_application()
    await application.start()
    prepared = prepare(application, bodies)
    stages = stages_of(application, prepared)
    gc.collect()
    gc.freeze()
    found: dict[str, dict[str, float]] = {}
    for together in TOGETHER:
        times = {
            name: time_stage(stage, len(bodies), together, stages["encode the row"]) for name, stage in stages.items()
        }
        found[str(together)] = {**times, WHOLE: await time_whole(application, prepared, together)}
    await application.stop()
    sys.stdout.write(json.dumps(found) + "\n")


def _noting(statuses: list[int]) -> Callable[[Response, Pairs], None]:
    def note(response: Response, _beside: Pairs) -> None:
        statuses.append(response.status)

    return note


def _headers() -> dict[bytes, bytes]:
    """As the server hands them over."""
    authorization = f"Bearer {os.environ['BENCH_KEY']}".encode()
    return {b"host": b"127.0.0.1", b"content-type": b"application/json", b"authorization": authorization}


def _decide(one: Asked, champion: float, challenger: float | None) -> Scored:
    return decide(
        one.request,
        one.assignment,
        one.roles,
        champion,
        challenger,
        prediction_id=one.prediction_id,
        at=one.at,
        latency_us=int((time.perf_counter() - one.started) * 1e6),
        client=one.client,
    )


def _take(rate: RateLimit, some: Sequence[int], requests: Sequence[Request]) -> None:
    for i in some:
        rate.take("bench", 1, requests[i].started)


def _fill(rows: Rows, some: Sequence[int], read: Sequence[ScoreRequest]) -> None:
    for at, i in enumerate(some):
        rows.fill(at, read[i].features)


def _count_calls(metrics: Metrics, models: Sequence[Model], rows: int) -> None:
    for model in models:
        metrics.count_call(model, rows, 1e-5)


def _count_requests(metrics: Metrics, n: int) -> None:
    for _ in range(n):
        metrics.count_request("/v1/score", "POST", 200, 1e-4, PREDICTION_ID)


def _open_spool() -> Spool:
    return Spool(Path(os.environ["GAUNTLET_SPOOL_FOLDER"]), "stages", fsync="interval")


def _open_metrics(application: Application) -> Metrics:
    """Counters of their own, laid out as those of the application."""
    state = ScoringState(
        roles=None,
        gauntlet="",
        is_ready=True,
        is_file_valid=True,
        is_champion_present=True,
        is_challenger_present=True,
        are_challengers_left_out=False,
        spool_lost=0,
        is_spool_failing=False,
        circuits_open=0,
    )
    metrics = Metrics(lambda: state)
    folder = Path(os.environ["GAUNTLET_SPOOL_FOLDER"]) / "counters"
    metrics.open(folder, "stages", models=application.models, routes=application.http.routes)
    return metrics


if __name__ == "__main__":
    uvloop.run(main())
