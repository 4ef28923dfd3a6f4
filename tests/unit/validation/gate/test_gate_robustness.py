import numpy as np
import pytest
from gate_evidence import CONTRACT, columns_of, evidence, judge, number

from bentos.artifact import Encoder
from validation.gate.checks import KINDS
from validation.gate.perturbing import flip_categories, lose_values, permute, shift, unsee_categories

Flips, Missing, Unseen, Shift = (KINDS[kind] for kind in ("flips", "missing", "unseen", "shift"))
N = 400
ENCODER = Encoder(CONTRACT)
COLUMN = {name: i for i, name in enumerate(ENCODER.columns)}


def table(seed=0):
    rng = np.random.default_rng(seed)
    return columns_of(
        N,
        tenure=rng.integers(0, 73, N).tolist(),
        charge=[
            None if blank else float(v) for blank, v in zip(rng.random(N) < 0.1, rng.uniform(0, 120, N), strict=True)
        ],
        gender=rng.choice(["Female", "Male"], N).tolist(),
        plan=rng.choice(["monthly", "yearly"], N).tolist(),
    )


def by_plan(rows):
    """Leans on the plan alone."""
    return np.where(rows[:, COLUMN["plan=monthly"]] == 1, 0.9, 0.1).astype(np.float32)


def by_tenure(rows):
    """Leans on tenure alone, with a cliff at 36."""
    return np.where(rows[:, COLUMN["tenure"]] < 36, 0.9, 0.1).astype(np.float32)


def constant(rows):
    return np.full(len(rows), 0.1, dtype=np.float32)


def tried(score, rule, champion=None, truth=None):
    columns = table()
    rows = ENCODER.encode_columns(columns)
    truth = score(rows) >= 0.5 if truth is None else truth
    numbers = (
        number(COLUMN["tenure"], name="tenure", deviation=20.0, high=72.0),
        number(COLUMN["charge"], name="charge", missing=COLUMN["charge=missing"], deviation=30.0, high=120.0),
    )
    return judge(rule, evidence(score, champion, truth=truth, columns=columns, numbers=numbers))


def test_flips_change_one_category_for_another_and_leave_missing_ones():
    rows = ENCODER.encode_columns(table())
    start = ENCODER.spans["plan"][0]
    rows[:50, start : start + 3] = [0, 0, 1]
    flipped = flip_categories(rows, CONTRACT, 1.0, np.random.default_rng(0))
    assert (flipped[50:, start] == rows[50:, start + 1]).all()
    assert (flipped[:50, start : start + 3] == [0, 0, 1]).all()
    assert (flipped[:, COLUMN["tenure"]] == rows[:, COLUMN["tenure"]]).all()
    some = flip_categories(rows, CONTRACT, 0.2, np.random.default_rng(0))
    assert (some[50:, start] != rows[50:, start]).mean() == pytest.approx(0.2, abs=0.06)


def test_values_go_missing_where_the_contract_lets_them():
    rows = ENCODER.encode_columns(table())
    gone = lose_values(rows, CONTRACT, 1.0, np.random.default_rng(0))
    assert (gone[:, COLUMN["charge=missing"]] == 1).all()
    assert (gone[:, COLUMN["charge"]] == 0).all()  # the contract's fill
    assert (gone[:, COLUMN["plan=missing"]] == 1).all()
    assert (gone[:, COLUMN["plan=monthly"]] == 0).all()
    assert (gone[:, COLUMN["tenure"]] == rows[:, COLUMN["tenure"]]).all()


def test_an_unseen_category_leaves_its_columns_empty():
    rows = ENCODER.encode_columns(table())
    unseen = unsee_categories(rows, CONTRACT, 1.0, np.random.default_rng(0))
    assert (unseen[:, COLUMN["gender=Female"]] + unseen[:, COLUMN["gender=Male"]] == 0).all()


def test_a_shift_keeps_to_the_range_and_leaves_missing_values():
    rows = ENCODER.encode_columns(table())
    charge = number(COLUMN["charge"], name="charge", missing=COLUMN["charge=missing"], deviation=30.0, high=120.0)
    moved = shift(rows, charge, 10, is_whole=False)
    is_missing = rows[:, COLUMN["charge=missing"]] == 1
    assert is_missing.any()
    assert (moved[is_missing] == rows[is_missing]).all()
    assert (moved[~is_missing, COLUMN["charge"]] == 120).all()


