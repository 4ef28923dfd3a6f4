"""Protected groups as people see them: counted by hand, of whom the ledger counted, and in no verdict."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa
from judging import CHALLENGER, DAY, EXPERIMENT, START, policy, prediction, treatment, truth
from prometheus_client.parser import text_string_to_metric_families

from bentos.artifact import Categorical, dump_contract
from service.prediction_log.forgetting import Places, forget
from service.scoring.experiment import write_experiment
from service.store import tables
from tests.bench.series import A_PROTECTED
from tests.serving_toys import CONTRACT, make_bento
from validation.judge import tallying
from validation.judge.closing import close_cohorts
from validation.judge.contracts import contracts_of
from validation.judge.ledger import MISSING_GROUP
from validation.judge.metrics import Looks, render_metrics
from validation.judge.policy import GroupRule
from validation.judge.process import step
from validation.judge.protected import FEWEST, MOST_GROUPS, UNSEEN_GROUP, Attribute, Customers, attributes_of, tally
from validation.judge.tallying import GroupWatch, tally_groups

NOW = START + 31 * DAY
SENIOR = Attribute(name="senior", feature=Categorical(name="senior", categories=("0", "1")))
RULES = policy()
KINDS = (
    # how many, senior, truth, champion, challenger
    (30, {"senior": 1}, True, True, True),
    (10, {"senior": "1"}, True, False, True),
    (20, {"senior": 1}, False, True, False),
    (60, {"senior": 1.0}, False, False, False),
    (10, {"senior": 0}, True, True, True),
    (40, {"senior": 0}, True, False, False),
    (50, {"senior": 0}, False, False, False),
    (FEWEST - 1, {}, True, True, True),
)
ONE = {"customers": 120, "positive": 40, "champion_positive": 50, "challenger_positive": 40, "champion_right": 90}
ONE |= {"challenger_right": 120}
ZERO = {"customers": 100, "positive": 50, "champion_positive": 10, "challenger_positive": 10, "champion_right": 60}
ZERO |= {"challenger_right": 60}
"""Of the seniors 30 + 10 were positive; the champion said so of 30 + 20 and was right about 30 + 60, and so on."""


@pytest.fixture
def packed(world):
    make_bento(world.path / "packed", (0.25, 0.7))
    world.folder.bento.symlink_to(world.path / "packed")
    return world


def customers(**changes):
    """Predictions and truths of all kinds."""
    records = []
    for kind, (number, features, is_positive, champion, challenger) in enumerate(KINDS):
        said = {"champion_positive": champion, "challenger_positive": challenger, "features": features}
        rows = [prediction(f"c{kind}-{n}", **{**said, **changes}) for n in range(number)]
        records += [*rows, *(truth(row, is_positive) for row in rows)]
    return records


def closed(world, *records, rules=RULES, now=NOW):
    world.log(*records)
    world.ship(now)
    return close_cohorts(world.store, EXPERIMENT.id, rules, now=now)


def counted(found):
    return {group.value: {name: getattr(group, name) for name in ONE} for group in found}


def looked(world):
    world.log(*customers())
    world.ship(NOW)
    return step(world.folder, world.store, RULES, now=NOW)


def watch(world, path=None, scoring=None, rules=RULES):
    return GroupWatch(world.store, rules, contracts_of(world.folder, path=path, scoring=scoring))


def groups_of(world, rules=RULES, attributes=(SENIOR,)):
    return counted(tally_groups(world.store, EXPERIMENT.id, rules, attributes))


def test_groups_are_counted_by_hand_and_a_small_one_is_not_shown(world):
    (row,) = closed(world, *customers())
    assert groups_of(world) == {"0": ZERO, "1": ONE}
    assert row.groups is None  # the policy names none: the ledger holds what it always held
    assert row.counts.matured == 120 + 100 + FEWEST - 1


def test_a_group_is_shown_from_the_smallest_number_on(world):
    one = prediction("one more", champion_positive=True)
    closed(world, *customers(), one, truth(one, False))
    assert groups_of(world)[MISSING_GROUP]["customers"] == FEWEST
    assert groups_of(world)[MISSING_GROUP]["champion_right"] == FEWEST - 1


def test_who_is_no_matured_first_prediction_of_an_enrolled_customer_counts_nowhere(world):
    senior = {"features": {"senior": 1}}
    again = prediction("c0-0", START + timedelta(hours=1), champion_positive=False, **senior)
    out = prediction("held out", enrolment="holdout", **senior)
    test = prediction("test", purpose="test", **senior)
    mute = prediction("mute", challenger_positive=None, challenger_probability=None, **senior)
    waits = prediction("no truth", **senior)
    young = prediction("young", START + DAY, **senior)
    others = [again, out, test, mute, young]
    closed(world, *customers(), *others, waits, *(truth(row, True) for row in others))
    assert groups_of(world) == {"0": ZERO, "1": ONE}


def test_what_landed_after_the_closing_is_late_here_too(world):
    waits = prediction("told late", features={"senior": 1})
    (row,) = closed(world, *customers(), waits)
    late = prediction("logged late", features={"senior": 1})
    world.log(truth(waits, True), late, truth(late, True))
    world.ship(NOW + timedelta(hours=1))
    assert close_cohorts(world.store, EXPERIMENT.id, RULES, now=NOW + timedelta(hours=1)) == []
    assert groups_of(world) == {"0": ZERO, "1": ONE}
    assert row.counts.missing_agreements == 1


def test_nothing_is_shown_before_a_closing_nor_of_cohorts_closed_by_other_rules(world):
    world.log(*customers())
    world.ship(START + DAY)
    assert groups_of(world) == {}
    closed(world)
    assert groups_of(world, rules=policy(margin=0.03)) == {}
    assert groups_of(world, attributes=()) == {}


def test_where_actions_follow_predictions_only_who_was_left_alone_counts(world):
    rules = policy(actions_follow_predictions=True)
    left, reached = customers(no_treatment=True), prediction("reached", features={"senior": 1})
    spoiled = prediction("spoiled", features={"senior": 1}, no_treatment=True)
    acted = [treatment(spoiled), treatment(reached)]
    (row,) = closed(world, *left, reached, truth(reached, True), spoiled, truth(spoiled, True), *acted, rules=rules)
    assert groups_of(world, rules=rules) == {"0": ZERO, "1": ONE}
    assert row.counts.matured == 120 + 100 + FEWEST - 1


def test_without_a_contract_the_groups_of_the_policy_are_shown_as_requests_spell_them(world):
    rules = policy(groups=(GroupRule(attribute="senior", margin=0.1, when_underpowered="report"),))
    (row,) = closed(world, *customers(), rules=rules)
    assert groups_of(world, rules, attributes_of(None, rules)) == {"0": ZERO, "1": ONE}
    assert row.groups["senior"]["1"].matured == ONE["customers"]


def test_only_the_newest_are_looked_at(world, monkeypatch):
    monkeypatch.setattr(tallying, "NEWEST", 150)
    older = [row for row in customers() if row.__class__.__name__ == "Prediction"]
    newer = [prediction(f"n{n}", START + timedelta(hours=1, seconds=n), features={"senior": 0}) for n in range(150)]
    closed(world, *older, *(truth(row, True) for row in [*older, *newer]), *newer)
    assert {value: group["customers"] for value, group in groups_of(world).items()} == {"0": 150}


def test_who_was_forgotten_is_not_counted_again_though_no_cohort_closes(packed):
    status, watching = looked(packed), watch(packed)
    assert counted(watching.look(status)[EXPERIMENT.id]) == {"0": ZERO, "1": ONE}
    places = Places(spools=packed.folder.spool, archives=(), key_file=packed.path / "tombstone.key")
    forget(packed.store, "c0-0", places=places, who="t", now=NOW)
    found = counted(watching.look(status)[EXPERIMENT.id])
    assert found == {"0": ZERO, "1": {name: number - 1 for name, number in ONE.items()}}


def test_values_are_the_contracts_and_all_others_are_one_group():
    of = [Customers(raw=(f'"{n}"',), champion=True, challenger=True, truth=True, number=FEWEST) for n in range(40)]
    found = {group.value: group.customers for group in tally(of, [SENIOR])}
    assert found == {"0": FEWEST, "1": FEWEST, UNSEEN_GROUP: 38 * FEWEST}
    of[39] = msgspec.structs.replace(of[39], number=FEWEST + 1)
    unknown = [group.value for group in tally(of, [Attribute(name="senior")])]
    assert len(unknown) == MOST_GROUPS
    assert "39" in unknown


def test_attributes_are_the_contracts_and_then_the_policys():
    rules = policy(groups=tuple(GroupRule(attribute=n, margin=0.1, when_underpowered="report") for n in NAMED))
    assert [(one.name, one.feature is not None) for one in attributes_of(CONTRACT, rules)] == [
        ("senior", True),
        ("contract", True),
        ("region", False),
    ]
    assert [one.name for one in attributes_of(None, rules)] == list(NAMED)
    assert attributes_of(None, RULES) == ()


NAMED = ("contract", "senior", "region")

# The judge's metrics


def samples(status, groups):
    families = text_string_to_metric_families(render_metrics(status, Looks(), groups).decode())
    return {
        (family.name.removeprefix("gauntlet_judge_protected_"), *_own(sample.labels)): sample.value
        for family in families
        for sample in family.samples
        if "protected" in family.name
    }


def _own(labels):
    assert (labels["variant"], labels["model"]) == ("challenger", CHALLENGER[7:19])
    return tuple(labels[name] for name in ("attribute", "value", "role") if name in labels)


def test_shares_are_exported_by_attribute_value_and_role(packed):
    status = looked(packed)
    found = samples(status, watch(packed).look(status))
    assert found == {
        ("customers", "senior", "0"): 100, ("customers", "senior", "1"): 120,
        ("outcome_ratio", "senior", "0"): 0.5, ("outcome_ratio", "senior", "1"): pytest.approx(1 / 3),
        ("selection_ratio", "senior", "0", "champion"): 0.1, ("selection_ratio", "senior", "0", "challenger"): 0.1,
        ("selection_ratio", "senior", "1", "champion"): pytest.approx(5 / 12),
        ("selection_ratio", "senior", "1", "challenger"): pytest.approx(1 / 3),
        ("accuracy_ratio", "senior", "0", "champion"): 0.6, ("accuracy_ratio", "senior", "0", "challenger"): 0.6,
        ("accuracy_ratio", "senior", "1", "champion"): 0.75, ("accuracy_ratio", "senior", "1", "challenger"): 1.0,
    }  # fmt: skip
    assert len(found) == 2 * A_PROTECTED
    assert status.verdict.evidence.groups == ()


def test_a_judge_that_lost_its_store_and_a_service_without_a_trial_show_no_group(packed):
    status = looked(packed)
    groups = watch(packed).look(status)
    assert samples(None, groups) == {}
    off = msgspec.structs.replace(EXPERIMENT, mode="off", challenger=None)
    write_experiment(packed.folder.experiment, off)
    alone = step(packed.folder, packed.store, RULES, now=NOW)
    assert watch(packed).look(alone) == {}
    assert samples(alone, groups) == {}


def test_a_judge_without_a_bento_goes_by_the_contract_that_it_is_given(world):
    status = looked(world)
    assert watch(world).look(status) == {}
    path = world.path / "contract.json"
    path.write_bytes(dump_contract(CONTRACT))
    assert counted(watch(world, path=path).look(status)[EXPERIMENT.id]) == {"0": ZERO, "1": ONE}


def test_a_contract_that_cannot_be_read_is_told_once_and_costs_only_what_it_alone_names(world, caplog):
    status, path = looked(world), world.path / "contract.json"
    rules = policy(groups=(GroupRule(attribute="region", margin=0.1, when_underpowered="report"),))
    watching = watch(world, path, rules=rules)
    assert watching.knows_contract is None
    for content in (None, b"{", b"{", dump_contract(CONTRACT)):
        if content is not None:
            path.write_bytes(content)
        assert watching.look(status) == {EXPERIMENT.id: ()}  # closed by other rules, but counted
        assert watching.knows_contract is (content == dump_contract(CONTRACT))
    assert [one.message for one in caplog.records].count("contract_not_read") == 2


def test_a_judge_that_knows_no_contract_says_why_whoever_is_on_trial(world, caplog):
    write_experiment(world.folder.experiment, msgspec.structs.replace(EXPERIMENT, mode="off", challenger=None))
    watching = watch(world)
    assert watching.look(step(world.folder, world.store, RULES, now=NOW)) == {}
    assert watching.knows_contract is False
    (told,) = (one for one in caplog.records if one.message == "contract_not_read")
    assert "is no Bento that can be served" in told.reason


def test_whether_the_contract_is_known_is_exported_from_the_first_look_on():
    name = "gauntlet_judge_contract_known"
    told = b"".join(render_metrics(None, Looks(knows_contract=known)) for known in (None, False, True)).decode()
    assert [line for line in told.splitlines() if line.startswith(name)] == [f"{name} 0.0", f"{name} 1.0"]


def test_a_store_that_cannot_count_costs_the_groups_and_is_told_once(packed, caplog):
    status = looked(packed)
    watching = watch(packed)
    with packed.store.writing() as connection:
        connection.execute(sa.update(tables.predictions).values(features="no JSON"))
    assert watching.look(status) == {}
    assert watching.look(status) == {}
    assert [one.message for one in caplog.records].count("groups_not_counted") == 1


def test_groups_are_counted_again_when_a_cohort_was_closed_and_not_before(packed):
    status, watching = looked(packed), watch(packed)
    first = watching.look(status)
    with packed.store.writing() as connection:
        connection.execute(sa.delete(tables.predictions).where(tables.predictions.c.customer_id == "c0-0"))
    assert watching.look(status) == first
    packed.ship(NOW + DAY)
    again = watching.look(step(packed.folder, packed.store, RULES, now=NOW + DAY))
    assert counted(again[EXPERIMENT.id])["1"]["customers"] == 119
