"""Gate reports, wherever they lie: with the runs at the tracking server, and in the installation's folder.

The two hold the same files by the same names; whoever judged elsewhere left theirs at the tracking server alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from bentos.blessings import ATTEMPTS_TAG
from bentos.errors import BadInput, NotFound
from bentos.registry import Version
from service.console.sources import Sources
from validation.gate.report import GateReport, Part, parse_report
from validation.gate.wording import consequence_of

_UNDER = "gate"
_ASKED_AT_ONCE = 8


@dataclass(frozen=True)
class Judged:
    """A gate report in short.

    Attributes:
        name: Of its file, without the ending.
        version: Of the candidate.
        digest: Of the candidate.
        champion: Version of the champion that it was compared with; None for a first model or a renewal.
        verdict: As the report says it.
        reason: The first of its reasons.
        consequence: What followed, as a clause.
        at: When it was judged.
        policy: Name of the policy.
        passed: Checks that passed.
        checks: All checks.
        n: Rows of the holdout.
        attempts: Gate runs on that holdout by models of this name, this one included.
        is_synthetic: Whether the rows were generated.
        metrics: The candidate's on the holdout, each with its 95 % interval; none in reports of version 1.
    """

    name: str
    version: str
    digest: str
    champion: str | None
    verdict: str
    reason: str
    consequence: str
    at: datetime
    policy: str
    passed: int
    checks: int
    n: int
    attempts: int
    is_synthetic: bool
    metrics: tuple[Part, ...]


@dataclass(frozen=True)
class Reports:
    """Every report of a model.

    Attributes:
        judged: The newest first.
        unreadable: What could not be read, each with its reason.
    """

    judged: tuple[Judged, ...]
    unreadable: tuple[str, ...]

    def newest_of(self, version: str) -> Judged | None:
        """The last word on a version."""
        return next((one for one in self.judged if one.version == version), None)


def read_reports(sources: Sources) -> Reports:
    """Every report of the model that the console is about.

    Raises:
        Unavailable: The tracking server does not answer.
        NotFound: There is no one model to be about.
    """
    return sources.kept("gate reports", lambda: _shelf(sources).read())


def read_report(sources: Sources, name: str) -> GateReport:
    """One whole report.

    Raises:
        NotFound: There is none of that name.
        BadInput: It is no report.
        Unavailable: The tracking server does not answer.
    """
    read_reports(sources)
    return _shelf(sources).open(name)


def _shelf(sources: Sources) -> _Shelf:
    return sources.kept("gate shelf", lambda: _Shelf(sources), seconds=float("inf"))


class _Shelf:
    """Where each report lies, and what it says in short: a file of a report never changes once it is written."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._content_of: dict[str, Callable[[], bytes]] = {}
        self._known: dict[str, Judged] = {}
        self._listed: dict[str, list[str]] = {}

    def read(self) -> Reports:
        """All of them; only what was not known is opened."""
        model = self._sources.model()
        places = self._at_server(model) | self._in_folder(model)  # the same bytes, nearer
        self._content_of.update({name: of for name, of in places.items() if name not in self._content_of})
        found = [self._short(name) for name in places]
        judged = sorted((one for one in found if isinstance(one, Judged)), key=lambda one: one.at, reverse=True)
        return Reports(tuple(judged), tuple(one for one in found if isinstance(one, str)))

    def open(self, name: str) -> GateReport:
        """One of those that `read` found."""
        if name not in self._content_of:
            raise NotFound(f"there is no gate report {name}")
        return parse_report(self._content_of[name](), name)

    def _short(self, name: str) -> Judged | str:
        if name not in self._known:
            try:
                self._known[name] = judged_of(name, self.open(name))
            except BadInput as e:
                return str(e)
        return self._known[name]

    def _in_folder(self, model: str) -> dict[str, Callable[[], bytes]]:
        named = re.compile(rf"gate-{re.escape(model)}-\d+-[\dT.]+Z")
        paths = self._sources.folder.reports.glob("*.json")
        return {path.stem: partial(_bytes_of, path) for path in paths if named.fullmatch(path.stem)}

    def _at_server(self, model: str) -> dict[str, Callable[[], bytes]]:
        registry = self._sources.registry()
        tried = [version for version in registry.versions(model) if ATTEMPTS_TAG in version.tags]
        asked = [version for version in tried if self._may_have_more(version)]
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
            listed = pool.map(lambda version: registry.files(version, _UNDER), asked)
            for version, paths in zip(asked, listed, strict=True):
                self._listed[version.run] = [path for path in paths if path.endswith(".json")]
        return {
            Path(path).stem: partial(self._sources.fetch, version, path)
            for version in tried
            for path in self._listed[version.run]
        }

    def _may_have_more(self, version: Version) -> bool:
        """Whether there are fewer reports than gate runs were begun: each leaves one, unless it was broken off."""
        attempts = version.tags[ATTEMPTS_TAG]
        listed = self._listed.get(version.run)
        return listed is None or not attempts.isdigit() or len(listed) < int(attempts)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise BadInput(f"{path} cannot be read: {e.strerror or e}") from e


def judged_of(name: str, report: GateReport) -> Judged:
    """A report in short.

    Args:
        name: Of its file, without the ending.
        report: What the file holds.
    """
    candidate = next((one for one in report.answers if one.role == "candidate"), None)
    return Judged(
        name=name,
        version=report.candidate.version,
        digest=report.candidate.digest,
        champion=report.champion.version if report.champion else None,
        verdict=report.verdict,
        reason=report.reasons[0] if report.reasons else "",
        consequence=consequence_of(report),
        at=report.judged_at,
        policy=report.judged_by.policy,
        passed=sum(check.status == "PASS" for check in report.checks),
        checks=len(report.checks),
        n=report.judged_on.n,
        attempts=report.judged_on.attempts,
        is_synthetic=report.is_synthetic,
        metrics=candidate.metrics if candidate else (),
    )
