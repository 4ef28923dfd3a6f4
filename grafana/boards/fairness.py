"""Fairness: what the challenger does to each protected group, with how many customers that was seen on."""

from __future__ import annotations

from grafana.boards.board import MODEL, Board, Choice, Row
from grafana.boards.panels import (
    BOUND,
    CHALLENGER,
    CHAMPION,
    GREY,
    Column,
    Look,
    Panel,
    Query,
    coloured,
    gauges,
    lines,
    rows,
    words,
)
from grafana.boards.picking import MODEL as OF_MODEL
from grafana.boards.picking import NAMESPACE, increased, pick
from service import metric_names as names
from service.metric_names import Judge

_GROUPS = (NAMESPACE, 'model="$challenger"', 'attribute=~"$attribute"')
_BY = "max by (attribute, value) "
_NOTE = """A group is judged by its own counts and its own margin. The gap between two groups is not compared with the
champion's gap: that would reward making the better one worse. Groups are those that the policy names (`groups:`), and a
group with few customers says little, whatever its bar looks like: read n first.

What the gate found on the holdout, of every protected attribute and crossing is in its report.
"""


def fairness_board() -> Board:
    """The dashboard of protected groups."""
    return Board(
        uid="gauntlet-fairness",
        title="Gauntlet / Fairness",
        says="Whether the challenger serves any protected group worse, with how many customers that was seen on.",
        rows=(
            Row("Challenger minus champion, by group", tuple(_differences())),
            Row("Who is scored", tuple(_population())),
        ),
        choices=(
            Choice("challenger", Judge.MATURED, "model", is_single=True),
            Choice("attribute", Judge.GROUP_MATURED),
            MODEL,
        ),
        since="now-7d",
    )


def _differences() -> list[Panel]:
    def end(name: str) -> str:
        return f"{_BY}({pick(Judge.GROUP_DIFFERENCE, *_GROUPS, end=name)})"

    matured, margin = (f"{_BY}({pick(name, *_GROUPS)})" for name in (Judge.GROUP_MATURED, Judge.GROUP_MARGIN))
    return [
        rows(
            "Groups now",
            [
                Column("n", matured),
                Column("Lower end", end("lower")),
                Column("Observed", end("observed")),
                Column("Upper end", end("upper")),
                Column("May lose", margin),
            ],
            "Mean difference in the policy's metric with its confidence sequence. A group is shown to be no worse off "
            "where the lower end is above minus what it may lose, and harmed where the upper end is below that.",
            Look("short", width=14, height=8, decimals=3),
            labels={"attribute": "Attribute", "value": "Group"},
        ),
        words("How to read it", _NOTE, "What these numbers say, and what they do not.", width=10, height=8),
        coloured(
            lines(
                "Difference over time",
                [
                    Query(end("observed"), "{{attribute}} {{value}}"),
                    Query(end("lower"), "lower end {{attribute}} {{value}}"),
                    Query(end("upper"), "upper end {{attribute}} {{value}}"),
                    Query(f"-max by (attribute) ({pick(Judge.GROUP_MARGIN, *_GROUPS)})", "may lose {{attribute}}"),
                ],
                "The same over time: intervals narrow as customers mature.",
                Look("short", width=14, height=10, decimals=3),
            ),
            {"lower": GREY, "upper": GREY, "may": BOUND},
            dashed=("may",),
        ),
        gauges(
            "Matured customers",
            Query(matured, "{{attribute}} {{value}}", now=True),
            "On how many customers each group's difference rests.",
            Look("short", width=10, height=10, low=0),
        ),
    ]


def _population() -> list[Panel]:
    groups = (NAMESPACE, OF_MODEL, 'feature=~"$attribute"')
    live = increased(names.FEATURE_BINS, "$__rate_interval", *groups, by="namespace, model, feature, bin")
    total = "sum by (namespace, model, feature) "
    reference = f"max by (namespace, model, feature, bin) ({pick(names.FEATURE_REFERENCE, *groups)})"
    shares = (
        Query(_share(live, total), "live {{feature}} {{bin}}"),
        Query(_share(reference, total), "training {{feature}} {{bin}}"),
    )
    return [
        coloured(
            lines(
                "Share of each group",
                shares,
                "Who is scored, against who was trained on. A group that grows is served by what was learned from few.",
                Look("percentunit", width=24, height=8, low=0, high=1),
            ),
            {"live": CHALLENGER, "training": CHAMPION},
            dashed=("training",),
        )
    ]


def _share(of: str, total: str) -> str:
    return f"max by (feature, bin) ({of} / on (namespace, model, feature) group_left () ({total}({of}) > 0))"
