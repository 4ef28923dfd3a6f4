"""The production monitor: whether all is well, what is predicted, and whether customers are still those of training."""

from __future__ import annotations

from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.boards.board import ALERTS, FIRING, MODEL, RUNBOOK, SINCE, VARIANT, Board, Row
from grafana.boards.panels import (
    BAD,
    BOUND,
    CHAMPION,
    GOOD,
    GREY,
    NONE_IS_GOOD,
    ONE_IS_GOOD,
    WARN,
    Column,
    Look,
    Panel,
    Query,
    bars,
    coloured,
    gauges,
    history,
    lines,
    linked,
    number,
    rows,
    yes_or_no,
)
from grafana.boards.picking import MODEL as OF_MODEL
from grafana.boards.picking import NAMESPACE, increased, pick, positives, worst
from grafana.boards.picking import VARIANT as OF_VARIANT
from service import metric_names as names
from service.metric_names import Judge

_TALL = Look(width=4, height=8)
_LIVE = (NAMESPACE, OF_MODEL, OF_VARIANT, 'purpose="live"')
_OURS = (NAMESPACE, OF_MODEL)
_TOP_BAND = f"topk by (namespace, model) (1, {worst(names.RISK_BAND, *_OURS, by='namespace, model, risk')})"
_PSI, _PSI_LIMIT = (pick(f"gauntlet:feature:{name}${{window}}", *_OURS) for name in ("psi", "psi_limit"))


def production_board() -> Board:
    """The dashboard that is looked at first."""
    return Board(
        uid="gauntlet-production",
        title="Gauntlet / Production monitor",
        says="Is all well, what is predicted, and are customers still those that the models learned from?",
        rows=(
            Row("Is all well?", tuple(_health())),
            Row("Predictions", tuple(_predictions())),
            Row("Probabilities", tuple(_probabilities())),
            Row("Drift", tuple(_drift())),
            Row("Alerts", (alerts_table(),)),
        ),
        choices=(MODEL, VARIANT),
        has_windows=True,
    )


def alerts_table() -> Panel:
    """What is pending or firing, each with its runbook."""
    each = "alertname, severity, namespace"
    active = f"time() - min by ({each}) ({SINCE})"
    found = f"max by ({each}, alertstate) ({ALERTS}) * on ({each}) group_left () ({active})"
    table = rows(
        "Alerts",
        [Column("Active for", found, "s")],
        "Alerts that are pending or firing now. A name leads to its runbook: what it means, and what to do.",
        Look(width=24, height=7),
        labels={"alertname": "Alert", "severity": "Severity", "alertstate": "State", "namespace": "Namespace"},
    )
    return linked(table, "Alert", "Runbook", RUNBOOK)


def _health() -> list[Panel]:
    lost = increased(names.SPOOL_LOST, "$__range", NAMESPACE)
    drifted = f"count({_PSI} > {_PSI_LIMIT}) or 0 * count({_PSI})"
    return [
        number(
            "Alerts firing",
            Query(f"count({FIRING}) or vector(0)", now=True),
            "How many alerts of Gauntlet fire now. Each is in the table at the bottom, with its runbook.",
            Look(width=4, height=4, steps=NONE_IS_GOOD),
        ),
        number(
            "Ready",
            Query(worst(names.READY, NAMESPACE, how="min"), now=True),
            "Whether every worker of every pod should get requests.",
            Look(width=4, height=4, steps=ONE_IS_GOOD, words=yes_or_no("ready", "NOT READY")),
        ),
        number(
            "Answered, last hour",
            Query("1 - max(" + pick("gauntlet:availability:error_ratio1h", NAMESPACE) + ")", now=True),
            "Share of the last hour's requests that were not answered by an error of ours (5xx). 99.9 % is promised.",
            Look("percentunit", ((None, BAD), (0.99, WARN), (0.999, GOOD)), width=4, height=4, decimals=2),
        ),
        number(
            "Records lost",
            Query(lost, now=True),
            "Answered predictions that could not be written to the log, in the time that is shown. It should be none.",
            Look(width=4, height=4, steps=NONE_IS_GOOD, decimals=0),
        ),
        number(
            "Features that drifted",
            Query(drifted, now=True),
            "Features whose PSI is beyond its limit of size and of chance, over the window chosen above. No data where "
            "fewer than 200 rows came: then nobody can say.",
            Look(width=4, height=4, steps=((None, GOOD), (1, WARN))),
        ),
        number(
            "Champion's blessing",
            Query(worst(names.BLESSING_HOLDS, NAMESPACE, how="min", role="champion"), now=True),
            "Whether the gate's blessing of the champion holds. It serves on where it does not, and should be judged.",
            Look(width=4, height=4, steps=ONE_IS_GOOD, words=yes_or_no("holds", "DOES NOT HOLD")),
        ),
    ]


