"""A store with a few hand-made predictions, and the contract and reference that they belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bentos.artifact import (
    Adjustment,
    Binned,
    Categorical,
    Contract,
    Labels,
    Numeric,
    Offer,
    Reference,
    RiskBand,
)
from service.console.production.reading import Cell
from service.ids import make_id
from service.store import Store, open_store, tables
from validation.drift.comparing import Counted

MINUTE = 60_000_000
HOUR = 60 * MINUTE
NOON = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z
CHAMPION, CHALLENGER = "sha256:champion", "sha256:challenger"


CELLS = [
    Cell(0, 4, 0, 10, 0, 1, 1.0, 0.1),
    Cell(0, 30, 2, 5, 5, 0, 4.0, 3.2),
    Cell(60, 4, 0, 5, 0, 0, 0.5, 0.05),
]


def toy_contract() -> Contract:
    """Three features, two of which the company may change; nothing in it is called churn."""
    return Contract(
        schema_version=1,
        name="leaving",
        id="member",
        target="leaves",
        labels=Labels(positive="gone", negative="here"),
        features=(
            Numeric(
                name="fee",
                minimum=0,
                maximum=100,
                unit="EUR",
                actionable=Adjustment(direction="lower", words={"en": "a lower fee"}),
            ),
            Categorical(
                name="plan",
                categories=("month", "year"),
                missing=("",),
                actionable=(Offer(to="year", words={"en": "a year's plan"}),),
            ),
            Numeric(name="age", minimum=0, maximum=120, integer=True, unit="years"),
        ),
        risk_bands=(
            RiskBand(name="low", from_probability=0.0),
            RiskBand(name="middle", from_probability=0.3),
            RiskBand(name="high", from_probability=0.6),
        ),
    )


def toy_reference() -> Reference:
    """Ten equal parts of the fee, two plans, and a score with four bins."""
    return Reference(
        n=1000,
        features=(
            Binned(
                name="fee", edges=(20.0, 50.0), bins=("below 20", "20 to 50", "50 and above"), counts=(300, 400, 300)
            ),
            Binned(name="plan", bins=("month", "year", "missing", "unseen"), counts=(500, 480, 20, 0)),
            Binned(name="age", edges=(40.0,), bins=("below 40", "40 and above"), counts=(500, 500)),
        ),
        score=Binned(name="score", edges=(0.25, 0.5), bins=("a", "b", "c"), counts=(500, 300, 200), mean=0.3),
    )


def prediction(number: int, probability: float | None, **given: Any) -> dict[str, Any]:
    """A row of the predictions' table, `number` minutes after noon."""
    at = given.get("at", NOON + number * MINUTE)
    features = given.pop("features", {"fee": 30.0, "plan": "month", "age": 50})
    positive = None if probability is None else probability >= 0.5
    return {
        "prediction_id": make_id(at, number.to_bytes(8, "big")),
        "at": at,
        "customer_id": f"customer-{number}",
        "purpose": "live",
        "experiment": "e",
        "revision": 1,
        "mode": "off",
        "split": 0.0,
        "variant": "champion",
        "champion": CHAMPION,
        "challenger": None,
        "champion_probability": probability,
        "challenger_probability": None,
        "champion_positive": positive,
        "challenger_positive": None,
        "features": json.dumps(features),
        "landed_at": at,
    } | given


def outcome(of: dict[str, Any], positive: bool, *, after: int) -> dict[str, Any]:
    """What was told of a prediction, so long after it."""
    seen = of["at"] + after
    return {
        "prediction_id": of["prediction_id"],
        "observed_at": seen,
        "received_at": seen,
        "positive": positive,
        "landed_at": seen,
    }


def store_with(folder: Path, predictions: list[dict[str, Any]], outcomes: list[dict[str, Any]] | None = None) -> Store:
    """A SQLite store in a folder that holds these rows."""
    return filled(open_store(f"sqlite:///{folder / 'store.db'}"), predictions, outcomes or [])


def filled(store: Store, predictions: list[dict[str, Any]], outcomes: list[dict[str, Any]]) -> Store:
    """The store, with these rows in it."""
    with store.writing() as connection:
        connection.execute(tables.predictions.insert(), predictions)
        if outcomes:
            connection.execute(tables.outcomes.insert(), outcomes)
    return store


def toy_counted(fee: tuple[int, int, int], *, repeats: float = 1.0) -> Counted:
    """Predictions of which the fee moved, and nothing else."""
    n = sum(fee)
    return Counted(
        rows=n,
        unreadable=0,
        customers=round(n / repeats),
        repeats=repeats,
        features={"fee": fee, "plan": (n // 2, n - n // 2, 0, 0), "age": (n // 2, n - n // 2)},
        scores=(n // 2, n // 4, n - n // 2 - n // 4),
        score_sum=0.3 * n,
        answered=0,
        positive=0,
    )
