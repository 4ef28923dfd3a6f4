"""Looking at an installation, what the judge keeps and says, and how a verdict reads."""

from __future__ import annotations

import json
from datetime import timedelta

import msgspec
import pytest
from judging import CHALLENGER, DAY, EXPERIMENT, START, cohort, counts, policy, prediction, truth

from bentos.errors import InvalidSetting, NotFound
from validation.judge.looking import look
from validation.judge.process import answer_http, step
from validation.judge.promotion import RegistryPort
from validation.judge.status import count_logged, read_verdicts
from validation.judge.terminal import render
from validation.judge.verdict import judge

NOW = START + timedelta(hours=12)
AS_OF = START + 31 * DAY
RULES = policy()


def looked(world, **changes):
    options = {"store": world.store, "policy_path": world.policy_path, "as_of": None, "now": NOW}
    return look(world.folder, **{**options, **changes})


def some_customers(world, *, wins, ties):
    for number in range(wins + ties):
        row = prediction(f"c{number}", challenger_positive=number < wins)
        world.log(row, truth(row, number < wins))


def test_looking_sees_what_still_lies_in_the_spool(world):
    some_customers(world, wins=20, ties=200)
    assert looked(world).verdict == "KEEP_COLLECTING"
    verdict = looked(world, as_of=AS_OF)
    assert (verdict.verdict, verdict.evidence.matured, verdict.provisional) == ("PROMOTE", 220, True)


def test_looking_closes_nothing(world):
    some_customers(world, wins=20, ties=200)
    assert looked(world, now=AS_OF).evidence.matured == 0


def test_where_nothing_has_matured_it_says_when_something_will(world):
    """Cohorts of a day: who was scored today is final a window of thirty days after midnight."""
    assert looked(world).reasons[-1] == "nobody has been scored in it yet"
    row = prediction("a", at=START + timedelta(hours=3))
    world.log(row, prediction("b", purpose="what_if", at=START), truth(row, True))
    due = START + 31 * DAY
    assert looked(world).reasons[-1] == f"the next cohort matures at {due:%Y-%m-%d %H:%M} UTC"
    late = looked(world, now=due + DAY).reasons[-1]
    assert late == f"a cohort was due at {due:%Y-%m-%d %H:%M} UTC; the judge closes it when all spools are shipped"
    assert "matures at" not in " ".join(looked(world, as_of=due + DAY).reasons)


def test_looking_back_is_refused(world):
    with pytest.raises(InvalidSetting, match="as-of"):
        looked(world, as_of=NOW - DAY)


def test_an_installation_without_an_experiment_says_so(world):
    world.folder.experiment.unlink()
    with pytest.raises(NotFound, match="experiment"):
        looked(world)


def test_a_step_closes_what_is_due_and_keeps_each_verdict_once(world):
    some_customers(world, wins=20, ties=200)
    world.ship(NOW)
    first = step(world.folder, world.store, RULES, now=NOW)
    assert (first.verdict.verdict, first.logged.predictions, first.logged.outcomes) == ("KEEP_COLLECTING", 220, 220)
    step(world.folder, world.store, RULES, now=NOW + DAY)
    world.ship(AS_OF)
    last = step(world.folder, world.store, RULES, now=AS_OF)
    step(world.folder, world.store, RULES, now=AS_OF + DAY)
    assert last.verdict.verdict == "PROMOTE"
    kept = read_verdicts(world.store, EXPERIMENT.id)
    assert [verdict.verdict for _, verdict in kept] == ["KEEP_COLLECTING", "PROMOTE"]
    assert kept[1][1] == last.verdict


def test_a_step_under_other_rules_than_the_ledgers_is_invalid(world):
    some_customers(world, wins=20, ties=200)
    world.ship(AS_OF)
    step(world.folder, world.store, RULES, now=AS_OF)
    world.ship(AS_OF + DAY)
    assert step(world.folder, world.store, policy(margin=0.03), now=AS_OF + DAY).verdict.verdict == "INVALID"


def test_a_replay_of_the_ledger_gives_the_stored_verdict(world):
    from validation.judge.closing import read_ledger

    some_customers(world, wins=20, ties=200)
    world.ship(AS_OF)
    stored = step(world.folder, world.store, RULES, now=AS_OF).verdict
    ledger = read_ledger(world.store, EXPERIMENT.id)
    assert judge(ledger, RULES, EXPERIMENT, lineage=stored.lineage) == stored


def test_what_is_logged_is_counted_by_variant_and_live_only(world):
    rows = [
        prediction("a"),
        prediction("b", variant="challenger", mode="split", split=0.5),
        prediction("c", purpose="what_if", variant="challenger"),
        prediction("d", experiment="another"),
    ]
    world.log(*rows, truth(rows[0], True), truth(rows[0], False), truth(rows[3], True))
    world.ship(NOW)
    logged = count_logged(world.store, EXPERIMENT.id)
    assert msgspec.structs.astuple(logged) == (3, 1, 1, 1)


def test_the_answer_over_http_is_the_status(world):
    status = step(world.folder, world.store, RULES, now=NOW)
    code, content_type, body = answer_http("GET", "/v1/experiment", status, "")
    said = json.loads(body)
    assert (code, content_type) == (200, "application/json")
    assert (said["mode"], said["split"], said["challenger"], said["revision"]) == ("shadow", 0.0, CHALLENGER, 2)
    assert said["verdict"]["verdict"] == "KEEP_COLLECTING"
    assert said["verdict"]["evidence"]["log_e"] == 0.0


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/v1/experiment", 503), ("GET", "/else", 404), ("POST", "/v1/experiment", 405)],
)
def test_what_cannot_be_answered_is_a_problem(method, path, code):
    found, content_type, body = answer_http(method, path, None, "the store does not answer")
    assert (found, content_type) == (code, "application/problem+json")
    assert json.loads(body)["status"] == code


def test_a_verdict_reads_as_text_with_every_number_that_decides():
    verdict = judge([cohort(RULES, counts(60, 900, 40, missing_champion_positive=3, unscored=2))], RULES, EXPERIMENT)
    text = render(verdict)
    for part in ("PROMOTE", "60 wins, 900 ties, 40 losses", "3 missing disagreements", "2 unscored", "5.98 of 3.00"):
        assert part in text
    assert "\x1b" not in text
    assert "\x1b[" in render(verdict, color=True)


def test_a_verdict_without_evidence_reads_too():
    verdict = judge([cohort(RULES, msgspec.structs.replace(counts(1), n=7))], RULES, EXPERIMENT, as_of=AS_OF)
    text = " ".join(render(verdict).split())
    assert text.startswith("INVALID")
    assert "provisional, as of 2026-04-01" in text


def test_the_registry_adapter_is_the_port_that_promotion_asks():
    from bentos.registry import Registry

    wanted = [name for name in vars(RegistryPort) if not name.startswith("_")]
    assert all(callable(getattr(Registry, name)) for name in wanted)
    assert set(wanted) == {"find", "find_by_digest", "fetch", "fetch_file", "set_alias", "drop_alias", "tag"}
