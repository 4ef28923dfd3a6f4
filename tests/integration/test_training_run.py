from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bentos.artifact import Artifact, Encoder, load_artifact, sha256
from bentos.errors import InvalidData, InvalidSetting, NotConvertible, Unavailable
from bentos.folder import Folder
from bentos.pipeline import load_estimator, probabilities
from bentos.registry import Registry, open_registry
from training.data import encode, read_data, split
from training.generator import generate_customers
from training.train import Trained, TrainRequest, read_parameters, train, train_on
from training.use_case import load_use_case

USE_CASES = Path(__file__).parents[2] / "training" / "use_cases"
CANCER = TrainRequest(use_case=USE_CASES / "breast_cancer.yaml", parameters={"n_estimators": 40})
SYNTHETIC = TrainRequest(use_case=USE_CASES / "telco_churn.yaml", estimator="logistic_regression", rows=1500, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def registry(folder: Folder) -> Registry:
    return open_registry(folder)


@pytest.fixture(scope="module")
def cancer(registry: Registry, folder: Folder) -> Trained:
    return train(CANCER, registry=registry, folder=folder)


@pytest.fixture(scope="module")
def synthetic(registry: Registry, folder: Folder) -> Trained:
    return train(SYNTHETIC, registry=registry, folder=folder)


def fetched(registry: Registry, trained: Trained, folder: Path) -> Artifact:
    return registry.fetch(trained.version, folder / f"{trained.version.name}-{trained.version.number}")


def run_status(registry: Registry, name: str) -> list[str]:
    found = registry.client.search_runs([registry.experiment(name)], order_by=["attributes.start_time DESC"])
    return [run.info.status for run in found]


def test_a_use_case_of_another_field_is_trained_without_code_of_its_own(
    cancer: Trained, registry: Registry, tmp_path: Path
) -> None:
    artifact = fetched(registry, cancer, tmp_path)
    assert artifact.contract == load_use_case(CANCER.use_case).contract
    assert artifact.digest == cancer.digest == cancer.version.digest
    assert cancer.metrics["roc_auc"] > 0.97  # any sound classifier reaches that on these data
    assert not cancer.is_synthetic


def test_the_trained_version_is_the_candidate(cancer: Trained, registry: Registry) -> None:
    assert registry.resolve("models:/malignancy@candidate") == cancer.version
    assert cancer.version.aliases == ("candidate",)


def test_the_registered_model_answers_as_its_estimator_on_the_holdout(
    cancer: Trained, registry: Registry, tmp_path: Path
) -> None:
    artifact = fetched(registry, cancer, tmp_path)
    holdout = pd.read_parquet(registry.fetch_file(cancer.version, "data/holdout.parquet", tmp_path))
    rows = encode(artifact.contract, holdout)
    pipeline = load_estimator(artifact.folder / "estimator.skops")
    assert rows.shape == (cancer.holdout_rows, Encoder(artifact.contract).width)
    assert abs(artifact.scorer().score(rows) - probabilities(pipeline, rows)).max() <= 1e-6


def test_the_holdout_is_kept_with_the_run_under_the_digest_of_the_record(
    synthetic: Trained, registry: Registry, tmp_path: Path
) -> None:
    record = fetched(registry, synthetic, tmp_path).training
    path = registry.fetch_file(synthetic.version, "data/holdout.parquet", tmp_path)
    use_case = load_use_case(SYNTHETIC.use_case)
    data = read_data(use_case, None, folder=Folder(tmp_path), seed=SYNTHETIC.seed, rows=SYNTHETIC.rows)
    _, holdout = split(use_case.contract, data, folds=5)
    assert sha256(path.read_bytes()) == record.holdout
    assert len(pd.read_parquet(path)) == record.holdout_rows == synthetic.holdout_rows
    pd.testing.assert_frame_equal(pd.read_parquet(path), holdout, check_dtype=False)


def test_the_record_says_where_the_model_comes_from(synthetic: Trained, registry: Registry, tmp_path: Path) -> None:
    record = fetched(registry, synthetic, tmp_path).training
    assert record.estimator == "sklearn.linear_model.LogisticRegression"
    assert (record.rows, record.seed, record.is_synthetic) == (1500, 3, True)
    assert record.data == synthetic.data
    assert record.run == synthetic.version.run
    assert record.parity == synthetic.parity <= 1e-6
    assert set(record.versions) >= {"scikit-learn", "skl2onnx", "onnxruntime"}


def test_synthetic_data_is_labelled_wherever_the_model_is_seen(synthetic: Trained, registry: Registry) -> None:
    run = registry.client.get_run(synthetic.version.run)
    assert synthetic.is_synthetic
    assert synthetic.version.tags["synthetic"] == run.data.tags["synthetic"] == "true"
    assert "synthetic" in synthetic.version.tags["data_source"]


def test_the_run_holds_parameters_metrics_with_their_average_and_plots(cancer: Trained, registry: Registry) -> None:
    run = registry.client.get_run(cancer.version.run)
    assert run.info.status == "FINISHED"
    assert run.data.params["n_estimators"] == "40"
    assert run.data.params["min_samples_leaf"] == "10"
    assert run.data.params["data"] == cancer.data
    assert run.data.metrics["cv_f1_weighted_mean"] == pytest.approx(cancer.metrics["f1_weighted"])
    assert run.data.metrics["cv_roc_auc_sd"] == pytest.approx(cancer.deviations["roc_auc"])
    bare = {"f1", "precision", "recall"}
    assert not [name for name in run.data.metrics if name.removeprefix("cv_").removesuffix("_mean") in bare]
    plots = {file.path for file in registry.client.list_artifacts(cancer.version.run, "plots")}
    assert plots == {f"plots/{name}.png" for name in ("roc", "precision_recall", "calibration", "confusion")}


def test_the_reference_counts_training_rows_only(cancer: Trained, registry: Registry, tmp_path: Path) -> None:
    reference = fetched(registry, cancer, tmp_path).reference
    assert reference.n == cancer.rows == 569 - cancer.holdout_rows
    assert sum(reference.score.counts) == reference.n


def test_the_same_seed_and_data_give_the_same_artifact_but_for_the_run_s_name(
    synthetic: Trained, registry: Registry, folder: Folder, tmp_path: Path
) -> None:
    again = train(SYNTHETIC, registry=registry, folder=folder)
    one, other = fetched(registry, synthetic, tmp_path), fetched(registry, again, tmp_path)
    for name in ("model.onnx", "contract.json", "reference.json", "estimator.skops"):
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes(), name
    records = [json.loads((artifact.folder / "training.json").read_bytes()) for artifact in (one, other)]
    assert [record.pop("run") for record in records] == [synthetic.version.run, again.version.run]
    assert records[0] == records[1]


def test_models_of_one_data_set_share_its_holdout(cancer: Trained, registry: Registry, folder: Folder) -> None:
    use_case = load_use_case(CANCER.use_case)
    data = read_data(use_case, None, folder=folder)
    other = TrainRequest(use_case=CANCER.use_case, estimator="logistic_regression", without=("mean area",), seed=9)
    trained = train_on(data, use_case, other, registry=registry)
    records = [fetched(registry, one, folder.path / "shared").training for one in (cancer, trained)]
    assert records[0].holdout == records[1].holdout
    assert records[1].left_out == ("mean area",)


def test_a_model_whose_onnx_form_differs_fails_its_run_and_registers_nothing(
    cancer: Trained, registry: Registry, folder: Folder
) -> None:
    before = registry.versions("malignancy")
    request = TrainRequest(use_case=CANCER.use_case, estimator="sklearn.naive_bayes.GaussianNB")
    with pytest.raises(NotConvertible, match="GaussianNB"):
        train(request, registry=registry, folder=folder)
    assert registry.versions("malignancy") == before
    assert run_status(registry, "malignancy")[0] == "FAILED"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        pytest.param(TrainRequest(use_case=CANCER.use_case, estimator="forest"), InvalidSetting, id="estimator"),
        pytest.param(TrainRequest(use_case=CANCER.use_case, parameters={"depth": 3}), InvalidSetting, id="parameter"),
        pytest.param(TrainRequest(use_case=CANCER.use_case, folds=1), InvalidSetting, id="folds"),
        pytest.param(TrainRequest(use_case=SYNTHETIC.use_case, seed=-1), InvalidSetting, id="seed"),
        pytest.param(TrainRequest(use_case=SYNTHETIC.use_case, rows=10), InvalidData, id="rows"),
    ],
)
def test_a_request_that_is_not_allowed_opens_no_run(
    request_: TrainRequest,
    error: type[Exception],
    cancer: Trained,
    synthetic: Trained,
    registry: Registry,
    folder: Folder,
) -> None:
    names = ("malignancy", "churn")
    before = [len(run_status(registry, name)) for name in names]
    with pytest.raises(error):
        train(request_, registry=registry, folder=folder)
    assert [len(run_status(registry, name)) for name in names] == before


