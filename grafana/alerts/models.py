"""Alerts of the models: blessings, age, and retraining that failed."""

from __future__ import annotations

from grafana.rule_files import Alert, Group, rule_file
from service import metric_names as names

_CHAMPION = '{role="champion"}'
_BY = "namespace, model"
_JOBS = 'kube_job_owner{owner_kind="CronJob",owner_name=~"train|retrain"}'


def models_rules() -> str:
    """The text of `rules/models.yaml`."""
    return rule_file([Group("gauntlet-models", "1m", [*_blessings(), *_age()])])


def _blessings() -> list[Alert]:
    return [
        Alert(
            alert="GauntletBlessingDoesNotHold",
            expr=f"min by ({_BY}) ({names.BLESSING_HOLDS}{_CHAMPION}) == 0",
            severity="warning",
            summary="The champion serves without a blessing that holds.",
            description="{{ $labels.model }} was never blessed, or its blessing expired, was revoked or is not signed "
            "by a key that counts. It serves on, and can be neither packed nor promoted. Judge it anew.",
            hold="5m",
        ),
        Alert(
            alert="GauntletBlessingExpires",
            expr=f"min by ({_BY}) ({names.BLESSING_EXPIRES}{_CHAMPION}) - time() < 7 * 86400 "
            f"and min by ({_BY}) ({names.BLESSING_HOLDS}{_CHAMPION}) == 1",
            severity="warning",
            summary="The champion's blessing expires soon.",
            description="The blessing of {{ $labels.model }} holds for another {{ $value | humanizeDuration }}. Judge "
            "it anew: `gauntlet gate models:/NAME@champion` renews it, and the next package carries it.",
            hold="1h",
        ),
        Alert(
            alert="GauntletChallengerNotBlessed",
            expr=f'min by ({_BY}) ({names.BLESSING_HOLDS}{{role="challenger"}}) == 0',
            severity="info",
            summary="A packed challenger's blessing does not hold.",
            description="{{ $labels.model }} is in the image and its blessing does not hold for a trial; where "
            "blessings are asked for, it is left out.",
            hold="15m",
        ),
    ]


def _age() -> list[Alert]:
    failed = f"max by (namespace, job_name) (kube_job_status_failed) > 0 and on (namespace, job_name) {_JOBS}"
    recent = "on (namespace, job_name) (max by (namespace, job_name) (kube_job_created) > time() - 2 * 86400)"
    return [
        Alert(
            alert="GauntletModelStale",
            expr=f"time() - max by ({_BY}) ({names.BLESSING_JUDGED}{_CHAMPION}) > 90 * 86400",
            severity="info",
            summary="The champion was judged long ago.",
            description="The gate looked at {{ $labels.model }} {{ $value | humanizeDuration }} ago. Train on what has "
            "come since, and let the gate compare.",
            hold="1h",
        ),
        Alert(
            alert="GauntletRetrainingFailed",
            expr=f"{failed} and {recent}",
            severity="warning",
            summary="A training Job failed.",
            description="{{ $labels.job_name }} failed within the last two days. Its termination message says why; a "
            "FAIL of the gate is a failed Job too, and needs no repair. Needs kube-state-metrics.",
            hold="5m",
        ),
    ]
