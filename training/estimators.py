"""Estimators by name or import path, and the pipeline around them: what the model is told not to read, then the fit."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Contract, Encoder
from bentos.errors import InvalidSetting, NotConvertible, shown
from bentos.pipeline import as_read, one_openmp_thread

Parameter = str | int | float | bool | None
"""What a parameter may be: a JSON value that is no list and no object."""

FIT_JOBS = 2
"""Threads of a fit, where the estimator takes any; answers do not depend on it."""


@dataclass(frozen=True)
class Known:
    """An estimator that has a name here.

    Attributes:
        path: Its import path.
        defaults: The parameters it ships with here.
    """

    path: str
    defaults: Mapping[str, Parameter]


KNOWN: Mapping[str, Known] = MappingProxyType(
    {
        # At least 10 rows a leaf: smaller and faster than full trees, and better on Telco.
        "random_forest": Known(
            "sklearn.ensemble.RandomForestClassifier",
            {"n_estimators": 200, "max_depth": 10, "min_samples_leaf": 10, "max_features": "sqrt"},
        ),
        "hist_gradient_boosting": Known(
            "sklearn.ensemble.HistGradientBoostingClassifier",
            {"learning_rate": 0.06, "max_iter": 100, "max_leaf_nodes": 12, "min_samples_leaf": 20},
        ),
        "logistic_regression": Known("sklearn.linear_model.LogisticRegression", {"max_iter": 1000}),
    }
)
_GIVEN = {"random_state": "--seed sets it", "n_jobs": "it changes no answer", "verbose": "progress is shown otherwise"}
_MOST: Mapping[str, int] = MappingProxyType(
    {
        "n_estimators": 10_000,
        "max_iter": 100_000,
        "max_depth": 10_000,
        "max_leaf_nodes": 1_000_000,
        "max_fun": 1_000_000,
        "max_iter_predict": 100_000,
        "n_restarts_optimizer": 1_000,
        "hidden_layer_sizes": 10_000,
        "Cs": 1_000,
        "cv": 100,
    }
)
"""Of parameters that say how much work a fit is: ten times what makes sense, and far from what never ends."""
_SCALED = ("sklearn.linear_model.", "sklearn.svm.", "sklearn.neural_network.")
"""Where estimators live that need columns of one scale. Trees do not, and a scaler before them costs parity."""


@dataclass(frozen=True)
class Recipe:
    """What is fitted: an estimator, its parameters, and what it must not read.

    Attributes:
        path: The estimator's import path.
        parameters: All that were given, defaults of `KNOWN` included.
        columns: Positions of the encoded row's columns that are read; None: all.
        seed: Of everything random in the fit.
    """

    path: str
    parameters: Mapping[str, Parameter]
    columns: tuple[int, ...] | None
    seed: int


def recipe_of(
    estimator: str,
    parameters: Mapping[str, Parameter],
    *,
    contract: Contract,
    without: Sequence[str] = (),
    seed: int = 0,
) -> Recipe:
    """Read what a person asked for, and check it without fitting.

    Args:
        estimator: A name in `KNOWN`, or a scikit-learn classifier's import path.
        parameters: For its constructor, over the defaults of `KNOWN`.
        contract: Whose features are encoded.
        without: Features that the model must not read.
        seed: Of everything random in the fit.

    Raises:
        InvalidSetting: There is no such estimator, parameter or feature; the message says what there is.
        NotConvertible: The estimator gives no probabilities.
    """
    known = KNOWN.get(estimator, Known(estimator, {}))
    if estimator not in KNOWN and known.path in (other.path for other in KNOWN.values()):
        known = next(other for other in KNOWN.values() if other.path == known.path)
    kind = _class_of(known.path)
    given = {**known.defaults, **parameters}
    _check_parameters(kind, estimator, given)
    return Recipe(known.path, MappingProxyType(given), _columns_read(contract, without), seed)


def pipeline_of(recipe: Recipe) -> Any:
    """The pipeline of a recipe, not fitted.

    Raises:
        InvalidSetting: The constructor refuses a parameter.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    kind = _class_of(recipe.path)
    fixed = {"random_state": recipe.seed, "n_jobs": FIT_JOBS}
    given = {name: value for name, value in fixed.items() if name in _parameters_of(kind)}
    if kind.__module__.startswith("sklearn.linear_model"):
        given.pop("n_jobs", None)  # no use in one problem of this size, and scikit-learn warns of it
    steps: list[tuple[str, Any]] = []
    if recipe.columns is not None:
        steps.append(("columns", ColumnTransformer([("read", "passthrough", list(recipe.columns))])))
    if recipe.path.startswith(_SCALED):
        steps.append(("scale", StandardScaler()))
    return Pipeline([*steps, ("estimator", kind(**recipe.parameters, **given))])


