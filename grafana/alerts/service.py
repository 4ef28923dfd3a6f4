"""Alerts of the processes: traffic, readiness, workers, the spool and the store."""

from __future__ import annotations

from grafana.alerts.promises import promise_groups
from grafana.rule_files import Alert, Group, Recording, rule_file
from service import metric_names as names
from service.metric_names import Shipper

_SCORING = 'route=~"/v1/score.*|/v2/.*"'
_IN_HALF_AN_HOUR = f"sum by (namespace) (increase({names.REQUESTS}{{{_SCORING}}}[30m]"
_POD_ROWS = "gauntlet:pod:predictions1h"
_POD_SHARE = "gauntlet:pod:positive_ratio1h"
_ALL_SHARE = "gauntlet:pods:positive_ratio_median1h"
_POSITIVE = f'label_replace({names.MODEL_INFO}, "label", "$1", "positive", "(.*)")'


def service_rules() -> str:
    """The text of `rules/service.yaml`."""
    groups = [
        Group("gauntlet-traffic", "30s", _traffic()),
        Group("gauntlet-workers", "30s", _workers()),
        Group("gauntlet-log", "30s", _log()),
        Group("gauntlet-replicas", "1m", [*_shares_of_pods(), *_replicas()]),
    ]
    return rule_file([*promise_groups(), *groups])


def _traffic() -> list[Alert]:
    return [
        Alert(
            alert="GauntletGone",
            expr=f"group by (namespace) (last_over_time({names.READY}[1d])) "
            f"unless on (namespace) group by (namespace) ({names.READY})",
            severity="critical",
            summary="No scoring process answers Prometheus any more.",
            description="Metrics of scoring were there within the last day and are gone: every pod is down, or "
            "Prometheus cannot reach the admin port. Look at the pods first.",
            hold="2m",
        ),
        Alert(
            alert="GauntletPodDown",
            expr='up{job="gauntlet",app_kubernetes_io_component=~"scoring|judge|insight"} == 0',
            severity="warning",
            summary="A process does not answer Prometheus.",
            description="{{ $labels.container }} at {{ $labels.instance }} cannot be scraped. Look at its pod and log.",
            hold="5m",
        ),
        Alert(
            alert="GauntletNotReady",
            expr=f"max by (namespace) ({names.READY}) == 0",
            severity="critical",
            summary="No pod is ready to score.",
            description="Every pod answers and none is ready, so clients get errors. /readyz says why.",
            hold="1m",
        ),
        Alert(
            alert="GauntletTrafficGone",
            expr=f"({_IN_HALF_AN_HOUR})) == 0) and ({_IN_HALF_AN_HOUR} offset 1d)) > 20) "
            f"and ({_IN_HALF_AN_HOUR} offset 7d)) > 20)",
            severity="critical",
            summary="Nobody asks for predictions any more.",
            description="Not one request to score came in half an hour, where yesterday and a week ago at this time "
            "there were more than 20. Look at the way in: Ingress, DNS, certificates, keys, the client itself.",
            hold="5m",
        ),
        Alert(
            alert="GauntletTurnsAway",
            expr=f'sum by (namespace) (rate({names.REQUESTS}{{{_SCORING},status="429"}}[10m])) '
            f"/ sum by (namespace) (rate({names.REQUESTS}{{{_SCORING}}}[10m])) > 0.01",
            severity="warning",
            summary="Requests are turned away.",
            description="{{ $value | humanizePercentage }} of requests to score are answered with 429: more come than "
            "can be answered in time, or than a client may ask for. Add workers or replicas, or ask the client.",
            hold="10m",
        ),
        Alert(
            alert="GauntletKeysInvalid",
            expr=f"min by (namespace) ({names.KEYS_VALID}) == 0",
            severity="warning",
            summary="The key files cannot be read.",
            description="The last good keys still hold, so new ones do not work and revoked ones still do. Scoring's "
            "log names file and line.",
            hold="5m",
        ),
    ]


def _workers() -> list[Alert]:
    return [
        Alert(
            alert="GauntletWorkersDie",
            expr=f"sum by (namespace) (increase({names.WORKER_DEATHS}[15m])) >= 2",
            severity="warning",
            summary="Scoring workers die again and again.",
            description="{{ $value | humanize }} workers ended without a clean stop within 15 minutes. Each is started "
            "again; look for what kills them: memory, a model, a signal.",
            hold="0m",
            keep="10m",
        ),
        Alert(
            alert="GauntletChallengersLeftOut",
            expr=f"max by (namespace) ({names.CHALLENGERS_LEFT_OUT}) == 1",
            severity="warning",
            summary="Challengers are left out, as workers died.",
            description="A worker died twice within a minute and serves without challengers, so the experiment "
            "collects less. Find out whether the challenger kills it, and roll it back if so.",
            hold="1m",
        ),
        Alert(
            alert="GauntletCircuitOpen",
            expr=f"max by (namespace) ({names.CIRCUITS_OPEN}) > 0",
            severity="warning",
            summary="A challenger is left alone, as it fails or is slow.",
            description="Five of its calls in a row raised or overran their budget; it is tried again every half "
            "minute. The champion answers meanwhile. Look at the challenger's duration and failures, and roll it back.",
            hold="5m",
        ),
    ]


