"""An explainer for each family of estimators, and the sum that every explanation must come to.

* forests and single trees: `shap.TreeExplainer`, in probability, along the trees' own paths
* gradient boosting: `shap.TreeExplainer`, in log-odds
* linear models behind their scaler: `shap.LinearExplainer`, in log-odds, against the mean row of training
* everything else: `shap.PermutationExplainer` in probability, over whole features, against drawn rows

Trees and linear models are explained exactly; the last is an average over a number of orders, always the same ones.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Contract, Encoder, Reference
from bentos.errors import NotExplained
from bentos.pipeline import as_read, one_openmp_thread, probabilities
from service.insight.background import draw_background
from service.insight.folding import fold

TOLERANCE = 1e-6
"""By how much base value and contributions may miss the model's own answer."""

BACKGROUND_ROWS = 64
ORDERS = 10
"""In so many orders features are let in one by one, forwards and backwards: each costs 2 x features x rows answers."""

Method = Literal["tree", "linear", "permutation"]
Space = Literal["probability", "log_odds"]

_VOTING = frozenset({"RandomForestClassifier", "ExtraTreesClassifier", "DecisionTreeClassifier", "ExtraTreeClassifier"})
_BOOSTED = frozenset({"HistGradientBoostingClassifier", "GradientBoostingClassifier"})

Row = NDArray[np.float32]
"""One encoded row, shape (1, width)."""


@dataclass(frozen=True)
class Explainer:
    """How one model is explained.

    Attributes:
        method: By which of SHAP's ways.
        space: What contributions are measured in.
        columns: Positions of the encoded row's columns that the model reads; None: all.
        contribute: Gives a row's base value and its contributions, shape (n_features,).
        probability: The model's own probability for a row.
        margin: The model's own log-odds for a row; None where contributions are measured in probability.
    """

    method: Method
    space: Space
    columns: tuple[int, ...] | None
    contribute: Callable[[Row], tuple[float, NDArray[np.float64]]]
    probability: Callable[[Row], float]
    margin: Callable[[Row], float] | None


@dataclass(frozen=True)
class Explained:
    """What a row's explanation is made of.

    Attributes:
        base_value: What the model answers before it knows a feature, in the explainer's space.
        contributions: What each feature adds, shape (n_features,).
        output: What the model answers for the row, in the same space.
        difference: By how much base value and contributions miss it; at most `TOLERANCE`.
        probability: What the model answers for the row, in [0, 1].
    """

    base_value: float
    contributions: NDArray[np.float64]
    output: float
    difference: float
    probability: float


def make_explainer(pipeline: Any, contract: Contract, reference: Reference) -> Explainer:
    """The explainer of a fitted pipeline.

    Args:
        pipeline: As training fits it: the columns that are read, a scaler where one is needed, the estimator.
        contract: What it is asked.
        reference: How its features were distributed; only what is neither a tree nor linear needs it.
    """
    encoder, estimator = Encoder(contract), pipeline.named_steps["estimator"]
    kind, has_log_loss = type(estimator).__name__, getattr(estimator, "loss", "log_loss") == "log_loss"
    columns = _columns_of(pipeline)
    spread = _spread(encoder, columns)
    if kind in _VOTING:
        return _explainer("tree", "probability", pipeline, columns, _by_tree(pipeline, spread))
    if kind in _BOOSTED and has_log_loss:
        return _explainer("tree", "log_odds", pipeline, columns, _by_tree(pipeline, spread))
    if type(estimator).__module__.startswith("sklearn.linear_model.") and has_log_loss and _is_scaled(pipeline):
        return _explainer("linear", "log_odds", pipeline, columns, _by_weights(pipeline, spread))
    rows = draw_background(contract, encoder, reference, n=BACKGROUND_ROWS, rng=np.random.default_rng(0))
    return _explainer("permutation", "probability", pipeline, columns, _by_permutation(pipeline, encoder, rows))


def explain(explainer: Explainer, row: Row) -> Explained:
    """Explain a row, and hold the explanation against the model's own answer.

    Args:
        explainer: Of the model.
        row: Shape (1, width).

    Raises:
        NotExplained: Base value and contributions do not come to the model's answer, or that is no log-odds.
    """
    with one_openmp_thread():
        base_value, contributions = explainer.contribute(row)
        probability = explainer.probability(row)  # of a forest it takes longer than the contributions do
        output = probability if explainer.margin is None else explainer.margin(row)
    difference = abs(base_value + math.fsum(contributions) - output)
    if not difference <= TOLERANCE:  # NaN fails this too
        raise NotExplained(
            f"the contributions miss the model's answer by {difference:.2g}, and {TOLERANCE:g} is the most allowed"
        )
    if explainer.space == "log_odds" and not abs(_sigmoid(output) - probability) <= TOLERANCE:
        raise NotExplained(f"the model's margin {output:.6g} is no log-odds of its probability {probability:.6g}")
    return Explained(base_value, contributions, output, difference, probability)


