"""Scoring an encoded row with `model.onnx`: one session, and for single rows one buffer that is bound to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bentos.errors import ArtifactDamaged

if TYPE_CHECKING:
    import onnxruntime

INPUT = "row"
OUTPUT = "probabilities"
"""Names in the graph: float32 (n_rows, width) in; (n_rows, 2) out, the positive class second."""


class Scorer:
    """One model, ready to score. Not for several threads at once: the buffer of single rows is shared.

    Attributes:
        width: How many columns a row has.
    """

    def __init__(self, model: bytes) -> None:
        self._session = _open_session(model)
        inputs, outputs = self._session.get_inputs(), [output.name for output in self._session.get_outputs()]
        if [i.name for i in inputs] != [INPUT] or OUTPUT not in outputs:
            raise ArtifactDamaged(f"model.onnx must read {INPUT!r} and give {OUTPUT!r}")
        self.width = int(inputs[0].shape[1])
        self._row = np.zeros((1, self.width), dtype=np.float32)
        self._binding = self._session.io_binding()
        self._bind(self._row)

    def _bind(self, row: NDArray[np.float32]) -> None:
        import onnxruntime

        self._input = onnxruntime.OrtValue.ortvalue_from_numpy(row)
        self._probabilities = np.zeros((1, 2), dtype=np.float32)
        self._output = onnxruntime.OrtValue.ortvalue_from_numpy(self._probabilities)
        self._binding.bind_ortvalue_input(INPUT, self._input)
        self._binding.bind_ortvalue_output(OUTPUT, self._output)

    def bind_row(self, row: NDArray[np.float32]) -> None:
        """Let `score_bound` read this row, whose content the caller changes between calls: shape (1, width)."""
        self._row = row
        self._bind(row)

    def score_bound(self) -> float:
        """The positive class's probability for the bound row as it is now."""
        self._session.run_with_iobinding(self._binding)
        return float(self._probabilities[0, 1])

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The positive class's probability of each row.

        Args:
            rows: Shape (n_rows, width).

        Returns:
            Shape (n_rows,), in [0, 1].
        """
        (probabilities,) = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(rows, dtype=np.float32)})
        return np.asarray(probabilities, dtype=np.float32)[:, 1]


def _open_session(model: bytes) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a row is microseconds of work; threads only add waiting
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime's errors share no base class
        raise ArtifactDamaged(f"model.onnx cannot be read: {str(e)[:200]}") from e
