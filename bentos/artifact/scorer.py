"""Scoring encoded rows with `model.onnx`: one session, and for live rows one matrix that is bound to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bentos.errors import ArtifactDamaged

if TYPE_CHECKING:
    import onnxruntime

INPUT = "row"
OUTPUT = "probabilities"
"""Names in the graph: float32 (n_rows, width) in; (n_rows, 2) out, the positive class second."""


class Scorer:
    """One model, ready to score. Not for several threads at once: the matrix that is bound is shared.

    Attributes:
        width: How many columns a row has.
    """

    def __init__(self, model: bytes) -> None:
        self._session = _open_session(model)
        inputs, outputs = self._session.get_inputs(), [output.name for output in self._session.get_outputs()]
        if [i.name for i in inputs] != [INPUT] or OUTPUT not in outputs:
            raise ArtifactDamaged(f"model.onnx must read {INPUT!r} and give {OUTPUT!r}")
        self.width = int(inputs[0].shape[1])
        self._rows = np.zeros((1, self.width), dtype=np.float32)
        self._bound: dict[int, tuple[onnxruntime.IOBinding, NDArray[np.float32], tuple[Any, ...]]] = {}

    def bind(self, rows: NDArray[np.float32]) -> None:
        """Let `score_first` and `score_bound` read this matrix, whose content the caller changes between calls.

        Args:
            rows: Shape (n_rows, width), contiguous.
        """
        self._rows = rows
        self._bound = {}

    def score_bound(self) -> float:
        """The positive class's probability for the first bound row as it is now."""
        return self.score_first(1)[0]

    def score_first(self, n: int) -> list[float]:
        """The positive class's probability for each of the first `n` bound rows as they are now.

        Binding spares a call what onnxruntime spends on looking at inputs and making outputs; one is kept for each `n`.
        """
        binding, probabilities, _ = self._bound.get(n) or self._bind_first(n)
        self._session.run_with_iobinding(binding)
        found: list[float] = probabilities[:, 1].tolist()
        return found

    def _bind_first(self, n: int) -> tuple[onnxruntime.IOBinding, NDArray[np.float32], tuple[Any, ...]]:
        import onnxruntime

        probabilities = np.zeros((n, 2), dtype=np.float32)
        values = tuple(onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in (self._rows[:n], probabilities))
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(INPUT, values[0])
        binding.bind_ortvalue_output(OUTPUT, values[1])
        self._bound[n] = (binding, probabilities, values)
        return self._bound[n]

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
