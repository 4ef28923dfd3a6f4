"""Logs to look at for drift: toy models as a Bento carries them, and predictions of customers that a test makes up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from serving_toys import CONTRACT, REFERENCE

from bentos.artifact import Reference
from service.ids import make_id
from service.micros import to_micros
from service.prediction_log.records import Prediction
from validation.drift.comparing import Window
from validation.drift.counting import ReferenceModel

END = datetime(2026, 6, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TODAY = Window(since=END - DAY, until=END)
CHAMPION, CHALLENGER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def model(label="toy:1", digest=CHAMPION, reference: Reference = REFERENCE) -> ReferenceModel:
    return ReferenceModel(label=label, digest=digest, contract=CONTRACT, reference=reference)


def customers(n: int, rng: np.random.Generator) -> list[dict]:
    """Features as training had them: shares as in `REFERENCE`."""
    tenure = rng.choice([1, 10, 40], n, p=[0.2, 0.5, 0.3])
    charges = rng.choice([20.0, 90.5, -1.0], n, p=[0.4, 0.5, 0.1])
    contract = rng.choice(["Month-to-month", "One year", "Two year"], n, p=[0.5, 0.3, 0.2])
    senior = rng.choice([0, 1], n, p=[0.8, 0.2])
    return [
        {"tenure": int(a), "charges": None if b < 0 else float(b), "contract": str(c), "senior": int(d)}
        for a, b, c, d in zip(tenure, charges, contract, senior, strict=True)
    ]


def prediction(number: int, features: dict, probability=0.2, **changes) -> Prediction:
    at = to_micros(END - DAY) + number * 1_000_000
    fields = {
        "prediction_id": make_id(at, (4 * abs(number)).to_bytes(8, "big")),
        "at": at,
        "customer_id": f"customer-{number}",
        "purpose": "live",
        "experiment": "e",
        "revision": 1,
        "mode": "shadow",
        "split": 0.0,
        "variant": "champion",
        "champion": CHAMPION,
        "challenger": CHALLENGER,
        "champion_probability": probability,
        "challenger_probability": None,
        "champion_positive": probability >= 0.5,
        "challenger_positive": None,
        "features": features,
    }
    return Prediction(**{**fields, **changes})


def log(n: int, *, seed: int = 0, **changes) -> list[Prediction]:
    """Predictions of customers as in training, with probabilities as in training."""
    rng = np.random.default_rng(seed)
    probabilities = rng.choice([0.1, 0.45, 0.9], n, p=[0.6, 0.3, 0.1])
    return [
        prediction(i, features, float(probability), **changes)
        for i, (features, probability) in enumerate(zip(customers(n, rng), probabilities, strict=True))
    ]
