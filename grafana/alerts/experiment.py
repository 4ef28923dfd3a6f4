"""Alerts of the experiment: its file, its split, harm, verdicts that wait, and truths that stop coming."""

from __future__ import annotations

from grafana.rule_files import Alert, Group, Recording, rule_file
from service import metric_names as names
from service.metric_names import MODEL_DIGITS, Judge

_TRIAL = "namespace, model"
IDENTITY = "gauntlet:model:identity"
"""1 for each model by the judge's label, with the name and version that scoring calls it by as label `identity`."""

_CALLED = (
    "{{ $labels.model }}"
    f'{{{{ range query (printf "{IDENTITY}{{namespace=%q,model=%q}}" $labels.namespace $labels.model) }}}}'
    " ({{ .Labels.identity }}){{ end }}"
)
"""A challenger in an alert's words: by its digest, and by name and version where scoring tells them."""


def experiment_rules() -> str:
    """The text of `rules/experiment.yaml`."""
    groups = [
        Group("gauntlet-experiment", "30s", [_identity(), *_file(), *_evidence()]),
        Group("gauntlet-outcomes", "1m", _outcomes()),
        Group("gauntlet-judge", "30s", _judge()),
    ]
    return rule_file(groups)


def _identity() -> Recording:
    """Who it is of whom the judge speaks: an hour longer than a role lasts, so that restarts of scoring leave no gap.

    Where one artifact is registered twice, one of the two is told: what joins it must find one series a model.
    """
    told = f'label_replace(max_over_time({names.MODEL_INFO}[1h]), "identity", "$1", "model", "(.+)")'
    by_digest = f'label_replace({told}, "model", "$1", "digest", "sha256:(.{{{MODEL_DIGITS}}}).*")'
    return Recording(IDENTITY, f"topk by ({_TRIAL}) (1, max by ({_TRIAL}, identity) ({by_digest}))")


def _said(verdict: str) -> str:
    return f'max by ({_TRIAL}) ({Judge.VERDICT}{{verdict="{verdict}"}}) == 1'


def _file() -> list[Alert]:
    return [
        Alert(
            alert="GauntletExperimentFileInvalid",
            expr=f"min by (namespace) ({names.EXPERIMENT_FILE_VALID}) == 0",
            severity="warning",
            summary="The experiment file cannot be read.",
            description="Pods that serve go on by the last good one; a pod that starts now is not ready. "
            "`gauntlet experiment show` says what is wrong.",
            hold="2m",
        ),
        Alert(
            alert="GauntletChampionAbsent",
            expr=f"min by (namespace) ({names.EXPERIMENT_CHAMPION_PRESENT}) == 0",
            severity="critical",
            summary="A pod does not carry the champion.",
            description="The experiment file names a champion that is not in the image of at least one pod, which is "
            "not ready therefore. Roll out an image with it, or take the change back.",
            hold="2m",
        ),
        Alert(
            alert="GauntletChallengerAbsent",
            expr=f"min by (namespace) ({names.EXPERIMENT_CHALLENGER_PRESENT}) == 0",
            severity="warning",
            summary="A pod does not carry the challenger.",
            description="The experiment file puts a challenger on trial that at least one pod does not carry; it "
            "enrols nobody. Roll out an image with both, or end the trial.",
            hold="10m",
        ),
        Alert(
            alert="GauntletChallengerFails",
            expr=f"sum by (namespace, model) (rate({names.CHALLENGER_FAILURES}[10m])) "
            f"/ on (namespace, model) (sum by (namespace, model) (rate({names.MODEL_ROWS}[10m])) > 0) > 0.01",
            severity="warning",
            summary="The challenger gives no probability.",
            description="{{ $labels.model }} failed on {{ $value | humanizePercentage }} of the rows that it was asked "
            "about; the champion answered them. Such customers are no evidence. Roll it back if it goes on.",
            hold="10m",
        ),
    ]


