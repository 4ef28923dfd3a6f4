from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from bentos.artifact import Scorer
from bentos.errors import ArtifactDamaged

WIDTH = 3


def model(*, input_name: str = "row", output_name: str = "probabilities") -> bytes:
    """sigmoid(sum of the row) as the positive class's probability."""
    ones = np.ones((WIDTH, 1), dtype=np.float32)
    weights = np.concatenate([-ones, ones], axis=1)
    nodes = [
        helper.make_node("MatMul", [input_name, "weights"], ["log_odds"]),
        helper.make_node("Sigmoid", ["log_odds"], [output_name]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, [None, WIDTH])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(weights, "weights")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def expected(rows: Any) -> Any:
    return 1 / (1 + np.exp(-rows.sum(axis=1)))


def test_many_rows_are_scored_at_once() -> None:
    rows = np.random.default_rng(0).normal(size=(50, WIDTH)).astype(np.float32)
    scored = Scorer(model()).score(rows)
    assert scored.shape == (50,)
    assert scored == pytest.approx(expected(rows), abs=1e-6)


def test_no_rows_give_no_scores() -> None:
    assert Scorer(model()).score(np.zeros((0, WIDTH), dtype=np.float32)).shape == (0,)


def test_a_bound_row_is_scored_as_it_is_now() -> None:
    scorer, row = Scorer(model()), np.zeros((1, WIDTH), dtype=np.float32)
    scorer.bind(row)
    assert scorer.score_bound() == 0.5
    row[0] = (1, 2, 3)
    assert scorer.score_bound() == pytest.approx(expected(row)[0], abs=1e-6)


def test_the_width_is_the_model_s() -> None:
    assert Scorer(model()).width == WIDTH


@pytest.mark.parametrize("content", [b"", b"not a model", model()[:60]])
def test_what_is_no_model_is_told(content: bytes) -> None:
    with pytest.raises(ArtifactDamaged, match=r"model\.onnx"):
        Scorer(content)


@pytest.mark.parametrize("names", [{"input_name": "x"}, {"output_name": "scores"}])
def test_a_model_with_other_ends_is_refused(names: dict[str, str]) -> None:
    with pytest.raises(ArtifactDamaged, match="'row' and give 'probabilities'"):
        Scorer(model(**names))
