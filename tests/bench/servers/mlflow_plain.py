"""Server `mlflow`: saves the pipeline as an MLflow model, then becomes `mlflow models serve`."""

from __future__ import annotations

import os
import shutil
import sys

import joblib
import mlflow.sklearn

if __name__ == "__main__":
    model = os.environ["BENCH_PIPELINE"] + ".mlflow"
    shutil.rmtree(model, ignore_errors=True)
    mlflow.sklearn.save_model(
        joblib.load(os.environ["BENCH_PIPELINE"]),
        model,
        serialization_format="cloudpickle",
        pyfunc_predict_fn="predict_proba",
        pip_requirements=["mlflow", "scikit-learn"],
    )
    command = ["-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local", "-h", "127.0.0.1"]
    os.execv(sys.executable, [sys.executable, *command, "-p", os.environ["BENCH_PORT"], "-w", "1"])
