"""What a gate run does to blessings in the registry: it is counted, a pass is sealed and kept, a FAIL takes back.

The rules of the gate know nothing of this: they say what was found, and here it becomes a record that others trust.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

import msgspec

from bentos.artifact import Artifact, Blessing, SigningKey, blessing_id, read_blessing
from bentos.blessings import count_attempt, keep_blessing, revoke, revoked_in, seal
from bentos.errors import NotBlessed
from bentos.folder import Folder
from bentos.registry import Registry, Version
from bentos.revocations import revocations_path
from validation.gate.defaults import CHALLENGER_ALIAS, CHAMPION_ALIAS
from validation.gate.report import GateReport

_WHO = "gate"


@dataclass(frozen=True)
class Standing:
    """What the registry knows of a model before it is judged.

    Attributes:
        version: Who is judged.
        attempts: Gate runs on its holdout by models of its name, this one included.
        own: The blessing that it carries from an earlier run; None where it has none that can be read.
        previous: The blessing of the champion that it is compared with, or its own where it reigns itself.
        is_renewal: Whether it is the reigning champion, judged anew.
    """

    version: Version
    attempts: int
    own: Blessing | None
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
    own = _blessing_in(candidate)
    is_renewal = champion is None and CHAMPION_ALIAS in version.aliases
    previous = _blessing_in(champion) if champion is not None else own if is_renewal else None
    return Standing(version, count_attempt(registry, version, holdout), own, previous, is_renewal)


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
    """
    version = standing.version
    if report.blessing is not None:
        keep_blessing(registry, version, report.blessing)
    if report.verdict == "PASS" and CHAMPION_ALIAS not in version.aliases:
        registry.set_alias(version, CHALLENGER_ALIAS)
    if report.verdict == "FAIL" and standing.own is not None:
        if blessing_id(standing.own) in revoked_in(version.tags):
            return
        reason = f"it fails the policy {report.judged_by.policy}: {report.reasons[0]}"
        path = revocations_path(folder, os.environ)
        revoke(registry, version, standing.own, path=path, who=_WHO, now=now, reason=reason)


def _blessing_in(artifact: Artifact) -> Blessing | None:
    """An artifact's blessing, for whatever it is worth; none that is for other bytes."""
    try:
        blessing = read_blessing(artifact.folder)
    except NotBlessed:
        return None
    return blessing if blessing.artifact == artifact.digest else None
