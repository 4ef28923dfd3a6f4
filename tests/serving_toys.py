"""Toys for the data plane: a small contract, models whose answers are known by heart, and a Bento's folder of them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from bentos.artifact import (
    Binned,
    Blessing,
    Categorical,
    Contract,
    Encoder,
    Labels,
    Numeric,
    Reference,
    RiskBand,
    SigningKey,
    add_blessing,
    dump_contract,
    dump_json,
    load_artifact,
    write_files,
)
from bentos.roles import ARTIFACT, ROLES, BentoRoles, PackedModel, dump_roles

CHECKOUT = Path(__file__).resolve().parent.parent
NAN = math.nan
CONTRACT = Contract(
    schema_version=1,
    name="toy",
    id="customerID",
    target="Churn",
    labels=Labels(positive="Yes", negative="No"),
    features=(
        Numeric(name="tenure", minimum=0, maximum=72, unit="month", integer=True),
        Numeric(name="charges", minimum=0, maximum=1000, unit="USD", missing=(" ",), fill=50.0),
        Categorical(name="contract", categories=("Month-to-month", "One year", "Two year")),
        Categorical(name="senior", categories=("0", "1")),
    ),
    protected=("senior",),
    risk_bands=(RiskBand(name="low", from_probability=0.0), RiskBand(name="high", from_probability=0.6)),
)
REFERENCE = Reference(
    n=100,
    features=(
        Binned(name="tenure", edges=(2.0, 24.0), bins=("below 2", "2 to 24", "24 and above"), counts=(20, 50, 30)),
        Binned(name="charges", edges=(70.5,), bins=("below 70.5", "70.5 and above", "missing"), counts=(40, 50, 10)),
        Binned(name="contract", bins=("Month-to-month", "One year", "Two year", "unseen"), counts=(50, 30, 20, 0)),
        Binned(name="senior", bins=("0", "1", "unseen"), counts=(80, 20, 0)),
    ),
    score=Binned(
        name="score",
        edges=(0.3, 0.6),
        bins=("below 0.3", "0.3 to 0.6", "0.6 and above"),
        counts=(60, 30, 10),
        mean=0.31,
    ),
)
"""How the toys' training looked."""
FEATURES = {"tenure": 3, "charges": 70.5, "contract": "One year", "senior": 0}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_MICROS = 1_772_366_400_000_000


def make_onnx(probability: float, *, width: int | None = None, slope: float = 0.0) -> bytes:
    """A model that answers one probability for every row, or NaN, or a number that is none.

    Args:
        probability: What it answers.
        width: Columns that it reads.
        slope: Added for each month of tenure.
    """
    columns = Encoder(CONTRACT).width if width is None else width
    weights = np.zeros((columns, 1), dtype=np.float32)
    weights[0, 0] = slope
    constants = {"weights": weights, "bias": np.array([[probability]], dtype=np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["row", "weights"], ["slope"]),
            helper.make_node("Add", ["slope", "bias"], ["positive"]),
            helper.make_node("Neg", ["positive"], ["negative"]),
            helper.make_node("Concat", ["negative", "positive"], ["probabilities"], axis=1),
        ],
        "toy",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, ["n", columns])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


def write_artifact(
    folder: Path,
    probability: float,
    *,
    contract: Contract = CONTRACT,
    slope: float = 0.0,
    width: int | None = None,
    reference: Reference = REFERENCE,
) -> str:
    """Write an artifact of a toy model; returns its digest."""
    files = {
        "contract.json": dump_contract(contract),
        "estimator.skops": b"toy",
        "model.onnx": make_onnx(probability, slope=slope, width=width),
        "reference.json": dump_json(reference),
        "training.json": b"{}",
    }
    return write_files(folder, files)


def bless(
    folder: Path, *, days: float = 30, now: datetime = NOW, key: SigningKey | None = None, **changes: Any
) -> Blessing:
    """Give an artifact a blessing that expires some days from now, judged a month before that."""
    expires_at = now + timedelta(days=days)
    fields: dict[str, Any] = {
        "artifact": load_artifact(folder).digest,
        "baseline": None,
        "data": "sha256:" + "0" * 64,
        "policy": "sha256:" + "1" * 64,
        "code": "0.1.0",
        "n": 100,
        "seed": 0,
        "verdict": "PASS",
        "checks": [],
        "scope": "split",
        "judged_at": min(now, expires_at - timedelta(days=30)),
        "expires_at": expires_at,
    }
    blessing = Blessing(**{**fields, **changes})
    blessing = blessing if key is None else key.sign(blessing)
    add_blessing(folder, blessing)
    return blessing


def make_bento(
    folder: Path, probabilities: Sequence[float], *, slope: float = 0.0, reference: Reference = REFERENCE
) -> list[str]:
    """A Bento's folder as an image has it: `src/roles.json` and `models/`; the first model is the champion.

    Returns:
        The models' digests.
    """
    folder.mkdir(parents=True, exist_ok=True)
    packed = []
    for number, probability in enumerate(probabilities, 1):
        beside = folder / f"artifact-{number}"
        digest = write_artifact(beside, probability, slope=slope if number == 1 else 0.0, reference=reference)
        model = PackedModel(name="toy", version=str(number), digest=digest)
        store_name, _, tag = model.tag.partition(":")
        place = folder / "models" / store_name / tag / ARTIFACT
        place.parent.mkdir(parents=True)
        shutil.move(beside, place)
        packed.append(model)
    (folder / "src").mkdir()
    roles = BentoRoles(gauntlet="0.1.0", champion=packed[0], challengers=tuple(packed[1:]))
    (folder / "src" / ROLES).write_bytes(dump_roles(roles))
    for name in ("bentos", "service"):
        (folder / "src" / name).symlink_to(CHECKOUT / name)
    return [model.digest for model in packed]


def artifact_of(bento: Path, digest: str) -> Path:
    """Where a toy Bento keeps the artifact of a digest."""
    return bento / "models" / "toy" / digest.removeprefix("sha256:")[:12] / ARTIFACT
