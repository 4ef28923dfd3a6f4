"""From tensors to rows: one tensor a column, or one matrix of all features in the contract's order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any

import numpy as np

from bentos.artifact import Categorical, Contract, Feature, Numeric, Value
from bentos.errors import InvalidRequest, Problem, shown
from service.routes.bodies import id_problems
from service.routes.open_inference.reading import InferRequest
from service.routes.open_inference.tensors import Element, Tensor
from service.scoring.deciding import ScoreRequest

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")

Convert = Callable[[Any], Any]


def make_requests(asked: InferRequest, contract: Contract) -> list[ScoreRequest]:
    """The rows that a request asks to be scored. Whether the contract allows their values is not checked here.

    Args:
        asked: As it was read.
        contract: Names the features and the id.

    Returns:
        One a row; without a customer where no tensor has the id's name, or its element is null or empty.

    Raises:
        InvalidRequest: An input is missing or unknown, or the inputs have different numbers of rows.
    """
    columns, id_tensor = _assign(asked.tensors, contract)
    n_rows = asked.tensors[0].rows
    for tensor in asked.tensors:
        if tensor.rows != n_rows:
            allowed = f"of {n_rows} rows, as the first input {asked.tensors[0].name[:80]!r} is"
            raise _refusal(f"{tensor.name}.shape", shown(list(tensor.shape)), allowed)
    if n_rows > 1 and asked.prediction_id is not None:
        raise _refusal("parameters.prediction_id", shown(asked.prediction_id), "left out where there are several rows")
    names = [feature.name for feature in contract.features]
    customers = repeat(None, n_rows) if id_tensor is None else _customers(id_tensor)
    return [
        ScoreRequest(
            features=dict(zip(names, values, strict=True)),
            customer_id=customer,
            prediction_id=asked.prediction_id,
            purpose=asked.purpose,
        )
        for customer, values in zip(customers, zip(*columns, strict=True), strict=True)
    ]


def _assign(tensors: Sequence[Tensor], contract: Contract) -> tuple[list[Sequence[Value]], Tensor | None]:
    """The values of each feature, and the tensor of ids."""
    by_name: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.name in by_name:
            raise _refusal(tensor.name, "sent twice", "sent once")
        by_name[tensor.name] = tensor
    id_tensor = by_name.pop(contract.id, None)
    features = {feature.name for feature in contract.features}
    others = [tensor for name, tensor in by_name.items() if name not in features]
    if len(others) == 1 == len(by_name):
        return _of_matrix(others[0], contract), id_tensor
    problems = [_unknown(tensor, contract) for tensor in others]
    problems += [Problem(f.name, "missing", f.allowed) for f in contract.features if f.name not in by_name]
    problems += [_too_wide(t) for t in (*by_name.values(), id_tensor) if t is not None and t.width != 1]
    if problems:
        raise InvalidRequest("inputs", problems)
    return [_column(f, by_name[f.name].datatype, by_name[f.name].values) for f in contract.features], id_tensor


def _of_matrix(matrix: Tensor, contract: Contract) -> list[Sequence[Value]]:
    width = len(contract.features)
    if len(matrix.shape) != 2 or matrix.width != width:
        names = ", ".join(feature.name for feature in contract.features)
        allowed = f"[rows, {width}], a column for each feature: {names}"
        raise _refusal(f"{matrix.name}.shape", shown(list(matrix.shape)), allowed)
    return [_column(feature, matrix.datatype, matrix.values[at::width]) for at, feature in enumerate(contract.features)]


def _column(feature: Feature, datatype: str, values: Sequence[Element]) -> Sequence[Value]:
    convert = _converter(feature, datatype)
    return values if convert is None else [convert(value) for value in values]


def _converter(feature: Feature, datatype: str) -> Convert | None:
    """How an element of a datatype becomes a value of a feature; None where it is one.

    What cannot become one stays as it is: the contract refuses it then, and says what is allowed.
    """
    if datatype in ("FP32", "FP64"):
        return _from_float(feature, datatype)
    if datatype == "BYTES":
        return _number_from_text(feature) if isinstance(feature, Numeric) else _category_from_text(feature)
    return _from_bool(feature) if datatype == "BOOL" else None


def _from_float(feature: Feature, datatype: str) -> Convert:
    """NaN is missing. A float32 that is nearest to one of the range's ends is that end, which float32 may not spell."""
    ends: dict[float, float] = {}
    if datatype == "FP32" and isinstance(feature, Numeric):
        ends = {float(np.float32(end)): end for end in (feature.minimum, feature.maximum) if abs(end) < 3e38}
    is_whole = isinstance(feature, Categorical) or feature.integer

    def convert(value: float | None) -> Value:
        if value is None or value != value:  # NaN alone differs from itself
            return None
        if is_whole and isinstance(value, float) and value.is_integer():
            return int(value)
        return ends.get(value, value)

    return convert


def _number_from_text(feature: Numeric) -> Convert:
    def convert(text: str | None) -> Value:
        if not text or text in feature.missing:
            return None
        if _WHOLE.fullmatch(text):
            return int(text)
        return float(text) if _DECIMAL.fullmatch(text) else text

    return convert


def _category_from_text(feature: Categorical) -> Convert:
    missing = {"", *feature.missing} - set(feature.categories)
    return lambda text: None if text in missing else text


def _from_bool(feature: Feature) -> Convert | None:
    """0 and 1 where those are the values, or the categories that spell false and true."""
    if isinstance(feature, Numeric):
        is_flag = feature.integer and (feature.minimum, feature.maximum) == (0, 1)
        return _flag_as(0, 1) if is_flag else None
    for spelled in (("0", "1"), ("false", "true"), ("False", "True")):
        if set(spelled) <= set(feature.categories):
            return _flag_as(*spelled)
    return None


def _flag_as(false: Value, true: Value) -> Convert:
    return lambda value: None if value is None else true if value else false


def _customers(tensor: Tensor) -> list[str | int | None]:
    if tensor.datatype != "BYTES" and not tensor.datatype.startswith(("INT", "UINT")):
        raise _refusal(f"{tensor.name}.datatype", shown(tensor.datatype), "BYTES or a whole number's, such as INT64")
    customers: list[Any] = [None if value == "" else value for value in tensor.values]
    for row, customer in enumerate(customers):
        for problem in id_problems(customer, None):
            raise InvalidRequest("inputs", [replace(problem, field=tensor.name, row=row)])
    return customers


def _unknown(tensor: Tensor, contract: Contract) -> Problem:
    names = ", ".join((*(feature.name for feature in contract.features), contract.id))
    return Problem(tensor.name[:80], "an unknown input", f"one of {names}, or the only input: a matrix of all features")


def _too_wide(tensor: Tensor) -> Problem:
    return Problem(f"{tensor.name}.shape", shown(list(tensor.shape)), "[rows] or [rows, 1]")


def _refusal(field: str, found: str, allowed: str) -> InvalidRequest:
    return InvalidRequest("inputs", [Problem(field[:160], found, allowed)])
