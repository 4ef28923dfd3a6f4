"""The champion as a usual scikit-learn project has it: a ColumnTransformer and the same forest, in a joblib file.

It reads a DataFrame of raw values, as the servers that are compared with are sent them, and answers the same
probabilities as the artifact to the last bit, because the trees are the artifact's own.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from bentos.artifact import Artifact, Categorical, Contract, Encoder, Numeric
from bentos.pipeline import load_estimator


def export(champion: Artifact, path: Path) -> None:
    """Write the pipeline."""
    import joblib

    joblib.dump(make(champion), path)


def make(champion: Artifact) -> Any:
    """The pipeline: three transformers, then the forest with its columns in their order."""
    from sklearn.pipeline import Pipeline

    transformer, order = _transformer(champion.contract)
    forest = load_estimator(champion.folder / "estimator.skops").named_steps["estimator"]
    return Pipeline([("columns", transformer), ("forest", _reorder(forest, order))])


def _transformer(contract: Contract) -> tuple[Any, list[int]]:
    """A fitted ColumnTransformer, and for each column that it gives that column's position in an encoded row."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    numbers = [f for f in contract.features if isinstance(f, Numeric) and not f.missing]
    gaps = [f for f in contract.features if isinstance(f, Numeric) and f.missing]
    choices = [f for f in contract.features if isinstance(f, Categorical)]
    (fill,) = {f.fill for f in gaps}  # one imputer; the Telco contract has one such column
    made = ColumnTransformer(
        [
            ("numbers", "passthrough", [f.name for f in numbers]),
            (
                "gaps",
                SimpleImputer(strategy="constant", fill_value=float(fill or 0), add_indicator=True),
                [f.name for f in gaps],
            ),
            (
                "choices",
                OneHotEncoder(categories=[list(f.categories) for f in choices], sparse_output=False),
                [f.name for f in choices],
            ),
        ]
    )
    made.fit(pd.DataFrame([_example(contract, row) for row in range(2)]))
    encoder = Encoder(contract)
    positions = [encoder.spans[f.name][0] for f in (*numbers, *gaps)]
    positions += [encoder.spans[f.name][0] + 1 for f in gaps]
    positions += [position for f in choices for position in range(*encoder.spans[f.name])]
    return made, positions


def _example(contract: Contract, row: int) -> dict[str, Any]:
    """A row to fit the transformer on, which learns only names and where values may be missing: in row 0."""
    return {
        f.name: f.categories[0] if isinstance(f, Categorical) else np.nan if f.missing and row == 0 else f.minimum
        for f in contract.features
    }


def _reorder(forest: Any, order: list[int]) -> Any:
    """The forest with the same trees, asking for columns by their new positions."""
    new_of = np.empty(len(order), dtype=np.int64)
    new_of[order] = np.arange(len(order))
    moved = copy.deepcopy(forest)
    for estimator in moved.estimators_:
        asked = estimator.tree_.feature  # a view of the tree's own memory; leaves have -2
        inner = asked >= 0
        asked[inner] = new_of[asked[inner]]
    return moved
