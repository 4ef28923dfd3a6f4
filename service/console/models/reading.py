"""What was tried and what became of it: runs, versions, gate reports and changes of roles, brought together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bentos.errors import GauntletError, NotFound
from bentos.registry import STATUS_TAG, Version
from bentos.tracked import TrackedRun
from service.console.gate.reading import Judged, Reports, read_reports
from service.console.sources import Sources
from service.micros import from_micros
from validation.judge.audit import Change, read_changes

Basis = Literal["validation", "gate"]
"""Where a number is from: the folds of training's cross-validation, or the gate's holdout."""

ROLES = ("champion", "challenger", "candidate")
ARCHIVED = "archived"
FIRST_METRICS = ("accuracy", "precision_positive", "recall_positive", "f1_positive", "roc_auc")
"""Those that everybody asks for first, where a run has them."""

_MEAN, _DEVIATION = ("cv_", "_mean"), ("cv_", "_sd")


@dataclass(frozen=True)
class Measured:
    """A metric of one run.

    Attributes:
        value: What was measured; on folds their mean.
        low: Lower end of the gate's 95 % interval; on folds the mean less one standard deviation over them.
        high: Upper end of the same.
        n: Rows of the holdout; None on folds.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class Standing:
    """A version's role, and who gave it to it when.

    Attributes:
        role: `champion`, `challenger`, `candidate`, `archived`, or `registered` for none of them.
        since: When, in words; empty where nobody wrote it down.
        by: Who did it.
        why: On which verdict, or for which reason.
    """

    role: str
    since: str = ""
    by: str = ""
    why: str = ""


@dataclass(frozen=True)
class Tried:
    """A run with the version that it made, if it made one.

    Attributes:
        run: As it was tracked.
        version: What was registered of it.
        standing: That version's; `not registered` without one.
        judged: The newest gate report of that version.
    """

    run: TrackedRun
    version: Version | None
    standing: Standing
    judged: Judged | None

    @property
    def label(self) -> str:
        """A short name that is nobody else's."""
        return f"version {self.version.number}" if self.version else f"run {self.run.id[:8]}"

    @property
    def estimator(self) -> str:
        """The estimator's own name."""
        path = self.run.parameters.get("estimator") or self.run.tags.get("estimator") or "unknown"
        return path.rpartition(".")[2]

    def measured(self, metric: str, basis: Basis) -> Measured | None:
        """One of its metrics; None where it has none."""
        if basis == "gate":
            parts = self.judged.metrics if self.judged else ()
            part = next((part for part in parts if part.name == metric), None)
            if part is None or part.value is None:
                return None
            return Measured(part.value, part.low, part.high, self.judged.n if self.judged else None)
        found = self.run.metrics
        mean = found.get(metric.join(_MEAN), found.get(metric))
        spread = found.get(metric.join(_DEVIATION))
        if mean is None:
            return None
        return Measured(mean) if spread is None else Measured(mean, mean - spread, mean + spread)


@dataclass(frozen=True)
class History:
    """Every change of roles.

    Attributes:
        changes: The oldest first.
        wrong: Why they are not known; empty where they are.
    """

    changes: tuple[Change, ...]
    wrong: str = ""


def read_tried(sources: Sources) -> tuple[Tried, ...]:
    """Every run of the use case, the newest first.

    Raises:
        Unavailable: The tracking server does not answer.
        NotFound: There is no one model to be about.
    """
    return sources.kept("tried", lambda: _read_tried(sources))


def read_versions(sources: Sources) -> list[Version]:
    """Every registered version, the newest first; raises as `read_tried`."""
    return sources.kept("versions", lambda: sources.registry().versions(sources.model()))


def read_history(sources: Sources) -> History:
    """Every change of roles of the model, or why they are not known: a store that is away hides no run.

    Raises:
        Unavailable: The tracking server does not answer.
        NotFound: There is no one model to be about.
    """
    return sources.kept("history", lambda: _read_history(sources, sources.model()))


def bring_together(
    runs: Iterable[TrackedRun], versions: Sequence[Version], reports: Reports, changes: Sequence[Change]
) -> tuple[Tried, ...]:
    """Give each run the version that it made, that version's role and its gate report.

    Args:
        runs: In the order in which they are shown.
        versions: The newest first.
        reports: Of the gate.
        changes: Of roles, the oldest first.
    """
    made = {version.run: version for version in reversed(versions)}
    found = []
    for run in runs:
        version = made.get(run.id)
        judged = reports.newest_of(version.number) if version else None
        standing = standing_of(version, changes, judged) if version else Standing("not registered")
        found.append(Tried(run, version, standing, judged))
    return tuple(found)


