"""The experiment: who meets whom, what the outcomes say so far, and what the evidence allows."""

from __future__ import annotations

from grafana.boards.board import Board, Row
from grafana.boards.panels import (
    BAD,
    BOUND,
    CHALLENGER,
    CHAMPION,
    GOOD,
    GREY,
    NONE_IS_GOOD,
    ONE_IS_GOOD,
    WARN,
    Look,
    Panel,
    Query,
    band,
    bars,
    coloured,
    lines,
    number,
    state,
    timeline,
    words,
    yes_or_no,
)
from grafana.boards.picking import NAMESPACE, increased, pick, worst
from service import metric_names as names
from service.metric_names import Judge

_OF_TRIAL = (NAMESPACE, 'model="$challenger"')
_ROLES = {"champion": CHAMPION, "challenger": CHALLENGER}
_VERDICTS = {"PROMOTE": GOOD, "ROLLBACK": BAD, "KEEP_COLLECTING": GREY, "INVALID": WARN}
_REASONS = """The judge says why, in sentences with numbers, where no metric can:

```
gauntlet verdict
curl -s localhost:3000/v1/experiment
```

`gauntlet verdict --replay` reaches its stored verdicts again.

PROMOTE: `gauntlet promote`. ROLLBACK: `gauntlet rollback`.
INVALID: no decision may rest on this evidence; the reason says what to mend, and a new experiment begins from nothing.
"""


def experiment_board() -> Board:
    """The dashboard of the current experiment."""
    return Board(
        uid="gauntlet-experiment",
        title="Gauntlet / Experiment",
        says="Who meets the challenger, what their outcomes say so far, and what the evidence allows.",
        rows=(
            Row("Verdict", tuple(_verdict())),
            Row("Split", tuple(_split())),
            Row("Outcomes", tuple(_outcomes())),
            Row("Evidence", tuple(_evidence())),
            Row("Guardrails", tuple(_guardrails())),
            Row("History and reasons", tuple(_history())),
        ),
        is_of_trial=True,
        since="now-7d",
    )


def _verdict() -> list[Panel]:
    mode = f"max by (mode) ({pick(names.EXPERIMENT_MODE, NAMESPACE)} == 1)"
    said = f"max by (verdict) ({pick(Judge.VERDICT, *_OF_TRIAL)} == 1)"
    return [
        state(
            "Verdict",
            Query(said, "{{verdict}}", now=True),
            "What the evidence in closed cohorts allows now, however often one looks.",
            _VERDICTS,
        ),
        state(
            "Mode",
            Query(mode, "{{mode}}", now=True),
            "off: the champion alone. shadow: both score, the champion answers. split: each answers its customers.",
            {"off": GREY, "shadow": WARN, "split": GOOD},
        ),
        number(
            "Revision",
            Query(worst(names.EXPERIMENT_REVISION, NAMESPACE, how="min"), now=True),
            "Of the experiment file, by which the slowest pod answers.",
            Look("none", width=4, height=4),
        ),
        number(
            "Trial in its lineage",
            Query(worst(Judge.TRIAL, *_OF_TRIAL), now=True),
            "Its number since the last champion that was shown to be better than its own; later ones must show more.",
            Look("none", width=4, height=4),
        ),
        number(
            "Margin spent",
            Query(worst(Judge.MARGIN_SPENT, *_OF_TRIAL), now=True),
            "What the promotions of the lineage may have lost against its anchor, in the policy's metric.",
            Look("none", width=4, height=4, decimals=3),
        ),
        number(
            "Evidence is behind by",
            Query(worst(Judge.COHORT_LAG, *_OF_TRIAL), now=True),
            "Since when cohorts that are due wait to be closed, for a spool or for the judge.",
            Look("s", ((None, GOOD), (6 * 3600, WARN), (86_400, BAD)), width=4, height=4),
        ),
    ]