def fit(recipe: Recipe, rows: NDArray[np.float32], truth: NDArray[np.int64]) -> Any:
    """Fit a pipeline whose answers on float32 rows its ONNX form can give.

    Args:
        recipe: What to fit.
        rows: Encoded, shape (n_rows, width). Float32, as rows are when scored.
        truth: 0 or 1, shape (n_rows,).

    Raises:
        InvalidSetting: A parameter has a value that the estimator refuses.
        NotConvertible: With these parameters it gives no probabilities.
    """
    pipeline = pipeline_of(recipe)
    if not hasattr(pipeline.named_steps["estimator"], "predict_proba"):
        raise NotConvertible(f"{recipe.path} gives no probabilities with these parameters")
    try:
        with one_openmp_thread():
            pipeline.fit(as_read(pipeline, rows), truth)
    except (ValueError, TypeError, OverflowError) as e:  # InvalidParameterError is a ValueError
        raise InvalidSetting(f"{recipe.path} refuses its parameters: {' '.join(str(e).split())[:400]}") from e
    _settle(pipeline.named_steps["estimator"])
    return pipeline


def _settle(estimator: Any) -> None:
    """Make a fitted estimator answer the same every time, and the same as its ONNX form."""
    if "n_jobs" in estimator.get_params():
        estimator.set_params(n_jobs=None)  # threads add up a forest's votes in any order
    for predictors in getattr(estimator, "_predictors", ()):
        for predictor in predictors:
            _round_thresholds_down(predictor.nodes)


def _round_thresholds_down(nodes: Any) -> None:
    """Replace thresholds by the largest float32 that is not above them.

    skl2onnx rounds gradient boosting's to the nearest instead, which sends values beside a threshold the other way.
    Answers on float32 rows do not change: no float32 lies between the two.
    """
    exact = nodes["num_threshold"]
    rounded = exact.astype(np.float32)
    too_high = rounded.astype(np.float64) > exact
    rounded[too_high] = np.nextafter(rounded[too_high], np.float32(-np.inf))
    nodes["num_threshold"] = rounded


def _class_of(path: str) -> Any:
    from sklearn.base import BaseEstimator, ClassifierMixin

    module, _, name = path.rpartition(".")
    allowed = (
        f"{', '.join(KNOWN)}, or a scikit-learn classifier's import path such as sklearn.ensemble.ExtraTreesClassifier"
    )
    if not module.startswith("sklearn.") or not all(map(_is_public, path.split("."))):
        raise InvalidSetting(f"there is no estimator {shown(path)}; name one of {allowed}")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as e:
        raise InvalidSetting(f"scikit-learn has no {shown(path)}; name one of {allowed}") from e
    is_classifier = inspect.isclass(kind) and issubclass(kind, BaseEstimator) and issubclass(kind, ClassifierMixin)
    if not is_classifier or inspect.isabstract(kind):
        raise InvalidSetting(f"{path} is no classifier; name one of {allowed}")
    try:
        kind()
    except TypeError as e:
        raise NotConvertible(f"{path} cannot be made from plain parameters: {e}; name one of {allowed}") from e
    if not hasattr(kind, "predict_proba"):
        raise NotConvertible(f"{path} gives no probabilities; name one of {allowed}")
    return kind


def _is_public(part: str) -> bool:
    """Whether a part of an import path may be imported: scikit-learn's tests and inner modules are not."""
    return part.isidentifier() and not part.startswith("_") and part != "tests"


def _parameters_of(kind: Any) -> list[str]:
    return sorted(set(inspect.signature(kind.__init__).parameters) - {"self"})


def _check_parameters(kind: Any, estimator: str, given: Mapping[str, Parameter]) -> None:
    allowed = [name for name in _parameters_of(kind) if name not in _GIVEN]
    for name in given:
        if name in _GIVEN:
            raise InvalidSetting(f"{estimator}: the parameter {name} cannot be given: {_GIVEN[name]}")
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise InvalidSetting(f"{estimator} has no parameter {name!r}{meant}; it has {', '.join(allowed)}")
        if not isinstance(given[name], Parameter):
            raise InvalidSetting(f"{estimator}: the parameter {name} must be a text, a number, true, false or null")
        _check_amount(estimator, name, given[name])


def _check_amount(estimator: str, name: str, value: Parameter) -> None:
    most = _MOST.get(name)
    if most is not None and isinstance(value, int | float) and value > most:
        raise InvalidSetting(f"{estimator}: the parameter {name} is {shown(value)}; it must be at most {most:,}")


def _columns_read(contract: Contract, without: Sequence[str]) -> tuple[int, ...] | None:
    if not without:
        return None
    encoder = Encoder(contract)
    for name in without:
        contract.feature(name)
    kept = [f.name for f in contract.features if f.name not in without]
    if not kept:
        raise InvalidSetting("the model is told to read nothing; leave it at least one feature")
    return tuple(column for name in kept for column in range(*encoder.spans[name]))