def _evidence() -> list[Alert]:
    srm, limit = (f'max by ({_TRIAL}) ({name}{{claim="srm"}})' for name in (Judge.LOG_E, Judge.THRESHOLD))
    return [
        Alert(
            alert="GauntletSampleRatioMismatch",
            expr=f"{srm} >= {limit}",
            severity="critical",
            summary="Customers are not split as the experiment file says.",
            description="log e of a mismatch is {{ $value | humanize }} and reached its threshold: something decides "
            "who meets the challenger. The evidence is worth nothing; end the trial, find the cause, begin anew.",
            hold="0m",
        ),
        Alert(
            alert="GauntletChallengerHarms",
            expr=_said("ROLLBACK"),
            severity="critical",
            summary="The challenger is worse than the champion: ROLLBACK.",
            description=f"The evidence against {_CALLED} is enough, or it broke a limit. `gauntlet verdict` "
            "gives the reasons, `gauntlet rollback` takes it back.",
            hold="1m",
        ),
        Alert(
            alert="GauntletVerdictWaits",
            expr=_said("PROMOTE"),
            severity="info",
            summary="A challenger may be promoted.",
            description=f"{_CALLED} has been shown to be good enough for a day, and nobody has promoted it. "
            "`gauntlet verdict` gives the reasons, `gauntlet promote` carries it out.",
            hold="1d",
        ),
        Alert(
            alert="GauntletVerdictInvalid",
            expr=_said("INVALID"),
            severity="warning",
            summary="No decision may rest on the evidence.",
            description=f"The judge says INVALID of the trial of {_CALLED}. `gauntlet verdict` says why: "
            "rules that changed, actions that follow predictions, a split that does not hold.",
            hold="15m",
        ),
        Alert(
            alert="GauntletCohortsLag",
            expr=f"max by ({_TRIAL}) ({Judge.COHORT_LAG}) > 6 * 3600",
            severity="warning",
            summary="Cohorts that are due are not closed.",
            description="The evidence is {{ $value | humanizeDuration }} behind. A spool that is gone keeps cohorts "
            "open: ship it, or give it up.",
            hold="1h",
        ),
    ]


def _outcomes() -> list[Alert]:
    told = f"sum by (namespace) (increase({names.OUTCOMES}"
    results = f"sum by ({_TRIAL}) ({Judge.CUSTOMERS}"
    return [
        Alert(
            alert="GauntletOutcomesStopped",
            expr=f"{told}[4d])) == 0 and {told}[14d] offset 4d)) > 0",
            severity="warning",
            summary="The truth stopped coming.",
            description="No outcome was told for four days, and in the two weeks before there were some. Customers "
            "whose window ends now count as missing. Look at whoever sends outcomes, and at the key.",
            hold="1h",
        ),
        Alert(
            alert="GauntletOutcomesMissing",
            expr=f'{results}{{result=~"missing.*"}}) / ({results}) > 0) > 0.3 and {results}) >= 200',
            severity="warning",
            summary="Many truths are missing.",
            description="Nobody told what became of {{ $value | humanizePercentage }} of the customers in closed "
            "cohorts. Missing truths count against the challenger where they could matter. `gauntlet disagreements` "
            "lists whose truths still decide.",
            hold="1h",
        ),
    ]


def _judge() -> list[Alert]:
    return [
        Alert(
            alert="GauntletJudgeFailing",
            expr=f"(sum by (namespace) (increase({Judge.LOOKS_FAILED}[10m])) >= 3) "
            f"or (time() - max by (namespace) ({Judge.LOOKED_AT}) > 600)",
            severity="warning",
            summary="The judge cannot look at the evidence.",
            description="Its looks fail, or the last one is more than ten minutes old. No cohort closes and no verdict "
            "changes; scoring is not affected. Its log says which of experiment file and store it is.",
            hold="5m",
        ),
        Alert(
            alert="GauntletJudgeUnanswered",
            expr=f"sum by (namespace) (rate({names.JUDGE_UNANSWERED}[5m])) > 0",
            severity="warning",
            summary="The judge does not answer scoring.",
            description="/v1/experiment says only what scoring itself knows. Look whether the judge runs.",
            hold="10m",
        ),
        Alert(
            alert="GauntletContractUnknown",
            expr=f"max by (namespace) ({Judge.CONTRACT_KNOWN}) == 0",
            severity="warning",
            summary="The judge does not know who is protected.",
            description="It cannot read the champion's contract, so the dashboard Fairness shows no groups but those "
            "that the policy names. Verdicts are not affected. Its log says `contract_not_read` and why.",
            hold="15m",
        ),
    ]
