"""How a trial ended is written with the audit row, and taken back with it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from judging import CHALLENGER, CHAMPION, EXPERIMENT
from test_judge_promotion import AS_OF, LEAD, NOW, FakeRegistry, live

from bentos.errors import Unavailable
from service.scoring import places
from service.scoring.experiment import read_experiment, start_shadow, write_experiment
from service.store import tables
from validation.judge.audit import read_changes
from validation.judge.policy import load_policy
from validation.judge.process import step
from validation.judge.promotion import promote, rollback
from validation.judge.trials import read_lineage


@pytest.fixture
def options(world):
    named = {"store": world.store, "registry": FakeRegistry(), "model": "churn", "policy_path": world.policy_path}
    return {**named, "who": "ann", "now": NOW, "lead": LEAD, "sleep": lambda _: None}


@pytest.fixture
def seen(world):
    """The judge has seen the trial."""
    step(world.folder, world.store, load_policy(world.policy_path), now=NOW)


def trials(world):
    with world.store.reading() as connection:
        return connection.execute(sa.select(tables.trials).order_by(tables.trials.c.number)).all()


def test_a_promotion_spends_margin_and_is_counted_by_the_next_trial(world, options, seen):
    live(world, wins=40, ties=2000, losses=40)
    change = promote(world.folder, **options, as_of=AS_OF)
    (row,) = trials(world)
    assert (row.ending, row.audit, row.ended_at, row.anchor) == ("promoted", change.number, change.at, None)
    evidence = change.verdict.evidence
    assert row.margin_spent == pytest.approx(-min(evidence.lower, evidence.lower_worst))
    assert 0 < row.margin_spent < 0.02
    after = read_experiment(world.folder.experiment)
    following = start_shadow(after, "sha256:" + "c" * 64, now=NOW, salt="next", lead=LEAD)
    write_experiment(world.folder.experiment, following)
    verdict = step(world.folder, world.store, load_policy(world.policy_path), now=NOW).verdict
    assert (verdict.lineage.number, verdict.lineage.promotions, verdict.lineage.anchor) == (2, 1, CHAMPION)
    assert verdict.lineage.spent == pytest.approx(row.margin_spent)


def test_a_challenger_better_than_the_anchor_takes_its_place(world, options, seen):
    live(world, wins=150, ties=800, losses=20)
    promote(world.folder, **options, as_of=AS_OF)
    (row,) = trials(world)
    assert (row.anchor, row.margin_spent) == (CHALLENGER, 0.0)


def test_a_rollback_ends_the_trial_and_spends_nothing(world, options, seen):
    live(world, wins=5, ties=200, losses=60)
    rollback(world.folder, **options, as_of=AS_OF)
    (row,) = trials(world)
    assert (row.ending, row.margin_spent) == ("rolled_back", None)


def test_a_trial_that_no_judge_has_seen_takes_its_number_at_its_end(world, options):
    live(world, wins=5, ties=200, losses=60)
    rollback(world.folder, **options, reason="complaints")
    assert [(row.number, row.ending, row.experiment) for row in trials(world)] == [(1, "rolled_back", EXPERIMENT.id)]


def test_a_change_whose_file_was_never_written_has_ended_nothing(world, options, seen, monkeypatch):
    live(world, wins=40, ties=2000, losses=40)

    def refuse(*_):
        raise OSError("read-only")

    monkeypatch.setattr(places, "write_experiment", refuse)
    with pytest.raises(Unavailable):
        promote(world.folder, **options, as_of=AS_OF)
    assert [row.aliases for row in read_changes(world.store)] == ["void"]
    assert [(row.ending, row.audit, row.margin_spent) for row in trials(world)] == [(None, None, None)]
    assert read_lineage(world.store, EXPERIMENT, lineage="churn").promotions == 0
