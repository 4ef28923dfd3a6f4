from __future__ import annotations

import os
from pathlib import Path

import pytest

from bentos.folder import Folder
from training.data import Data, read_data
from training.use_case import UseCase, load_use_case

ROOT = Path(__file__).parents[3]
USE_CASES = ROOT / "training" / "use_cases"


@pytest.fixture(scope="session")
def telco_use_case() -> UseCase:
    return load_use_case(USE_CASES / "telco_churn.yaml")


@pytest.fixture(scope="session")
def cancer_use_case() -> UseCase:
    return load_use_case(USE_CASES / "breast_cancer.yaml")


@pytest.fixture(scope="session")
def telco_file() -> Path:
    """The real Telco data, where the checkout has it beside it; never committed."""
    path = Path(os.environ.get("GAUNTLET_TELCO", ROOT.parent / "shared" / "data" / "telco.csv"))
    if not path.is_file():
        pytest.skip(f"the Telco data is not at {path}; set GAUNTLET_TELCO")
    return path


@pytest.fixture(scope="session")
def telco(telco_use_case: UseCase, telco_file: Path) -> Data:
    return read_data(telco_use_case, str(telco_file), folder=Folder(Path("unused")))


@pytest.fixture(scope="session")
def synthetic(telco_use_case: UseCase) -> Data:
    return read_data(telco_use_case, None, folder=Folder(Path("unused")), seed=11, rows=3000)
