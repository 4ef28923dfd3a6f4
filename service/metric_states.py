"""How scoring is now, which is not counted: what each worker says of itself, the worst of all, who has which role."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import get_args

from service import metric_names as names
from service.counters.reading import Counts
from service.counters.text import Labels, gauge
from service.prediction_log.records import Mode
from service.scoring.blessings import BlessingState
from service.scoring.deciding import Roles
from service.scoring.models import Model, Models

WORST = (
    (names.READY, min),
    (names.EXPERIMENT_FILE_VALID, min),
    (names.EXPERIMENT_CHAMPION_PRESENT, min),
    (names.EXPERIMENT_CHALLENGER_PRESENT, min),
    (names.EXPERIMENT_REVISION, min),
    (names.CHALLENGERS_LEFT_OUT, max),
    (names.SPOOL_FAILING, max),
    (names.CIRCUITS_OPEN, max),
)
"""What each worker says of itself, in the order of its states, and what stands for all."""


@dataclass(frozen=True, kw_only=True)
class ScoringState:
    """What is true now and is not counted: asked for four times a second and when Prometheus asks.

    Attributes:
        roles: Who plays which role; None while there are none.
        gauntlet: Version of Gauntlet that packed it.
        is_ready: Whether this process should get requests.
        is_file_valid: Whether the experiment file can be read.
        are_keys_valid: Whether the key files can be read, if there are any.
        is_champion_present: Whether the Bento carries the champion that it names.
        is_challenger_present: Whether it carries the challenger that it puts on trial.
        are_challengers_left_out: Whether no challenger is scored because workers died.
        spool_lost: Records that this process could not write since it started.
        is_spool_failing: Whether it cannot write records now.
        circuits_open: How many challengers it leaves alone now.
        blessings: Of every model that the Bento carries.
    """

    roles: Roles | None
    gauntlet: str
    is_ready: bool
    is_file_valid: bool
    is_champion_present: bool
    is_challenger_present: bool
    are_challengers_left_out: bool
    spool_lost: int
    is_spool_failing: bool
    circuits_open: int
    blessings: tuple[BlessingState, ...] = ()
    are_keys_valid: bool = True


def own_states(state: ScoringState) -> tuple[float, ...]:
    """What a worker says of itself, in the order of its states."""
    found = (
        state.is_ready,
        state.is_file_valid,
        state.is_champion_present,
        state.is_challenger_present,
        state.roles.revision if state.roles else 0,
        state.are_challengers_left_out,
        state.is_spool_failing,
        state.circuits_open,
    )
    return tuple(float(one) for one in found)


def contract_lines(models: Models) -> Iterator[str]:
    """What answers mean, which is the same as long as the process lives."""
    named = {str(model.identity): model.contract for model in models.by_digest.values()}
    yield from gauge(names.DECISION_CUT, *((_label("model", name), one.cut) for name, one in named.items()))
    bands = [(name, band) for name, one in named.items() for band in one.risk_bands]
    starts = (({"model": name, "risk": band.name}, band.from_probability) for name, band in bands)
    yield from gauge(names.RISK_BAND, *starts)


def worst_lines(alive: Sequence[Counts]) -> Iterator[str]:
    """How the workers are: what the worst of them says, and how many there are."""
    for place, (name, worst) in enumerate(WORST):
        yield from gauge(name, ({}, worst(worker.states[place] for worker in alive)))
    yield from gauge(names.WORKERS, ({}, len(alive)))


def role_lines(state: ScoringState) -> Iterator[str]:
    """Who plays which role, as the worker that answers serves by."""
    roles = state.roles
    modes = ((_label("mode", mode), float(roles is not None and roles.mode == mode)) for mode in get_args(Mode))
    yield from gauge(names.EXPERIMENT_MODE, *modes)
    yield from gauge(names.KEYS_VALID, ({}, float(state.are_keys_valid)))
    yield from gauge(names.EXPERIMENT_SPLIT, ({}, roles.split if roles else 0.0))
    in_role = [] if roles is None else [("champion", roles.champion)]
    in_role += [] if roles is None else [("challenger", one.model) for one in roles.trials if one.model is not None]
    yield from gauge(names.MODEL_INFO, *((_model_labels(role, model), 1) for role, model in in_role))
    yield from _blessings(state)
    build = {"gauntlet": state.gauntlet, "python": platform.python_version(), "onnxruntime": _version_of("onnxruntime")}
    yield from gauge(names.BUILD_INFO, (build, 1))


def _blessings(state: ScoringState) -> Iterator[str]:
    """Whether the models' blessings hold, as the worker that answers knows; all of them read the same list."""
    told = [({"role": one.role, "model": one.model}, one) for one in state.blessings]
    yield from gauge(names.BLESSING_HOLDS, *((labels, float(one.holds)) for labels, one in told))
    judged = ((labels, one.judged_at) for labels, one in told if one.judged_at is not None)
    yield from gauge(names.BLESSING_JUDGED, *judged)
    expiring = ((labels, one.expires_at) for labels, one in told if one.expires_at is not None)
    yield from gauge(names.BLESSING_EXPIRES, *expiring)
    yield from gauge(names.GATE_CHECK, *(sample for one in state.blessings for sample in _checks(one)))


def _checks(blessing: BlessingState) -> Iterator[tuple[Labels, float]]:
    for check in blessing.checks:
        ends = {"observed": check.value, "lower": check.low, "upper": check.high, "bound": check.bound}
        for end, value in ends.items():
            if value is not None:
                yield {"model": blessing.model, "check": check.name, "end": end}, value


@cache
def _version_of(package: str) -> str:
    return version(package)


def _label(name: str, value: str) -> Labels:
    return {name: value}


def _model_labels(role: str, model: Model) -> Labels:
    it = model.identity
    identity = {"model": str(it), "name": it.name, "version": it.version, "digest": it.digest}
    return {"role": role, **identity, "positive": model.contract.labels.positive}
