"""Phases and steps of an experiment: what its ledger held after each cohort, and how each phase was split.

Whoever closes a week at once finds what was found day by day: everything here depends on the ledger alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import msgspec

from validation.judge.ledger import Cohort, Counts
from validation.statistics import mixed_srm_log_e

PhaseKey = tuple[int, str, float]
"""Revision, mode and split."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """Who answered the scored customers of one phase."""

    revision: int
    mode: str
    split: float
    answered_champion: int
    answered_challenger: int


class Step(NamedTuple):
    """A ledger after one more cohort.

    Attributes:
        start: Beginning of that cohort, microseconds since 1970 UTC.
        end: Its end.
        phase: The last phase that has customers in it.
        counts: The sums up to its end.
        srm_log_e: Against the splits that the experiment file said, summed over the phases so far.
    """

    start: int
    end: int
    phase: PhaseKey
    counts: Counts
    srm_log_e: float


def steps_of(cohorts: Iterable[Cohort]) -> Iterator[Step]:
    """Add cohort after cohort, in their order.

    Raises:
        ValueError: The counts contradict a split.
    """
    counts, phases, srm = Counts(), dict[PhaseKey, Phase](), dict[PhaseKey, float]()
    for members in by_start(cohorts):
        for cohort in members:
            counts += cohort.counts
            key = phase_of(cohort)
            phases[key] = _grown(phases.get(key), cohort)
            srm[key] = phase_log_e(phases[key])
        last = members[-1]
        yield Step(last.start, last.end, max(map(phase_of, members)), counts, math.fsum(srm.values()))


def by_start(cohorts: Iterable[Cohort]) -> Iterator[list[Cohort]]:
    """The rows of one cohort after another."""
    for _, members in groupby(sorted(cohorts, key=lambda cohort: cohort.start), key=lambda cohort: cohort.start):
        yield list(members)


def phase_of(cohort: Cohort) -> PhaseKey:
    """The phase of a row of the ledger."""
    return cohort.revision, cohort.mode, cohort.split


def phases_of(cohorts: Iterable[Cohort]) -> tuple[Phase, ...]:
    """Every phase with its customers, in their order."""
    phases = dict[PhaseKey, Phase]()
    for cohort in sorted(cohorts, key=phase_of):
        phases[phase_of(cohort)] = _grown(phases.get(phase_of(cohort)), cohort)
    return tuple(phases.values())


def _grown(phase: Phase | None, cohort: Cohort) -> Phase:
    """A phase with one more cohort's customers, evidence or not: the split is everybody's."""
    counts = cohort.counts if cohort.outside is None else cohort.counts + cohort.outside
    return Phase(
        revision=cohort.revision,
        mode=cohort.mode,
        split=cohort.split,
        answered_champion=counts.answered_champion + (phase.answered_champion if phase else 0),
        answered_challenger=counts.answered_challenger + (phase.answered_challenger if phase else 0),
    )


def phase_log_e(phase: Phase) -> float:
    """SRM of one phase: never pooled with another's, whose shares differ. 0 in the shadow, where there is no split."""
    if phase.mode != "split":
        return 0.0
    if not 0 < phase.split < 1:
        if phase.answered_champion and phase.split == 1:
            raise ValueError(f"the champion answered {phase.answered_champion} customers of a phase with split 1")
        return 0.0
    return mixed_srm_log_e([phase.answered_champion, phase.answered_challenger], [1 - phase.split, phase.split])
