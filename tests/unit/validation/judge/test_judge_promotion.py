"""Promotion and rollback: only as the verdict allows, the file first, the registry last, and an audit row of each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from judging import CHALLENGER, CHAMPION, DAY, EXPERIMENT, POLICY_TEXT, START, prediction, truth

from bentos.artifact import Blessing, dump_blessing
from bentos.errors import (
    GauntletError,
    InvalidExperiment,
    InvalidSetting,
    NotAllowedByVerdict,
    NotBlessed,
    NotFound,
    Unavailable,
)
from bentos.registry import Version
from service.scoring import places
from service.scoring.experiment import read_experiment, set_split, write_experiment
from service.scoring.places import ExperimentFile
from validation.judge.audit import describe, read_changes
from validation.judge.closing import close_cohorts
from validation.judge.policy import load_policy
from validation.judge.process import step
from validation.judge.promotion import bootstrap_champion, promote, reconcile_aliases, rollback
from validation.judge.replay import lost_from_ledger, replay
from validation.judge.trials import name_of_lineage

NOW = START + timedelta(hours=12)
AS_OF = START + 31 * DAY
LEAD = timedelta(seconds=2)


def blessing(**changes) -> Blessing:
    fields = {
        "artifact": CHALLENGER,
        "baseline": CHAMPION,
        "data": "sha256:data",
        "policy": "sha256:policy",
        "code": "0.1.0",
        "n": 1000,
        "seed": 0,
        "verdict": "PASS",
        "checks": [],
        "scope": "split",
        "judged_at": START,
        "expires_at": START + 90 * DAY,
    }
    return Blessing(**{**fields, **changes})


class FakeRegistry:
    """Versions and aliases in memory; it can be told to be away for some calls."""

    def __init__(self) -> None:
        self.versions = {
            digest: Version(name="churn", number=str(number), digest=digest, run=f"run{number}")
            for number, digest in enumerate((CHAMPION, CHALLENGER), start=1)
        }
        self.aliases = {"champion": CHAMPION, "challenger": CHALLENGER}
        self.tags: dict[str, dict[str, str]] = {CHAMPION: {}, CHALLENGER: {}}
        self.blessings: dict[str, Blessing | None] = {
            CHAMPION: blessing(artifact=CHAMPION, baseline=None),
            CHALLENGER: blessing(),
        }
        self.away_for = 0
        self.calls = 0

    def answer(self) -> None:
        self.calls += 1
        if self.away_for > 0:
            self.away_for -= 1
            raise Unavailable("the tracking server does not answer")

    def find(self, uri: str) -> Version | None:
        self.answer()
        return self.version(self.aliases.get(uri.rpartition("@")[2]))

    def find_by_digest(self, name: str, digest: str) -> Version | None:
        self.answer()
        return self.version(digest)

    def version(self, digest: str | None) -> Version | None:
        if digest not in self.versions:
            return None
        aliases = tuple(alias for alias, target in self.aliases.items() if target == digest)
        return replace(self.versions[digest], aliases=aliases, tags=dict(self.tags[digest]))

    def fetch(self, version: Version, folder: Path) -> None:
        self.answer()
        folder.mkdir()
        found = self.blessings[version.digest]
        if found is not None:
            (folder / "blessing.json").write_bytes(dump_blessing(found))

    def set_alias(self, version: Version, alias: str) -> None:
        self.answer()
        self.aliases[alias] = version.digest

    def drop_alias(self, name: str, alias: str) -> None:
        self.answer()
        self.aliases.pop(alias, None)

    def tag(self, version: Version, **tags: str) -> None:
        self.answer()
        self.tags[version.digest].update(tags)


@pytest.fixture
def registry():
    return FakeRegistry()


@pytest.fixture
def options(world, registry):
    return {
        "store": world.store,
        "registry": registry,
        "model": "churn",
        "policy_path": world.policy_path,
        "who": "ann",
        "now": NOW,
        "lead": LEAD,
        "sleep": lambda _: None,
    }


def live(world, *, wins=0, ties=0, losses=0):
    rows = [(prediction(f"w{n}", challenger_positive=True), True) for n in range(wins)]
    rows += [(prediction(f"l{n}", challenger_positive=True), False) for n in range(losses)]
    rows += [(prediction(f"t{n}"), False) for n in range(ties)]
    for row, label in rows:
        world.log(row, truth(row, label))


def test_a_challenger_with_the_verdict_becomes_champion(world, registry, options):
    live(world, wins=40, ties=200, losses=10)
    change = promote(world.folder, **options, as_of=AS_OF)
    after = read_experiment(world.folder.experiment)
    assert (after.champion, after.challenger, after.mode) == (CHALLENGER, CHAMPION, "off")
    assert (after.revision, after.effective_from) == (3, NOW + LEAD)
    assert registry.aliases == {"champion": CHALLENGER}
    assert registry.tags[CHAMPION] == {"status": "archived"}
    assert "status" not in registry.tags[CHALLENGER]
    assert change.aliases == "moved"
    assert "promoted" in describe(change)


def test_the_audit_row_says_who_when_what_on_which_verdict(world, options):
    live(world, wins=40, ties=200, losses=10)
    change = promote(world.folder, **options, as_of=AS_OF)
    (row,) = read_changes(world.store)
    assert row == change
    assert (row.who, row.action, row.model, row.manual) == ("ann", "promote", "churn", False)
    assert (row.champion, row.challenger) == (CHAMPION, CHALLENGER)
    assert (row.revision_before, row.revision_after) == (2, 3)
    assert (row.verdict.verdict, row.verdict.provisional, row.verdict.as_of) == ("PROMOTE", True, AS_OF)
    assert row.verdict.evidence.wins == 40


def test_a_promotion_before_its_cohorts_could_close_is_called_provisional_and_not_stored(world, options):
    live(world, wins=40, ties=200, losses=10)
    change = promote(world.folder, **options, as_of=AS_OF)
    assert f"PROVISIONAL: decided as of {AS_OF:%Y-%m-%d %H:%M} UTC" in describe(change)
    assert replay(world.store) == []


def test_a_verdict_that_moved_roles_is_stored_and_can_be_reached_again(world, options):
    live(world, wins=40, ties=200, losses=10)
    close_days(world)
    change = promote(world.folder, **{**options, "now": AS_OF})
    assert "PROVISIONAL" not in describe(change)
    (found,) = replay(world.store)
    assert (found.stored, found.found, found.agrees) == ("PROMOTE", "PROMOTE", True)


@pytest.mark.parametrize("change", ["delete from cohorts", "update cohorts set losses_positive = 0, ties = ties + 10"])
def test_a_ledger_that_lost_what_verdicts_rested_on_promotes_nobody(world, registry, options, change):
    live(world, wins=15, ties=60, losses=10)
    close_days(world)
    step(world.folder, world.store, load_policy(world.policy_path), now=AS_OF)
    with world.store.writing() as connection:
        connection.execute(sa.text(change))
    live(world, wins=40, ties=200, losses=0)
    with pytest.raises(NotAllowedByVerdict):
        promote(world.folder, **{**options, "now": AS_OF})
    (lost,) = lost_from_ledger(world.store, EXPERIMENT.id)
    assert lost.startswith("verdict 1 rested on ")
    assert registry.aliases["champion"] == CHAMPION


def close_days(world):
    """Ship up to the moment at which the days are due, and close them."""
    world.ship(AS_OF)
    close_cohorts(world.store, EXPERIMENT.id, load_policy(world.policy_path), now=AS_OF)


@pytest.mark.parametrize(
    ("of", "as_of", "said"),
    [
        ({"wins": 40, "ties": 200, "losses": 10}, None, "KEEP_COLLECTING"),
        ({"wins": 10, "ties": 60, "losses": 10}, AS_OF, "KEEP_COLLECTING"),
        ({"wins": 5, "ties": 200, "losses": 60}, AS_OF, "ROLLBACK"),
        ({}, AS_OF, "KEEP_COLLECTING"),
    ],
)
def test_no_other_verdict_promotes_and_nothing_changes(world, registry, options, of, as_of, said):
    live(world, **of)
    with pytest.raises(NotAllowedByVerdict, match=said):
        promote(world.folder, **options, as_of=as_of)
    assert read_experiment(world.folder.experiment) == EXPERIMENT
    assert registry.aliases == {"champion": CHAMPION, "challenger": CHALLENGER}
    assert read_changes(world.store) == []


def test_an_invalid_verdict_promotes_nobody(world, options):
    live(world, wins=40, ties=200, losses=10)
    world.policy_path.write_text(POLICY_TEXT.replace("predictions: false", "predictions: true"))
    with pytest.raises(NotAllowedByVerdict, match="treatment_confounded"):
        promote(world.folder, **options, as_of=AS_OF)


@pytest.mark.parametrize(
    "bad",
    [
        None,
        blessing(artifact=CHAMPION),
        blessing(expires_at=NOW),
        blessing(scope="shadow"),
        blessing(verdict="INCONCLUSIVE"),
    ],
    ids=["none", "of another", "expired", "for the shadow", "no pass"],
)
def test_no_promotion_without_a_blessing_that_holds(world, registry, options, bad):
    live(world, wins=40, ties=200, losses=10)
    registry.blessings[CHALLENGER] = bad
    with pytest.raises(NotBlessed):
        promote(world.folder, **options, as_of=AS_OF)
    assert read_experiment(world.folder.experiment) == EXPERIMENT
    assert read_changes(world.store) == []


def test_a_challenger_that_the_registry_does_not_know_is_not_promoted(world, registry, options):
    live(world, wins=40, ties=200, losses=10)
    del registry.versions[CHALLENGER]
    with pytest.raises(NotFound, match=CHALLENGER):
        promote(world.folder, **options, as_of=AS_OF)
    assert read_experiment(world.folder.experiment) == EXPERIMENT


def test_nobody_on_trial_is_said(world, options):
    write_experiment(world.folder.experiment, msgspec.structs.replace(EXPERIMENT, mode="off", challenger=None))
    with pytest.raises(InvalidExperiment, match="no challenger"):
        promote(world.folder, **options)
    with pytest.raises(InvalidExperiment, match="no challenger"):
        rollback(world.folder, **options, reason="whatever")


def test_a_registry_that_fails_after_the_file_leaves_a_pending_row_and_promoting_again_finishes_it(
    world, registry, options
):
    live(world, wins=40, ties=200, losses=10)
    registry.calls = 0
    really = registry.set_alias
    registry.set_alias = lambda *_: (_ for _ in ()).throw(Unavailable("away"))
    change = promote(world.folder, **options, as_of=AS_OF)
    assert (change.aliases, change.note) == ("pending", "away")
    assert "not followed yet" in describe(change)
    assert read_experiment(world.folder.experiment).champion == CHALLENGER
    assert registry.aliases["champion"] == CHAMPION
    assert [row.aliases for row in read_changes(world.store)] == ["pending"]
    registry.set_alias = really
    again = promote(world.folder, **options, as_of=AS_OF)
    assert (again.number, again.aliases) == (change.number, "moved")
    assert registry.aliases == {"champion": CHALLENGER}
    assert [row.aliases for row in read_changes(world.store)] == ["moved"]
    place = ExperimentFile(world.folder.experiment)
    assert reconcile_aliases(place, store=world.store, registry=registry, model="churn") == []


def test_a_registry_that_is_away_for_a_moment_is_asked_again(world, registry, options):
    live(world, wins=5, ties=200, losses=60)
    registry.away_for = 2
    assert rollback(world.folder, **options, as_of=AS_OF).aliases == "moved"
    assert "challenger" not in registry.aliases


def test_a_row_whose_file_was_never_written_is_void(world, registry, options, monkeypatch):
    live(world, wins=40, ties=200, losses=10)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(places, "write_experiment", die)
        with pytest.raises(KeyboardInterrupt):
            promote(world.folder, **options, as_of=AS_OF)
    assert [row.aliases for row in read_changes(world.store)] == ["pending"]
    assert promote(world.folder, **options, as_of=AS_OF).aliases == "moved"
    assert [row.aliases for row in read_changes(world.store)] == ["void", "moved"]


def test_a_file_that_cannot_be_written_changes_nothing(world, registry, options, monkeypatch):
    live(world, wins=40, ties=200, losses=10)

    def refuse(*_):
        raise OSError("read-only")

    monkeypatch.setattr(places, "write_experiment", refuse)
    with pytest.raises(Unavailable, match="read-only"):
        promote(world.folder, **options, as_of=AS_OF)
    assert registry.aliases["champion"] == CHAMPION
    assert [row.aliases for row in read_changes(world.store)] == ["void"]


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(world, registry, options, monkeypatch):
    live(world, wins=40, ties=200, losses=10)
    split = set_split(EXPERIMENT, 0.5, now=NOW, lead=LEAD)
    fetch = registry.fetch

    def change_meanwhile(version, folder):
        write_experiment(world.folder.experiment, split)
        fetch(version, folder)

    registry.fetch = change_meanwhile
    with pytest.raises(Unavailable, match="meanwhile"):
        promote(world.folder, **options, as_of=AS_OF)
    assert read_experiment(world.folder.experiment) == split
    assert read_changes(world.store) == []


def test_a_verdict_of_rollback_ends_the_trial(world, registry, options):
    live(world, wins=5, ties=200, losses=60)
    change = rollback(world.folder, **options, as_of=AS_OF)
    after = read_experiment(world.folder.experiment)
    assert (after.champion, after.challenger, after.mode, after.revision) == (CHAMPION, None, "off", 3)
    assert registry.aliases == {"champion": CHAMPION}
    assert registry.tags == {CHAMPION: {}, CHALLENGER: {"status": "archived"}}
    assert (change.manual, change.verdict.verdict, change.aliases) == (False, "ROLLBACK", "moved")


def test_a_rollback_by_verdict_needs_that_verdict(world, options):
    live(world, wins=40, ties=200, losses=10)
    with pytest.raises(NotAllowedByVerdict, match="PROMOTE"):
        rollback(world.folder, **options, as_of=AS_OF)
    assert read_experiment(world.folder.experiment) == EXPERIMENT


def test_a_person_with_a_reason_may_always_roll_back_and_the_audit_says_so(world, options):
    live(world, wins=40, ties=200, losses=10)
    rollback(world.folder, **options, as_of=AS_OF, reason="complaints")
    (row,) = read_changes(world.store)
    assert (row.manual, row.reason, row.verdict.verdict) == (True, "complaints", "PROMOTE")
    assert read_experiment(world.folder.experiment).challenger is None


def test_a_manual_rollback_waits_neither_for_a_verdict_nor_for_the_registry(world, registry, options):
    world.policy_path.unlink()
    registry.away_for = 100
    change = rollback(world.folder, **options, reason="complaints")
    assert (change.verdict, change.aliases) == (None, "pending")
    assert read_experiment(world.folder.experiment).challenger is None
    registry.away_for = 0
    assert rollback(world.folder, **options, reason="complaints").aliases == "moved"
    assert "challenger" not in registry.aliases


def test_an_empty_reason_is_none(world, options):
    with pytest.raises(InvalidSetting, match="reason"):
        rollback(world.folder, **options, reason="  ")


def test_a_newer_challenger_keeps_its_alias(world, registry, options):
    live(world, wins=5, ties=200, losses=60)
    registry.aliases["challenger"] = CHAMPION  # stands for any other version
    rollback(world.folder, **options, as_of=AS_OF)
    assert registry.aliases["challenger"] == CHAMPION


def test_a_store_that_is_away_changes_nothing(world, options, tmp_path):
    live(world, wins=5, ties=200, losses=60)
    world.store._engine.dispose()
    for path in tmp_path.glob("store.db*"):
        path.unlink()
    (tmp_path / "store.db").mkdir()
    with pytest.raises(GauntletError):
        rollback(world.folder, **options, as_of=AS_OF, reason="complaints")
    assert read_experiment(world.folder.experiment) == EXPERIMENT


def test_the_first_champion_is_made_by_its_blessing(world, registry):
    registry.aliases = {"challenger": CHAMPION}
    change = bootstrap_champion(registry, registry.version(CHAMPION), store=world.store, who="ann", now=NOW)
    assert registry.aliases == {"champion": CHAMPION}
    assert read_changes(world.store) == [change]
    assert (change.action, change.champion, change.aliases) == ("bootstrap", CHAMPION, "moved")
    assert "first champion" in describe(change)
    assert name_of_lineage(world.folder, world.store) == "churn", "who runs without a Bento knows the name by the audit"


def test_there_is_only_one_first_champion(world, registry):
    with pytest.raises(NotAllowedByVerdict, match="churn version 1 is champion already"):
        bootstrap_champion(registry, registry.version(CHALLENGER), store=world.store, who="ann", now=NOW)
    assert registry.aliases["champion"] == CHAMPION


def test_the_first_champion_needs_a_blessing_for_the_split(world, registry):
    registry.aliases = {}
    registry.blessings[CHAMPION] = blessing(artifact=CHAMPION, scope="shadow")
    with pytest.raises(NotBlessed, match="scope"):
        bootstrap_champion(registry, registry.version(CHAMPION), store=world.store, who="ann", now=NOW)
    assert registry.aliases == {}
    assert read_changes(world.store) == []


def test_a_first_champion_whose_alias_cannot_be_set_leaves_no_audit_row(world, registry):
    registry.aliases = {}
    registry.set_alias = lambda *_: (_ for _ in ()).throw(Unavailable("away"))
    with pytest.raises(Unavailable):
        bootstrap_champion(registry, registry.version(CHAMPION), store=world.store, who="ann", now=NOW)
    assert read_changes(world.store) == []
