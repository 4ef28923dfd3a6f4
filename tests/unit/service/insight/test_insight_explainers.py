"""SHAP values of real models: they add up, and are those that the definition gives."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from insight_toys import BOOSTED, ENCODER, EXTRA, FOREST, GRADIENT, LINEAR, OTHER, TREE, encoded, explainer_of, fitted
from serving_toys import CONTRACT, REFERENCE

from bentos.errors import ArtifactDamaged, NotExplained
from bentos.pipeline import probabilities
from service.insight.background import draw_background
from service.insight.explainers import BACKGROUND_ROWS, TOLERANCE, explain, make_explainer
from service.insight.folding import fold, scored_values
from training.data import encode, read_data, split, truth
from training.estimators import fit, recipe_of
from training.use_case import load_use_case

FAMILIES = {
    LINEAR: ("linear", "log_odds"),
    FOREST: ("tree", "probability"),
    BOOSTED: ("tree", "log_odds"),
    EXTRA: ("tree", "probability"),
    TREE: ("tree", "probability"),
    GRADIENT: ("tree", "log_odds"),
    OTHER: ("permutation", "probability"),
    "sklearn.naive_bayes.GaussianNB": ("permutation", "probability"),
}
NAMES = [feature.name for feature in CONTRACT.features]


def shapley(value, n):
    """Shapley values by their definition: each player's mean addition over all sets of the others."""
    found = np.zeros(n)
    for player in range(n):
        others = [one for one in range(n) if one != player]
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for known in combinations(others, size):
                found[player] += weight * (value({*known, player}) - value(set(known)))
    return found


@pytest.mark.parametrize("estimator", FAMILIES)
def test_each_family_is_explained_in_its_own_way(estimator):
    explainer = explainer_of(estimator)
    assert (explainer.method, explainer.space) == FAMILIES[estimator]


@pytest.mark.parametrize("without", [(), ("charges", "senior")], ids=["all", "fewer"])
@pytest.mark.parametrize("estimator", FAMILIES)
def test_base_value_and_contributions_come_to_what_the_model_answers(estimator, without):
    explainer, pipeline = explainer_of(estimator, without), fitted(estimator, without)
    for row in encoded()[:10]:
        found = explain(explainer, row[None])
        (answer,) = probabilities(pipeline, row[None])
        total = found.base_value + found.contributions.sum()
        said = 1 / (1 + math.exp(-total)) if explainer.space == "log_odds" else total
        assert abs(said - answer) <= TOLERANCE
        assert found.probability == answer
        assert abs(total - found.output) == pytest.approx(found.difference, abs=1e-12)


@pytest.mark.parametrize("estimator", FAMILIES)
def test_a_feature_that_is_not_read_contributes_nothing_and_others_do(estimator):
    explainer = explainer_of(estimator, ("charges", "senior"))
    found = np.array([explain(explainer, row[None]).contributions for row in encoded()[:10]])
    assert np.all(found[:, [NAMES.index("charges"), NAMES.index("senior")]] == 0)
    assert np.all(np.abs(found[:, NAMES.index("tenure")]) > 1e-4)


def test_a_linear_model_gives_weight_times_distance_from_the_mean():
    pipeline, row = fitted(LINEAR), encoded()[3:4]
    weights = pipeline.named_steps["estimator"].coef_[0] / pipeline.named_steps["scale"].scale_
    expected = fold(weights * (row[0].astype(float) - encoded().astype(float).mean(axis=0)), ENCODER)
    found = explain(explainer_of(LINEAR), row)
    np.testing.assert_allclose(found.contributions, expected, atol=1e-9)


def test_a_tree_gives_the_shapley_values_of_its_own_paths():
    tree, row = fitted(TREE).named_steps["estimator"].tree_, encoded()[7]

    def answer(known, node=0):
        left, right = tree.children_left[node], tree.children_right[node]
        if left < 0:
            return tree.value[node, 0, 1] / tree.value[node, 0].sum()
        if tree.feature[node] in known:
            return answer(known, left if row[tree.feature[node]] <= tree.threshold[node] else right)
        shares = (tree.weighted_n_node_samples[child] / tree.weighted_n_node_samples[node] for child in (left, right))
        return sum(share * answer(known, child) for share, child in zip(shares, (left, right), strict=True))

    expected = fold(shapley(answer, ENCODER.width), ENCODER)
    found = explain(explainer_of(TREE), row[None])
    np.testing.assert_allclose(found.contributions, expected, atol=1e-9)
    assert found.base_value == pytest.approx(answer(set()), abs=1e-9)


