"""Server `bento-sklearn`: a usual BentoML service, `@bentoml.api` around scikit-learn's `predict_proba`."""

from __future__ import annotations

import os
from typing import Any

import bentoml


@bentoml.service(name="plain", workers=1, logging={"access": {"enabled": False}})
class Plain:
    """One model."""

    def __init__(self) -> None:
        import joblib

        self._pipeline = joblib.load(os.environ["BENCH_PIPELINE"])

    @bentoml.api(route="/predict")
    def predict(self, customer_id: str, features: dict[str, Any]) -> dict[str, float]:
        """Score one customer."""
        import pandas as pd

        del customer_id
        return {"probability": float(self._pipeline.predict_proba(pd.DataFrame([features]))[0, 1])}
