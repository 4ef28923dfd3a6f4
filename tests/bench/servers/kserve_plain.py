"""Server `kserve`: KServe's Python server with a custom model, protocol V1, as its documentation writes one."""

from __future__ import annotations

import os
from typing import Any

import joblib
import pandas as pd
from kserve import Model, ModelServer


class Plain(Model):  # type: ignore[misc]  # kserve lies in an environment of its own
    """One model."""

    def __init__(self) -> None:
        super().__init__("churn")
        self._pipeline = joblib.load(os.environ["BENCH_PIPELINE"])
        self.ready = True

    def predict(self, payload: dict[str, Any], _headers: Any = None, _response_headers: Any = None) -> dict[str, Any]:
        """Score the instances."""
        return {"predictions": self._pipeline.predict_proba(pd.DataFrame(payload["instances"])).tolist()}


if __name__ == "__main__":
    ModelServer(http_port=int(os.environ["BENCH_PORT"]), enable_grpc=False, workers=1).start([Plain()])