def _log() -> list[Alert]:
    return [
        Alert(
            alert="GauntletRecordsLost",
            expr=f"sum by (namespace) (increase({names.SPOOL_LOST}[10m])) > 0",
            severity="critical",
            summary="Answered predictions are not in the log.",
            description="{{ $value | humanize }} records could not be written to the spool within 10 minutes and are "
            "gone for good. Make room on the spool's volume, or let clients wait with GAUNTLET_SPOOL_WHEN_FULL=refuse.",
            hold="0m",
            keep="10m",
        ),
        Alert(
            alert="GauntletSpoolFailing",
            expr=f"max by (namespace, pod) ({names.SPOOL_FAILING}) == 1",
            severity="critical",
            summary="A worker cannot write its prediction log.",
            description="Its disk is full, gone or read-only, or the spool is at its limit. While it lasts, answers "
            "are given and not logged, or refused, as GAUNTLET_SPOOL_WHEN_FULL says.",
            hold="1m",
        ),
        Alert(
            alert="GauntletSpoolLags",
            expr=f"max by (namespace, pod) ({Shipper.WATERMARK_AGE}) > 600",
            severity="warning",
            summary="The prediction log is behind.",
            description="The store knows a spool up to {{ $value | humanizeDuration }} ago. Nothing is lost yet, and "
            "no cohort closes. Look at the shipper's log, and at the store.",
            hold="5m",
        ),
        Alert(
            alert="GauntletStoreUnreachable",
            expr=f"sum by (namespace) (increase({Shipper.PASSES_FAILED}[5m])) >= 3",
            severity="critical",
            summary="The shipper cannot reach the store.",
            description="Passes failed {{ $value | humanize }} times within 5 minutes. Answers are not affected; "
            "spools grow until their limit. Look at the database and at the way to it.",
            hold="5m",
        ),
        Alert(
            alert="GauntletDeadLetters",
            expr=f"sum by (namespace) (increase({Shipper.BAD_LINES}[1h])) > 0",
            severity="warning",
            summary="Lines of the log cannot be stored.",
            description="{{ $value | humanize }} lines were set aside within an hour; they lie in dead-letters.txt "
            "beside their spool.",
            hold="0m",
            keep="30m",
        ),
    ]


def _shares_of_pods() -> list[Recording]:
    live = f'increase({names.PREDICTIONS}{{purpose="live"}}[1h])'
    positive = f"sum by (namespace, pod, label) ({live}) and on (namespace, label) {_POSITIVE}"
    return [
        Recording(_POD_ROWS, f"sum by (namespace, pod) ({live})"),
        Recording(_POD_SHARE, f"sum by (namespace, pod) ({positive}) / ({_POD_ROWS} > 0)"),
        Recording(_ALL_SHARE, f"quantile by (namespace) (0.5, {_POD_SHARE})"),
    ]


def _replicas() -> list[Alert]:
    ends = [f"{end} by (namespace) ({names.EXPERIMENT_REVISION})" for end in ("max", "min")]
    champions = f'count by (namespace, digest) ({names.MODEL_INFO}{{role="champion"}})'
    apart = f"abs({_POD_SHARE} - on (namespace) group_left () {_ALL_SHARE})"
    variance = f"({_ALL_SHARE} * (1 - {_ALL_SHARE}))"
    by_chance = f"5 * sqrt((0 * {_POD_ROWS} + on (namespace) group_left () {variance}) / {_POD_ROWS})"
    return [
        Alert(
            alert="GauntletReplicasDisagree",
            expr=f"({ends[0]} - {ends[1]} > 0) or (count by (namespace) ({champions}) > 1)",
            severity="warning",
            summary="Pods answer by different experiment files or champions.",
            description="For five minutes pods have not agreed on the experiment's revision or on the champion, so the "
            "same customer may get different answers. Find the pod that did not follow.",
            hold="5m",
        ),
        Alert(
            alert="GauntletReplicaSkew",
            expr=f"{apart} > 0.05 and {apart} > {by_chance} and {_POD_ROWS} >= 500",
            severity="warning",
            summary="A pod's answers differ from the others'.",
            description="Pod {{ $labels.pod }} calls a share of customers positive that is {{ $value | "
            "humanizePercentage }} away from the median of all pods, which chance does not explain. It may carry "
            "another model, or get other customers.",
            hold="15m",
        ),
    ]
