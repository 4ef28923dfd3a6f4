"""The blessing: the stored record of a gate's PASS, and whether it holds for an artifact."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from bentos.artifact.manifest import BLESSING, MANIFEST, sha256, verify, write_beside
from bentos.errors import NotBlessed


class Blessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a gate passed, on which evidence, and how far it reaches.

    Attributes:
        artifact: Digest of the artifact that passed.
        baseline: Digest of the champion it was compared with; None where a policy allows a first model.
        data: Digest of the data whose holdout was judged.
        policy: Digest of the policy.
        code: Version of Gauntlet that judged.
        n: Rows of the holdout.
        seed: Seed of everything random in the gate.
        verdict: Always PASS here; INCONCLUSIVE may later be blessed for the shadow alone.
        checks: Each check's name with its value, interval and bound, as in the report.
        scope: `split` (may be given traffic) or `shadow`.
        judged_at: When.
        expires_at: From when packaging and promotion refuse it; a reigning champion always starts.
    """

    schema_version: int = 1
    artifact: str
    baseline: str | None
    data: str
    policy: str
    code: str
    n: int
    seed: int
    verdict: str
    checks: list[BlessedCheck]
    scope: str
    judged_at: datetime
    expires_at: datetime


class BlessedCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One check as it stood when the model passed.

    Attributes:
        name: The check's name, such as `accuracy` or `accuracy_gap[gender]`.
        value: What was measured; None for a check without a number.
        low: Lower end of its interval, where there is one.
        high: Upper end.
        bound: What it was held against; None for a check that only reports.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    bound: float | None = None


def dump_blessing(blessing: Blessing) -> bytes:
    """The blessing as the bytes of `blessing.json`: sorted keys, so the same blessing gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(blessing, order="sorted"), indent=2) + b"\n"


def blessing_id(blessing: Blessing) -> str:
    """The digest by which audit rows and image labels name a blessing."""
    return sha256(dump_blessing(blessing))


def add_blessing(folder: Path, blessing: Blessing) -> None:
    """Put a blessing into the artifact that it names.

    Raises:
        NotBlessed: It names another artifact.
        ArtifactDamaged: The artifact is not what its manifest says.
    """
    digest = verify(folder)
    if digest != blessing.artifact:
        raise NotBlessed(f"{folder} is {digest}, and the blessing is for {blessing.artifact}")
    write_beside(folder / BLESSING, dump_blessing(blessing))


def read_blessing(folder: Path) -> Blessing:
    """The artifact's blessing, whether it still holds or not.

    Raises:
        NotBlessed: There is none, or it cannot be read.
    """
    try:
        return msgspec.json.decode((folder / BLESSING).read_bytes(), type=Blessing)
    except FileNotFoundError as e:
        digest = sha256((folder / MANIFEST).read_bytes()) if (folder / MANIFEST).is_file() else str(folder)
        raise NotBlessed(f"{digest} has no {BLESSING}: it never passed a gate; run `gauntlet gate` on it") from e
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise NotBlessed(f"{folder / BLESSING}: {e}") from e


def check_blessing(blessing: Blessing, *, artifact: str, now: datetime, scope: str) -> None:
    """Check that a blessing holds.

    Args:
        blessing: The record.
        artifact: Digest of the artifact that it is to hold for.
        now: When it is to hold, with a time zone.
        scope: What the model is wanted for: `split` or `shadow`.

    Raises:
        NotBlessed: It is for another artifact, expired, or reaches less far.
    """
    if blessing.artifact != artifact:
        raise NotBlessed(f"the blessing is for {blessing.artifact}, not for {artifact}")
    if blessing.verdict != "PASS":
        raise NotBlessed(f"the blessing's verdict is {blessing.verdict}, not PASS")
    if now >= blessing.expires_at:
        raise NotBlessed(f"the blessing of {artifact} expired on {blessing.expires_at:%Y-%m-%d}; run the gate again")
    if scope == "split" and blessing.scope != "split":
        raise NotBlessed(f"the blessing of {artifact} reaches to scope {blessing.scope!r} only, not to {scope!r}")
