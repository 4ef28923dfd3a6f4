"""Fairness: outcome, selection and accuracy of each protected group, and what the challenger does to it, with n."""

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
    by_name,
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
_ROLES = ("champion", "challenger")
_NOTHING = "no group with 100 matured customers yet, or the judge does not know who is protected (alert)"
_UNNAMED = "the policy names no groups, or nobody has matured"
_ATTRIBUTE = {"attribute": "Attribute"}
_GROUP = {**_ATTRIBUTE, "value": "Group"}
_BESIDE = """**Who counts**: of the newest 20,000 predictions in closed cohorts the first of each customer, where both
models gave a label and the truth is known. A group with fewer than 100 such customers is not shown, and is no side of a
gap. Protected is what the contract says, and what the policy names.

**What a gap means**: groups whose outcomes differ are rightly called positive in different shares, and are not equally
easy to be right about. A gap of the outcome is the world's; one of selection that goes far beyond it, or one of
accuracy, is the model's. Chance makes gaps too: a share of 100 customers is known to 10 points, of 400 to 5, of 2,500
to 2.

No verdict and no alert rests on these gaps: serving the better group worse would close them.
"""
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
        says="How protected groups fare beside each other, and whether the challenger serves any of them worse.",
        rows=(
            Row("Protected groups beside each other", tuple(_groups())),
            Row("Over time", tuple(_courses())),
            Row("Challenger minus champion, by group", tuple(_differences())),
            Row("Who is scored", tuple(_population())),
        ),
        choices=(Choice("attribute", Judge.PROTECTED_CUSTOMERS), MODEL),
        is_of_trial=True,
        since="now-7d",
    )


def _of_group(name: str, **equal: str) -> str:
    return f"{_BY}({pick(name, *_GROUPS, **equal)})"


def _count(name: str, expr: str) -> Column:
    return Column(name, expr, "none", decimals=0)


def _gap(name: str, **equal: str) -> str:
    """The best group of an attribute minus the worst one; nothing where there is one group alone."""
    of = f"by (attribute) ({pick(name, *_GROUPS, **equal)})"
    return f"(max {of} - min {of}) and on (attribute) count {of} > 1"


def _groups() -> list[Panel]:
    gap = [
        _count("Groups", f"count by (attribute) ({_of_group(Judge.PROTECTED_CUSTOMERS)})"),
        _count("Smallest n", f"min by (attribute) ({_of_group(Judge.PROTECTED_CUSTOMERS)})"),
        Column("Outcome", _gap(Judge.PROTECTED_OUTCOME), "percentunit"),
    ]
    rates = [
        _count("n", _of_group(Judge.PROTECTED_CUSTOMERS)),
        Column("Positive outcome", _of_group(Judge.PROTECTED_OUTCOME), "percentunit"),
    ]
    for name, what in ((Judge.PROTECTED_SELECTION, "Selection"), (Judge.PROTECTED_ACCURACY, "Accuracy")):
        gap += [Column(f"{what}, {role}", _gap(name, role=role), "percentunit") for role in _ROLES]
        rates += [Column(f"{what}, {role}", _of_group(name, role=role), "percentunit") for role in _ROLES]
    return [
        rows(
            "Gaps between groups now",
            gap,
            "Of each attribute the highest share of a group minus the lowest: of positive outcomes, of customers "
            "whom a model calls positive, of right labels; and how many customers the smallest group has.",
            Look("short", width=24, height=6, decimals=1, nothing=_NOTHING),
            labels=_ATTRIBUTE,
        ),
        rows(
            "Shares now",
            rates,
            "Each group's own shares: outcomes that were positive, customers whom a model calls positive (selection), "
            "and labels that were right (accuracy).",
            Look("short", width=14, height=11, decimals=1, nothing=_NOTHING),
            labels=_GROUP,
        ),
        words(
            "Who counts, and what a gap means",
            _BESIDE,
            "Of whom the shares are, and how far they go.",
            width=10,
            height=11,
        ),
    ]


def _courses() -> list[Panel]:
    look = Look("percentunit", width=12, height=8, low=0, high=1, nothing=_NOTHING)
    counts = Look("short", width=12, height=8, low=0, nothing=_NOTHING)
    found = [
        _by_group(
            "Positive outcomes", Judge.PROTECTED_OUTCOME, "Share of each group whose outcome was positive.", look
        ),
        _by_group(
            "Customers counted", Judge.PROTECTED_CUSTOMERS, "On how many customers a group's shares rest.", counts
        ),
    ]
    for name, what, says in (
        (Judge.PROTECTED_SELECTION, "Called positive by the", "Share of each group whom this model calls positive."),
        (Judge.PROTECTED_ACCURACY, "Right labels of the", "Share of each group whose label by this model was right."),
    ):
        found += [_by_group(f"{what} {role}", name, says, look, role=role) for role in _ROLES]
    return [*found, *_gaps_over_time()]


def _by_group(title: str, name: str, says: str, look: Look, **equal: str) -> Panel:
    return by_name(lines(title, [Query(_of_group(name, **equal), "{{attribute}} {{value}}")], says, look))


def _gaps_over_time() -> list[Panel]:
    look = Look("percentunit", width=8, height=8, low=0, nothing=_NOTHING)
    outcome = [Query(_gap(Judge.PROTECTED_OUTCOME), "{{attribute}}")]
    says = "Highest minus lowest share of positive outcomes: the world's."
    found: list[Panel] = [by_name(lines("Gap of outcomes", outcome, says, look))]
    for name, title, says in (
        (Judge.PROTECTED_SELECTION, "Gap of selection", "Highest minus lowest share that a model calls positive."),
        (Judge.PROTECTED_ACCURACY, "Gap of accuracy", "Highest minus lowest share of right labels, by model."),
    ):
        queries = [Query(_gap(name, role=role), f"{role} {{{{attribute}}}}") for role in _ROLES]
        found.append(coloured(lines(title, queries, says, look), {"champion": CHAMPION, "challenger": CHALLENGER}))
    return found


def _differences() -> list[Panel]:
    def end(name: str) -> str:
        return _of_group(Judge.GROUP_DIFFERENCE, end=name)

    matured, margin = (_of_group(name) for name in (Judge.GROUP_MATURED, Judge.GROUP_MARGIN))
    return [
        rows(
            "Groups now",
            [
                _count("n", matured),
                Column("Lower end", end("lower")),
                Column("Observed", end("observed")),
                Column("Upper end", end("upper")),
                Column("May lose", margin),
            ],
            "Mean difference in the policy's metric with its confidence sequence. A group is shown to be no worse off "
            "where the lower end is above minus what it may lose, and harmed where the upper end is below that.",
            Look("short", width=14, height=8, decimals=3, nothing=_UNNAMED),
            labels=_GROUP,
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
                Look("short", width=14, height=10, decimals=3, nothing=_UNNAMED),
            ),
            {"lower": GREY, "upper": GREY, "may": BOUND},
            dashed=("may",),
        ),
        gauges(
            "Matured customers",
            Query(matured, "{{attribute}} {{value}}", now=True),
            "On how many customers each group's difference rests.",
            Look("none", width=10, height=10, low=0, decimals=0, nothing=_UNNAMED),
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
                Look("percentunit", width=24, height=8, low=0, high=1, nothing="nobody was scored"),
            ),
            {"live": CHALLENGER, "training": CHAMPION},
            dashed=("training",),
        )
    ]


def _share(of: str, total: str) -> str:
    return f"max by (feature, bin) ({of} / on (namespace, model, feature) group_left () ({total}({of}) > 0))"
