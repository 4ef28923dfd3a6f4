"""Real models of the toy contract, fitted by training's own code on customers that are made here."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from serving_toys import CHECKOUT, CONTRACT, REFERENCE

from bentos.artifact import Encoder, dump_contract, dump_json, write_files
from bentos.pipeline import dump_estimator
from bentos.roles import ARTIFACT, ROLES, BentoRoles, PackedModel, dump_roles
from service.insight.explainers import Explainer, make_explainer
from training.conversion import to_onnx
from training.estimators import fit, recipe_of

ENCODER = Encoder(CONTRACT)
LINEAR, FOREST, BOOSTED = "logistic_regression", "random_forest", "hist_gradient_boosting"
EXTRA, TREE, GRADIENT = (
    "sklearn.ensemble.ExtraTreesClassifier",
    "sklearn.tree.DecisionTreeClassifier",
    "sklearn.ensemble.GradientBoostingClassifier",
)
OTHER = "sklearn.ensemble.AdaBoostClassifier"
SMALL: dict[str, dict[str, Any]] = {
    FOREST: {"n_estimators": 30},
    BOOSTED: {"max_iter": 30},
    EXTRA: {"n_estimators": 10, "max_depth": 4},
    TREE: {"max_depth": 3},
    GRADIENT: {"n_estimators": 20},
    OTHER: {"n_estimators": 10},
}


@cache
def customers(n: int = 600) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Customers of the toy contract, and who left: the shorter they stayed and the more they pay, the likelier."""
    rng = np.random.default_rng(5)
    rows = [
        {
            "tenure": int(rng.integers(0, 73)),
            "charges": None if rng.random() < 0.1 else round(float(rng.uniform(20, 120)), 2),
            "contract": str(rng.choice(["Month-to-month", "One year", "Two year"])),
            "senior": int(rng.random() < 0.2),
        }
        for _ in range(n)
    ]
    leans = [
        1.0 - row["tenure"] / 20 + (row["charges"] or 50) / 60 + (row["contract"] == "Month-to-month") for row in rows
    ]
    return rows, (rng.random(n) < 1 / (1 + np.exp(-np.array(leans)))).astype(np.int64)


@cache
def encoded() -> np.ndarray:
    rows, _ = customers()
    return np.vstack([ENCODER.encode_row(row) for row in rows])


@cache
def fitted(estimator: str, without: tuple[str, ...] = ()) -> Any:
    """A pipeline as training fits it."""
    recipe = recipe_of(estimator, SMALL.get(estimator, {}), contract=CONTRACT, without=without)
    return fit(recipe, encoded(), customers()[1])


@cache
def explainer_of(estimator: str, without: tuple[str, ...] = ()) -> Explainer:
    return make_explainer(fitted(estimator, without), CONTRACT, REFERENCE)


def write_explained(folder: Path, estimator: str, without: tuple[str, ...] = ()) -> str:
    """Write the artifact of a real model of the toy contract; returns its digest."""
    pipeline = fitted(estimator, without)
    files = {
        "contract.json": dump_contract(CONTRACT),
        "estimator.skops": dump_estimator(pipeline),
        "model.onnx": to_onnx(pipeline, width=ENCODER.width, name="toy"),
        "reference.json": dump_json(REFERENCE),
        "training.json": b"{}",
    }
    return write_files(folder, files)


def make_explained_bento(folder: Path, estimators: Sequence[str]) -> list[str]:
    """A Bento's folder as an image has it, with real models; the first is the champion. Returns their digests."""
    packed = []
    for number, estimator in enumerate(estimators, 1):
        beside = folder / f"artifact-{number}"
        model = PackedModel(name="toy", version=str(number), digest=write_explained(beside, estimator))
        name, _, tag = model.tag.partition(":")
        place = folder / "models" / name / tag / ARTIFACT
        place.parent.mkdir(parents=True)
        shutil.move(beside, place)
        packed.append(model)
    (folder / "src").mkdir()
    roles = BentoRoles(gauntlet="0.1.0", champion=packed[0], challengers=tuple(packed[1:]))
    (folder / "src" / ROLES).write_bytes(dump_roles(roles))
    for name in ("bentos", "service"):
        (folder / "src" / name).symlink_to(CHECKOUT / name)
    return [model.digest for model in packed]
