from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from bentos.artifact import Encoder
from bentos.errors import InvalidContract, InvalidSetting, NotConvertible
from bentos.pipeline import probabilities
from training.data import Data, encode, truth
from training.estimators import KNOWN, _round_thresholds_down, fit, pipeline_of, recipe_of
from training.use_case import UseCase


def test_the_shipped_forest_has_ten_rows_a_leaf(telco_use_case: UseCase) -> None:
    recipe = recipe_of("random_forest", {}, contract=telco_use_case.contract)
    estimator = pipeline_of(recipe).named_steps["estimator"]
    assert (estimator.n_estimators, estimator.max_depth, estimator.min_samples_leaf) == (200, 10, 10)


def test_parameters_go_over_the_defaults(telco_use_case: UseCase) -> None:
    recipe = recipe_of("random_forest", {"max_depth": 3}, contract=telco_use_case.contract)
    assert recipe.parameters == {**KNOWN["random_forest"].defaults, "max_depth": 3}


def test_a_known_estimator_s_path_is_the_same_as_its_name(telco_use_case: UseCase) -> None:
    by_name = recipe_of("random_forest", {}, contract=telco_use_case.contract)
    assert recipe_of(KNOWN["random_forest"].path, {}, contract=telco_use_case.contract) == by_name


def test_only_linear_models_are_scaled(telco_use_case: UseCase) -> None:
    steps = {
        name: list(pipeline_of(recipe_of(name, {}, contract=telco_use_case.contract)).named_steps) for name in KNOWN
    }
    assert steps == {
        "random_forest": ["estimator"],
        "hist_gradient_boosting": ["estimator"],
        "logistic_regression": ["scale", "estimator"],
    }


