"""The model's two forms: ONNX, which answers, and skops, which is explained; and the proof that they agree."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.artifact import INPUT, OUTPUT, Scorer
from bentos.errors import GauntletError, NotConvertible
from bentos.pipeline import probabilities, reads_doubles

TOLERANCE = 1e-6
"""Largest difference of probability that is allowed between both forms."""

_OPSET, _IR_VERSION = 17, 8
"""Old enough for every onnxruntime that is supported; what is used of them has not changed since."""


def to_onnx(pipeline: Any, *, width: int, name: str) -> bytes:
    """Convert a fitted pipeline: float32 (n, width) named `row` in, float32 (n, 2) named `probabilities` out.

    Args:
        pipeline: Fitted by `training.estimators.fit`.
        width: Columns of an encoded row.
        name: Of the graph; the same pipeline and name give the same bytes.

    Raises:
        NotConvertible: skl2onnx cannot convert it, or the result cannot be scored with.
    """
    from sklearn.linear_model import LogisticRegression

    if type(pipeline.named_steps["estimator"]) is LogisticRegression:
        return bytes(_logistic_model(pipeline, width, name).SerializeToString())
    try:
        with warnings.catch_warnings():
            # Of the converters' own code; where warnings are errors they would pass for a failed conversion.
            warnings.simplefilter("ignore")
            model = _convert(pipeline, width, name)
    except Exception as e:  # whatever a converter trips over, this estimator has no ONNX form
        raise NotConvertible(f"{_path_of(pipeline)} does not convert to ONNX: {_first_line(e)}") from e
    if reads_doubles(pipeline):
        _cast_ends(model.graph, width)
    return bytes(model.SerializeToString())


def _convert(pipeline: Any, width: int, name: str) -> Any:
    import skl2onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    kind = DoubleTensorType if reads_doubles(pipeline) else FloatTensorType
    inputs = [(INPUT, kind([None, width]))]
    model = skl2onnx.convert_sklearn(
        pipeline, name=name, initial_types=inputs, options={id(pipeline): {"zipmap": False}}
    )
    return select_model_inputs_outputs(model, OUTPUT)  # the label is the service's business: it has the cut


def _logistic_model(pipeline: Any, width: int, name: str) -> Any:
    """Logistic regression as one product and one sigmoid: skl2onnx's thirteen steps cost three times as long a row.

    Scaling is folded into the weights, and columns that are not read weigh 0.
    """
    from onnx import TensorProto, helper, numpy_helper

    scale, estimator = pipeline.named_steps["scale"], pipeline.named_steps["estimator"]
    read = pipeline.named_steps["columns"].transformers[0][2] if "columns" in pipeline.named_steps else range(width)
    weights = np.zeros(width)
    weights[list(read)] = estimator.coef_[0] / scale.scale_
    bias = float(estimator.intercept_[0] - np.sum(estimator.coef_[0] * scale.mean_ / scale.scale_))
    # sigmoid(-z) and sigmoid(z) are the two probabilities, both exact far from the middle.
    tables = {"weights": np.stack([-weights, weights], axis=1), "bias": np.array([-bias, bias])}
    nodes = [
        helper.make_node("Cast", [INPUT], ["doubles"], to=TensorProto.DOUBLE),
        helper.make_node("Gemm", ["doubles", "weights", "bias"], ["log_odds"]),
        helper.make_node("Sigmoid", ["log_odds"], ["exact"]),
        helper.make_node("Cast", ["exact"], [OUTPUT], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(values, key) for key, values in tables.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)


def _cast_ends(graph: Any, width: int) -> None:
    """Let a graph of doubles read and give float32, as every model here does."""
    from onnx import TensorProto, helper

    inside, outside = f"{INPUT}_double", f"{OUTPUT}_double"
    for node in graph.node:
        node.input[:] = [inside if name == INPUT else name for name in node.input]
        node.output[:] = [outside if name == OUTPUT else name for name in node.output]
    graph.node.insert(0, helper.make_node("Cast", [INPUT], [inside], to=TensorProto.DOUBLE))
    graph.node.append(helper.make_node("Cast", [outside], [OUTPUT], to=TensorProto.FLOAT))
    graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 2]))


def check_parity(pipeline: Any, model: bytes, rows: NDArray[np.float32]) -> float:
    """Compare both forms on rows.

    Args:
        pipeline: Fitted.
        model: Its ONNX form.
        rows: Encoded, shape (n_rows, width).

    Returns:
        The largest difference of probability.

    Raises:
        NotConvertible: It is above `TOLERANCE`, or not a number.
    """
    try:
        converted = Scorer(model).score(rows).astype(np.float64)
    except (GauntletError, RuntimeError, ValueError) as e:
        raise NotConvertible(
            f"{_path_of(pipeline)} converts to an ONNX form that cannot score: {_first_line(e)}"
        ) from e
    difference = float(np.max(np.abs(converted - probabilities(pipeline, rows))))
    if not difference <= TOLERANCE:  # NaN is not below it either
        raise NotConvertible(
            f"{_path_of(pipeline)} as ONNX differs from scikit-learn by {difference:.2g} in probability; "
            f"at most {TOLERANCE:g} is allowed{_advice(pipeline)}"
        )
    return difference


def _path_of(pipeline: Any) -> str:
    kind = type(pipeline.named_steps["estimator"])
    public = kind.__module__.partition("._")[0]
    return f"{public}.{kind.__qualname__}"


def _advice(pipeline: Any) -> str:
    is_ensemble = hasattr(pipeline.named_steps["estimator"], "n_estimators")
    return "; fewer or smaller trees differ less" if is_ensemble else ""


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
