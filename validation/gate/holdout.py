"""The holdout: the file that training kept apart, verified and read as the contract's columns and truths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bentos.artifact import Artifact, Categorical, Contract, Value, categories_of, is_allowed, sha256
from bentos.errors import ArtifactDamaged, InvalidData, NotFound, Problem, shown
from validation.gate.groups import MISSING
from validation.gate.metrics import BoolArray

HOLDOUT = "data/holdout.parquet"
"""Where a model's MLflow run keeps it."""

_PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class Holdout:
    """Rows that no model was fitted on.

    Attributes:
        digest: The file's digest.
        columns: For every feature its values, None where missing, all of one length.
        truth: Whether each row is positive, shape (n_rows,).
        ids: Of each row, all different.
    """

    digest: str
    columns: dict[str, list[Value]]
    truth: BoolArray
    ids: tuple[Value, ...]

    def groups_of(self, contract: Contract) -> dict[str, tuple[str, ...]]:
        """For each protected attribute the group of each row; rows without one are a group of their own."""
        return {name: self._groups(contract, name) for name in contract.protected}

    def _groups(self, contract: Contract, name: str) -> tuple[str, ...]:
        feature = contract.feature(name)
        if not isinstance(feature, Categorical):
            raise ValueError(f"{name} is protected and must be categorical")  # the contract was checked before
        return tuple(category or MISSING for category in categories_of(feature, self.columns[name]))


def read_holdout(path: Path, artifact: Artifact) -> Holdout:
    """Read the holdout that an artifact's training record names.

    Raises:
        NotFound: There is no such file.
        ArtifactDamaged: Its bytes are not those of the record, or it is no Parquet file.
        InvalidData: It lacks a column, or holds what the contract does not allow; with every problem found.
    """
    if not path.is_file():
        raise NotFound(f"{path} is not there; the holdout is kept with the run of the model that was trained with it")
    digest = sha256(path.read_bytes())
    if digest != artifact.training.holdout:
        raise ArtifactDamaged(f"{HOLDOUT} is {digest}, and training.json names {artifact.training.holdout}")
    return holdout_of(_read_columns(path), artifact.contract, digest)


def holdout_of(table: dict[str, list[Value]], contract: Contract, digest: str) -> Holdout:
    """Check a table against a contract, and take its features and truths.

    Args:
        table: Values by column, None where missing.
        contract: What is allowed.
        digest: The file's digest.

    Raises:
        InvalidData: With the problems found, the first twenty of them.
    """
    names = [contract.id, *(feature.name for feature in contract.features), contract.target]
    lacking = [name for name in names if name not in table]
    if lacking:
        raise InvalidData(HOLDOUT, [Problem(name, "a missing column", f"there, as {names}") for name in lacking])
    problems = _problems(table, contract)
    if problems:
        raise InvalidData(f"{HOLDOUT} has {len(problems)} problems", problems[:_PROBLEMS_SHOWN])
    truth = np.array([str(value) == contract.labels.positive for value in table[contract.target]], dtype=np.bool_)
    columns = {feature.name: table[feature.name] for feature in contract.features}
    return Holdout(digest, columns, truth, tuple(table[contract.id]))


def _problems(table: dict[str, list[Value]], contract: Contract) -> list[Problem]:
    labels = (contract.labels.negative, contract.labels.positive)
    ids, truths = table[contract.id], table[contract.target]
    if not ids:
        return [Problem(contract.id, "no row", "in at least one row")]
    found = [
        Problem(feature.name, shown(value), feature.allowed, row)
        for feature in contract.features
        for row, value in enumerate(table[feature.name])
        if not is_allowed(feature, value)
    ]
    found += [
        Problem(contract.target, shown(value), f"one of {labels[0]!r}, {labels[1]!r}", row)
        for row, value in enumerate(truths)
        if str(value) not in labels
    ]
    return found + _repeated(contract.id, ids)


def _repeated(name: str, ids: Sequence[Value]) -> list[Problem]:
    seen: set[Value] = set()
    found = []
    for row, value in enumerate(ids):
        if value in seen:
            found.append(Problem(name, shown(value), "in one row only", row))
        seen.add(value)
    return found


def _read_columns(path: Path) -> dict[str, list[Value]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table: dict[str, list[Value]] = pq.read_table(path).to_pydict()
    except (pa.ArrowException, OSError) as e:
        raise ArtifactDamaged(f"{HOLDOUT} is no Parquet file: {e}") from e
    return {name: [_value(value) for value in values] for name, values in table.items()}


def _value(value: Value) -> Value:
    return None if isinstance(value, float) and math.isnan(value) else value
