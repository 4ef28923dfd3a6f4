"""Whether a model's blessing lets it become champion."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Protocol

from bentos.artifact import Blessing, Trust, check_blessing, read_blessing
from bentos.blessings import check_anchored, expected_of, previous_of, trusting
from bentos.errors import NotBlessed
from bentos.registry import Version


class Fetches(Protocol):
    """What is asked of a model registry."""

    def find_by_digest(self, name: str, digest: str) -> Version | None:
        """A version by its artifact's digest."""

    def fetch(self, version: Version, folder: Path) -> object:
        """Copy its artifact into a folder that is not there yet, verified."""

    def fetch_file(self, version: Version, path: str, folder: Path) -> Path:
        """Copy one file of the run that made a version into a folder."""


def check_blessed(registry: Fetches, version: Version, *, now: datetime, trust: Trust, champion: str | None) -> None:
    """Check that a model may become champion as far as its blessing goes.

    A blessing for the shadow alone is enough where live customers have settled what the holdout left open: all that it
    awaits compares the model with the champion that it was judged against, and the verdict spoke of the same two.

    Args:
        registry: Where the model is.
        version: Who is to be champion.
        now: When its blessing has to hold, with a time zone.
        trust: Whose signatures count, and what was revoked; the version's tags count as well.
        champion: Digest of the champion that the verdict of PROMOTE compared it with; None for a first champion, of
            whom no live customer has spoken.

    Raises:
        NotBlessed: It may not; the message says why.
        Unavailable: The registry does not answer.
    """
    try:
        blessing = _blessing_of(registry, version)
        is_settled = champion is not None and _is_settled(blessing, champion)
        check_blessing(
            blessing,
            artifact=version.digest,
            now=now,
            scope="shadow" if is_settled else "split",
            trust=trusting(trust, version),
            expected=expected_of(version),
        )
        if champion is not None and blessing.baseline == champion:
            check_anchored(blessing, _champions(registry, version.name, champion))
        previous_of(registry, version.name, blessing)
    except NotBlessed as e:
        raise NotBlessed(f"{version} must not serve: {e}") from e


def _is_settled(blessing: Blessing, champion: str) -> bool:
    if not blessing.awaits:
        return False
    if blessing.baseline != champion:
        raise NotBlessed(
            f"its blessing leaves {', '.join(blessing.awaits)} to live customers who compare it with "
            f"{blessing.baseline}, and they compared it with the champion {champion}; run the gate again"
        )
    return True


def _champions(registry: Fetches, name: str, digest: str) -> Blessing | None:
    version = registry.find_by_digest(name, digest)
    try:
        return None if version is None else _blessing_of(registry, version)
    except NotBlessed:
        return None


def _blessing_of(registry: Fetches, version: Version) -> Blessing:
    with tempfile.TemporaryDirectory(prefix="gauntlet-") as beside:
        place = Path(beside) / "artifact"
        registry.fetch(version, place)
        return read_blessing(place)
