"""Alerts of drift: something moved by more than matters and by more than chance, for longer than a moment."""

from __future__ import annotations

from grafana.drift.recordings import FEATURE, SCORE, Distribution
from grafana.drift.settings import DriftSettings, Window
from grafana.rule_files import Alert

_MODEL = "model {{ $labels.model }}{{ with $labels.namespace }} in {{ . }}{{ end }}"


def alerts_of(window: Window, settings: DriftSettings) -> list[Alert]:
    """Those of one window; the label `window` tells them apart."""
    return [
        _feature_drift(window),
        _score_drift(window),
        _score_mean(window, settings),
        _missing(window),
        _unseen(window),
    ]


def _feature_drift(window: Window) -> Alert:
    return Alert(
        alert="GauntletFeatureDrift",
        expr=_moved(FEATURE, window),
        severity="warning",
        summary="A feature of live customers is no longer distributed as in training.",
        description=(
            f"{{{{ $labels.feature }}}} moved away from the training data of {_MODEL}: PSI over the last {window.name} "
            'is {{ printf "%.3f" $value }}, more than matters and more than chance explains. Run `gauntlet drift '
            f"--window {window.name}` to see which values came instead, ask whoever sends the feature what changed, "
            "and retrain if customers really did."
        ),
        hold=window.hold,
        labels={"window": window.name},
    )


def _score_drift(window: Window) -> Alert:
    return Alert(
        alert="GauntletScoreDrift",
        expr=_moved(SCORE, window),
        severity="warning",
        summary="A model's probabilities are no longer distributed as on its training data.",
        description=(
            f"The probabilities of {_MODEL} moved: PSI over the last {window.name} is "
            '{{ printf "%.3f" $value }}, more than matters and more than chance explains. Look for a feature that '
            f"drifted with them (`gauntlet drift --window {window.name}`); if there is none, compare the model's "
            "calibration on matured outcomes before anyone acts on its scores."
        ),
        hold=window.hold,
        labels={"window": window.name},
    )


def _score_mean(window: Window, settings: DriftSettings) -> Alert:
    shift, low, high = (SCORE.of(what, window) for what in ("mean_shift", "mean_shift_low", "mean_shift_high"))
    size = settings.mean_size
    return Alert(
        alert="GauntletScoreMeanMoved",
        expr=f"{shift} > {size:g} and {low} > 0\nor {shift} < -{size:g} and {high} < 0",
        severity="critical",
        summary=f"A model's mean probability moved by more than {100 * size:g} percentage points from its baseline.",
        description=(
            f"The mean probability of {_MODEL} over the last {window.name} is off its training baseline by "
            "{{ $value | humanizePercentage }}, and chance does not explain it. Many more or far fewer customers are "
            f"flagged than planned: check the upstream data first (`gauntlet drift --window {window.name}`), pause "
            "campaigns that act on the scores, and roll back if the model changed."
        ),
        hold=window.hold,
        labels={"window": window.name},
    )


def _missing(window: Window) -> Alert:
    return Alert(
        alert="GauntletMissingValues",
        expr=_risen("missing", window),
        severity="warning",
        summary="A feature is missing far more often than in training.",
        description=(
            f"{{{{ $labels.feature }}}} of {_MODEL} was missing in {{{{ $value | humanizePercentage }}}} more of the "
            f"rows of the last {window.name} than in training. The model scores a fill value in its place: ask whoever "
            "sends the feature, and treat the scores with care until it is back."
        ),
        hold=window.hold,
        labels={"window": window.name},
    )


def _unseen(window: Window) -> Alert:
    return Alert(
        alert="GauntletUnseenValues",
        expr=_risen("unseen", window),
        severity="warning",
        summary="A feature has values that training never saw.",
        description=(
            f"{{{{ $labels.feature }}}} of {_MODEL} had a value that is no category of its contract in "
            f"{{{{ $value | humanizePercentage }}}} of the rows of the last {window.name}. The model reads them as no "
            "category at all: find the new value upstream, and train on it before its customers are many."
        ),
        hold=window.hold,
        labels={"window": window.name},
    )


def _moved(one: Distribution, window: Window) -> str:
    return f"{one.of('psi', window)} > {one.of('psi_limit', window)}"


def _risen(bin_name: str, window: Window) -> str:
    return f"{FEATURE.of(f'{bin_name}_rise', window)} > {FEATURE.of(f'{bin_name}_limit', window)}"
