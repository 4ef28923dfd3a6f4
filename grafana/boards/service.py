"""The service: rate, errors and duration of each route, what is used up, and whether the log reaches the store."""

from __future__ import annotations

from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.boards.board import Board, Row
from grafana.boards.panels import (
    BAD,
    BOUND,
    GOOD,
    GREY,
    NONE_IS_GOOD,
    WARN,
    Column,
    Look,
    Panel,
    Query,
    coloured,
    heat,
    lines,
    number,
    rows,
)
from grafana.boards.picking import NAMESPACE, increased, pick, quantile, rate, worst
from service import metric_names as names
from service.metric_names import Judge, Shipper

_API = 'route=~"/v.*"'
_WIDE = Look(width=12, height=8, low=0)


def service_board() -> Board:
    """The dashboard of the processes."""
    return Board(
        uid="gauntlet-service",
        title="Gauntlet / Service",
        says="How fast each route is answered and how often not, what is used, and whether the log reaches the store.",
        rows=(
            Row("Promises", tuple(_promises())),
            Row("Routes: rate, errors, duration", tuple(_routes())),
            Row("Workers", tuple(_workers())),
            Row("Spool and store", tuple(_spool())),
            Row("Judge", tuple(_judge())),
        ),
        since="now-6h",
    )


def _promises() -> list[Panel]:
    found: list[Panel] = []
    for name, title, promise in (
        ("availability", "Availability", "99.9 % of requests are answered without an error of ours (5xx)"),
        ("latency", "Latency", "99 % of single rows are answered within 50 ms"),
    ):
        hour, quarter = (f"max({pick(f'gauntlet:{name}:burn_rate{window}', NAMESPACE)})" for window in ("1h", "6h"))
        found.append(
            number(
                f"{title}: budget left",
                Query(f"min({pick(f'gauntlet:{name}:budget_left_ratio', NAMESPACE)})", now=True),
                f"{promise}. This is how much of what may go wrong in 30 days is left.",
                Look("percentunit", ((None, BAD), (0.1, WARN), (0.5, GOOD)), width=4, height=8, decimals=1),
            )
        )
        found.append(
            coloured(
                lines(
                    f"{title}: how fast the budget burns",
                    [Query(hour, "1 h"), Query(quarter, "6 h")],
                    f"{promise}. At 1 the budget of 30 days lasts 30 days; at 14.4 somebody is called.",
                    Look("short", ((None, "transparent"), (14.4, BOUND)), width=8, height=8, low=0),
                    limits=True,
                ),
                {"1": GOOD, "6": GREY},
            )
        )
    return found


def _routes() -> list[Panel]:
    errors = rate(names.REQUESTS, NAMESPACE, _API, 'status=~"5.."', by="route")
    every = rate(names.REQUESTS, NAMESPACE, _API, by="route")
    # What was refused at all: every route counts its 429 from 0 on, and lines at 0 would hide the others.
    refused = rate(names.REQUESTS, NAMESPACE, _API, 'status=~"4.."', by="route, status") + " > 0"
    single = f"sum by (le) (increase({pick(f'{names.REQUEST_SECONDS}_bucket', NAMESPACE, route='/v1/score')}"
    return [
        lines("Requests", [Query(every, "{{route}}")], "Requests answered a second, by route.", Look("reqps", low=0)),
        lines(
            "Errors of ours",
            [Query(f"({errors} or 0 * {every}) / ({every} > 0)", "{{route}}")],
            "Share of requests answered with 5xx, by route.",
            Look("percentunit", low=0),
        ),
        lines(
            "Refused",
            [Query(refused, "{{route}} {{status}}")],
            "Requests a second that were answered with 4xx: 422 is bad input, 401 and 403 a key, 429 too many at once.",
            Look("reqps", low=0),
        ),
        lines(
            "Duration (p99)",
            [Query(quantile(0.99, names.REQUEST_SECONDS, NAMESPACE, _API, by="route"), "{{route}}", exemplars=True)],
            "99 % of requests were answered sooner, by route. A dot is one request, with its answer's prediction_id.",
            Look("s", low=0),
        ),
        lines(
            "Duration (p50)",
            [Query(quantile(0.5, names.REQUEST_SECONDS, NAMESPACE, _API, by="route"), "{{route}}")],
            "Half of the requests were answered sooner, by route.",
            Look("s", low=0),
        ),
        heat(
            "Duration of single rows",
            Query(f"{single}[$__rate_interval]))", "{{le}}", format=PromQueryFormat.HEATMAP, exemplars=True),
            "How many requests of /v1/score took how long. A dot is one of them, with its answer's prediction_id.",
            Look("short"),
            axis="s",
        ),
    ]


