"""Toy models for the gate: logistic regressions whose weights stand here, registered in a real MLflow as training does.

Truths are drawn from known weights over a small contract, so that one can say beforehand which model is good, which is
worse, and by about how much.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper

from bentos.artifact import (
    INPUT,
    OUTPUT,
    Binned,
    Categorical,
    Contract,
    Encoder,
    Labels,
    Numeric,
    Reference,
    TrainingRecord,
    dump_contract,
    dump_json,
    sha256,
    write_files,
)
from bentos.registry import Registry, Version

CONTRACT = Contract(
    schema_version=1,
    name="toy",
    id="customer",
    target="leaves",
    labels=Labels(positive="Yes", negative="No"),
    features=(
        Numeric(name="tenure", minimum=0, maximum=72, integer=True, unit="month"),
        Numeric(name="charge", minimum=0, maximum=120, missing=("",), fill=0.0),
        Categorical(name="gender", categories=("Female", "Male")),
        Categorical(name="SeniorCitizen", categories=("0", "1")),
        Categorical(name="plan", categories=("monthly", "yearly")),
    ),
    protected=("gender", "SeniorCitizen"),
)
TRUTH = {"(bias)": 0.0, "tenure": -0.12, "charge": 0.06, "plan=monthly": 2.0, "plan=yearly": -2.0}
"""Weights of the truth by column: its own model is right on about nine rows of ten."""

GOOD = TRUTH
WORSE = {**TRUTH, "plan=monthly": 0.0, "plan=yearly": 0.0}
"""Still above the thresholds of `baseline.yaml`, and worse than GOOD by some points of accuracy."""

BAD = {**TRUTH, "tenure": 0.12}
"""Below the thresholds."""

NAN = {**TRUTH, "(bias)": float("nan")}


@dataclass(frozen=True)
class Toy:
    """A registered toy."""

    version: Version
    holdout: bytes


def columns(n: int, seed: int) -> dict[str, list[str | float | None]]:
    """Rows of the contract with their truths, drawn from `TRUTH`."""
    rng = np.random.default_rng(seed)
    charge = np.round(rng.uniform(10, 110, n), 2)
    table = {
        "customer": [f"C{row:06d}" for row in range(n)],
        "tenure": rng.integers(0, 73, n).astype(float).tolist(),
        "charge": [None if blank else value for blank, value in zip(rng.random(n) < 0.01, charge, strict=True)],
        "gender": rng.choice(["Female", "Male"], n).tolist(),
        "SeniorCitizen": rng.choice(["0", "1"], n, p=[0.84, 0.16]).tolist(),
        "plan": rng.choice(["monthly", "yearly"], n).tolist(),
    }
    encoder = Encoder(CONTRACT)
    rows = encoder.encode_columns({f.name: table[f.name] for f in CONTRACT.features})
    logits = rows @ _weights(TRUTH, encoder) + TRUTH["(bias)"]
    table["leaves"] = np.where(rng.random(n) < 1 / (1 + np.exp(-logits)), "Yes", "No").tolist()
    return table


def parquet(table: dict[str, list[str | float | None]]) -> bytes:
    """The table as the bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(table), sink)
    return bytes(sink.getvalue())


def model(weights: dict[str, float], contract: Contract = CONTRACT) -> bytes:
    """A logistic regression as `model.onnx`."""
    encoder = Encoder(contract)
    row = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, encoder.width])
    out = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 2])
    constants = {
        "weights": _weights(weights, encoder).reshape(-1, 1),
        "bias": np.array([weights["(bias)"]], dtype=np.float32),
        "one": np.array([1.0], dtype=np.float32),
    }
    nodes = [
        helper.make_node("MatMul", [INPUT, "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["positive"]),
        helper.make_node("Sub", ["one", "positive"], ["negative"]),
        helper.make_node("Concat", ["negative", "positive"], [OUTPUT], axis=1),
    ]
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "toy", [row], [out], stored)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def register(
    registry: Registry,
    weights: dict[str, float],
    *,
    name: str = "toy",
    n: int = 1409,
    seed: int = 1,
    contract: Contract = CONTRACT,
    holdout: bytes | None = None,
    keep_holdout: bool = True,
    is_synthetic: bool = True,
) -> Toy:
    """Log a toy's artifact and holdout to a run, and register it."""
    contract = msgspec.structs.replace(contract, name=name)
    holdout = parquet(columns(n, seed)) if holdout is None else holdout
    with tempfile.TemporaryDirectory() as scratch:
        run = registry.client.create_run(registry.experiment("toys")).info.run_id
        record = _record(holdout, n, run, is_synthetic)
        folder = Path(scratch) / "artifact"
        files = {
            "contract.json": dump_contract(contract),
            "model.onnx": model(weights, contract),
            "estimator.skops": b"the gate reads model.onnx alone",
            "reference.json": dump_json(_reference(contract)),
            "training.json": dump_json(record),
        }
        digest = write_files(folder, files)
        registry.client.log_artifacts(run, str(folder), "artifact")
        if keep_holdout:
            (Path(scratch) / "holdout.parquet").write_bytes(holdout)
            registry.client.log_artifact(run, str(Path(scratch) / "holdout.parquet"), "data")
    return Toy(registry.register(name, run=run, digest=digest), holdout)


def _weights(weights: dict[str, float], encoder: Encoder) -> np.ndarray:
    return np.array([weights.get(column, 0.0) for column in encoder.columns], dtype=np.float32)


def _reference(contract: Contract) -> Reference:
    deviations = {"tenure": 21.0, "charge": 29.0}
    features = tuple(
        Binned(name=f.name, bins=("all",), counts=(1000,), deviation=deviations.get(f.name)) for f in contract.features
    )
    return Reference(n=1000, features=features, score=Binned(name="score", bins=("all",), counts=(1000,)))


def _record(holdout: bytes, n: int, run: str, is_synthetic: bool) -> TrainingRecord:
    return TrainingRecord(
        data=sha256(b"the toys' data"),
        is_synthetic=is_synthetic,
        rows=5 * n,
        holdout=sha256(holdout),
        holdout_rows=n,
        holdout_share=0.2,
        seed=0,
        estimator="toy.LogisticRegression",
        parameters={},
        left_out=(),
        metrics={},
        parity=0.0,
        versions={},
        git_revision=None,
        run=run,
    )