@pytest.mark.parametrize(("deviations", "by"), [(0.25, 5), (-0.26, -5), (0.001, 1), (-0.001, -1)])
def test_a_whole_number_shifts_by_a_whole_number(deviations, by):
    rows = ENCODER.encode_columns({**table(), "tenure": [30] * N})
    tenure = number(COLUMN["tenure"], name="tenure", deviation=20.0, high=72.0)
    assert set(shift(rows, tenure, deviations, is_whole=True)[:, COLUMN["tenure"]]) == {30 + by}


def test_a_permutation_keeps_a_features_columns_together():
    rows = ENCODER.encode_columns(table())
    shuffled = permute(rows, ENCODER.spans["plan"], np.random.default_rng(0))
    start, end = ENCODER.spans["plan"]
    assert (shuffled[:, start:end].sum(axis=1) == 1).all()
    assert shuffled[:, start].sum() == rows[:, start].sum()
    assert (shuffled[:, :start] == rows[:, :start]).all()


@pytest.mark.parametrize(("share", "status"), [(0.05, "PASS"), (0.2, "FAIL")])
def test_flips_cost_what_they_hit(share, status):
    (result,) = tried(by_plan, Flips(shares=(share,), accuracy_drop_below=0.1, judge_by="point"))
    assert result.status == status
    assert result.value == pytest.approx(share, abs=0.02)
    assert result.low < share < result.high
    assert result.details["mean_change_of_probability"] == pytest.approx(0.8 * share, abs=0.02)
    assert result.details["share_of_labels_that_change"] == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("kind", [Missing, Unseen])
def test_what_is_gone_costs_those_who_leant_on_it(kind):
    (brittle,) = tried(by_plan, kind(shares=(0.5,), accuracy_drop_below=0.1, judge_by="interval"), champion=constant)
    assert brittle.status == "FAIL"
    assert brittle.champion == 0.0
    (sturdy,) = tried(by_tenure, kind(shares=(0.5,), accuracy_drop_below=0.1, judge_by="interval"))
    assert (sturdy.status, sturdy.value) == ("PASS", 0.0)


def test_the_worst_shift_is_named_and_every_shift_is_in_the_parts():
    (result,) = tried(by_tenure, Shift(deviations=(0.5,), accuracy_drop_below=0.05, judge_by="point"))
    assert result.status == "FAIL"
    assert result.reason.startswith("the worst of 4 shifts, tenure ")
    assert {part.name for part in result.parts} == {
        "tenure +0.5 sd", "tenure -0.5 sd", "charge +0.5 sd", "charge -0.5 sd",
    }  # fmt: skip
    assert result.value == max(part.value for part in result.parts)
    # Four shifts: each has a 98.75 % interval, so that all hold together.
    assert "98.75 % interval" in result.reason


def test_what_may_be_missing_is_named():
    (result,) = tried(by_plan, Missing(shares=(0.1,), accuracy_drop_below=0.1, judge_by="point"))
    assert result.reason.startswith("in charge, plan, as nothing else may be missing: 0.0")


def test_what_was_right_by_mistake_counts_against_what_became_wrong():
    # Half of the truths are turned: flipped answers are right as often as they are wrong, yet every one changed.
    rows = ENCODER.encode_columns(table())
    truth = (by_plan(rows) >= 0.5) ^ (np.arange(N) % 2 == 0)
    (result,) = tried(by_plan, Flips(shares=(0.5,), accuracy_drop_below=0.5, judge_by="point"), truth=truth)
    assert result.value == pytest.approx(0.0, abs=0.05)
    assert result.details["share_of_labels_that_change"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "rule",
    [
        Flips(shares=(0.1,), accuracy_drop_below=0.5, judge_by="point"),
        Missing(shares=(0.1,), accuracy_drop_below=0.5, judge_by="point"),
        Unseen(shares=(0.1,), accuracy_drop_below=0.5, judge_by="point"),
        Shift(deviations=(0.5,), accuracy_drop_below=0.5, judge_by="point"),
    ],
)
def test_a_champion_beside_it_changes_no_number_of_the_candidates(rule):
    (alone,), (beside,) = tried(by_tenure, rule), tried(by_tenure, rule, champion=by_plan)
    assert (alone.value, alone.low, alone.high) == (beside.value, beside.low, beside.high)
    assert [(p.name, p.value, p.low) for p in alone.parts] == [(p.name, p.value, p.low) for p in beside.parts]
    assert beside.champion is not None


def test_several_levels_are_checks_of_their_own():
    results = tried(by_plan, Flips(shares=(0.01, 0.05), accuracy_drop_below=0.5, judge_by="point"))
    assert [result.name for result in results] == ["accuracy_drop[flips 0.01]", "accuracy_drop[flips 0.05]"]