def test_data_that_is_not_allowed_is_told_before_anything_is_fitted(
    registry: Registry, folder: Folder, tmp_path: Path
) -> None:
    customers = generate_customers(100, seed=1)
    customers.loc[7, "tenure"] = -3
    customers.to_csv(tmp_path / "customers.csv", index=False)
    told: list[str] = []
    request = TrainRequest(use_case=SYNTHETIC.use_case, data=str(tmp_path / "customers.csv"))
    with pytest.raises(InvalidData, match=r"row 7, tenure: -3"):
        train(request, registry=registry, folder=folder, progress=told.append)
    assert told == ["reading data"]


def test_a_tracking_server_that_does_not_answer_is_told_by_its_address(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9"):
        open_registry(folder, "http://127.0.0.1:9")


def test_parameters_come_from_a_file_and_from_flags_which_win(tmp_path: Path) -> None:
    (tmp_path / "parameters.yaml").write_text("max_depth: 4\nclass_weight: balanced\n")
    found = read_parameters(["max_depth=6", "bootstrap=false", "max_features=null"], tmp_path / "parameters.yaml")
    assert found == {"max_depth": 6, "class_weight": "balanced", "bootstrap": False, "max_features": None}


@pytest.mark.parametrize("flag", ["max_depth", "=3", "max_depth=[3"])
def test_a_flag_that_is_no_parameter_is_told(flag: str) -> None:
    with pytest.raises(InvalidSetting):
        read_parameters([flag], None)


def test_a_damaged_download_of_the_artifact_is_refused(cancer: Trained, registry: Registry, tmp_path: Path) -> None:
    artifact = fetched(registry, cancer, tmp_path)
    (artifact.folder / "training.json").write_bytes(b"{}")
    with pytest.raises(Exception, match=r"training\.json differs"):
        load_artifact(artifact.folder)