def test_everything_else_gives_the_shapley_values_of_whole_features_over_the_background():
    pipeline, row = fitted(OTHER), encoded()[2]
    rng = np.random.default_rng(0)
    background = draw_background(CONTRACT, ENCODER, REFERENCE, n=BACKGROUND_ROWS, rng=rng)

    def answer(known):
        mixed = background.copy()
        for index in known:
            start, end = ENCODER.spans[NAMES[index]]
            mixed[:, start:end] = row[start:end]
        return probabilities(pipeline, mixed).mean()

    found = explain(explainer_of(OTHER), row[None])
    np.testing.assert_allclose(found.contributions, shapley(answer, len(NAMES)), atol=1e-3)
    assert found.base_value == pytest.approx(answer(set()), abs=1e-9)


@pytest.mark.parametrize("estimator", [LINEAR, TREE, OTHER])
def test_the_same_row_is_explained_the_same_every_time(estimator):
    one, other = (explain(make_explainer(fitted(estimator), CONTRACT, REFERENCE), encoded()[:1]) for _ in range(2))
    np.testing.assert_array_equal(one.contributions, other.contributions)


@pytest.mark.parametrize("off", [2e-6, -0.1, math.nan])
def test_an_explanation_that_does_not_add_up_is_not_given(off):
    right = explainer_of(FOREST)

    def contribute(row):
        base_value, contributions = right.contribute(row)
        return base_value + off, contributions

    with pytest.raises(NotExplained, match="miss the model's answer"):
        explain(replace(right, contribute=contribute), encoded()[:1])


def test_a_margin_that_is_no_log_odds_is_not_called_so():
    right = explainer_of(BOOSTED)
    with pytest.raises(NotExplained, match="no log-odds"):
        explain(replace(right, probability=lambda row: 0.5), encoded()[:1])


def test_a_background_row_is_one_that_the_contract_encodes():
    rows = draw_background(CONTRACT, ENCODER, REFERENCE, n=500, rng=np.random.default_rng(1))
    values = [scored_values(CONTRACT, ENCODER, row) for row in rows]
    assert {value["tenure"] for value in values} == {2.0, 13.0, 24.0}
    assert {value["charges"] for value in values} == {70.5, None}
    assert {value["contract"] for value in values} == {"Month-to-month", "One year", "Two year"}
    share = np.mean([value["contract"] == "Month-to-month" for value in values])
    assert 0.4 < share < 0.6  # half of the reference's rows


def test_a_reference_without_a_feature_is_no_background():
    fewer = type(REFERENCE)(n=100, features=REFERENCE.features[1:], score=REFERENCE.score)
    with pytest.raises(ArtifactDamaged, match="tenure"):
        draw_background(CONTRACT, ENCODER, fewer, n=5, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    "features",
    [
        {"tenure": 3, "charges": 70.1, "contract": "One year", "senior": 0},
        {"tenure": 0, "charges": None, "contract": "Two year", "senior": "1"},
    ],
)
def test_what_was_scored_is_read_back_from_the_row(features):
    found = scored_values(CONTRACT, ENCODER, ENCODER.encode_row(features)[0])
    assert found == {**features, "senior": str(features["senior"])}


@pytest.mark.parametrize("estimator", [LINEAR, FOREST, BOOSTED])
def test_the_models_of_the_shipped_use_case_add_up(estimator, tmp_path):
    from serving_toys import CHECKOUT

    from bentos.folder import Folder

    use_case = load_use_case(CHECKOUT / "training" / "use_cases" / "telco_churn.yaml")
    data = read_data(use_case, None, folder=Folder(tmp_path), seed=11, rows=1500)
    contract = use_case.contract
    training, holdout = split(contract, data, folds=2)
    rows = encode(contract, training)
    pipeline = fit(recipe_of(estimator, {}, contract=contract), rows, truth(contract, training))
    explainer = make_explainer(pipeline, contract, REFERENCE)
    for row in encode(contract, holdout)[:20]:
        found = explain(explainer, row[None])
        assert found.difference <= 1e-9
        assert len(found.contributions) == len(contract.features)
        assert np.count_nonzero(found.contributions) > 3
