"""`estimator.skops`: the fitted pipeline, for explanations and to compare `model.onnx` with.

It is loaded with an explicit list of types, and no others. Nothing of this project is imported here but its errors:
whoever explains predictions needs this file, skops and scikit-learn alone.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.errors import ArtifactDamaged, NotConvertible

TRUSTED = (
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
"""Types beyond those that skops trusts by itself; none of them runs code from the file when it is made."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say


def dump_estimator(pipeline: Any) -> bytes:
    """The pipeline as the bytes of `estimator.skops`; the same pipeline gives the same bytes.

    Raises:
        NotConvertible: It holds a type that is not trusted, or one that skops cannot save.
    """
    import skops.io

    kind = type(pipeline.named_steps["estimator"])
    path = f"{kind.__module__}.{kind.__qualname__}"
    try:
        content = _canonical(skops.io.dumps(pipeline))
        untrusted = set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED)
    except Exception as e:  # skops's failures share no base class
        raise NotConvertible(f"{path} cannot be saved without pickle: {' '.join(str(e).split())[:200]}") from e
    if untrusted:
        raise NotConvertible(f"{path} holds types that are not loaded: {', '.join(sorted(untrusted))}")
    return content


def load_estimator(path: Path) -> Any:
    """Load `estimator.skops`.

    Raises:
        ArtifactDamaged: It holds a type that is not trusted, or cannot be read.
    """
    import skops.io

    try:
        return skops.io.load(path, trusted=list(TRUSTED))
    except Exception as e:  # skops's failures share no base class
        raise ArtifactDamaged(f"{path} cannot be loaded: {' '.join(str(e).split())[:200]}") from e


def probabilities(pipeline: Any, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The positive class's probability of each row: shape (n_rows,)."""
    with one_openmp_thread():
        return np.asarray(pipeline.predict_proba(as_read(pipeline, rows)), dtype=np.float64)[:, 1]


def reads_doubles(pipeline: Any) -> bool:
    """Whether a pipeline computes in float64: sums of scaled columns lose too much in float32 far from the mean."""
    return "scale" in pipeline.named_steps


def as_read(pipeline: Any, rows: NDArray[np.float32]) -> NDArray[Any]:
    """Encoded rows in the precision that a pipeline computes in."""
    return rows.astype(np.float64) if reads_doubles(pipeline) else rows


def one_openmp_thread() -> AbstractContextManager[object]:
    """Gradient boosting's threads wait for one another at every node: beside other work that is ten times slower.

    Where the process was started so there is nothing to limit, and to look for what could be takes milliseconds.
    """
    if os.environ.get("OMP_NUM_THREADS") == "1":
        return nullcontext()
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    found: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="openmp")
    return found


def _canonical(content: bytes) -> bytes:
    """The same file with numbers in place of memory addresses, random names and times."""
    source = zipfile.ZipFile(io.BytesIO(content))
    schema = json.loads(source.read("schema.json"))
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}
    _renumber(schema, numbers, names)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as target:
        for old, new in [*names.items(), ("schema.json", "schema.json")]:
            body = source.read(old) if old != "schema.json" else json.dumps(schema).encode()
            entry = zipfile.ZipInfo(new, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, body, compresslevel=1)
    return made.getvalue()


def _renumber(node: Any, numbers: dict[int, int], names: dict[str, str]) -> None:
    """Rename in place, in the order in which the schema comes to things."""
    if isinstance(node, list):
        for child in node:
            _renumber(child, numbers, names)
        return
    if not isinstance(node, dict):
        return
    if isinstance(node.get("__id__"), int):
        node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
    if isinstance(node.get("file"), str) and "__loader__" in node:
        old = node["file"]
        node["file"] = names.setdefault(old, f"{len(names) + 1}{Path(old).suffix}")
    for child in node.values():
        _renumber(child, numbers, names)
