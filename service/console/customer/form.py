"""The form of one customer, made from the contract: kinds, ranges, units, examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dash import dcc, html
from dash.development.base_component import Component

from bentos.artifact import Categorical, Contract, Feature, Numeric, Value
from bentos.errors import InvalidRequest, Problem, shown

_WIDEST = 10_000
"""Wider ranges have no slider: a pixel would be too large a step."""


def feature_id(name: str) -> dict[str, str]:
    """The id of a feature's field."""
    return {"page": "customer", "feature": name}


def fields(contract: Contract, values: Mapping[str, Value]) -> Component:
    """A field for each feature."""
    return html.Div([_field(feature, values.get(feature.name)) for feature in contract.features], className="fields")


def read_fields(contract: Contract, ids: Sequence[Mapping[str, str]], values: Sequence[Value]) -> dict[str, Value]:
    """What stands in the fields, as scoring takes it.

    Args:
        contract: Says what is a whole number, and what may be missing.
        ids: Of the fields, as `feature_id` makes them.
        values: In them.

    Raises:
        InvalidRequest: A field is empty that must not be, or holds no number where one belongs. Whether a number is
            allowed, scoring says.
    """
    found = {one["feature"]: value for one, value in zip(ids, values, strict=True)}
    row: dict[str, Value] = {}
    wrong = []
    for feature in contract.features:
        value = found.get(feature.name)
        try:
            row[feature.name] = _read(feature, value)
        except (TypeError, ValueError, OverflowError):
            wrong.append(Problem(feature.name, shown(None if value == "" else value), feature.allowed))
    if wrong:
        raise InvalidRequest("the form", wrong)
    return row


def _read(feature: Feature, value: Value) -> Value:
    if value is None or value == "":
        if not feature.missing:
            raise ValueError
        return None
    if isinstance(feature, Categorical):
        return value
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return int(number) if feature.integer and number.is_integer() else number


def _field(feature: Feature, value: Value) -> Component:
    unit = f" ({feature.unit})" if isinstance(feature, Numeric) and feature.unit else ""
    name = f"field-{feature.name}"
    return html.Div(
        [
            html.Div(f"{feature.name}{unit}", id=name, className="label"),
            html.Div(_control(feature, value), role="group", **{"aria-labelledby": name}),
            html.Div(_help(feature), className="soft help"),
        ],
        className="field",
    )


def _help(feature: Feature) -> str:
    """What the feature is, and between what a number must lie."""
    if isinstance(feature, Categorical):
        return feature.description
    ends = f"{feature.minimum:g} to {feature.maximum:g} {feature.unit}".rstrip()
    return f"{feature.description}; {ends}" if feature.description else ends


def _control(feature: Feature, value: Value) -> Component:
    if isinstance(feature, Categorical):
        return dcc.Dropdown(
            id=feature_id(feature.name),
            options=list(feature.categories),
            value=None if value is None else str(value),
            clearable=bool(feature.missing),
            searchable=len(feature.categories) > 8,
            placeholder="missing",
        )
    is_wide = feature.maximum - feature.minimum > _WIDEST
    if feature.missing or is_wide:  # a slider always has a value
        return dcc.Input(
            id=feature_id(feature.name),
            type="text",  # of a number field browsers keep back what is none or out of range, as if nothing stood there
            inputMode="decimal",
            maxLength=40,
            value=value,
            placeholder="missing" if feature.missing else "",
            debounce=0.4,
        )
    return dcc.Slider(
        id=feature_id(feature.name),
        min=feature.minimum,
        max=feature.maximum,
        step=1 if feature.integer else 0.01,
        value=value,
        marks=None,
        updatemode="mouseup",
        allow_direct_input=False,
        tooltip={"placement": "bottom", "always_visible": True},
    )
