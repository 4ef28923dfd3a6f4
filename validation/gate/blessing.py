"""What a gate run does to blessings in the registry: it is counted, a pass is sealed and kept, a FAIL takes back.

The rules of the gate know nothing of this: they say what was found, and here it becomes a record that others trust.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from bentos.artifact import BLESSING, Artifact, Blessing, SigningKey, blessing_id, parse_blessing, read_blessing
from bentos.blessings import count_attempt, keep_blessing, revoke, revoked_in, seal
from bentos.errors import NotBlessed, NotFound, Refused
from bentos.folder import Folder
from bentos.registry import Registry, Version
from bentos.revocations import revocations_path
from validation.gate.defaults import CHALLENGER_ALIAS, CHAMPION_ALIAS
from validation.gate.report import GateReport

FAILED_TAG = "gate_failed_at"
"""When a version last failed a gate."""

_WHO = "gate"


@dataclass(frozen=True)
class Standing:
    """What the registry knows of a model before it is judged.

    Attributes:
        version: Who is judged.
        attempts: Gate runs on its holdout by models of its name, this one included.
        previous: The blessing of the champion that it is compared with, or its own where it reigns itself.
        is_renewal: Whether it is the reigning champion, judged anew.
    """

    version: Version
    attempts: int
    previous: Blessing | None
    is_renewal: bool


def standing_of(
    registry: Registry, version: Version, candidate: Artifact, champion: Artifact | None, *, holdout: str
) -> Standing:
    """Look at what there is, and count this run, before it has judged anything.

    Args:
        registry: Where versions are.
        version: Who is judged.
        candidate: Its artifact.
        champion: That of the model it is compared with; None for a first model, or for the champion itself.
        holdout: Digest of the holdout's file.
    """
    is_renewal = champion is None and CHAMPION_ALIAS in version.aliases
    compared = champion or (candidate if is_renewal else None)
    previous = None if compared is None else _blessing_in(compared)
    return Standing(version, count_attempt(registry, version, holdout), previous, is_renewal)


def sealed(report: GateReport, standing: Standing, key: SigningKey | None) -> GateReport:
    """The report with its blessing completed, chained and signed, where it has one.

    Args:
        report: As the checks give it.
        standing: What was known before.
        key: Signs; None: nobody does.
    """
    if report.blessing is None:
        return report
    blessing = seal(
        report.blessing,
        holdout=report.judged_on.holdout,
        attempts=standing.attempts,
        previous=standing.previous,
        is_renewal=standing.is_renewal,
        key=key,
    )
    return msgspec.structs.replace(report, blessing=blessing)


def settle(report: GateReport, standing: Standing, registry: Registry, folder: Folder, *, now: datetime) -> None:
    """Keep what was blessed, and take back what a model was blessed with that fails now.

    A PASS becomes challenger, but for a champion, who is more. A FAIL revokes an earlier blessing and takes the alias
    `challenger` away, whichever policy it failed by: two gates of one model that disagree are no reason to trust it.
    What could not be judged or decided takes nothing back.

    Args:
        report: Sealed.
        standing: What was known before.
        registry: Where the version is.
        folder: Its list of revocations.
        now: When, with a time zone.

    Raises:
        Refused: Another gate of the model failed while this one was judging; what this one blessed is taken back.
    """
    # Another gate of it may have ended meanwhile, so what counts is what the registry says now.
    version = registry.resolve(standing.version.uri)
    path = revocations_path(folder, os.environ)
    if report.blessing is not None:
        keep_blessing(registry, version, report.blessing)
        failed = version.tags.get(FAILED_TAG, "")
        if failed >= _moment(report.judged_at):
            reason = f"another gate of it failed at {failed}, while this one was judging"
            revoke(registry, version, report.blessing, path=path, who=_WHO, now=now, reason=reason)
            raise Refused(f"{version} is not blessed: {reason}")
    if report.verdict == "PASS" and CHAMPION_ALIAS not in version.aliases:
        registry.set_alias(version, CHALLENGER_ALIAS)
    if report.verdict == "FAIL":
        ended = report.judged_at + timedelta(seconds=report.seconds)
        registry.tag(version, **{FAILED_TAG: _moment(ended)})
        with tempfile.TemporaryDirectory(prefix="gauntlet-gate-") as made:
            own = _kept(registry, version, Path(made))
        if own is None or blessing_id(own) in revoked_in(version.tags):
            return
        reason = f"it fails the policy {report.judged_by.policy}: {report.reasons[0]}"
        revoke(registry, version, own, path=path, who=_WHO, now=now, reason=reason)


def _moment(when: datetime) -> str:
    """As the registry's tags say it; such texts are in the order of time."""
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _kept(registry: Registry, version: Version, made: Path) -> Blessing | None:
    """The blessing that a version carries now, if it can be read."""
    try:
        found = registry.fetch_file(version, f"artifact/{BLESSING}", made)
        return parse_blessing(found.read_bytes(), BLESSING)
    except (NotFound, NotBlessed):
        return None


def _blessing_in(artifact: Artifact) -> Blessing | None:
    """An artifact's blessing, for whatever it is worth; none that is for other bytes."""
    try:
        blessing = read_blessing(artifact.folder)
    except NotBlessed:
        return None
    return blessing if blessing.artifact == artifact.digest else None