def standing_of(version: Version, changes: Sequence[Change], judged: Judged | None) -> Standing:
    """A version's role, and who gave it to it when: aliases and tags say the role, the audit says the rest.

    Args:
        version: With its aliases and tags.
        changes: Of roles, the oldest first; one that is void never happened.
        judged: Its newest gate report, which makes a challenger.
    """
    role = next((alias for alias in ROLES if alias in version.aliases), None)
    role = role or (ARCHIVED if version.tags.get(STATUS_TAG) == ARCHIVED else "registered")
    if role == "challenger" and judged is not None:
        return Standing(role, f"{judged.at:%Y-%m-%d %H:%M:%S}", "gate", judged.reason)
    for change in reversed(changes):
        if change.aliases != "void" and _gives(change, version.digest) == role:
            return Standing(role, f"{from_micros(change.at):%Y-%m-%d %H:%M:%S}", change.who, why(change))
    return Standing(role)


def why(change: Change) -> str:
    """On which verdict roles changed, or for which reason."""
    verdict = f"verdict {change.verdict.verdict}" if change.verdict else ""
    by_hand = "decided by a person" if change.manual else ""
    return "; ".join(part for part in (verdict, by_hand, change.reason or "") if part) or change.action


def metrics_in(tried: Iterable[Tried], basis: Basis) -> list[str]:
    """Every metric that a run has, those first that everybody asks for."""
    names = {name for one in tried for name in _metrics_of(one, basis)}
    return [*(name for name in FIRST_METRICS if name in names), *sorted(names.difference(FIRST_METRICS))]


def parameters_in(tried: Iterable[Tried]) -> dict[str, list[str]]:
    """Every parameter that a run has, by name, with its different values."""
    found: dict[str, set[str]] = {}
    for one in tried:
        for name, value in one.run.parameters.items():
            found.setdefault(name, set()).add(value)
    return {name: sorted(found[name], key=in_order) for name in sorted(found)}


def in_order(value: str) -> tuple[int, float, str]:
    """By what values of a parameter are sorted: numbers by their size, then words."""
    number = as_number(value)
    return (1, 0.0, value) if number is None else (0, number, value)


def as_number(value: str) -> float | None:
    """A parameter's value as a number, where it is a finite one."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def is_numeric(values: Iterable[str]) -> bool:
    """Whether all values of a parameter are numbers."""
    return all(as_number(value) is not None for value in values)


def _read_tried(sources: Sources) -> tuple[Tried, ...]:
    runs = sources.registry().runs(sources.model())
    return bring_together(runs, read_versions(sources), read_reports(sources), read_history(sources).changes)


def _read_history(sources: Sources, model: str) -> History:
    try:
        return History(tuple(change for change in read_changes(sources.store()) if change.model == model))
    except NotFound as e:
        return History((), f"no change of roles is written down yet: {e}")
    except GauntletError as e:
        return History((), f"who changed roles and when is not known: {e}")


def _gives(change: Change, digest: str) -> str | None:
    """The role that a change gave to a model; None where it was not about it."""
    outcome: Mapping[str | None, str]
    match change.action:
        case "bootstrap":
            outcome = {change.champion: "champion"}
        case "promote":
            outcome = {change.champion: ARCHIVED, change.challenger: "champion"}
        case "rollback":
            outcome = {change.challenger: ARCHIVED}
    return outcome.get(digest)


def _metrics_of(one: Tried, basis: Basis) -> list[str]:
    if basis == "gate":
        return [part.name for part in one.judged.metrics if part.value is not None] if one.judged else []
    return [name for name in map(_plain_name, one.run.metrics) if name]


def _plain_name(metric: str) -> str:
    """`accuracy` of `cv_accuracy_mean`; nothing of a deviation, which belongs to its mean."""
    if metric.startswith(_DEVIATION[0]) and metric.endswith(_DEVIATION[1]):
        return ""
    if metric.startswith(_MEAN[0]) and metric.endswith(_MEAN[1]):
        return metric.removeprefix(_MEAN[0]).removesuffix(_MEAN[1])
    return metric
