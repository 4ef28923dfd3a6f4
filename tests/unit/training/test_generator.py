from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from bentos.artifact import Contract, Encoder
from bentos.pipeline import probabilities
from training.data import encode, truth
from training.estimators import fit, recipe_of
from training.generator import generate_customers
from training.use_case import UseCase

FITTED, JUDGED = 4000, 4000
SEEDS = (0, 1, 2)


class Trial:
    """The demo's models, fitted on some customers and asked about others."""

    def __init__(self, contract: Contract, seed: int) -> None:
        self.contract = contract
        self.customers = generate_customers(JUDGED, seed=1000 + seed)
        self.truth = truth(contract, self.customers)
        fitted = generate_customers(FITTED, seed=seed)
        self._rows, self._labels = encode(contract, fitted), truth(contract, fitted)
        self.logistic = self.answers("logistic_regression")
        self.forest = self.answers("random_forest")

    def answers(
        self, estimator: str, *, without: tuple[str, ...] = (), broken: str | None = None
    ) -> NDArray[np.float64]:
        recipe = recipe_of(estimator, {}, contract=self.contract, without=without, seed=0)
        customers = self.customers.assign(**{broken: 0.0}) if broken else self.customers
        return probabilities(fit(recipe, self._rows, self._labels), encode(self.contract, customers))

    def is_right(self, answers: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray((answers >= self.contract.cut) == self.truth)


@pytest.fixture(scope="module", params=SEEDS, ids=lambda seed: f"seed-{seed}")
def trial(request: pytest.FixtureRequest, telco_use_case: UseCase) -> Trial:
    return Trial(telco_use_case.contract, request.param)


def test_a_forest_beats_logistic_regression_by_a_margin_that_live_traffic_shows(trial: Trial) -> None:
    forest, logistic = trial.is_right(trial.forest), trial.is_right(trial.logistic)
    assert forest.mean() - logistic.mean() >= 0.03
    assert 0.06 <= (forest != logistic).mean() <= 0.15


def test_both_pass_the_seed_policy_with_air(trial: Trial) -> None:
    for answers, least_auc in ((trial.logistic, 0.81), (trial.forest, 0.87)):
        labels = answers >= 0.5
        assert trial.is_right(answers).mean() >= 0.78
        assert precision_score(trial.truth, labels, average="weighted") >= 0.75
        assert recall_score(trial.truth, labels, average="weighted") >= 0.75
        assert f1_score(trial.truth, labels, average="weighted") >= 0.75
        assert roc_auc_score(trial.truth, answers) >= least_auc


@pytest.mark.parametrize("attribute", ["gender", "SeniorCitizen"])
def test_accuracy_is_alike_in_every_group(trial: Trial, attribute: str) -> None:
    for answers in (trial.logistic, trial.forest):
        by_group = pd.Series(trial.is_right(answers)).groupby(trial.customers[attribute]).mean()
        assert by_group.max() - by_group.min() <= 0.07


def test_a_little_noise_in_the_numbers_costs_little_accuracy(trial: Trial) -> None:
    rng = np.random.default_rng(0)
    noisy = trial.customers.copy()
    for name in ("tenure", "MonthlyCharges", "TotalCharges"):
        noisy[name] += rng.normal(0, 0.1 * float(noisy[name].std()), len(noisy))
    rows = encode(trial.contract, noisy)
    recipe = recipe_of("random_forest", {}, contract=trial.contract, seed=0)
    answers = probabilities(fit(recipe, trial._rows, trial._labels), rows)
    assert trial.is_right(trial.forest).mean() - trial.is_right(answers).mean() <= 0.06


def test_total_charges_stand_in_for_tenure_until_they_break(trial: Trial) -> None:
    leaning = trial.is_right(trial.answers("hist_gradient_boosting", without=("tenure",))).mean()
    broken = trial.is_right(trial.answers("hist_gradient_boosting", without=("tenure",), broken="TotalCharges")).mean()
    steady = trial.is_right(trial.answers("random_forest", without=("TotalCharges",), broken="TotalCharges")).mean()
    assert leaning >= trial.is_right(trial.forest).mean() - 0.01
    assert steady - broken >= 0.05


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    return generate_customers(7000, seed=2)


def test_the_same_seed_makes_the_same_customers(customers: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(customers, generate_customers(7000, seed=2))


def test_another_seed_makes_other_people(customers: pd.DataFrame) -> None:
    other = generate_customers(7000, seed=3)
    assert not set(customers["customerID"]) & set(other["customerID"])
    assert not customers.drop(columns="customerID").equals(other.drop(columns="customerID"))


def test_the_schema_is_that_of_the_contract(customers: pd.DataFrame, telco_use_case: UseCase) -> None:
    contract = telco_use_case.contract
    assert list(customers) == [contract.id, *(feature.name for feature in contract.features), contract.target]


def test_every_row_is_one_that_the_service_would_take(customers: pd.DataFrame, telco_use_case: UseCase) -> None:
    encoder = Encoder(telco_use_case.contract)
    names = [feature.name for feature in telco_use_case.contract.features]
    rows = customers[names].astype(object).where(customers[names].notna(), None).to_dict("records")
    assert not [problem for row in rows for problem in encoder.problems(row)]


@pytest.mark.parametrize(
    ("column", "value", "share"),
    # Shares in the real data.
    [
        ("Churn", "Yes", 0.265),
        ("SeniorCitizen", "1", 0.162),
        ("Contract", "Month-to-month", 0.550),
        ("Contract", "Two year", 0.241),
        ("InternetService", "Fiber optic", 0.440),
        ("InternetService", "No", 0.217),
        ("PhoneService", "No", 0.097),
        ("PaymentMethod", "Electronic check", 0.336),
        ("PaperlessBilling", "Yes", 0.592),
        ("Dependents", "Yes", 0.300),
        ("gender", "Male", 0.505),
    ],
)
def test_marginals_are_near_those_of_the_real_data(
    customers: pd.DataFrame, column: str, value: str, share: float
) -> None:
    assert (customers[column] == value).mean() == pytest.approx(share, abs=0.035)


def test_services_agree_with_one_another(customers: pd.DataFrame) -> None:
    without_internet = customers["InternetService"] == "No"
    for add_on in ("OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV"):
        assert ((customers[add_on] == "No internet service") == without_internet).all()
    assert ((customers["MultipleLines"] == "No phone service") == (customers["PhoneService"] == "No")).all()


def test_total_charges_follow_from_tenure_and_are_blank_for_customers_of_no_month(customers: pd.DataFrame) -> None:
    is_new = customers["tenure"] == 0
    assert is_new.any()
    assert (customers["TotalCharges"].isna() == is_new).all()
    old = customers[customers["tenure"] > 3]
    paid = old["TotalCharges"] / (old["tenure"] * old["MonthlyCharges"])
    assert paid.between(0.8, 1.2).all()
    assert paid.std() > 0.01
