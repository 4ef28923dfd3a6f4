from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from bentos.artifact import Contract, Encoder, Labels, Numeric, Scorer
from bentos.errors import ArtifactDamaged, NotConvertible
from bentos.pipeline import dump_estimator, load_estimator
from training.conversion import TOLERANCE, check_parity, to_onnx
from training.data import Data, encode, split, truth
from training.edge_rows import edge_rows, thresholds_of
from training.estimators import KNOWN, fit, recipe_of
from training.use_case import UseCase

EDGES = 10_000


class Fitted:
    """An estimator fitted on the training rows of some data, and its ONNX form."""

    def __init__(self, contract: Contract, data: Data, estimator: str, **parameters: Any) -> None:
        training, holdout = split(contract, data, folds=2)
        self.contract = contract
        self.rows, self.holdout = encode(contract, training), encode(contract, holdout)
        self.pipeline = fit(recipe_of(estimator, parameters, contract=contract), self.rows, truth(contract, training))
        self.model = to_onnx(self.pipeline, width=self.rows.shape[1], name="m")

    def edges(self, n: int = EDGES) -> Any:
        rng = np.random.default_rng(0)
        return edge_rows(self.contract, thresholds_of(self.pipeline), self.rows, n=n, rng=rng)


@pytest.fixture(scope="module", params=KNOWN)
def shipped(request: pytest.FixtureRequest, telco_use_case: UseCase, synthetic: Data) -> Fitted:
    """Each named estimator with its defaults, on synthetic data."""
    return Fitted(telco_use_case.contract, synthetic, request.param)


def test_both_forms_agree_on_synthetic_data(shipped: Fitted) -> None:
    assert check_parity(shipped.pipeline, shipped.model, shipped.holdout) <= TOLERANCE
    assert check_parity(shipped.pipeline, shipped.model, shipped.edges()) <= TOLERANCE


@pytest.mark.parametrize("estimator", KNOWN)
def test_both_forms_agree_on_the_real_data(telco_use_case: UseCase, telco: Data, estimator: str) -> None:
    fitted = Fitted(telco_use_case.contract, telco, estimator)
    assert check_parity(fitted.pipeline, fitted.model, fitted.holdout) <= TOLERANCE
    assert check_parity(fitted.pipeline, fitted.model, fitted.edges()) <= TOLERANCE


@pytest.mark.parametrize("estimator", ["sklearn.ensemble.ExtraTreesClassifier", "sklearn.tree.DecisionTreeClassifier"])
def test_an_estimator_by_import_path_agrees(telco_use_case: UseCase, synthetic: Data, estimator: str) -> None:
    fitted = Fitted(telco_use_case.contract, synthetic, estimator, max_depth=6)
    assert check_parity(fitted.pipeline, fitted.model, fitted.edges()) <= TOLERANCE


def tenths() -> tuple[Contract, Any, Any]:
    """Two features with few distinct values, whose midpoints are no float32; rows and truth."""
    features = tuple(Numeric(name=name, minimum=0, maximum=5) for name in ("a", "b"))
    contract = Contract(
        schema_version=1,
        name="tenths",
        id="id",
        target="target",
        labels=Labels(positive="1", negative="0"),
        features=features,
    )
    rng = np.random.default_rng(0)
    rows = (rng.integers(0, 50, (2000, 2)) / 10).astype(np.float32)
    return contract, rows, (np.sin(rows[:, 0] * 3) + rows[:, 1] / 5 + rng.normal(0, 0.3, 2000) > 0.5).astype(np.int64)


def difference_beside_thresholds_of_tenths() -> float:
    contract, rows, labels = tenths()
    pipeline = fit(recipe_of("hist_gradient_boosting", {}, contract=contract), rows, labels)
    edges = edge_rows(contract, thresholds_of(pipeline), rows, n=EDGES, rng=np.random.default_rng(0))
    return check_parity(pipeline, to_onnx(pipeline, width=2, name="m"), edges)


def test_gradient_boosting_agrees_beside_thresholds_that_are_no_float32() -> None:
    assert difference_beside_thresholds_of_tenths() <= TOLERANCE


def test_edge_rows_show_what_rounding_thresholds_down_cures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.estimators._round_thresholds_down", lambda nodes: None)
    with pytest.raises(NotConvertible, match=r"HistGradientBoostingClassifier as ONNX differs"):
        difference_beside_thresholds_of_tenths()


