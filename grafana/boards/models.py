"""The models: who plays which role, by whose blessing and until when, how much each works, and how far it drifted."""

from __future__ import annotations

from grafana.boards.board import MODEL, Board, Row
from grafana.boards.panels import BAD, BOUND, GOOD, WARN, Column, Look, Panel, Query, coloured, lines, rows, timeline
from grafana.boards.picking import MODEL as OF_MODEL
from grafana.boards.picking import NAMESPACE, pick, quantile, rate
from service import metric_names as names

_OURS = (NAMESPACE, OF_MODEL)
_DAY = 86_400
_BY = "namespace, role, model"


def models_board() -> Board:
    """The dashboard of the models."""
    return Board(
        uid="gauntlet-models",
        title="Gauntlet / Models",
        says="Which models serve in which role, whether their blessings hold, how old they are, how far they drifted.",
        rows=(
            Row("Roles and blessings", tuple(_roles())),
            Row("What the gate found", (_gate(),)),
            Row("Work", tuple(_work())),
            Row("Drift", tuple(_drift())),
        ),
        choices=(MODEL,),
        since="now-7d",
        has_windows=True,
    )


def _roles() -> list[Panel]:
    info = f"count by ({_BY}, version, digest) ({pick(names.MODEL_INFO, *_OURS)})"
    judged = f"max by ({_BY}) ({pick(names.BLESSING_JUDGED, *_OURS)})"
    expires = f"min by ({_BY}) ({pick(names.BLESSING_EXPIRES, *_OURS)})"
    holds = f"min by ({_BY}) ({pick(names.BLESSING_HOLDS, *_OURS)})"
    heads = {"namespace": "Namespace", "role": "Role", "model": "Model"}
    return [
        rows(
            "Who plays which role",
            [Column("Pods", info)],
            "The champion serves by default, a challenger is on trial. The digest names the artifact's bytes.",
            Look(width=12, height=7),
            labels={**heads, "version": "Version", "digest": "Digest"},
        ),
        rows(
            "Blessings",
            [
                Column("Holds", holds, "short", ((None, BAD), (1, GOOD))),
                Column("Age", f"time() - {judged}", "s"),
                Column("Expires in", f"{expires} - time()", "s", ((None, BAD), (7 * _DAY, WARN), (14 * _DAY, GOOD))),
            ],
            "Of every model that the Bento carries: whether the gate's blessing holds for its role, how long ago the "
            "gate judged it, and how long it is good for. Its checks: `gauntlet blessing "
            "show`.",
            Look(width=12, height=7),
            labels=heads,
        ),
        timeline(
            "Champions",
            Query(f"max by (model) ({pick(names.MODEL_INFO, *_OURS, role='champion')})", "{{model}}"),
            "Which model was champion when.",
            Look("none", width=24, height=6, words={"1": ("champion", GOOD)}),
        ),
    ]


def _gate() -> Panel:
    ends = {"Observed": "observed", "Lower end": "lower", "Upper end": "upper", "Bound": "bound"}
    return rows(
        "Checks of the gate",
        [
            Column(title, f"max by (model, check) ({pick(names.GATE_CHECK, *_OURS, end=end)})")
            for title, end in ends.items()
        ],
        "What the gate measured of each packed model when it blessed it, with the 95 % interval and the bound that it "
        "was held against, in the check's own unit. Why a model did not pass is in its report (`reports/`, MLflow).",
        Look("short", width=24, height=10, decimals=3),
        labels={"model": "Model", "check": "Check"},
    )


def _work() -> list[Panel]:
    return [
        lines(
            "Rows scored",
            [Query(rate(names.MODEL_ROWS, *_OURS, by="model"), "{{model}}")],
            "Rows a second that each model was asked to score, in the shadow too.",
            Look("short", low=0),
        ),
        lines(
            "A call (p99)",
            [Query(quantile(0.99, names.MODEL_SECONDS, *_OURS, by="model"), "{{model}}")],
            "99 % of each model's calls took less; a call scores one row, or all that came together.",
            Look("s", low=0),
        ),
        lines(
            "Failures",
            [Query(rate(names.CHALLENGER_FAILURES, *_OURS, by="model"), "{{model}}")],
            "Times a second that a challenger raised or answered no probability; the champion answered instead.",
            Look("short", low=0),
        ),
    ]


def _drift() -> list[Panel]:
    psi, limit = (pick(f"gauntlet:score:{name}${{window}}", *_OURS) for name in ("psi", "psi_limit"))
    by_feature = [pick(f"gauntlet:feature:{name}${{window}}", *_OURS) for name in ("psi", "psi_limit")]
    return [
        coloured(
            lines(
                "Drift of the score",
                [Query(psi, "{{model}}"), Query(f"max by (namespace) ({limit})", "limit")],
                "PSI of each model's live probabilities against training's, over the window chosen above.",
                Look("short", width=8, height=9, low=0, decimals=3),
            ),
            {"limit": BOUND},
            dashed=("limit",),
        ),
        lines(
            "Move of the mean",
            [Query(pick("gauntlet:score:mean_shift${window}", *_OURS), "{{model}}")],
            "Mean live probability minus the mean in training, over the window chosen above. 10 points are the limit.",
            Look("percentunit", ((None, "transparent"), (0.1, BOUND)), width=8, height=9),
            limits=True,
        ),
        lines(
            "Worst feature",
            [Query(f"max by (model) ({by_feature[0]} / {by_feature[1]})", "{{model}}")],
            "Of each model, the highest PSI of a feature over its limit. Above 1 the feature drifted.",
            Look("short", ((None, "transparent"), (1, BOUND)), width=8, height=9, low=0, decimals=2),
            limits=True,
        ),
    ]
