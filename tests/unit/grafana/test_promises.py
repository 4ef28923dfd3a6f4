"""Promises and their burn rates: what they are counted by is exported, and the windows are the workbook's."""

from __future__ import annotations

import re

import pytest

from grafana.alerts.promises import BURNS, PROMISES, Burn, promise_groups
from grafana.rule_files import Alert
from service.counters.scoring import REQUEST_BUCKETS

HOURS = {"5m": 1 / 12, "30m": 0.5, "1h": 1, "2h": 2, "6h": 6, "1d": 24, "3d": 72}


def test_what_is_promised_of_latency_is_the_edge_of_a_bucket() -> None:
    edges = {edge for promise in PROMISES for edge in re.findall(r'le="([\d.]+)"', promise.bad)}
    assert edges == {"0.05"}
    assert 0.05 in REQUEST_BUCKETS


@pytest.mark.parametrize(("burn", "uses"), [*zip(BURNS, (0.02, 0.05, 0.10, 0.10), strict=True)])
def test_a_burn_uses_what_its_text_says_of_thirty_days(burn: Burn, uses: float) -> None:
    # Table 5-8 of chapter 5, "Alerting on SLOs", of the Site Reliability Workbook; a day at 3 is its usual addition.
    assert burn.rate * HOURS[burn.long] / (30 * 24) == pytest.approx(uses, rel=1e-9)
    assert burn.uses.startswith(f"{uses:.0%}".replace("%", " %"))
    assert HOURS[burn.long] == pytest.approx(12 * HOURS[burn.short])


def test_every_promise_has_an_alert_for_every_burn() -> None:
    for promise, group in zip(PROMISES, promise_groups(), strict=True):
        windows = [rule.labels["window"] for rule in group.rules if isinstance(rule, Alert)]
        assert windows == [burn.long for burn in BURNS]
        assert {rule.alert for rule in group.rules if isinstance(rule, Alert)} == {promise.alert}