def _split() -> list[Panel]:
    live = increased(names.PREDICTIONS, "$__rate_interval", NAMESPACE, purpose="live")
    by_challenger = increased(names.PREDICTIONS, "$__rate_interval", NAMESPACE, purpose="live", variant="challenger")
    closed = pick(Judge.ANSWERED, *_OF_TRIAL)
    share = f"sum({pick(Judge.ANSWERED, *_OF_TRIAL, role='challenger')}) / sum({closed})"
    srm = worst(Judge.LOG_E, *_OF_TRIAL, claim="srm")
    return [
        coloured(
            lines(
                "Split wanted and seen",
                [
                    Query(worst(names.EXPERIMENT_SPLIT, NAMESPACE), "wanted"),
                    Query(f"{by_challenger} / ({live} > 0)", "answers"),
                    Query(share, "customers in closed cohorts"),
                ],
                "The challenger's share: as the experiment file says, of live answers, and of customers in the newest "
                "phase's closed cohorts. Answers are not customers: one who asks often counts often.",
                Look("percentunit", width=12, height=8, low=0, high=1),
            ),
            {"wanted": GREY, "answers": WARN, "customers": CHALLENGER},
            dashed=("wanted",),
        ),
        coloured(
            lines(
                "Sample ratio mismatch",
                [
                    Query(srm, "log e of a mismatch"),
                    Query(worst(Judge.THRESHOLD, *_OF_TRIAL, claim="srm"), "threshold"),
                ],
                "Evidence that customers are not split as the file says. At the threshold every verdict is INVALID for "
                "good: something decides who meets the challenger.",
                Look("short", width=12, height=8, decimals=2),
            ),
            {"log": CHALLENGER, "threshold": BOUND},
            dashed=("threshold",),
        ),
    ]


def _outcomes() -> list[Panel]:
    results = pick(Judge.CUSTOMERS, *_OF_TRIAL)
    untold = pick(Judge.CUSTOMERS, *_OF_TRIAL, 'result=~"missing.*"')
    return [
        number(
            "Matured customers",
            Query(worst(Judge.MATURED, *_OF_TRIAL), now=True),
            "Customers in closed cohorts that both models scored and whose truth is known.",
            Look(width=4, height=8),
        ),
        number(
            "Waiting predictions",
            Query(worst(Judge.WAITING, *_OF_TRIAL), now=True),
            "Live predictions whose cohort is not closed: their outcomes may still come.",
            Look(width=4, height=8),
        ),
        number(
            "Missing truths",
            Query(f"sum({untold}) / sum({results})", now=True),
            "Share of customers in closed cohorts whose truth nobody told. It counts against the challenger where it "
            "could matter.",
            Look("percentunit", ((None, GOOD), (0.1, WARN), (0.3, BAD)), width=4, height=8, decimals=1),
        ),
        bars(
            "Outcomes by hour",
            [Query(increased(names.OUTCOMES, "1h", NAMESPACE), "outcomes")],
            "Truths told in each hour, about whatever prediction.",
            Look(width=12, height=8, low=0),
            every="1h",
        ),
        lines(
            "Customers by result",
            [Query(f"max by (result) ({results})", "{{result}}")],
            "Customers in closed cohorts. wins: the challenger alone was right; losses: the champion alone; ties: both "
            "or neither; missing: no truth, and the models agree or not; unscored: one of them could not answer.",
            Look(width=24, height=8, low=0),
        ),
    ]


def _evidence() -> list[Panel]:
    return [
        coloured(
            lines(
                "Accuracy of both",
                [
                    Query(f"max by (role) ({pick(Judge.ACCURACY, *_OF_TRIAL, end=end)})", legend)
                    for end, legend in (
                        ("observed", "{{role}}"),
                        ("lower", "lower end {{role}}"),
                        ("upper", "upper end {{role}}"),
                    )
                ],
                "Share of matured customers that each model got right, with a 95 % confidence sequence of each by "
                "itself. The models are compared on the same customers, so the next panel is surer than these two.",
                Look("percentunit", width=8, height=9),
            ),
            {**_ROLES, "lower": GREY, "upper": GREY},
            dashed=("lower", "upper"),
        ),
        _difference(),
        _wealth(),
    ]


def _difference() -> Panel:
    ends = {"lower": "lower end", "observed": "observed", "upper": "upper end"}
    panel = lines(
        "Challenger minus champion",
        [Query(worst(Judge.DIFFERENCE, *_OF_TRIAL, end=end), legend) for end, legend in ends.items()],
        "In the policy's metric, with its confidence sequence: it holds at every moment at once, so looking is free.",
        Look("short", width=8, height=9, decimals=3),
    )
    return band(coloured(panel, {"observed": CHALLENGER}), "lower end", "upper end")


