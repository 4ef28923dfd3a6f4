"""The demo's data and its folder: who is history, who comes later, and where everything lies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bentos.artifact import Contract, Numeric, Value
from bentos.errors import InvalidSetting
from bentos.folder import Folder
from service.demo.traffic import Customer
from training.data import Data, data_of, read_data
from training.holdout import is_holdout
from training.use_case import UseCase

SYNTHETIC_CUSTOMERS = 10_000
LIVE_SHARE = 0.4
"""Share of customers kept back from training and gate alike, to come as live traffic. They are taken from those who
would be trained on, so that the gate has the holdout that every model of this data shares."""
_MARK = "demo.json"


@dataclass(frozen=True)
class Prepared:
    """The demo's data.

    Attributes:
        history: What models are trained and judged on.
        live: Who comes later, in the order in which they come.
        source: Where all of it is from, for people.
        is_synthetic: Whether nobody in it is real.
        positive_share: Share of the positive label in all of it.
        history_file: Where the history lies, for further commands.
    """

    history: Data
    live: Sequence[Customer]
    source: str
    is_synthetic: bool
    positive_share: float
    history_file: Path


def prepare(use_case: UseCase, source: str | None, *, folder: Folder, seed: int) -> Prepared:
    """Read the data, keep a part of its customers back as live traffic, and leave the history as a file.

    Raises:
        GauntletError: As `training.data.read_data`.
    """
    contract = use_case.contract
    whole = read_data(use_case, source, folder=folder, seed=seed, rows=SYNTHETIC_CUSTOMERS)
    trainable = np.flatnonzero([not is_holdout(row_id) for row_id in whole.frame[contract.id]])
    order = np.random.default_rng(seed).permutation(trainable)[: int(len(whole.frame) * LIVE_SHARE)]
    live, history = whole.frame.iloc[order], whole.frame.drop(index=whole.frame.index[order])
    history = history.reset_index(drop=True)
    path = folder.data / "history.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    history.to_csv(path, index=False)
    customers = customers_of(contract, live)
    body = {"customer_id": customers[0].customer_id, "features": customers[0].features}
    folder.customer.write_text(json.dumps(body, indent=2) + "\n")
    return Prepared(
        history=data_of(contract, history, source=f"{whole.source}, history", is_synthetic=whole.is_synthetic),
        live=customers,
        source=whole.source,
        is_synthetic=whole.is_synthetic,
        positive_share=float((whole.frame[contract.target] == contract.labels.positive).mean()),
        history_file=path,
    )


def customers_of(contract: Contract, frame: pd.DataFrame) -> list[Customer]:
    """The customers in a frame, as the service is sent them."""
    whole = {feature.name for feature in contract.features if isinstance(feature, Numeric) and feature.integer}

    def value(name: str, found: object) -> Value:
        if found is None or found is pd.NA or (isinstance(found, float) and np.isnan(found)):
            return None
        return int(found) if name in whole and isinstance(found, float) else found  # type: ignore[return-value]

    names = [feature.name for feature in contract.features]
    return [
        Customer(
            customer_id=str(row[contract.id]),
            features={name: value(name, row[name]) for name in names},
            outcome=str(row[contract.target]),
        )
        for row in frame.to_dict("records")
    ]


def fresh_folder(folder: Folder) -> Folder:
    """An empty folder for a demo; one that an earlier demo left is emptied.

    Raises:
        InvalidSetting: It holds something that no demo left there.
    """
    path = folder.path
    if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not (path / _MARK).exists())):
        raise InvalidSetting(f"{path} holds something that no demo left there; name another --folder")
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    (path / _MARK).write_text("{}\n")
    return folder
