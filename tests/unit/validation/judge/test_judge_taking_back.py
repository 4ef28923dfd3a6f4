"""A promotion taken back: the champion of before answers alone, by a person's reason, and the lineage forgets it."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa
from judging import CHALLENGER, CHAMPION
from test_judge_promotion import AS_OF, LEAD, NOW, FakeRegistry, live

from bentos.errors import InvalidExperiment, InvalidSetting, NotAllowedByVerdict, Unavailable
from service.scoring import places
from service.scoring.experiment import read_experiment, start_shadow, stop, write_experiment
from service.store import tables
from validation.judge.audit import describe, read_changes
from validation.judge.policy import load_policy
from validation.judge.process import step
from validation.judge.promotion import promote, rollback

REASON = "calls to the shop doubled"


@pytest.fixture
def registry():
    return FakeRegistry()


@pytest.fixture
def promoted(world, registry):
    """Roles after a promotion that the judge has followed from the trial's start on."""
    options = {
        "store": world.store, "registry": registry, "model": "churn", "policy_path": world.policy_path, "who": "ann",
        "now": NOW, "lead": LEAD, "sleep": lambda _: None,
    }  # fmt: skip
    step(world.folder, world.store, load_policy(world.policy_path), now=NOW)
    live(world, wins=150, ties=800, losses=20)
    promote(world.folder, **options, as_of=AS_OF)
    return options


def trials(world):
    with world.store.reading() as connection:
        return connection.execute(sa.select(tables.trials).order_by(tables.trials.c.number)).all()


def experiment(world):
    return read_experiment(world.folder.experiment)


def test_the_champion_of_before_answers_alone_again_and_the_registry_says_so(world, registry, promoted):
    change = rollback(world.folder, **promoted, reason=REASON)
    now = experiment(world)
    assert (now.champion, now.challenger, now.mode) == (CHAMPION, None, "off")
    assert registry.aliases == {"champion": CHAMPION}
    assert registry.tags[CHALLENGER]["status"] == "archived"
    assert registry.tags[CHAMPION]["status"] == "champion"
    assert (change.action, change.manual, change.reason, change.verdict) == ("rollback", True, REASON, None)
    assert (change.champion, change.challenger, change.aliases) == (CHAMPION, CHALLENGER, "moved")
    assert f"rolled back {CHALLENGER}; {CHAMPION} is champion" in describe(change)


def test_without_a_reason_it_says_what_would_be_taken_back_and_changes_nothing(world, promoted):
    before = experiment(world)
    with pytest.raises(NotAllowedByVerdict, match=f"promoted {CHALLENGER} over {CHAMPION}.*--reason"):
        rollback(world.folder, **promoted)
    with pytest.raises(InvalidSetting, match="the reason is empty"):
        rollback(world.folder, **promoted, reason=" ")
    assert experiment(world) == before
    assert len(read_changes(world.store)) == 1


def test_it_spends_no_trial_and_the_promotion_counts_as_none_any_more(world, promoted):
    assert [(row.ending, row.anchor) for row in trials(world)] == [("promoted", CHALLENGER)]
    change = rollback(world.folder, **promoted, reason=REASON)
    (row,) = trials(world)
    assert (row.number, row.ending, row.audit, row.margin_spent, row.anchor) == (
        1, "rolled_back", change.number, None, None,
    )  # fmt: skip
    following = start_shadow(experiment(world), "sha256:" + "c" * 64, now=NOW, salt="next", lead=LEAD)
    write_experiment(world.folder.experiment, following)
    lineage = step(world.folder, world.store, load_policy(world.policy_path), now=NOW).verdict.lineage
    assert (lineage.number, lineage.promotions, lineage.anchor, lineage.spent) == (2, 0, CHAMPION, 0.0)


def test_a_stop_in_between_changes_nothing_about_it(world, promoted):
    write_experiment(world.folder.experiment, stop(experiment(world), now=NOW, lead=LEAD))
    rollback(world.folder, **promoted, reason=REASON)
    assert experiment(world).champion == CHAMPION


def test_once_the_old_champion_is_on_trial_a_rollback_ends_that_trial_and_takes_nothing_back(world, promoted):
    again = start_shadow(experiment(world), CHAMPION, now=NOW, salt="again", lead=LEAD)
    write_experiment(world.folder.experiment, stop(again, now=NOW, lead=LEAD))
    rollback(world.folder, **promoted, reason=REASON)
    assert experiment(world).champion == CHALLENGER


def test_it_is_taken_back_once(world, promoted):
    rollback(world.folder, **promoted, reason=REASON)
    with pytest.raises(InvalidExperiment, match="there is no challenger to roll back"):
        rollback(world.folder, **promoted, reason=REASON)


def test_a_file_that_cannot_be_written_leaves_the_promotion_as_it_was(world, promoted, monkeypatch):
    def refuse(*_):
        raise OSError("read-only")

    with monkeypatch.context() as failing:
        failing.setattr(places, "write_experiment", refuse)
        with pytest.raises(Unavailable):
            rollback(world.folder, **promoted, reason=REASON)
    assert [row.ending for row in trials(world)] == ["promoted"]
    assert [change.aliases for change in read_changes(world.store)] == ["moved", "void"]
    assert rollback(world.folder, **promoted, reason=REASON).aliases == "moved"


def test_a_registry_that_is_away_follows_when_it_is_asked_again(world, registry, promoted):
    registry.away_for = 10
    assert rollback(world.folder, **promoted, reason=REASON).aliases == "pending"
    registry.away_for = 0
    finished = rollback(world.folder, **promoted, reason=REASON)
    assert (finished.aliases, registry.aliases) == ("moved", {"champion": CHAMPION})
    assert msgspec.structs.replace(finished, aliases="pending", note=None).reason == REASON
