"""Data: columns that broke, customers that moved, features that know the answer, rows that contradict each other."""

import numpy as np
import pandas as pd
import pytest
from gate_customers import N, found_for, reference, rule, sensible, table, with_champion
from gate_evidence import CONTRACT, columns_of, evidence, facts, judge

from training.reference import reference_of
from validation.gate.checks.drift import count_in_bins


def test_values_are_counted_in_bins_as_the_service_counts_them():
    known = reference()
    tenure, _, _, plan = known.features
    assert count_in_bins(tenure, CONTRACT, [0, 23, 24, 47, 48, 72]) == [2, 2, 2]
    assert count_in_bins(plan, CONTRACT, ["monthly", None, "yearly", "yearly"]) == [1, 2, 1, 0]


def test_values_are_counted_in_bins_as_training_counts_them():
    columns = {**table(), "charge": [None if i % 7 == 0 else float(i % 113) for i in range(N)]}
    columns["plan"] = [None if i % 11 == 0 else plan for i, plan in enumerate(columns["plan"])]
    known = reference_of(
        CONTRACT, pd.DataFrame({name: pd.Series(v, dtype=object) for name, v in columns.items()}), np.linspace(0, 1, N)
    )
    for binned in known.features:
        assert tuple(count_in_bins(binned, CONTRACT, columns[binned.name])) == binned.counts


def test_data_that_moved_away_from_the_champions_is_named():
    found = found_for(sensible)
    for known, status in ((reference(), "PASS"), (reference(tenure=(900, 50, 50)), "FAIL")):
        (result,) = judge(rule("drift_from_champion"), with_champion(found, sensible, facts(reference=known)))
        assert result.status == status
    assert result.reason.startswith("1 of 4 features moved away from the champion's training data: tenure (PSI ")
    assert result.parts[0].note.startswith("chance reaches 0.0")


def test_a_holdout_unlike_its_own_training_data_is_a_broken_split():
    odd = facts(reference=reference(plan=(990, 10, 0, 0)))
    (result,) = judge(rule("drift_from_training"), found_for(sensible, known=odd))
    assert result.status == "FAIL"
    assert "plan (PSI" in result.reason


def test_too_few_rows_and_a_reference_without_a_feature_are_errors():
    (few,) = judge(rule("drift_from_training"), found_for(sensible, columns={k: v[:150] for k, v in table().items()}))
    assert (few.status, few.reason) == ("ERROR", "the holdout has 150 rows, and PSI has no limit of chance below 200")
    known = reference()
    odd = facts(reference=type(known)(n=1000, features=known.features[:2], score=known.score))
    (lacking,) = judge(rule("drift_from_training"), found_for(sensible, known=odd))
    assert (lacking.status, lacking.reason) == ("ERROR", "the reference of the training data lacks gender, plan")


def test_a_column_that_became_empty_or_constant_is_named():
    (fine,) = judge(rule("schema"), found_for(sensible))
    assert (fine.status, fine.value) == ("PASS", 0.0)
    emptied = {**table(), "charge": [None if i % 5 == 0 else 40.0 + i % 30 for i in range(N)]}
    (empty,) = judge(
        rule("schema"), with_champion(found_for(sensible, columns=emptied), sensible, facts(reference=reference()))
    )
    assert (empty.status, empty.value) == ("FAIL", pytest.approx(0.2))
    assert empty.reason == "charge: missing in 20.0% of rows, 0.0% in training, 0.0% in the champion's"
    (constant,) = judge(rule("schema"), found_for(sensible, columns={**table(), "plan": ["yearly"] * N}))
    assert constant.status == "FAIL"
    assert constant.reason.startswith("plan: missing in 0.0% of rows, 0.0% in training, and 'yearly' in every row")


def test_a_column_that_was_constant_or_empty_in_training_too_is_no_break():
    known = facts(reference=reference(plan=(998, 2, 0, 0), charge=(400, 400, 200)))
    columns = {**table(), "plan": ["monthly"] * N, "charge": [None if i % 5 == 0 else 40.0 + i for i in range(N)]}
    (result,) = judge(rule("schema"), found_for(sensible, known=known, columns=columns))
    assert result.status == "PASS"


