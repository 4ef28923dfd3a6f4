"""The blessing: the stored record of a gate's PASS, chained to the champion's own and signed where there is a key.

`blessing.json` is JSON with sorted keys, indented for people. Its id is made of its canonical form, and that is signed:
the same object without the member `signature`, keys sorted, no blanks between tokens, UTF-8, and every number and
string as it is written in the file. So another language needs no decimal arithmetic: drop one member and the blanks.

* id: `sha256:` and the hexadecimal SHA-256 of the canonical form
* `previous`: the id of the blessing of the champion that it was compared with: a chain up to the first champion
* `key`: the signer's fingerprint, `sha256:` over the public key in DER form (SubjectPublicKeyInfo); it is signed too
* `signature`: Ed25519 (RFC 8032) over the canonical form, in base64

A record of version 1 has neither chain nor signature; its id is the SHA-256 of its file, as it always was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from bentos.artifact.manifest import BLESSING, MANIFEST, sha256, verify, write_beside
from bentos.errors import NotBlessed

VERSION = 2
"""Of the record; 1 is read too."""

Scope = Literal["split", "shadow"]
"""What a model is wanted for."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]

_ID = re.compile(r"sha256:[0-9a-f]{64}")
_ADDED_IN_2 = ("attempts", "awaits", "holdout", "key", "previous", "signature")


class Blessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a gate passed, on which evidence, and how far it reaches.

    Attributes:
        schema_version: Of this form.
        artifact: Digest of the artifact that passed.
        baseline: Digest of the champion it was compared with; None where a policy allows a first model; its own where
            the reigning champion was judged anew.
        data: Digest of the data whose holdout was judged.
        holdout: Digest of the holdout's file; None in a record of version 1.
        policy: Digest of the policy.
        code: Version of Gauntlet that judged.
        n: Rows of the holdout.
        seed: Seed of everything random in the gate.
        verdict: PASS, or INCONCLUSIVE for the shadow alone.
        checks: Each check's name with its value, interval and bound, as in the report.
        scope: `split` (may be given traffic) or `shadow`.
        awaits: Checks that the holdout left undecided and live customers are to settle, all of them comparisons with
            the baseline; only where the verdict is INCONCLUSIVE.
        attempts: How many gate runs were made on this holdout by models of this name, this one included; None in a
            record of version 1.
        previous: Id of the baseline's blessing; None where there was none.
        judged_at: When.
        expires_at: From when packaging and promotion refuse it; a reigning champion always starts.
        key: Fingerprint of the key that signed it; None where nobody did.
        signature: In base64.
    """

    schema_version: int = VERSION
    artifact: str
    baseline: str | None
    data: str
    holdout: str | None = None
    policy: str
    code: str
    n: int
    seed: int
    verdict: str
    checks: list[BlessedCheck]
    scope: Scope
    awaits: list[str] = []
    attempts: int | None = None
    previous: str | None = None
    judged_at: Moment
    expires_at: Moment
    key: str | None = None
    signature: str | None = None


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


def canonical_blessing(blessing: Blessing) -> bytes:
    """The bytes that a signature is made over and an id is made of; see the module's head."""
    return msgspec.json.encode(_members(blessing, without=("signature",)), order="sorted")


def dump_blessing(blessing: Blessing) -> bytes:
    """The blessing as the bytes of `blessing.json`: sorted keys, so the same blessing gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(_members(blessing), order="sorted"), indent=2) + b"\n"


def blessing_id(blessing: Blessing) -> str:
    """The digest by which chains, revocations, audit rows and image labels name a blessing."""
    return sha256(dump_blessing(blessing) if blessing.schema_version == 1 else canonical_blessing(blessing))


def _members(blessing: Blessing, without: tuple[str, ...] = ()) -> dict[str, object]:
    """Its members as JSON writes them; a record of version 1 keeps the members that it had."""
    left_out = {*without, *(_ADDED_IN_2 if blessing.schema_version == 1 else ())}
    # Encoded and read again: a number that is none is null in the file, and has to be null here too.
    members: dict[str, object] = msgspec.json.decode(msgspec.json.encode(blessing))
    return {name: value for name, value in members.items() if name not in left_out}


def add_blessing(folder: Path, blessing: Blessing) -> None:
    """Put a blessing into the artifact that it names.

    Raises:
        NotBlessed: It names another artifact, or contradicts itself.
        ArtifactDamaged: The artifact is not what its manifest says.
    """
    digest = verify(folder)
    if digest != blessing.artifact:
        raise NotBlessed(f"{folder} is {digest}, and the blessing is for {blessing.artifact}")
    content = dump_blessing(blessing)
    parse_blessing(content, "the blessing")
    write_beside(folder / BLESSING, content)


def read_blessing(folder: Path) -> Blessing:
    """The artifact's blessing, whether it still holds or not.

    Raises:
        NotBlessed: There is none, or it cannot be read, or it contradicts itself.
    """
    try:
        content = (folder / BLESSING).read_bytes()
    except FileNotFoundError as e:
        digest = sha256((folder / MANIFEST).read_bytes()) if (folder / MANIFEST).is_file() else str(folder)
        raise NotBlessed(f"{digest} has no {BLESSING}: it passed no gate; run `gauntlet gate` on it") from e
    return parse_blessing(content, str(folder / BLESSING))


def parse_blessing(content: bytes, source: str) -> Blessing:
    """Read a blessing's bytes.

    Args:
        content: Of `blessing.json`.
        source: The file's name, for messages.

    Raises:
        NotBlessed: They are none, or of a version that is not known here, or contradict themselves.
    """
    try:
        blessing = msgspec.json.decode(content, type=Blessing)
        json.loads(content, object_pairs_hook=_each_key_once)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as e:
        raise NotBlessed(f"{source}: {e}") from e
    problems = "; ".join(_contradictions(blessing))
    if problems:
        raise NotBlessed(f"{source}: {problems}")
    return blessing


def _each_key_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Of two values under one key readers take either, so that one file could say two things."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is written twice")
    return found


def _contradictions(blessing: Blessing) -> Iterator[str]:
    if blessing.schema_version not in (1, VERSION):
        yield f"schema_version is {blessing.schema_version}; this version of Gauntlet reads 1 and {VERSION}"
    if blessing.awaits and (blessing.verdict, blessing.scope) != ("INCONCLUSIVE", "shadow"):
        yield "awaits names checks; only an INCONCLUSIVE verdict for the shadow leaves any open"
    if blessing.attempts is not None and blessing.attempts < 1:
        yield f"attempts is {blessing.attempts}; it must be at least 1, as the run that blessed is counted"
    if blessing.expires_at <= blessing.judged_at:
        yield "expires_at is not after judged_at"
    if blessing.previous is not None and not _ID.fullmatch(blessing.previous):
        yield f"previous is {blessing.previous[:80]!r}; it must be a blessing's id, sha256: and 64 hexadecimal digits"
    if (blessing.key is None) != (blessing.signature is None):
        yield "key and signature go together, and one of them is missing"