@pytest.mark.parametrize(
    ("estimator", "parameters", "told"),
    [
        ("forest", {}, "no estimator 'forest'; name one of random_forest"),
        ("os.path", {}, "no estimator 'os.path'"),
        ("sklearn.ensemble.RandomForrest", {}, "has no 'sklearn.ensemble.RandomForrest'"),
        ("sklearn.nowhere.Thing", {}, "has no 'sklearn.nowhere.Thing'"),
        ("sklearn.ensemble.RandomForestRegressor", {}, "is no classifier"),
        ("sklearn.base.ClassifierMixin", {}, "is no classifier; name one of"),
        ("sklearn.utils.deprecation.deprecated", {}, "is no classifier; name one of"),
        ("sklearn.ensemble.BaseEnsemble", {}, "is no classifier; name one of"),
        ("sklearn.tests.test_base.NoEstimator", {}, "no estimator 'sklearn.tests.test_base.NoEstimator'; name one of"),
        ("sklearn.ensemble._forest.RandomForestClassifier", {}, "no estimator 'sklearn.ensemble._forest"),
        ("sklearn..ensemble", {}, "no estimator 'sklearn..ensemble'"),
        (
            "random_forest",
            {"n_estimators": 10**21},
            "n_estimators is 1000000000000000000000; it must be at most",
        ),
        ("hist_gradient_boosting", {"max_iter": 100_001}, "max_iter is 100001; it must be at most 100,000"),
        ("random_forest", {"max_depth": float("inf")}, "max_depth is inf; it must be at most 10,000"),
        ("random_forest", {"max_dept": 3}, "no parameter 'max_dept' (did you mean max_depth?); it has bootstrap"),
        ("random_forest", {"random_state": 3}, "random_state cannot be given: --seed sets it"),
        ("random_forest", {"n_jobs": 3}, "n_jobs cannot be given"),
        ("random_forest", {"max_depth": [3]}, "max_depth must be a text, a number"),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(
    telco_use_case: UseCase, estimator: str, parameters: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidSetting) as caught:
        recipe_of(estimator, parameters, contract=telco_use_case.contract)
    assert told in str(caught.value)


def test_what_is_no_class_is_never_called(telco_use_case: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda: pytest.fail("it was called"))
    with pytest.raises(InvalidSetting, match=r"sklearn\.datasets\.fetch_openml is no classifier; name one of"):
        recipe_of("sklearn.datasets.fetch_openml", {}, contract=telco_use_case.contract)


def test_what_a_path_may_not_name_is_not_imported(telco_use_case: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"{name} was imported"))
    for path in ("sklearn.tests.test_base.NoEstimator", "sklearn.utils._testing.MinimalClassifier"):
        with pytest.raises(InvalidSetting, match="there is no estimator"):
            recipe_of(path, {}, contract=telco_use_case.contract)


def test_the_most_work_that_may_be_asked_for_is_taken(telco_use_case: UseCase) -> None:
    given = {"n_estimators": 10_000, "max_depth": 10_000}
    assert recipe_of("random_forest", given, contract=telco_use_case.contract).parameters.items() >= given.items()


def test_a_number_that_is_too_large_for_the_estimator_is_one_clear_sentence(
    telco_use_case: UseCase, synthetic: Data
) -> None:
    contract = telco_use_case.contract
    recipe = recipe_of("random_forest", {"min_samples_leaf": 10**21}, contract=contract)
    with pytest.raises(InvalidSetting, match="refuses its parameters"):
        fit(recipe, encode(contract, synthetic.frame[:100]), truth(contract, synthetic.frame[:100]))


@pytest.mark.parametrize(
    ("estimator", "told"),
    [
        ("sklearn.svm.LinearSVC", "gives no probabilities"),
        ("sklearn.ensemble.VotingClassifier", "cannot be made from plain parameters"),
    ],
)
def test_an_estimator_that_cannot_serve_is_refused_by_name(telco_use_case: UseCase, estimator: str, told: str) -> None:
    with pytest.raises(NotConvertible, match=f"{estimator}.*{told}"):
        recipe_of(estimator, {}, contract=telco_use_case.contract)


def test_a_value_that_the_estimator_refuses_is_one_clear_sentence(telco_use_case: UseCase, synthetic: Data) -> None:
    contract = telco_use_case.contract
    recipe = recipe_of("random_forest", {"max_depth": "deep"}, contract=contract)
    with pytest.raises(InvalidSetting) as caught:
        fit(recipe, encode(contract, synthetic.frame[:100]), truth(contract, synthetic.frame[:100]))
    assert "max_depth" in str(caught.value)
    assert "deep" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_estimator_that_gives_no_probabilities_with_its_parameters_is_refused_by_name(
    telco_use_case: UseCase, synthetic: Data
) -> None:
    contract = telco_use_case.contract
    recipe = recipe_of("sklearn.svm.SVC", {}, contract=contract)
    with pytest.raises(NotConvertible, match=r"sklearn\.svm\.SVC gives no probabilities"):
        fit(recipe, encode(contract, synthetic.frame), truth(contract, synthetic.frame))


def test_a_feature_left_out_changes_no_answer(telco_use_case: UseCase, synthetic: Data) -> None:
    contract = telco_use_case.contract
    rows, labels = encode(contract, synthetic.frame), truth(contract, synthetic.frame)
    for estimator in KNOWN:
        recipe = recipe_of(estimator, {}, contract=contract, without=("tenure", "Contract"))
        pipeline = fit(recipe, rows[:500], labels[:500])
        changed = rows.copy()
        for name in ("tenure", "Contract"):
            start, end = Encoder(contract).spans[name]
            changed[:, start:end] = 1 - changed[:, start:end]
        assert (probabilities(pipeline, rows) == probabilities(pipeline, changed)).all()


def test_leaving_out_what_is_no_feature_is_told(telco_use_case: UseCase) -> None:
    with pytest.raises(InvalidContract, match="no feature 'age'; it has gender"):
        recipe_of("random_forest", {}, contract=telco_use_case.contract, without=("age",))


def test_a_model_must_read_something(telco_use_case: UseCase) -> None:
    everything = tuple(feature.name for feature in telco_use_case.contract.features)
    with pytest.raises(InvalidSetting, match="at least one feature"):
        recipe_of("random_forest", {}, contract=telco_use_case.contract, without=everything)


@pytest.mark.parametrize("estimator", KNOWN)
def test_the_same_seed_gives_the_same_answers(telco_use_case: UseCase, synthetic: Data, estimator: str) -> None:
    contract = telco_use_case.contract
    rows, labels = encode(contract, synthetic.frame[:800]), truth(contract, synthetic.frame[:800])
    recipe = recipe_of(estimator, {}, contract=contract, seed=4)
    assert (probabilities(fit(recipe, rows, labels), rows) == probabilities(fit(recipe, rows, labels), rows)).all()


def test_rounding_thresholds_down_changes_no_answer_on_float32_rows(telco_use_case: UseCase) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.integers(0, 50, (1000, 2)) / 10).astype(np.float32)  # midpoints of tenths are no float32
    labels = (np.sin(rows[:, 0] * 3) + rng.normal(0, 0.3, 1000) > 0).astype(np.int64)
    rounded = fit(recipe_of("hist_gradient_boosting", {}, contract=telco_use_case.contract), rows, labels)
    plain = HistGradientBoostingClassifier(**KNOWN["hist_gradient_boosting"].defaults, random_state=0).fit(rows, labels)
    assert unrepresentable_share(rounded.named_steps["estimator"]) == 0 < unrepresentable_share(plain)
    assert (probabilities(rounded, rows) == plain.predict_proba(rows)[:, 1]).all()


def unrepresentable_share(estimator: Any) -> float:
    """The share of thresholds that are no float32."""
    nodes = np.concatenate([tree.nodes for trees in estimator._predictors for tree in trees])
    thresholds = nodes["num_threshold"][nodes["is_leaf"] == 0]
    return float((thresholds != thresholds.astype(np.float32)).mean())


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20))
def test_a_rounded_threshold_is_the_largest_float32_not_above(thresholds: list[float]) -> None:
    nodes = np.array([(value,) for value in thresholds], dtype=[("num_threshold", np.float64)])
    _round_thresholds_down(nodes)
    rounded = nodes["num_threshold"]
    above = np.nextafter(rounded.astype(np.float32), np.float32(np.inf)).astype(np.float64)
    assert (rounded == rounded.astype(np.float32)).all()
    assert (rounded <= thresholds).all()
    assert (above > thresholds).all()