def import_shap() -> Any:
    """SHAP, whose plots use what matplotlib is about to drop; it says so when it is imported."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The set_", PendingDeprecationWarning)
        import shap
    return shap


def _explainer(
    method: Method,
    space: Space,
    pipeline: Any,
    columns: tuple[int, ...] | None,
    contribute: Callable[[Row], tuple[float, NDArray[np.float64]]],
) -> Explainer:
    def probability(row: Row) -> float:
        return float(probabilities(pipeline, row)[0])

    def margin(row: Row) -> float:
        return float(pipeline.decision_function(as_read(pipeline, row))[0])

    return Explainer(method, space, columns, contribute, probability, margin if space == "log_odds" else None)


def _by_tree(pipeline: Any, spread: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Any:
    explainer = import_shap().TreeExplainer(
        pipeline.named_steps["estimator"], feature_perturbation="tree_path_dependent"
    )
    base_value = float(np.ravel(explainer.expected_value)[-1])  # the positive class is the last, or the only one

    def contribute(row: Row) -> tuple[float, NDArray[np.float64]]:
        found = np.asarray(explainer.shap_values(_before_estimator(pipeline, row), check_additivity=False))
        return base_value, spread(found[0, :, -1] if found.ndim == 3 else found[0])

    return contribute


def _by_weights(pipeline: Any, spread: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Any:
    estimator = pipeline.named_steps["estimator"]
    weights, intercept = np.ravel(estimator.coef_), float(np.ravel(estimator.intercept_)[0])
    # Behind the scaler the mean row of training is 0, and without interactions the covariance changes nothing.
    background = (np.zeros(len(weights)), np.eye(len(weights)))
    explainer = import_shap().LinearExplainer((weights, intercept), background)

    def contribute(row: Row) -> tuple[float, NDArray[np.float64]]:
        found = np.asarray(explainer.shap_values(_before_estimator(pipeline, row)), dtype=np.float64)
        return float(explainer.expected_value), spread(found[0])

    return contribute


def _by_permutation(pipeline: Any, encoder: Encoder, background: NDArray[np.float32]) -> Any:
    shap = import_shap()
    n_features = len(encoder.spans)
    owners = np.repeat(np.arange(n_features), [end - start for start, end in encoder.spans.values()])

    def contribute(row: Row) -> tuple[float, NDArray[np.float64]]:
        def answer(known: NDArray[Any]) -> NDArray[np.float64]:
            """The mean answer where the known features, shape (n, n_features), are the row's, the rest drawn."""
            is_known = np.asarray(known, dtype=bool)[:, owners]
            mixed = np.where(is_known[:, None, :], row, background[None])
            answers = probabilities(pipeline, mixed.reshape(-1, encoder.width))
            means: NDArray[np.float64] = answers.reshape(len(is_known), len(background)).mean(axis=1)
            return means

        explainer = shap.PermutationExplainer(answer, np.zeros((1, n_features)), seed=0)
        found = explainer(np.ones((1, n_features)), max_evals=ORDERS * (2 * n_features + 1), silent=True)
        return float(np.ravel(found.base_values)[0]), np.asarray(found.values[0], dtype=np.float64)

    return contribute


def _spread(encoder: Encoder, columns: tuple[int, ...] | None) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """From what the columns that are read contribute to what each feature does."""

    def spread(found: NDArray[np.float64]) -> NDArray[np.float64]:
        if columns is None:
            return fold(found, encoder)
        whole = np.zeros(encoder.width)
        whole[list(columns)] = found
        return fold(whole, encoder)

    return spread


def _columns_of(pipeline: Any) -> tuple[int, ...] | None:
    if "columns" not in pipeline.named_steps:
        return None
    return tuple(int(column) for column in pipeline.named_steps["columns"].transformers_[0][2])


def _before_estimator(pipeline: Any, row: Row) -> NDArray[Any]:
    rows = as_read(pipeline, row)
    return np.asarray(pipeline[:-1].transform(rows)) if len(pipeline) > 1 else rows


def _is_scaled(pipeline: Any) -> bool:
    return "scale" in pipeline.named_steps


def _sigmoid(margin: float) -> float:
    return 1 / (1 + math.exp(-margin)) if margin >= 0 else math.exp(margin) / (1 + math.exp(margin))
