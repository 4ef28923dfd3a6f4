"""What is told of a champion, from a small store and from numbers."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from log_toys import DAY, NOW, land, outcome, prediction

from bentos.artifact import BlessedCheck, Blessing
from service.micros import to_micros
from service.store import open_store
from validation.judge.policy import OnlinePolicy
from validation.monitoring.counting import Traffic, Truths, count_traffic, count_truths
from validation.monitoring.findings import (
    Finding,
    Watched,
    on_blessing,
    on_outcomes,
    on_risk,
    on_traffic,
    promised_by,
)
from validation.monitoring.markdown import to_markdown

RULES = OnlinePolicy(
    name="toy", metric="accuracy", false_positive_cost=None, claim="non_inferiority", margin=0.02, alpha_promote=0.05,
    alpha_rollback=0.05, alpha_srm=0.001, maturity_window=30 * 86_400_000_000, cohort=86_400_000_000, min_cohorts=1,
    min_matured=10, actions_follow_predictions=False,
)  # fmt: skip
A = "sha256:a"
BLESSING = Blessing(
    artifact="sha256:" + "a" * 64, baseline=None, data="d", policy="p", code="gauntlet 0", n=1409, seed=0,
    verdict="PASS",
    checks=[BlessedCheck(name="accuracy", value=0.8, low=0.78, high=0.82, bound=0.75)], scope="split",
    judged_at=NOW, expires_at=NOW + timedelta(days=90),
)  # fmt: skip


@pytest.fixture
def store(tmp_path):
    found = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield found
    found.close()


def truths_in(store, champion=A, rules=RULES):
    with store.reading() as connection:
        return count_truths(connection, champion, rules, now=NOW)


def traffic_in(store):
    with store.reading() as connection:
        return count_traffic(connection, now=NOW)


def test_a_customer_counts_once_by_the_first_prediction(store, tmp_path):
    early, late = NOW - 80 * DAY, NOW - 50 * DAY
    land(
        store, tmp_path,
        prediction(1, early), outcome(1, early, positive=False),  # said no, and was right
        prediction(2, late, customer_id="customer-1"), outcome(2, late, positive=True),
        prediction(3, late), outcome(3, late, positive=True),  # said no, and was wrong
        prediction(4, late),  # nobody told
    )  # fmt: skip
    found = truths_in(store)
    assert (found.matured, found.told, found.right) == (3, 2, 1)
    assert sum(told for _, told, _ in found.weeks) == 2


@pytest.mark.parametrize(
    "changes",
    [{"purpose": "test"}, {"customer_id": None}, {"champion": "sha256:c"}, {"champion_positive": None}],
)
def test_who_is_no_live_customer_of_the_champion_does_not_count(store, tmp_path, changes):
    at = NOW - 80 * DAY
    land(store, tmp_path, prediction(1, at, **changes), outcome(1, at))
    assert truths_in(store).matured == 0


def test_who_is_not_due_does_not_count(store, tmp_path):
    at = NOW - 29 * DAY
    land(store, tmp_path, prediction(1, at), outcome(1, at))
    assert truths_in(store).matured == 0


def test_where_actions_follow_predictions_only_those_left_alone_count(store, tmp_path):
    at = NOW - 80 * DAY
    land(store, tmp_path, prediction(1, at), prediction(2, at, no_treatment=True))
    assert truths_in(store).matured == 2
    assert truths_in(store, rules=msgspec.structs.replace(RULES, actions_follow_predictions=True)).matured == 1


def test_traffic_is_of_live_customers_by_the_clock(store, tmp_path):
    hours = [timedelta(hours=one) for one in (1, 23, 25, 24 * 8 - 1, 24 * 8 + 1)]
    land(store, tmp_path, *(prediction(number, NOW - ago) for number, ago in enumerate(hours)))
    land(store, tmp_path, prediction(9, NOW - hours[0] / 2, purpose="what_if"), worker="v")
    assert traffic_in(store) == Traffic(last_day=2, week_before=2, newest=to_micros(NOW - hours[0]))


def test_traffic_that_ended_long_ago_says_when(store, tmp_path):
    land(store, tmp_path, prediction(1, NOW - 40 * DAY))
    found = on_traffic(traffic_in(store))
    assert (found.level, found.runbook) == ("bad", "GauntletTrafficGone")
    assert "the last one at 2026-05-11 12:00 UTC" in found.said


def test_a_new_installation_has_nothing_bad():
    assert on_traffic(Traffic(last_day=0, week_before=0, newest=None)).level == "unknown"
    nothing = Truths(matured=0, told=0, right=0)
    assert on_outcomes(nothing).level == "unknown"
    assert on_risk(nothing, (0.78, 0.8, 0.82), RULES).level == "unknown"


def test_truths_that_stay_away_are_told():
    assert on_outcomes(Truths(matured=100, told=50, right=50)).level == "good"
    found = on_outcomes(Truths(matured=100, told=49, right=49))
    assert (found.level, found.runbook) == ("bad", "GauntletOutcomesMissing")


@pytest.mark.parametrize(("right", "level"), [(800, "good"), (760, "good"), (700, "bad")])
def test_a_champion_is_bad_when_it_is_plainly_less_right_than_its_blessing_found(right, level):
    found = on_risk(Truths(matured=1000, told=1000, right=right), promised_by(BLESSING), RULES)
    assert found.level == level
    assert "its blessing found 80.0% (between 78.0% and 82.0%)" in found.said


def test_chance_seldom_says_that_a_good_champion_is_worse_however_often_one_looks():
    import numpy as np

    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(100):
        right = np.cumsum(rng.random(4000) < 0.78)  # as right as the least that the blessing found
        alarms += any(
            on_risk(Truths(matured=n, told=n, right=int(right[n - 1])), (0.78, 0.8, 0.82), RULES).level == "bad"
            for n in range(200, 4001, 200)
        )
    assert alarms <= 3  # of 100 at most 1 is expected


@pytest.mark.parametrize(
    ("days", "level", "runbook"),
    [(90, "good", None), (13, "bad", "GauntletBlessingExpires"), (0, "bad", "GauntletBlessingDoesNotHold")],
)
def test_a_blessing_is_told_of_before_it_expires(days, level, runbook):
    blessing = msgspec.structs.replace(BLESSING, expires_at=NOW + timedelta(days=days))
    found = on_blessing(blessing, name="churn", now=NOW)
    assert (found.level, found.runbook) == (level, runbook)


def test_without_a_blessing_nothing_was_promised():
    assert promised_by(None) is None
    assert on_blessing(None, name="churn", now=NOW).level == "bad"


def watched(*findings):
    return Watched(
        model="churn version 3", digest=A, looked_at=datetime(2026, 6, 20, 12, tzinfo=UTC), findings=findings,
        drift=None,        truths=Truths(matured=300, told=200, right=160, weeks=((to_micros(NOW), 200, 160),)),
        promised=(0.78, 0.8, 0.82),
    )  # fmt: skip


GOOD = Finding(name="traffic", level="good", said="many")
BAD = Finding(name="risk", level="bad", said="worse | than before", runbook="GauntletModelStale")
UNKNOWN = Finding(name="drift", level="unknown", said="too few")
HOLDS = Finding(name="blessing", level="good", said="it holds")


def test_the_worst_decides_and_what_is_unknown_is_no_good():
    looks = ([GOOD, BAD, UNKNOWN], [GOOD, UNKNOWN, HOLDS], [UNKNOWN, HOLDS], [UNKNOWN, BAD])
    assert [watched(*some).level for some in looks] == ["bad", "good", "unknown", "bad"]


def test_the_issue_says_what_is_bad_first_and_where_its_runbook_lies():
    lines = to_markdown(watched(GOOD, BAD), runbooks="https://example/runbooks").splitlines()
    assert lines[0] == "## churn version 3 needs somebody"
    link = "[GauntletModelStale](https://example/runbooks/GauntletModelStale.md)"
    assert lines[6] == f"| risk | **look at it** | worse \\| than before | {link} |"
    assert lines[7] == "| traffic | good | many |  |"


def test_accuracy_by_week_is_drawn_beside_what_was_promised():
    text = to_markdown(watched(GOOD))
    chart = text[text.index("```mermaid") :]
    assert "  bar [0.8]" in chart
    assert "  line [0.78]" in chart