LEAKAGE = {"roc_auc_at_most": 0.95, "feature_roc_auc_at_most": 0.95, "judge_by": "interval"}


def test_an_honest_model_leaks_nothing():
    results = judge(rule("leakage", **LEAKAGE), found_for(sensible))
    assert [(r.name, r.status) for r in results] == [("leakage[model]", "PASS"), ("leakage[features]", "PASS")]
    assert results[1].reason.startswith("tenure by itself: ")


@pytest.mark.parametrize("column", ["gender", "tenure"])
def test_a_feature_that_is_the_answer_is_named(column):
    columns = table()
    truth = np.array([value == "Male" if column == "gender" else value < 20 for value in columns[column]])
    _model, feature = judge(rule("leakage", **LEAKAGE), found_for(sensible, truth=truth))
    assert feature.status == "FAIL"
    assert feature.reason.startswith(f"{column} by itself: 1.0000")


def test_a_number_that_tells_the_answer_in_its_middle_is_named():
    columns = table()
    truth = np.array([25 <= value < 50 for value in columns["tenure"]])
    bound = {**LEAKAGE, "feature_roc_auc_at_most": 0.9}
    _model, feature = judge(rule("leakage", **bound), found_for(sensible, truth=truth))
    assert feature.status == "FAIL"
    assert feature.reason.startswith("tenure by itself: 0.9")


def test_a_number_that_is_missing_because_of_the_answer_is_named():
    columns = table()
    truth = np.arange(N) % 3 == 0
    columns["charge"] = [None if leaves else charge for leaves, charge in zip(truth, columns["charge"], strict=True)]
    _model, feature = judge(rule("leakage", **LEAKAGE), found_for(sensible, truth=truth, columns=columns))
    assert feature.status == "FAIL"
    assert feature.reason.startswith("charge by itself: 1.0000")


def test_many_categories_do_not_look_like_the_answer():
    names = tuple(f"city {i}" for i in range(N // 2))
    plan = CONTRACT.feature("plan")
    contract = type(CONTRACT)(
        **{**{f: getattr(CONTRACT, f) for f in CONTRACT.__struct_fields__},
           "features": (*CONTRACT.features[:3], type(plan)(name="plan", categories=names))}
    )  # fmt: skip
    columns = {**table(), "plan": [names[i // 2] for i in range(N)]}
    truth = np.random.default_rng(8).random(N) < 0.3
    found = evidence(np.full(N, 0.3), truth=truth, columns=columns, contract=contract)
    _model, feature = judge(rule("leakage", **LEAKAGE), found)
    assert feature.status == "PASS"
    assert {part.name: part.value for part in feature.parts}["plan"] == pytest.approx(0.5, abs=0.06)


def test_a_category_whose_customers_all_leave_is_named():
    columns = table()
    columns["plan"] = [None if i < 40 else plan for i, plan in enumerate(columns["plan"])]
    truth = np.where(np.arange(N) < 40, True, np.random.default_rng(2).random(N) < 0.2)
    held = rule("leakage", **{**LEAKAGE, "category_rate_at_most": 0.8, "on_inconclusive": "point"})
    *_, category = judge(held, found_for(sensible, truth=truth, columns=columns))
    assert (category.name, category.status, category.value) == ("leakage[categories]", "FAIL", 1.0)
    assert category.reason.startswith("leaves Yes among plan missing, the most of ")
    assert (category.parts[0].name, category.parts[0].n) == ("plan missing", 40)
    *_, honest = judge(held, found_for(sensible, truth=np.random.default_rng(2).random(N) < 0.4))
    assert honest.status == "PASS"


def test_rows_that_contradict_each_other_are_counted():
    columns = columns_of(10, tenure=[1, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    truth = np.array([True, False, *[True] * 8])
    (result,) = judge(
        rule("contradicting_rows", share_at_most=0.1), evidence(np.full(10, 0.9), truth=truth, columns=columns)
    )
    assert (result.status, result.value) == ("FAIL", 0.2)
    assert result.reason.startswith("2 of 10 rows have a twin")
