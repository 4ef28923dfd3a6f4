"""One look at the reigning champion: the store is read, its artifact fetched, and what is found is put together."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from bentos.artifact import BLESSING, Artifact, Blessing, parse_blessing
from bentos.errors import NotFound
from bentos.registry import Version
from service.scoring.models import Identity
from service.store import Store
from validation.drift.counting import ReferenceModel, drift_of, window_ending
from validation.judge.policy import OnlinePolicy
from validation.monitoring.counting import count_traffic, count_truths
from validation.monitoring.findings import (
    Watched,
    on_blessing,
    on_drift,
    on_outcomes,
    on_risk,
    on_traffic,
    promised_by,
)

WEEK_SECONDS = 7 * 86_400.0


class Finds(Protocol):
    """What is asked of a registry."""

    def find_by_digest(self, name: str, digest: str) -> Version | None:
        """A version by its artifact's digest."""

    def fetch(self, version: Version, folder: Path) -> Artifact:
        """Copy a version's artifact into a folder."""


def watch(store: Store, registry: Finds, *, name: str, champion: str, policy: OnlinePolicy, now: datetime) -> Watched:
    """Look at a champion.

    Args:
        store: Where predictions and truths are.
        registry: Where the models are.
        name: Their registered name.
        champion: Digest of the one that reigns.
        policy: Says how long a truth takes, and whether actions follow predictions.
        now: The moment.

    Raises:
        NotFound: The champion is not in the registry.
        Unavailable: Store or registry do not answer.
    """
    version = registry.find_by_digest(name, champion)
    if version is None:
        raise NotFound(f"the registry has no {name} with the digest {champion}, which is champion")
    with TemporaryDirectory(prefix="gauntlet-monitor-") as place:
        artifact = registry.fetch(version, Path(place) / "artifact")
        blessing = _blessing_in(artifact)
        label = str(Identity(name=version.name, version=version.number, digest=champion))
        model = ReferenceModel(label=label, digest=champion, contract=artifact.contract, reference=artifact.reference)
    with store.reading() as connection:
        traffic = count_traffic(connection, now=now)
        truths = count_truths(connection, champion, policy, now=now)
        (drift,) = drift_of(connection, [model], window_ending(now, WEEK_SECONDS))
    promised = promised_by(blessing)
    return Watched(
        model=str(version),
        digest=champion,
        looked_at=now,
        findings=(
            on_traffic(traffic),
            on_drift(drift),
            on_outcomes(truths),
            on_risk(truths, promised, policy),
            on_blessing(blessing, name=name, now=now),
        ),
        drift=drift,
        truths=truths,
        promised=promised,
    )


def _blessing_in(artifact: Artifact) -> Blessing | None:
    path = artifact.folder / BLESSING
    return parse_blessing(path.read_bytes(), str(path)) if path.is_file() else None