def _workers() -> list[Panel]:
    cpu = pick("process_cpu_seconds_total", NAMESPACE, 'worker!=""')
    memory = pick("process_resident_memory_bytes", NAMESPACE, 'worker!=""')
    overload = rate(names.REQUESTS, NAMESPACE, status="429")
    return [
        number(
            "Workers alive",
            Query(f"sum({pick(names.WORKERS, NAMESPACE)})", now=True),
            "Scoring workers of all pods that gave a sign of life within 5 s.",
            Look(width=4, height=4, steps=((None, BAD), (1, GOOD))),
        ),
        number(
            "Workers that died",
            Query(increased(names.WORKER_DEATHS, "$__range", NAMESPACE), now=True),
            "Workers that ended without a clean stop, in the time shown.",
            Look(width=4, height=4, steps=((None, GOOD), (1, WARN)), decimals=0),
        ),
        number(
            "Busiest worker",
            Query(f"max by (namespace) (rate({cpu}[$__rate_interval]))", now=True),
            "Share of a core that the busiest worker uses. A worker uses one core at most; above 80 % answers wait.",
            Look("percentunit", ((None, GOOD), (0.8, WARN), (0.95, BAD)), width=4, height=4, decimals=0),
        ),
        number(
            "Turned away",
            Query(f"{overload} / {rate(names.REQUESTS, NAMESPACE)} or 0 * {rate(names.REQUESTS, NAMESPACE)}", now=True),
            "Share of requests answered with 429: more came at once than can be answered, or than a client may.",
            Look("percentunit", ((None, GOOD), (0.001, WARN), (0.01, BAD)), width=4, height=4, decimals=2),
        ),
        rows(
            "Versions",
            [Column("Processes", f"count by (gauntlet, python, onnxruntime) ({pick(names.BUILD_INFO, NAMESPACE)})")],
            "What runs. More than one line that stays is an upgrade that stopped half-way.",
            Look(width=8, height=4),
            labels={"gauntlet": "Gauntlet", "python": "Python", "onnxruntime": "onnxruntime"},
        ),
        lines(
            "CPU by worker",
            [Query(f"sum by (pod, worker) (rate({cpu}[$__rate_interval]))", "{{pod}} {{worker}}")],
            "Cores that each worker uses; one is the most.",
            Look("percentunit", ((None, "transparent"), (0.8, BOUND)), width=12, height=8, low=0),
            limits=True,
        ),
        lines(
            "Memory by worker",
            [Query(f"max by (pod, worker) ({memory})", "{{pod}} {{worker}}")],
            "Resident memory of each worker, the models in it.",
            Look("bytes", width=12, height=8, low=0),
        ),
    ]


def _spool() -> list[Panel]:
    return [
        number(
            "Records lost",
            Query(increased(names.SPOOL_LOST, "$__range", NAMESPACE), now=True),
            "Answered records that could not be written to the spool, in the time shown.",
            Look(width=4, height=4, steps=NONE_IS_GOOD, decimals=0),
        ),
        number(
            "Spool",
            Query(worst(names.SPOOL_FAILING, NAMESPACE), now=True),
            "Whether a worker cannot write its prediction log now.",
            Look(width=4, height=4, steps=NONE_IS_GOOD, words={"0": ("writes", GOOD), "1": ("FAILS", BAD)}),
        ),
        number(
            "Store is behind by",
            Query(worst(Shipper.WATERMARK_AGE, NAMESPACE), now=True),
            "Age of the moment up to which the slowest spool is known to be in the store.",
            Look("s", ((None, GOOD), (60, WARN), (600, BAD)), width=4, height=4, decimals=0),
        ),
        number(
            "Waiting in spools",
            Query(f"sum({pick(Shipper.SPOOL_BYTES, NAMESPACE)})", now=True),
            "Bytes that are not in the store yet.",
            Look("bytes", ((None, GOOD), (1e9, WARN), (4e9, BAD)), width=4, height=4),
        ),
        number(
            "Passes that failed",
            Query(increased(Shipper.PASSES_FAILED, "$__range", NAMESPACE), now=True),
            "Passes that the store or a spool did not allow to end, in the time shown. Each was tried again.",
            Look(width=4, height=4, steps=((None, GOOD), (1, WARN)), decimals=0),
        ),
        number(
            "Dead letters",
            Query(increased(Shipper.BAD_LINES, "$__range", NAMESPACE), now=True),
            "Lines that are no record or that the store cannot hold, in the time shown. They lie beside their spool.",
            Look(width=4, height=4, steps=((None, GOOD), (1, WARN)), decimals=0),
        ),
        lines(
            "Rows into the store",
            [Query(rate(Shipper.ROWS, NAMESPACE, by="kind"), "{{kind}}")],
            "Records a second that reached the store, by kind.",
            _WIDE,
        ),
        lines(
            "Age of the watermark by spool",
            [Query(f"max by (pod, spool) ({pick(Shipper.WATERMARK_AGE, NAMESPACE)})", "{{pod}} {{spool}}")],
            "Seconds since the moment up to which each spool is known to be in the store.",
            Look("s", ((None, "transparent"), (600, BOUND)), width=12, height=8, low=0),
            limits=True,
        ),
    ]


def _judge() -> list[Panel]:
    return [
        number(
            "Last look",
            Query(f"time() - {worst(Judge.LOOKED_AT, NAMESPACE)}", now=True),
            "How long ago the judge looked at the evidence and could end.",
            Look("s", ((None, GOOD), (120, WARN), (600, BAD)), width=4, height=8, decimals=0),
        ),
        number(
            "Looks that failed",
            Query(increased(Judge.LOOKS_FAILED, "$__range", NAMESPACE), now=True),
            "Looks that experiment file or store did not allow to end, in the time shown.",
            Look(width=4, height=8, steps=((None, GOOD), (1, WARN)), decimals=0),
        ),
        lines(
            "Duration of a look",
            [Query(worst(Judge.LOOK_SECONDS, NAMESPACE), "look")],
            "Seconds that the last look took, closing of cohorts included.",
            Look("s", width=8, height=8, low=0),
        ),
        lines(
            "Scoring asked in vain",
            [Query(rate(names.JUDGE_UNANSWERED, NAMESPACE), "unanswered")],
            "Questions a second about the experiment that the judge did not answer.",
            Look("short", width=8, height=8, low=0),
        ),
    ]
