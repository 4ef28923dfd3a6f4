"""Synthetic customers in the schema and vocabulary of the Telco data: nobody in it exists, and every id says so.

Marginals and dependencies follow the real data: contract and tenure go together, prices follow from services, total
charges from tenure and price, blank for customers of no month. Whether somebody leaves depends on a few things that add
up, and on more that only matter together (a contract that has just run out, fibre without support), which a plain
logistic regression cannot see and a forest can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]

_NO, _DSL, _FIBER = 0, 1, 2
_INTERNET = np.array(["No", "DSL", "Fiber optic"], dtype=object)
_MONTHLY, _ONE_YEAR, _TWO_YEARS = 0, 1, 2
_CONTRACT = np.array(["Month-to-month", "One year", "Two year"], dtype=object)
_BANK, _CARD, _ELECTRONIC_CHECK, _MAILED_CHECK = 0, 1, 2, 3
_PAYMENT = np.array(
    ["Bank transfer (automatic)", "Credit card (automatic)", "Electronic check", "Mailed check"], dtype=object
)
_ADD_ON_USD = {
    "OnlineSecurity": 5.0,
    "OnlineBackup": 5.0,
    "DeviceProtection": 5.0,
    "TechSupport": 5.0,
    "StreamingTV": 10.0,
    "StreamingMovies": 10.0,
}
_INTERNET_USD = np.array([0.0, 25.0, 50.0])
_PHONE_USD, _LINES_USD = 20.0, 5.0
_LOWEST_USD, _HIGHEST_USD = 18.25, 118.75
_LONGEST_MONTHS = 72

_BASE_LOG_ODDS = -7.0
"""Tuned with the rest so that 27 % leave, as in the real data."""
_LABEL_NOISE = 0.03
"""Chance that somebody stays or leaves whatever the columns say."""


@dataclass(frozen=True)
class _Customers:
    """Columns before they are spelled out, each of shape (n,)."""

    is_male: Flags
    is_senior: Flags
    has_partner: Flags
    has_dependents: Flags
    contract: NDArray[np.intp]
    tenure: Numbers
    internet: NDArray[np.intp]
    has_phone: Flags
    has_lines: Flags
    add_ons: dict[str, Flags]
    is_paperless: Flags
    payment: NDArray[np.intp]
    monthly: Numbers
    total: Numbers


def generate_customers(n: int, seed: int) -> pd.DataFrame:
    """Make customers up.

    Args:
        n: How many.
        seed: The same seed gives the same customers, another seed others: it is part of their ids.

    Returns:
        The columns of the Telco data; `TotalCharges` is null for customers of no month.
    """
    rng = np.random.default_rng([seed, 7919])
    customers = _draw_customers(n, rng)
    leaves = rng.random(n) < _chance_of_leaving(customers)
    ids = [f"SYN-{seed}-{number:06d}" for number in range(1, n + 1)]
    return _spelled_out(customers, ids, leaves)


def _draw_customers(n: int, rng: np.random.Generator) -> _Customers:
    is_male, is_senior, has_partner = rng.random(n) < 0.505, rng.random(n) < 0.162, rng.random(n) < 0.483
    has_dependents = rng.random(n) < np.where(has_partner, 0.52, 0.09) * np.where(is_senior, 0.3, 1.07)
    contract = np.searchsorted([0.55, 0.76], rng.random(n), side="right")
    tenure = _draw_tenure(contract, rng)
    internet = _draw_internet(contract, rng)
    has_phone = (internet != _DSL) | (rng.random(n) < 0.72)
    has_lines = has_phone & (rng.random(n) < 0.25 + 0.3 * tenure / _LONGEST_MONTHS + 0.15 * (internet == _FIBER))
    add_ons = {name: _draw_add_on(name, contract, tenure, internet, rng) for name in _ADD_ON_USD}
    is_paperless = rng.random(n) < np.array([0.29, 0.56, 0.77])[internet]
    payment = _draw_payment(internet, rng)
    services = _INTERNET_USD[internet] + _PHONE_USD * has_phone + _LINES_USD * has_lines
    prices = services + sum(price * add_ons[name] for name, price in _ADD_ON_USD.items())
    monthly = np.clip(prices + rng.normal(0, 1.1, n), _LOWEST_USD, _HIGHEST_USD).round(2)
    drift = np.clip(rng.normal(1, 0.03, n), 0.85, 1.15)  # prices were not always what they are now
    return _Customers(
        is_male=is_male,
        is_senior=is_senior,
        has_partner=has_partner,
        has_dependents=has_dependents,
        contract=contract,
        tenure=tenure,
        internet=internet,
        has_phone=has_phone,
        has_lines=has_lines,
        add_ons=add_ons,
        is_paperless=is_paperless,
        payment=payment,
        monthly=monthly,
        total=np.where(tenure == 0, np.nan, np.maximum(tenure * monthly * drift, _LOWEST_USD).round(2)),
    )


def _draw_tenure(contract: NDArray[np.intp], rng: np.random.Generator) -> Numbers:
    """Months with the company: few on monthly contracts, many on long ones."""
    shape = np.array([[0.75, 1.9], [1.8, 1.4], [3.2, 0.9]])[contract]
    months = np.floor((_LONGEST_MONTHS + 1) * rng.beta(shape[:, 0], shape[:, 1]))
    is_brand_new = rng.random(len(contract)) < 0.0016
    return np.where(is_brand_new, 0.0, np.clip(months, 1, _LONGEST_MONTHS))


def _draw_internet(contract: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    has_none = rng.random(len(contract)) < np.array([0.12, 0.25, 0.44])[contract]
    has_fiber = rng.random(len(contract)) < np.array([0.68, 0.50, 0.43])[contract]
    return np.where(has_none, _NO, np.where(has_fiber, _FIBER, _DSL))


def _draw_add_on(
    name: str, contract: NDArray[np.intp], tenure: Numbers, internet: NDArray[np.intp], rng: np.random.Generator
) -> Flags:
    """Whether somebody with internet takes an add-on: the longer a customer, the likelier."""
    chance = 0.18 + 0.35 * tenure / _LONGEST_MONTHS + 0.12 * (contract == _TWO_YEARS)
    if name in ("OnlineSecurity", "TechSupport"):
        chance = chance + np.array([0.0, 0.05, -0.08])[internet]
    if name.startswith("Streaming"):
        chance = chance + np.array([0.0, 0.10, 0.20])[internet]
    return np.asarray((internet != _NO) & (rng.random(len(tenure)) < chance))


def _draw_payment(internet: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Electronic checks go with fibre; a fifth sends checks by mail; the rest is automatic."""
    draw = rng.random(len(internet))
    electronic = np.array([0.08, 0.28, 0.52])[internet]
    mailed = electronic + 0.22
    card = mailed + (1 - mailed) / 2
    return np.select([draw < electronic, draw < mailed, draw < card], [_ELECTRONIC_CHECK, _MAILED_CHECK, _CARD], _BANK)


