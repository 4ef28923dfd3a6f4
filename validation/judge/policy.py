"""The online policy: which one success metric and which one claim a challenger is judged by, and how sure to be."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from bentos.errors import InvalidPolicy, NotFound
from bentos.strict_yaml import load_yaml

SCHEMA_VERSION = 1

Metric = Literal["accuracy", "profit"]
Claim = Literal["superiority", "non_inferiority"]

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)")
_MICROS = 1_000_000


class _PolicyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as it is written; durations are not read yet."""

    schema_version: int
    name: str
    metric: Metric
    false_positive_cost: float | None = None
    claim: Claim
    margin: float = 0.0
    alpha_promote: float
    alpha_rollback: float
    alpha_srm: float = 0.001
    maturity_window: str | float
    cohort: str | float
    min_cohorts: int
    min_matured: int
    actions_follow_predictions: bool


class OnlinePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a verdict is judged by.

    Attributes:
        name: What people call it; no part of the digest.
        metric: The one success metric. `accuracy`: share of right labels. `profit`: costs avoided a customer.
        false_positive_cost: Cost of a false positive over the cost of a false negative, for `profit`; None otherwise.
        claim: What a promotion claims: `superiority`, or `non_inferiority` by `margin`.
        margin: What may be lost, a share of the metric in (0, 0.5); 0 for superiority. For profit the unit is the
            dearer of the two mistakes.
        alpha_promote: Chance of ever promoting a challenger that the claim is not true of, in (0, 0.5].
        alpha_rollback: Chance of ever rolling back one without that harm, in (0, 0.5].
        alpha_srm: Chance of ever calling a right split wrong, in (0, 0.5].
        maturity_window: How long after a prediction its outcome is final, microseconds.
        cohort: Length of a cohort, microseconds.
        min_cohorts: Cohorts with matured customers that a promotion needs, at least 1.
        min_matured: Matured customers that a promotion needs, at least 1.
        actions_follow_predictions: Whether anybody acts on predictions (offers, calls) in a way that changes outcomes.
    """

    name: str
    metric: Metric
    false_positive_cost: float | None
    claim: Claim
    margin: float
    alpha_promote: float
    alpha_rollback: float
    alpha_srm: float
    maturity_window: int
    cohort: int
    min_cohorts: int
    min_matured: int
    actions_follow_predictions: bool

    @property
    def digest(self) -> str:
        """What evidence is keyed by: every rule, and not the name."""
        rules = {key: value for key, value in msgspec.to_builtins(self).items() if key != "name"}
        return f"sha256:{hashlib.sha256(msgspec.json.encode(rules, order='sorted')).hexdigest()}"


def parse_policy(content: bytes, source: str = "policy.yaml") -> OnlinePolicy:
    """Read an online policy.

    Raises:
        InvalidPolicy: It cannot be judged by; the message names each key and what is allowed.
    """
    try:
        file = msgspec.convert(load_yaml(content), type=_PolicyFile)
    except (yaml.YAMLError, msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise InvalidPolicy(f"{source}: {' '.join(str(e).split())}") from e
    window, cohort = _micros(file.maturity_window), _micros(file.cohort)
    problems = [*_contradictions(file), *_bad_durations(maturity_window=window, cohort=cohort)]
    if problems or window is None or cohort is None:
        raise InvalidPolicy(f"{source}: " + "; ".join(problems))
    fields = {key: getattr(file, key) for key in file.__struct_fields__ if key != "schema_version"}
    return OnlinePolicy(**{**fields, "maturity_window": window, "cohort": cohort})


def load_policy(path: Path) -> OnlinePolicy:
    """Read an online policy's file; see `parse_policy`.

    Raises:
        NotFound: There is none.
        InvalidPolicy: It cannot be judged by.
    """
    try:
        return parse_policy(path.read_bytes(), str(path))
    except (FileNotFoundError, IsADirectoryError) as e:
        raise NotFound(f"there is no policy file {path}") from e


def _contradictions(file: _PolicyFile) -> Iterator[str]:
    if file.schema_version != SCHEMA_VERSION:
        yield f"schema_version is {file.schema_version}; it must be {SCHEMA_VERSION}"
    for key in ("alpha_promote", "alpha_rollback", "alpha_srm"):
        if not 0 < getattr(file, key) <= 0.5:
            yield f"{key} is {getattr(file, key):g}; it must be above 0 and at most 0.5"
    for key in ("min_cohorts", "min_matured"):
        if getattr(file, key) < 1:
            yield f"{key} is {getattr(file, key)}; it must be at least 1"
    yield from _bad_claim(file)
    yield from _bad_cost(file)


def _bad_claim(file: _PolicyFile) -> Iterator[str]:
    if file.claim == "superiority" and file.margin != 0:
        yield f"margin is {file.margin:g}; with claim superiority it must be left out"
    if file.claim == "non_inferiority" and not 0 < file.margin < 0.5:
        yield f"margin is {file.margin:g}; with claim non_inferiority it must be above 0 and below 0.5"


def _bad_cost(file: _PolicyFile) -> Iterator[str]:
    cost = file.false_positive_cost
    if file.metric == "accuracy" and cost is not None:
        yield f"false_positive_cost is {cost:g}; with metric accuracy it must be left out"
    if file.metric == "profit" and (cost is None or not (0 < cost < math.inf)):
        found = "missing" if cost is None else f"{cost:g}"
        yield f"false_positive_cost is {found}; with metric profit it must be above 0"


def _bad_durations(**durations: int | None) -> Iterator[str]:
    for key, micros in durations.items():
        if micros is None:
            yield f"{key} must be seconds above 0, or a number with s, min, h or d, such as 30d"


def _micros(duration: str | float) -> int | None:
    if isinstance(duration, str):
        found = _DURATION.fullmatch(duration.strip())
        seconds = float(found[1]) * _UNITS[found[2]] if found else math.nan
    else:
        seconds = float(duration)
    micros = seconds * _MICROS
    return round(micros) if 1 <= micros < 2**53 else None
