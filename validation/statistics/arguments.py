"""What the statistics accept: each check returns the value it was given or raises ValueError with name and range."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def check_whole(name: str, value: float, *, at_least: int = 0) -> int:
    """A count as an integer; whole floats (a sum from a data frame) are counts too.

    Args:
        name: The argument's name, for the message.
        value: What was given.
        at_least: The smallest count allowed.

    Raises:
        ValueError: The value is not finite, not whole or below `at_least`.

    Examples:
        >>> check_whole("wins", 3.0)
        3
        >>> check_whole("wins", -1)
        Traceback (most recent call last):
        ValueError: wins is -1; it must be a whole number of at least 0
    """
    if not (math.isfinite(value) and value == math.floor(value) and value >= at_least):
        raise ValueError(f"{name} is {value}; it must be a whole number of at least {at_least}")
    return int(value)


def check_inside(name: str, value: float, low: float, high: float) -> float:
    """A number strictly between two bounds.

    Args:
        name: The argument's name, for the message.
        value: What was given.
        low: Lower bound, itself not allowed.
        high: Upper bound, itself not allowed.

    Raises:
        ValueError: The value lies outside the open interval or is NaN.

    Examples:
        >>> check_inside("alpha", 0.05, 0, 1)
        0.05
        >>> check_inside("alpha", 1.0, 0, 1)
        Traceback (most recent call last):
        ValueError: alpha is 1.0; it must lie strictly between 0 and 1
    """
    if not low < value < high:
        raise ValueError(f"{name} is {value}; it must lie strictly between {low} and {high}")
    return float(value)


def check_unit(name: str, value: float) -> float:
    """A number in [0, 1], both ends allowed.

    Args:
        name: The argument's name, for the message.
        value: What was given.

    Raises:
        ValueError: The value lies outside [0, 1] or is NaN.

    Examples:
        >>> check_unit("mean", 1)
        1.0
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}; it must lie in [0, 1]")
    return float(value)


def check_row(name: str, values: npt.ArrayLike) -> FloatArray:
    """A row of at least two finite numbers, none of them negative.

    Args:
        name: The argument's name, for the message.
        values: Numbers of shape `(n_bins,)`.

    Raises:
        ValueError: The values are not such a row.

    Examples:
        >>> check_row("current", [3, 0])
        array([3., 0.])
    """
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or row.size < 2:
        raise ValueError(f"{name} has shape {row.shape}; it must be one row of at least 2 numbers")
    if not (np.isfinite(row).all() and (row >= 0).all()):
        raise ValueError(f"{name} is {row.tolist()}; every number in it must be finite and at least 0")
    return row
