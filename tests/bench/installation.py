"""What every bench serves: a forest as champion, gradient boosting in its shadow, made by the project's own commands.

It lies in a folder that is used again by the next run. Delete the folder to train anew.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bentos.artifact import Artifact, Contract, Value, load_artifact
from bentos.folder import Folder
from bentos.roles import ROLES, find_artifact, read_roles
from service.http.keys import add_key
from service.scoring.experiment import read_experiment
from service.supervisor import write_first_experiment
from tests.bench.machine import ROOT, CannotMeasure, progress

DATA = ROOT.parent / "shared" / "data" / "telco.csv"
"""The public Telco file; where it is absent, the embedded generator's customers take its place."""
ROWS = 500
_MODELS = ("random_forest", "hist_gradient_boosting")
_SEED = 20260101
BODY_END = b"\x1e"
"""Ends a body in a file of bodies: a byte that is in no JSON, as a line feed is in NDJSON."""


@dataclass(frozen=True)
class Customer:
    """Somebody who is scored.

    Attributes:
        customer_id: As in the data.
        features: As the service is sent them; none is missing, because not every server here takes null.
        probability: What scikit-learn's own estimator of the champion says.
    """

    customer_id: str
    features: dict[str, Value]
    probability: float


@dataclass(frozen=True)
class Installation:
    """A folder that is ready to be served.

    Attributes:
        folder: Its Bento carries champion and challenger; its experiment file is in shadow mode.
        artifacts: Champion and challenger.
        customers: 500 different ones, in an order that has no order.
        pipeline: A joblib file: the champion's forest behind scikit-learn's usual preprocessing, which reads a
            DataFrame of raw values. It is for the servers that are compared with; Gauntlet itself loads no pickle.
        source: Where the customers come from, for people.
        key: An API key with the scope `score`.
        keys: The folder in which its digest is.
    """

    folder: Folder
    artifacts: tuple[Artifact, ...]
    customers: tuple[Customer, ...]
    pipeline: Path
    source: str
    key: str
    keys: Path

    @property
    def contract(self) -> Contract:
        """The champion's."""
        return self.artifacts[0].contract

    @property
    def scratch(self) -> Path:
        """For files that a run makes: bodies, logs and spools."""
        path = self.folder.path / "bench"
        path.mkdir(exist_ok=True)
        return path


def default_folder() -> Path:
    """Where the benches keep their installation if they are not told."""
    return Path(tempfile.gettempdir()) / f"gauntlet-bench-{os.getuid()}"


def prepare(path: Path) -> Installation:
    """Make the installation, or take the one of an earlier run; the Bento is always built anew from this checkout.

    Raises:
        CannotMeasure: A command failed, or the folder holds something else.
    """
    folder = Folder(path.resolve())
    trained = folder.path / "bench.json"
    if not trained.is_file():
        _train(folder, trained)
    source = json.loads(trained.read_text())["source"]
    champion, challenger = (f"models:/churn/{number}" for number in range(1, len(_MODELS) + 1))
    progress("packaging")
    _gauntlet(folder, "package", "--champion", champion, "--challenger", challenger)
    folder.experiment.unlink(missing_ok=True)
    write_first_experiment(folder, now=datetime.now(UTC))
    _gauntlet(folder, "experiment", "shadow", challenger)
    return _open(folder, source)


def write_bodies(installation: Installation, name: str, bodies: Sequence[bytes]) -> Path:
    """A file of bodies for the load generators, each with `BODY_END` behind it."""
    path = installation.scratch / f"{name}.bodies"
    path.write_bytes(b"".join(body + BODY_END for body in bodies))
    return path


def _train(folder: Folder, trained: Path) -> None:
    if folder.path.exists() and any(folder.path.iterdir()):
        raise CannotMeasure(f"{folder.path} holds something that no bench left there whole; delete it or name another")
    data = ("--data", str(DATA)) if DATA.is_file() else ()
    for number, estimator in enumerate(_MODELS, 1):
        progress(f"training {estimator} (half a minute, once)")
        _gauntlet(folder, "train", "--estimator", estimator, *data)
        _gauntlet(folder, "gate", f"models:/churn/{number}")  # before there is a champion: none is compared with it
    _gauntlet(folder, "promote", "--bootstrap", "models:/churn/1")
    trained.write_text(json.dumps({"source": "the public Telco file" if data else "the embedded generator"}) + "\n")


def _gauntlet(folder: Folder, *arguments: str) -> None:
    environment = {**os.environ, "GAUNTLET_STORE_URL": folder.store_url}
    environment.pop("MLFLOW_TRACKING_URI", None)  # everything stays in the folder
    command = [sys.executable, "-m", "gauntlet", *arguments, "--folder", str(folder.path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-2000:]
        raise CannotMeasure(f"gauntlet {' '.join(arguments)} ended with exit code {done.returncode}:\n{said}")


def _open(folder: Folder, source: str) -> Installation:
    roles = read_roles(folder.bento / "src" / ROLES)
    stores = (folder.bentoml / "models",)
    artifacts = tuple(load_artifact(find_artifact(packed, stores)) for packed in roles.models)
    experiment = read_experiment(folder.experiment)
    if (experiment.mode, len(artifacts)) != ("shadow", 2):
        raise CannotMeasure(f"{folder.experiment} is not in shadow mode with two models; delete {folder.path}")
    from tests.bench.servers.plain_pipeline import export

    pipeline = folder.path / "bench" / "pipeline.joblib"
    pipeline.parent.mkdir(exist_ok=True)
    export(artifacts[0], pipeline)
    keys = folder.path / "bench" / "keys"
    shutil.rmtree(keys, ignore_errors=True)
    key = add_key(keys, "score", "bench")
    return Installation(folder, artifacts, _customers(artifacts[0]), pipeline, source, key, keys)


def _customers(champion: Artifact) -> tuple[Customer, ...]:
    from bentos.pipeline import load_estimator, probabilities
    from service.demo.preparing import customers_of
    from training.data import encode, read_data
    from training.use_case import load_use_case

    use_case = load_use_case(ROOT / "training" / "use_cases" / "telco_churn.yaml")
    data = read_data(use_case, str(DATA) if DATA.is_file() else None, folder=Folder(champion.folder))
    whole = data.frame.dropna()
    rows = np.random.default_rng(_SEED).permutation(len(whole))[:ROWS]
    frame = whole.iloc[rows]
    estimator: Any = load_estimator(champion.folder / "estimator.skops")
    found = probabilities(estimator, encode(champion.contract, frame))
    return tuple(
        Customer(customer.customer_id, customer.features, float(probability))
        for customer, probability in zip(customers_of(champion.contract, frame), found, strict=True)
    )