def _predictions() -> list[Panel]:
    total = increased(names.PREDICTIONS, "$__range", *_LIVE)
    by_label = increased(names.PREDICTIONS, "$__range", *_LIVE, by="namespace, label")
    high = increased(names.RISKS, "$__range", *_OURS, OF_VARIANT, by="namespace, model, risk")
    of_hour, of_day = (increased(names.PREDICTIONS, window, *_LIVE, by="variant") for window in ("1h", "1d"))
    return [
        number("Predictions", Query(total, now=True), "Live predictions answered in the time shown.", _TALL),
        number(
            "Churn rate",
            Query(f"sum({positives(by_label)}) / {total}", now=True),
            "Share of live predictions that were answered with the contract's positive label, in the time shown.",
            Look("percentunit", width=4, height=8, decimals=1),
        ),
        number(
            "High-risk customers",
            Query(f"sum({high} and on (namespace, model, risk) {_TOP_BAND})", now=True),
            "Live predictions in the highest risk band of the model that answered, in the time shown. Whoever is "
            "scored twice counts twice.",
            Look(width=4, height=8, decimals=0),
        ),
        lines(
            "Churn rate over time",
            [Query(pick("gauntlet:predictions:positive_ratio${window}", *_OURS), "{{model}}")],
            "Share of live predictions with the positive label, over the window chosen above, by model.",
            Look("percentunit", width=12, height=8, low=0),
        ),
        bars(
            "Predictions by hour",
            [Query(of_hour, "{{variant}}")],
            "Live predictions answered in each hour, by the role of the model that answered.",
            Look(width=12, height=8, low=0),
            every="1h",
        ),
        bars(
            "Predictions by day",
            [Query(of_day, "{{variant}}")],
            "Live predictions answered in each of the last 30 days, by the role of the model that answered.",
            Look(width=12, height=8, low=0),
            every="1d",
        ).time_from("30d"),
        *_outcomes(),
    ]


def _outcomes() -> list[Panel]:
    """What came true of answers, whose truths are told in no order: the Experiment's evidence is of cohorts."""
    ours = (NAMESPACE, OF_VARIANT)
    told = increased(Judge.OUTCOMES, "1h", *ours, by="variant, result")
    of_window = increased(Judge.OUTCOMES, "${window}", *ours, by="variant")
    right = increased(Judge.OUTCOMES, "${window}", *ours, by="variant", result="right")
    waiting = worst(Judge.WAITING, NAMESPACE, by="namespace, variant, model")
    return [
        number(
            "Waiting for outcomes",
            Query(f"sum({waiting})", now=True),
            "Live predictions of the current experiment that are younger than their outcomes are final: the judge has "
            "not closed their cohort.",
            Look(width=4, height=8, decimals=0),
        ),
        bars(
            "Outcomes by hour",
            [Query(told, "{{variant}} {{result}}")],
            "Truths told in each hour, by the role of whichever model had answered, and whether its label was right.",
            Look(width=10, height=8, low=0),
            every="1h",
        ),
        lines(
            "Right answers",
            [Query(f"{right} / ({of_window} > 0)", "{{variant}}")],
            "Of the truths told over the window chosen above, the share of which the answer was right. Some truths are "
            "told sooner than others, so this is no evidence; the dashboard Experiment shows what is.",
            Look("percentunit", width=10, height=8, low=0, high=1),
        ),
    ]