def test_an_estimator_that_differs_is_refused_by_name_with_the_difference(
    telco_use_case: UseCase, synthetic: Data
) -> None:
    fitted = Fitted(telco_use_case.contract, synthetic, "sklearn.naive_bayes.GaussianNB")
    with pytest.raises(NotConvertible, match=r"sklearn\.naive_bayes\.GaussianNB as ONNX differs .* by \d.*1e-06"):
        check_parity(fitted.pipeline, fitted.model, fitted.edges())


def test_an_estimator_without_a_converter_is_refused_by_name(telco_use_case: UseCase, synthetic: Data) -> None:
    with pytest.raises(NotConvertible, match=r"sklearn\.dummy\.DummyClassifier does not convert to ONNX"):
        Fitted(telco_use_case.contract, synthetic, "sklearn.dummy.DummyClassifier")


@pytest.mark.parametrize("estimator", KNOWN)
def test_the_same_fit_gives_the_same_bytes(telco_use_case: UseCase, synthetic: Data, estimator: str) -> None:
    fewer = {"random_forest": {"n_estimators": 30}, "hist_gradient_boosting": {"max_iter": 30}}.get(estimator, {})
    one, other = (Fitted(telco_use_case.contract, synthetic, estimator, **fewer) for _ in range(2))
    assert one.model == other.model
    assert dump_estimator(one.pipeline) == dump_estimator(other.pipeline)


def test_the_saved_estimator_answers_as_the_fitted_one(shipped: Fitted, tmp_path: Path) -> None:
    (tmp_path / "estimator.skops").write_bytes(dump_estimator(shipped.pipeline))
    assert check_parity(load_estimator(tmp_path / "estimator.skops"), shipped.model, shipped.holdout) <= TOLERANCE


def test_an_estimator_of_types_that_are_not_trusted_is_refused(telco_use_case: UseCase, synthetic: Data) -> None:
    fitted = Fitted(telco_use_case.contract, synthetic, "sklearn.calibration.CalibratedClassifierCV", cv=2)
    with pytest.raises(NotConvertible, match=r"CalibratedClassifierCV.*sklearn\.calibration\._CalibratedClassifier"):
        dump_estimator(fitted.pipeline)


def test_a_saved_estimator_that_is_no_such_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "estimator.skops").write_bytes(b"not a zip file")
    with pytest.raises(ArtifactDamaged, match=r"estimator\.skops"):
        load_estimator(tmp_path / "estimator.skops")


def test_edge_rows_sit_on_and_beside_every_threshold_and_range_end(telco_use_case: UseCase, synthetic: Data) -> None:
    fitted = Fitted(telco_use_case.contract, synthetic, "hist_gradient_boosting")
    (tenure, _) = Encoder(telco_use_case.contract).spans["tenure"]
    thresholds = thresholds_of(fitted.pipeline)[tenure]
    assert len(thresholds) > 10
    seen = set(fitted.edges()[:, tenure].tolist())
    ends = np.array([0, 120], dtype=np.float32)
    for exact in np.concatenate([thresholds, ends]):
        for side in (-np.inf, np.inf):
            assert float(np.nextafter(exact, np.float32(side))) in seen
        assert float(exact) in seen


def test_edge_rows_hold_every_category_missing_and_unseen(telco_use_case: UseCase, synthetic: Data) -> None:
    fitted = Fitted(telco_use_case.contract, synthetic, "logistic_regression")
    encoder, made = Encoder(telco_use_case.contract), fitted.edges(2000)
    start, end = encoder.spans["Contract"]
    assert {tuple(row) for row in made[:, start:end].tolist()} == {(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)}
    start, end = encoder.spans["TotalCharges"]
    assert [0.0, 1.0] in made[:, start:end].tolist()


def test_thresholds_of_left_out_columns_are_named_by_the_row_s_columns(
    telco_use_case: UseCase, synthetic: Data
) -> None:
    contract = telco_use_case.contract
    rows, labels = encode(contract, synthetic.frame), truth(contract, synthetic.frame)
    recipe = recipe_of("random_forest", {"n_estimators": 20}, contract=contract, without=("gender", "tenure"))
    columns = set(thresholds_of(fit(recipe, rows, labels)))
    spans = Encoder(contract).spans
    assert spans["TotalCharges"][0] in columns
    assert not columns & {*range(*spans["gender"]), *range(*spans["tenure"])}


def test_probabilities_add_up_to_one(shipped: Fitted) -> None:
    session = onnxruntime.InferenceSession(shipped.model)
    (both,) = session.run(["probabilities"], {"row": shipped.holdout})
    assert both.dtype == np.float32
    assert np.abs(both.sum(axis=1) - 1).max() < 1e-6
    assert Scorer(shipped.model).width == shipped.rows.shape[1]
