"""Server `mlserver`: writes the settings that MLServer's documentation shows, then becomes `mlserver start`."""

from __future__ import annotations

import json
import os
from pathlib import Path

if __name__ == "__main__":
    folder = Path(os.environ["BENCH_PIPELINE"] + ".mlserver")
    folder.mkdir(exist_ok=True)
    ports = {name: int(os.environ[f"BENCH_{name.upper()}"]) for name in ("grpc_port", "metrics_port")}
    settings = {"host": "127.0.0.1", "http_port": int(os.environ["BENCH_PORT"]), **ports}
    model = {
        "name": "churn",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": os.environ["BENCH_PIPELINE"]},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    os.chdir(folder)
    os.execvp("mlserver", ["mlserver", "start", "."])  # of the environment that runs this
