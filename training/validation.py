"""Validating a frame against its contract with pandera: every problem at once, then the contract's own form."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from bentos.artifact import Categorical, Contract, Feature, Numeric, category_of, is_allowed
from bentos.errors import InvalidData, Problem, shown


def validate(contract: Contract, frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Check every value and give the frame in the contract's form.

    Args:
        contract: What is allowed.
        frame: As read: CSV values as text, Parquet values with their types.
        source: The file's name, for messages.

    Returns:
        The id and labels as text, categories as text, numbers as float64, missing as null; the contract's columns in
        its order.

    Raises:
        InvalidData: With every problem: unknown, missing and doubled columns, and every value that is not allowed.
    """
    problems = list(_column_problems(contract, frame))
    known = frame.loc[:, ~frame.columns.duplicated()]
    names = [name for name in known if str(name) in _names(contract)]
    plain = pd.DataFrame(
        {str(name): pd.Series(_plain(contract, str(name), known[name]), dtype=object) for name in names}
    )
    problems += _value_problems(contract, plain)
    if not problems:
        problems = list(_label_problems(contract, plain))
    if problems:
        raise InvalidData(source, problems)
    return _in_contract_form(contract, plain)


def schema_of(contract: Contract, columns: list[str]) -> pa.DataFrameSchema:
    """The pandera schema of those of the contract's columns that a file has."""
    checks = {feature.name: [_value_check(feature)] for feature in contract.features}
    checks[contract.id] = [
        pa.Check(lambda ids: ids.map(_is_text), error="text that is not blank", ignore_na=False),
        pa.Check(lambda ids: ~ids.duplicated() | ~ids.map(_is_text), error="an id of its own: this one is used above"),
    ]
    labels = {contract.labels.positive, contract.labels.negative}
    told = f"{contract.labels.positive!r} or {contract.labels.negative!r}"
    checks[contract.target] = [pa.Check(lambda values: values.isin(labels), error=told, ignore_na=False)]
    return pa.DataFrameSchema({name: pa.Column(object, checks[name], nullable=True) for name in columns}, strict=True)


def _value_check(feature: Feature) -> pa.Check:
    def allowed(values: pd.Series[Any]) -> pd.Series[bool]:
        verdicts = {value: is_allowed(feature, value) for value in pd.unique(values)}
        return values.map(lambda value: verdicts[value]).astype(bool)

    return pa.Check(allowed, error=feature.allowed, ignore_na=False)


def _value_problems(contract: Contract, plain: pd.DataFrame) -> list[Problem]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            schema_of(contract, [str(name) for name in plain]).validate(plain, lazy=True)
    except pa.errors.SchemaErrors as e:
        cases = e.failure_cases.sort_values(["index", "column"], kind="stable")
        return [
            Problem(str(case.column), shown(_value_at(plain, case)), str(case.check), int(case.index))
            for case in cases.itertuples(index=False)
        ]
    return []


def _value_at(plain: pd.DataFrame, case: Any) -> object:
    """The value itself: pandera's report of it has been through text."""
    return plain[case.column].iloc[int(case.index)]


def _column_problems(contract: Contract, frame: pd.DataFrame) -> Iterator[Problem]:
    names = _names(contract)
    found = [str(name) for name in frame.columns]
    allowed = ", ".join(names)
    for name in names:
        if name not in found:
            yield Problem(name, "missing", "a column of the file")
    for name in dict.fromkeys(found):
        if name not in names:
            yield Problem(name[:80], "an unknown column", f"one of {allowed}")
        elif found.count(name) > 1:
            yield Problem(name, f"a column that comes {found.count(name)} times", "there once")
    if frame.empty:
        yield Problem("file", "no rows", "a header and rows")


def _label_problems(contract: Contract, plain: pd.DataFrame) -> Iterator[Problem]:
    seen = plain[contract.target].unique().tolist()
    if len(seen) == 1:
        both = f"{contract.labels.positive!r} in some rows and {contract.labels.negative!r} in others"
        yield Problem(contract.target, f"{seen[0]!r} in every row", both)


def _names(contract: Contract) -> list[str]:
    return [contract.id, *(feature.name for feature in contract.features), contract.target]


def _plain(contract: Contract, name: str, values: pd.Series[Any]) -> list[object]:
    """A column's values as Python's own: None for null, text parsed where a number is meant."""
    found = [_python(value) for value in values.tolist()]
    feature = next((f for f in contract.features if f.name == name), None)
    if isinstance(feature, Numeric):
        return [_number(value, feature) for value in found]
    if feature is None:
        return [value if value is None else str(value) for value in found]
    return [_category(value, feature) for value in found]


def _python(value: object) -> object:
    """None for null, else a bool, number or text: what a Parquet file holds beyond those is spelled out."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, str):
        return value
    if isinstance(value, Real):
        plain = value.item() if isinstance(value, np.generic) else value
        return None if math.isnan(plain) else plain
    return None if value is None or value is pd.NA or value is pd.NaT else str(value)


def _number(value: object, feature: Numeric) -> object:
    """What a text spells, None where it spells missing; the text itself where it is no number."""
    if not isinstance(value, str):
        return value
    if value in feature.missing:
        return None
    try:
        number = math.nan if "_" in value else float(value)
    except ValueError:
        return value
    return value if math.isnan(number) else number


def _category(value: object, feature: Categorical) -> object:
    """The category that a value spells, None for missing; the value itself where it is none of them."""
    if isinstance(value, str) and value in feature.missing:
        return None
    if isinstance(value, bool):
        return str(value)
    return category_of(feature, value) or value if isinstance(value, str | int | float) else value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _in_contract_form(contract: Contract, plain: pd.DataFrame) -> pd.DataFrame:
    columns: dict[str, pd.Series[Any]] = {contract.id: plain[contract.id].astype(object)}
    for feature in contract.features:
        kind: Any = np.float64 if isinstance(feature, Numeric) else object
        columns[feature.name] = plain[feature.name].astype(kind)
    columns[contract.target] = plain[contract.target].astype(object)
    return pd.DataFrame(columns)