def _chance_of_leaving(customers: _Customers) -> Numbers:
    log_odds = _BASE_LOG_ODDS + _what_adds_up(customers) + _what_matters_together(customers)
    chance: Numbers = _LABEL_NOISE + (1 - 2 * _LABEL_NOISE) / (1 + np.exp(-log_odds))
    return chance


def _what_adds_up(customers: _Customers) -> Numbers:
    log_odds: Numbers = (
        2.0 * (customers.contract == _MONTHLY)
        - 2.0 * (customers.contract == _TWO_YEARS)
        + 1.2 * (customers.internet == _FIBER)
        - 1.1 * (customers.internet == _NO)
        - 0.048 * (customers.tenure - 32)
        + 0.65 * (customers.payment == _ELECTRONIC_CHECK)
        + 0.3 * customers.is_paperless
        + 0.3 * customers.is_senior
        - 0.45 * customers.has_dependents
        - 0.55 * customers.add_ons["OnlineSecurity"]
        - 0.45 * customers.add_ons["TechSupport"]
    )
    return log_odds


def _what_matters_together(customers: _Customers) -> Numbers:
    tenure, contract, internet = customers.tenure, customers.contract, customers.internet
    is_monthly, is_new = contract == _MONTHLY, tenure <= 6
    has_help = customers.add_ons["OnlineSecurity"] | customers.add_ons["TechSupport"]
    sends_checks = (customers.payment == _ELECTRONIC_CHECK) | (customers.payment == _MAILED_CHECK)
    log_odds: Numbers = (
        # Trial customers go as they came.
        2.65 * (is_monthly & is_new)
        # Fibre without anybody to call annoys; with somebody it keeps.
        + 5.4 * (is_monthly & (internet == _FIBER) & ~has_help & ~is_new & (tenure < 45))
        - 4.7 * (is_monthly & (internet == _FIBER) & has_help)
        # The first term of a contract has just run out.
        + 12.5 * ((contract == _ONE_YEAR) & (tenure >= 10) & (tenure <= 26))
        + 12.5 * ((contract == _TWO_YEARS) & (tenure >= 20) & (tenure <= 38))
        # Old DSL customers are offered fibre by others, and old telephone customers a cheaper line.
        + 10.0 * ((internet == _DSL) & ~has_help & (tenure > 45))
        + 6.7 * ((internet == _NO) & sends_checks & (tenure > 30))
    )
    return log_odds


def _spelled_out(customers: _Customers, ids: list[str], leaves: Flags) -> pd.DataFrame:
    has_internet = customers.internet != _NO
    columns: dict[str, object] = {
        "customerID": ids,
        "gender": np.where(customers.is_male, "Male", "Female"),
        "SeniorCitizen": np.where(customers.is_senior, "1", "0"),
        "Partner": _yes_or_no(customers.has_partner),
        "Dependents": _yes_or_no(customers.has_dependents),
        "tenure": customers.tenure,
        "PhoneService": _yes_or_no(customers.has_phone),
        "MultipleLines": np.where(customers.has_phone, _yes_or_no(customers.has_lines), "No phone service"),
        "InternetService": _INTERNET[customers.internet],
    }
    for name, has_it in customers.add_ons.items():
        columns[name] = np.where(has_internet, _yes_or_no(has_it), "No internet service")
    columns |= {
        "Contract": _CONTRACT[customers.contract],
        "PaperlessBilling": _yes_or_no(customers.is_paperless),
        "PaymentMethod": _PAYMENT[customers.payment],
        "MonthlyCharges": customers.monthly,
        "TotalCharges": customers.total,
        "Churn": _yes_or_no(leaves),
    }
    return pd.DataFrame(columns)


def _yes_or_no(flags: Flags) -> NDArray[np.str_]:
    return np.where(flags, "Yes", "No")