def _probabilities() -> list[Panel]:
    buckets = increased(f"{names.PROBABILITY}_bucket", "$__range", *_OURS, OF_VARIANT, by="le")
    by_band = increased(names.RISKS, "$__range", *_OURS, OF_VARIANT, by="model, risk")
    edges = worst(names.RISK_BAND, *_OURS, by="model, risk")
    return [
        gauges(
            "Probabilities",
            Query(buckets, "{{le}}", now=True, format=PromQueryFormat.HEATMAP),
            "How many live probabilities fell into each twentieth, up to the number at the left, in the time shown. "
            "The variant chosen above is the role in which a model scored, be it the answer or in the shadow.",
            Look(width=8, height=14, decimals=0),
        ),
        rows(
            "Risk bands",
            [Column("From", edges, "percentunit"), Column("Answers", by_band)],
            "Where each model's risk bands begin, and how many live answers fell into them in the time shown.",
            Look(width=8, height=14),
            labels={"model": "Model", "risk": "Band"},
        ),
        _rolling_mean(),
    ]


def _rolling_mean() -> Panel:
    reference = pick("gauntlet:score:mean_reference", *_OURS)
    mean, low, high = (
        pick(f"gauntlet:score:{name}${{window}}", *_OURS) for name in ("mean", "mean_shift_low", "mean_shift_high")
    )
    join = "on (namespace, model)"
    panel = lines(
        "Rolling mean of the probability",
        [
            Query(mean, "mean {{model}}"),
            Query(f"{reference} + {join} {low}", "surely above {{model}}"),
            Query(f"{reference} + {join} {high}", "surely below {{model}}"),
            Query(reference, "training {{model}}"),
            Query(f"{reference} + 0.1", "limit above {{model}}"),
            Query(f"{reference} - 0.1", "limit below {{model}}"),
        ],
        "The mean of the probabilities over the window chosen above, with its confidence interval, against the mean in "
        "training. Beyond 10 percentage points from that, either way, somebody is told.",
        Look("percentunit", ((None, GOOD),), width=8, height=14),
    )
    colours = {"mean": GOOD, "surely": GREY, "training": CHAMPION, "limit": BOUND}
    return coloured(panel, colours, dashed=("training", "limit"))


def _drift() -> list[Panel]:
    by_feature = "max by (model, feature) "
    columns = [
        Column("PSI", f"{by_feature}({_PSI})", "short", ((None, GOOD), (0.1, WARN), (0.25, BAD))),
        Column("Limit", f"{by_feature}({_PSI_LIMIT})"),
        *(
            Column(title, f"{by_feature}({pick(f'gauntlet:feature:{name}${{window}}', *_OURS)})", unit)
            for title, name, unit in (
                ("Jensen-Shannon", "js", "short"),
                ("Kolmogorov-Smirnov", "ks", "short"),
                ("Missing", "missing_ratio", "percentunit"),
                ("Unseen", "unseen_ratio", "percentunit"),
                ("Rows", "n", "short"),
            )
        ),
    ]
    return [
        history(
            "Drift of features",
            Query(f"{by_feature}({_PSI} / {_PSI_LIMIT})", "{{model}} {{feature}}"),
            "PSI of each feature over its limit, over the window chosen above: blue is within half of it, grey is near "
            "it, orange is drift, red is twice the limit. No cell where fewer than 200 rows came.",
            Look(width=12, height=12, steps=((None, GOOD), (0.5, GREY), (1, WARN), (2, BAD)), decimals=2),
        ),
        rows(
            "Drift of features now",
            columns,
            "How far each feature is from training, over the window chosen above. PSI is drift beyond its limit, "
            "which is at least 0.1 and more where few rows came. Kolmogorov-Smirnov is of numbers alone.",
            Look(width=12, height=12),
            labels={"model": "Model", "feature": "Feature"},
        ),
    ]
