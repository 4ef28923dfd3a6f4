"""Server `fastapi-sklearn`: a usual FastAPI application around scikit-learn's `predict_proba`."""

from __future__ import annotations

import os
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

application = FastAPI()
pipeline = joblib.load(os.environ["BENCH_PIPELINE"])


class Request(BaseModel):
    """What it reads."""

    customer_id: str
    features: dict[str, Any]


@application.get("/ready")
def ready() -> str:
    """Whether it serves."""
    return "ready"


@application.post("/predict")
def predict(request: Request) -> dict[str, float]:
    """Score one customer."""
    return {"probability": float(pipeline.predict_proba(pd.DataFrame([request.features]))[0, 1])}
