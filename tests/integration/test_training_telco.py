"""The shipped defaults on the real Telco data, which is not committed: skipped where it is not beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bentos.folder import Folder
from training.data import encode, read_data, split, truth
from training.estimators import recipe_of
from training.metrics import Validated, cross_validate
from training.use_case import load_use_case

ROOT = Path(__file__).parents[2]
TELCO = Path(os.environ.get("GAUNTLET_TELCO", ROOT.parent / "shared" / "data" / "telco.csv"))

pytestmark = pytest.mark.skipif(not TELCO.is_file(), reason=f"the Telco data is not at {TELCO}; set GAUNTLET_TELCO")


def validated(estimator: str) -> Validated:
    use_case = load_use_case(ROOT / "training" / "use_cases" / "telco_churn.yaml")
    contract = use_case.contract
    training, _ = split(contract, read_data(use_case, str(TELCO), folder=Folder(Path("unused"))), folds=5)
    rows, labels = encode(contract, training), truth(contract, training)
    recipe = recipe_of(estimator, {}, contract=contract)
    return cross_validate(recipe, rows, labels, cut=contract.cut, folds=5, progress=lambda _text: None)


@pytest.mark.parametrize("estimator", ["random_forest", "hist_gradient_boosting"])
def test_the_shipped_defaults_rank_leavers_well(estimator: str) -> None:
    assert validated(estimator).means["roc_auc"] >= 0.84
