"""From data to a registered candidate: validate, hold out, cross-validate, fit, convert, prove, track, register."""

from __future__ import annotations

import importlib.metadata
import io
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bentos.artifact import TrainingRecord, dump_contract, dump_json, sha256, write_files
from bentos.errors import InvalidSetting, NotFound
from bentos.folder import Folder
from bentos.pipeline import dump_estimator
from bentos.registry import ARTIFACT_PATH, Registry, Version
from bentos.strict_yaml import load_yaml
from training.conversion import check_parity, to_onnx
from training.data import Data, count_seen, encode, read_data, split, truth
from training.edge_rows import edge_rows, thresholds_of
from training.estimators import Parameter, Recipe, fit, recipe_of
from training.holdout import SHARE
from training.metrics import Validated, cross_validate
from training.plots import draw
from training.reference import reference_of
from training.tracking import Run, open_run
from training.use_case import UseCase, load_use_case

CANDIDATE = "candidate"
HOLDOUT = "data/holdout.parquet"
"""Where the holdout is among a run's files."""
EDGE_ROWS = 10_000
_LIBRARIES = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "skops", "numpy", "pandas", "mlflow")

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What to train.

    Attributes:
        use_case: The use case file.
        data: A data file, a URL of one or of a database, the name of a download of the use case, or None for its own
            source.
        query: SQL, where the data lies in a database.
        estimator: A name in `training.estimators.KNOWN`, or an import path.
        parameters: Of the estimator, over its defaults.
        without: Features that the model must not read.
        seed: Of everything random, generated data included.
        rows: How many rows to generate, where nothing is read.
        folds: Of the cross-validation.
        experiment: The MLflow experiment; None: the model's name.
    """

    use_case: Path
    data: str | None = None
    query: str | None = None
    estimator: str = "random_forest"
    parameters: Mapping[str, Parameter] = field(default_factory=lambda: MappingProxyType({}))
    without: Sequence[str] = ()
    seed: int = 0
    rows: int = 7000
    folds: int = 5
    experiment: str | None = None


@dataclass(frozen=True)
class Trained:
    """A model that was trained and registered.

    Attributes:
        version: In the registry, as candidate.
        digest: Of its artifact.
        estimator: The estimator's import path.
        metrics: Cross-validated means.
        deviations: Standard deviations of the same over the folds.
        folds: Of the cross-validation.
        parity: Largest difference of probability between `model.onnx` and scikit-learn.
        rows: Rows it was fitted on.
        holdout_rows: Rows kept for the gate.
        holdout_seen: How many of them stand among the rows it was fitted on, the same in every feature and in truth.
        data: Digest of the data.
        source: Where the data came from, for people.
        is_synthetic: Whether the data was generated.
        seconds: How long it took.
    """

    version: Version
    digest: str
    estimator: str
    metrics: dict[str, float]
    deviations: dict[str, float]
    folds: int
    parity: float
    rows: int
    holdout_rows: int
    holdout_seen: int
    data: str
    source: str
    is_synthetic: bool
    seconds: float


def train(
    request: TrainRequest, *, registry: Registry, folder: Folder, progress: Progress = lambda _text: None
) -> Trained:
    """Read the data, then do as `train_on` does.

    Raises:
        BadInput: The use case, the data, the estimator or a parameter is not allowed; the message names it.
        NotConvertible: The estimator's ONNX form answers differently.
        Unavailable: A download or the tracking server failed.
    """
    _check_request(request)
    use_case = load_use_case(request.use_case)
    progress("reading data")
    data = read_data(use_case, request.data, folder=folder, seed=request.seed, rows=request.rows, query=request.query)
    return train_on(data, use_case, request, registry=registry, progress=progress)


def train_on(
    data: Data,
    use_case: UseCase,
    request: TrainRequest,
    *,
    registry: Registry,
    progress: Progress = lambda _text: None,
) -> Trained:
    """Fit a model on data that was read before, and register it as candidate.

    A run that fails is marked FAILED at the tracking server, and nothing is registered.

    Raises:
        As `train`.
    """
    began = time.monotonic()
    contract = use_case.contract
    _check_request(request)
    recipe = recipe_of(
        request.estimator, request.parameters, contract=contract, without=request.without, seed=request.seed
    )
    training, holdout = split(contract, data, folds=request.folds)
    seen = count_seen(training, holdout, [*(feature.name for feature in contract.features), contract.target])
    tags = _tags(data, recipe)
    short = recipe.path.rpartition(".")[2]
    experiment = request.experiment or contract.name
    with open_run(registry, experiment=experiment, name=f"{contract.name} {short}", tags=tags) as run:
        made = _make(_Parts(use_case, data, request, recipe, training, holdout, seen), run, progress)
    progress("registering")
    version = registry.register(contract.name, run=run.id, digest=made.digest, tags=tags)
    registry.set_alias(version, CANDIDATE)
    return Trained(
        version=registry.resolve(version.uri),
        digest=made.digest,
        estimator=recipe.path,
        metrics=made.validated.means,
        deviations=made.validated.deviations,
        folds=request.folds,
        parity=made.parity,
        rows=len(training),
        holdout_rows=len(holdout),
        holdout_seen=seen,
        data=data.digest,
        source=data.source,
        is_synthetic=data.is_synthetic,
        seconds=time.monotonic() - began,
    )


def read_parameters(flags: Sequence[str], path: Path | None) -> dict[str, Parameter]:
    """Parameters from a YAML file and from flags `NAME=VALUE`, whose values are read as YAML too; flags win.

    Raises:
        InvalidSetting: A flag has no name or value, or the file holds no mapping.
        NotFound: There is no such file.

    >>> read_parameters(["max_depth=6", "class_weight=balanced", "bootstrap=true"], None)
    {'max_depth': 6, 'class_weight': 'balanced', 'bootstrap': True}
    """
    found: dict[str, Parameter] = dict(_parameters_in(path)) if path is not None else {}
    for flag in flags:
        name, equals, value = flag.partition("=")
        if not equals or not name.strip():
            raise InvalidSetting(f"--parameter {flag!r} must be NAME=VALUE, such as max_depth=6")
        found[name.strip()] = _parse_value(name, value)
    return found


@dataclass(frozen=True)
class _Parts:
    use_case: UseCase
    data: Data
    request: TrainRequest
    recipe: Recipe
    training: pd.DataFrame
    holdout: pd.DataFrame
    holdout_seen: int


@dataclass(frozen=True)
class _Made:
    digest: str
    validated: Validated
    parity: float


def _make(parts: _Parts, run: Run, progress: Progress) -> _Made:
    """Everything between an open run and a registered version."""
    contract, recipe = parts.use_case.contract, parts.recipe
    rows, labels = encode(contract, parts.training), truth(contract, parts.training)
    validated = cross_validate(recipe, rows, labels, cut=contract.cut, folds=parts.request.folds, progress=progress)
    progress(f"fitting on {len(rows):,} rows")
    pipeline = fit(recipe, rows, labels)
    progress("converting to ONNX and comparing")
    model = to_onnx(pipeline, width=rows.shape[1], name=contract.name)
    rng = np.random.default_rng(parts.request.seed)
    edges = edge_rows(contract, thresholds_of(pipeline), rows, n=EDGE_ROWS, rng=rng)
    parity = max(check_parity(pipeline, model, some) for some in (encode(contract, parts.holdout), edges))
    holdout = _parquet(parts.holdout)
    record = _record(parts, validated, parity=parity, holdout=sha256(holdout), run=run.id)
    files = {
        "contract.json": dump_contract(contract),
        "model.onnx": model,
        "estimator.skops": dump_estimator(pipeline),
        "reference.json": dump_json(reference_of(contract, parts.training, validated.probabilities)),
        "training.json": dump_json(record),
    }
    progress("tracking")
    label = " (synthetic data)" if parts.data.is_synthetic else ""
    title = f"{recipe.path.rpartition('.')[2]}, {parts.request.folds} folds{label}"
    plots = draw(contract, labels, validated.probabilities, title=title)
    return _Made(
        _track(run, record, validated, files, holdout=holdout, plots=plots, seen=parts.holdout_seen), validated, parity
    )


def _track(
    run: Run,
    record: TrainingRecord,
    validated: Validated,
    files: dict[str, bytes],
    *,
    holdout: bytes,
    plots: dict[str, bytes],
    seen: int,
) -> str:
    """Keep everything with the run; gives the artifact digest."""
    with tempfile.TemporaryDirectory(prefix="gauntlet-train-") as name:
        folder = Path(name)
        digest = write_files(folder / ARTIFACT_PATH, files)
        for path, content in {HOLDOUT: holdout, **{f"plots/{plot}": png for plot, png in plots.items()}}.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
        means = {f"cv_{metric}_mean": value for metric, value in validated.means.items()}
        deviations = {f"cv_{metric}_sd": value for metric, value in validated.deviations.items()}
        run.log(
            parameters={
                "estimator": record.estimator,
                "seed": record.seed,
                "without": ", ".join(record.left_out) or "nothing",
                "rows": record.rows,
                "holdout_rows": record.holdout_rows,
                "data": record.data,
                **record.parameters,
            },
            metrics={
                **means,
                **deviations,
                "onnx_difference": record.parity,
                "holdout_seen_share": seen / record.holdout_rows,
            },
            tags={"digest": digest},
        )
        run.log_folder(folder)
    return digest


def _record(parts: _Parts, validated: Validated, *, parity: float, holdout: str, run: str) -> TrainingRecord:
    return TrainingRecord(
        data=parts.data.digest,
        is_synthetic=parts.data.is_synthetic,
        rows=len(parts.data.frame),
        holdout=holdout,
        holdout_rows=len(parts.holdout),
        holdout_share=SHARE,
        seed=parts.request.seed,
        estimator=parts.recipe.path,
        parameters=dict(parts.recipe.parameters),
        left_out=tuple(parts.request.without),
        metrics=validated.means,
        parity=parity,
        versions={name: importlib.metadata.version(name) for name in _LIBRARIES},
        git_revision=_git_revision(),
        run=run,
    )


def _tags(data: Data, recipe: Recipe) -> dict[str, str]:
    return {
        "data": data.digest,
        "data_source": data.source[:500],
        "synthetic": "true" if data.is_synthetic else "false",
        "estimator": recipe.path,
    }


def _check_request(request: TrainRequest) -> None:
    if request.folds < 2:
        raise InvalidSetting(f"folds is {request.folds}; it must be 2 or more")
    if not 0 <= request.seed < 2**32:
        raise InvalidSetting(f"seed is {request.seed}; it must be from 0 to {2**32 - 1}")


def _parquet(frame: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    return content.getvalue()


def _git_revision() -> str | None:
    """The checkout's revision, from the environment in an image and from git elsewhere; None where there is neither."""
    given = os.environ.get("GAUNTLET_GIT_REVISION")
    git = shutil.which("git")
    if given or git is None:
        return given
    command = [git, "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    return found.stdout.strip() if found.returncode == 0 else None


def _parameters_in(path: Path) -> dict[str, Any]:
    try:
        found = load_yaml(path.read_bytes())
    except FileNotFoundError as e:
        raise NotFound(f"there is no parameters file {path}") from e
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as e:
        raise InvalidSetting(f"{path} is no YAML: {' '.join(str(e).split())}") from e
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise InvalidSetting(f"{path} must hold a mapping of parameter names to values")
    return found


def _parse_value(name: str, text: str) -> Any:
    try:
        return load_yaml(text)
    except yaml.YAMLError as e:
        raise InvalidSetting(f"--parameter {name}: {text!r} is no YAML value") from e