def _wealth() -> Panel:
    claims = {"promote": "for promotion", "promote_worst": "the same, missing truths lost", "rollback": "of harm"}
    panel = lines(
        "log e against its threshold",
        [
            *(Query(worst(Judge.LOG_E, *_OF_TRIAL, claim=claim), legend) for claim, legend in claims.items()),
            Query(worst(Judge.THRESHOLD, *_OF_TRIAL, claim="promote"), "limit for promotion"),
            Query(worst(Judge.THRESHOLD, *_OF_TRIAL, claim="rollback"), "limit of harm"),
        ],
        "Evidence for the policy's claim and of harm. A claim is shown when its line reaches its limit, and for a "
        "promotion even if every missing truth went against it.",
        Look("short", width=8, height=9, decimals=2),
    )
    colours = {"for": CHALLENGER, "the same": "#60a5fa", "of harm": CHAMPION, "limit": BOUND}
    return coloured(panel, colours, dashed=("limit",))


def _guardrails() -> list[Panel]:
    failed, looked = pick(Judge.LIVE_FAILED, *_OF_TRIAL), pick(Judge.LIVE_REQUESTS, *_OF_TRIAL)
    return [
        number(
            "Challenger present",
            Query(worst(names.EXPERIMENT_CHALLENGER_PRESENT, NAMESPACE, how="min"), now=True),
            "Whether every pod carries the challenger that the file names; one that does not enrols nobody.",
            Look(width=4, height=4, steps=ONE_IS_GOOD, words=yes_or_no("present", "ABSENT")),
        ),
        number(
            "Circuits open",
            Query(worst(names.CIRCUITS_OPEN, NAMESPACE), now=True),
            "Challengers that a worker leaves alone for half a minute, because they failed or were slow.",
            Look(width=4, height=4, steps=NONE_IS_GOOD),
        ),
        number(
            "Challengers left out",
            Query(worst(names.CHALLENGERS_LEFT_OUT, NAMESPACE), now=True),
            "Whether challengers are left out because a worker died twice within a minute.",
            Look(width=4, height=4, steps=NONE_IS_GOOD, words={"0": ("none", GOOD), "1": ("LEFT OUT", BAD)}),
        ),
        number(
            "Requests it failed on",
            Query(f"sum({failed}) / sum({looked})", now=True),
            "Of the last requests that the judge looks at. The policy's limits say how many are too many.",
            Look("percentunit", ((None, GOOD), (0.01, BAD)), width=4, height=4, decimals=2),
        ),
        number(
            "Failures in the time shown",
            Query(increased(names.CHALLENGER_FAILURES, "$__range", NAMESPACE), now=True),
            "Times a challenger raised or answered no probability; the champion answered instead.",
            Look(width=8, height=4, steps=((None, GOOD), (1, WARN)), decimals=0),
        ),
        coloured(
            lines(
                "Slowest calls (p99)",
                [Query(f"max by (role) ({pick(Judge.LIVE_P99, *_OF_TRIAL)})", "{{role}}")],
                "99 % of each model's calls took less, in the last requests that the judge looks at.",
                Look("s", width=12, height=8, low=0),
            ),
            _ROLES,
        ),
        coloured(
            lines(
                "Called positive",
                [Query(f"max by (role) ({pick(Judge.LIVE_POSITIVE, *_OF_TRIAL)})", "{{role}}")],
                "Share of the last requests that each model called positive, of those that both scored.",
                Look("percentunit", width=12, height=8, low=0, high=1),
            ),
            _ROLES,
        ),
    ]


def _history() -> list[Panel]:
    said = f"max by (verdict) ({pick(Judge.VERDICT, *_OF_TRIAL)})"
    return [
        timeline(
            "Verdicts",
            Query(said, "{{verdict}}"),
            "What the evidence allowed when.",
            Look(
                "none",
                ((None, "transparent"), (1, GOOD)),
                width=14,
                height=7,
                words={"0": ("", "transparent"), "1": ("said", GOOD)},
            ),
        ),
        words("Why, and what to do", _REASONS, "Where the reasons of a verdict are.", width=10, height=7),
    ]
