"""Blessings in the registry: kept for good under their ids, counted by holdout, chained, and taken back.

An artifact carries the blessing that holds now. Every blessing that a version was ever given stays with its run, in
`blessings/`, so that a chain can be walked after a champion was judged anew. Tags of a version say which one it carries
(`blessing`), that it was taken back (`blessing_revoked`), and how often it was judged on which holdout.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from bentos.artifact import (
    BLESSING,
    Artifact,
    Blessing,
    Finding,
    SigningKey,
    Trust,
    blessing_id,
    dump_blessing,
    parse_blessing,
)
from bentos.errors import BadInput, NotBlessed, NotFound
from bentos.revocations import Revocation, add_revocation

if TYPE_CHECKING:
    from bentos.registry import Registry, Version

KEPT = "blessings"
"""The folder of a run in which its version's blessings stay."""

BLESSING_TAG = "blessing"
REVOKED_TAG = "blessing_revoked"
HOLDOUT_TAG = "gate_holdout"
ATTEMPTS_TAG = "gate_attempts"

_CHALLENGER = "challenger"
_MOST_LETTERS = 500
"""Of a reason: a tag's value has a bound at every tracking server."""


class Finds(Protocol):
    """What is asked of a registry to walk a chain."""

    def find_by_digest(self, name: str, digest: str) -> Version | None:
        """A version by its artifact's digest."""

    def fetch_file(self, version: Version, path: str, folder: Path) -> Path:
        """Copy one file of the run that made a version into a folder."""


class Notes(Protocol):
    """What is asked of a registry to take a blessing back."""

    def tag(self, version: Version, **tags: str) -> None:
        """Say something of a version."""

    def drop_alias(self, name: str, alias: str) -> None:
        """Let an alias point at nothing."""


def count_attempt(registry: Registry, version: Version, holdout: str) -> int:
    """Count one more gate run on a holdout, before it judges, so that one that is broken off is counted too.

    Args:
        registry: Where the count is kept, in tags of the versions.
        version: Who is about to be judged.
        holdout: Digest of the holdout's file.

    Returns:
        How many runs there were on this holdout by models of this name, this one included.
    """
    counts = {
        other.number: _count_of(other)
        for other in registry.versions(version.name)
        if other.tags.get(HOLDOUT_TAG) == holdout
    }
    own = counts.get(version.number, 0) + 1
    registry.tag(version, **{HOLDOUT_TAG: holdout, ATTEMPTS_TAG: str(own)})
    return sum(counts.values()) + 1


def _count_of(version: Version) -> int:
    found = version.tags.get(ATTEMPTS_TAG, "")
    if not found.isdigit():
        raise BadInput(f"the tag {ATTEMPTS_TAG} of {version} is {found!r}; it must be a whole number")
    return int(found)


def seal(
    blessing: Blessing,
    *,
    holdout: str,
    attempts: int,
    previous: Blessing | None,
    is_renewal: bool,
    key: SigningKey | None,
) -> Blessing:
    """Complete what a gate says of a model with what the registry and the signer know.

    Args:
        blessing: As the report gives it.
        holdout: Digest of the holdout's file.
        attempts: Gate runs on that holdout, this one included.
        previous: The blessing of the champion that it was compared with; None where it has none, or there is nobody.
        is_renewal: Whether the reigning champion was judged anew; `previous` is then its own earlier blessing.
        key: Signs it; None: nobody does.
    """
    complete = msgspec.structs.replace(
        blessing,
        holdout=holdout,
        attempts=attempts,
        previous=None if previous is None else blessing_id(previous),
        baseline=blessing.artifact if is_renewal else blessing.baseline,
    )
    return complete if key is None else key.sign(complete)


def keep_blessing(registry: Registry, version: Version, blessing: Blessing) -> None:
    """Give a version its blessing: with its run for good, beside its artifact, and last in its tags."""
    with tempfile.TemporaryDirectory(prefix="gauntlet-blessing-") as made:
        _keep_earlier(registry, version, Path(made))
        _keep(registry, version, blessing, Path(made))
        (Path(made) / BLESSING).write_bytes(dump_blessing(blessing))
        registry.bless(version, Path(made) / BLESSING)
    registry.tag(version, **{BLESSING_TAG: blessing_id(blessing)})


def _keep_earlier(registry: Registry, version: Version, made: Path) -> None:
    """What is about to be replaced may be of a time when blessings were not kept, and chains lead to it."""
    try:
        found = registry.fetch_file(version, f"artifact/{BLESSING}", made / "earlier")
        _keep(registry, version, parse_blessing(found.read_bytes(), BLESSING), made)
    except (NotFound, NotBlessed):  # there is none, or none that anybody could have been chained to
        return


def _keep(registry: Registry, version: Version, blessing: Blessing, made: Path) -> None:
    file = made / _file_of(blessing_id(blessing))
    file.write_bytes(dump_blessing(blessing))
    registry.attach(version, file, under=KEPT)


def expected_of(version: Version) -> str | None:
    """The id of the blessing that the registry knows a version by; None where it was blessed before ids were kept."""
    return version.tags.get(BLESSING_TAG)


def trusting(trust: Trust, version: Version) -> Trust:
    """The same trust, with what the version's tags say of a revocation."""
    return trust.knowing(revoked_in(version.tags))


def revoked_in(tags: Mapping[str, str]) -> dict[str, str]:
    """The revocation that a version's tags tell of, by blessing.

    Raises:
        NotBlessed: There is one, and it cannot be read: nobody knows what it takes back.
    """
    content = tags.get(REVOKED_TAG)
    if not content:
        return {}
    try:
        found = msgspec.json.decode(content, type=Revocation)
    except msgspec.MsgspecError as e:
        raise NotBlessed(f"the tag {REVOKED_TAG} cannot be read: {e}; revoke the blessing again") from e
    return {found.blessing: found.told}


def revoke(
    registry: Notes,
    version: Version,
    blessing: Blessing,
    *,
    path: Path,
    who: str,
    now: datetime,
    reason: str,
) -> Revocation:
    """Take a blessing back: in the installation's list, in the version's tags, and by the alias `challenger`.

    The list is written first: serving reads it, and safety does not wait for the registry. Doing it twice is doing it
    once.

    Args:
        registry: Where the version is.
        version: Whose blessing it is.
        blessing: What it carries now.
        path: The installation's list.
        who: Who asks.
        now: When, with a time zone.
        reason: Why; cut to 500 letters.

    Raises:
        BadInput: The reason is empty, or the list that is there cannot be read.
        Unavailable: The registry does not answer; the list says it already.
    """
    if not reason.strip():
        raise BadInput("the reason is empty; it must say why the blessing is revoked")
    revocation = Revocation(
        blessing=blessing_id(blessing),
        artifact=blessing.artifact,
        model=str(version),
        at=now,
        who=who,
        reason=" ".join(reason.split())[:_MOST_LETTERS],
    )
    add_revocation(path, revocation)
    registry.tag(version, **{REVOKED_TAG: msgspec.json.encode(revocation).decode()})
    if _CHALLENGER in version.aliases:
        registry.drop_alias(version.name, _CHALLENGER)
    return revocation


def find_blessing(registry: Finds, version: Version, digest: str) -> Blessing | None:
    """A blessing that a version once had, by its id; None where it never had that one.

    Raises:
        NotBlessed: The registry keeps another record under that id.
    """
    with tempfile.TemporaryDirectory(prefix="gauntlet-blessing-") as made:
        # What was blessed before blessings were kept has only the one beside the artifact.
        for path in (f"{KEPT}/{_file_of(digest)}", f"artifact/{BLESSING}"):
            try:
                found = registry.fetch_file(version, path, Path(made))
            except NotFound:
                continue
            blessing = parse_blessing(found.read_bytes(), f"{path} of {version}")
            if blessing_id(blessing) == digest:
                return blessing
            if path.startswith(KEPT):
                raise NotBlessed(f"{path} of {version} is {blessing_id(blessing)}: it was changed after it was given")
    return None


@dataclass(frozen=True)
class Link:
    """One blessing of a chain.

    Attributes:
        version: Whose it is; None for the first one, which was given.
        blessing: The record.
    """

    version: Version | None
    blessing: Blessing


def previous_of(registry: Finds, model: str, blessing: Blessing) -> Link | None:
    """The blessing that one names as the one before it; None where it is the first of its chain.

    Args:
        registry: Where it is looked for.
        model: The registered name.
        blessing: Whose `previous` is followed.

    Raises:
        NotBlessed: The chain is broken here; the message says how.
    """
    if blessing.previous is None:
        return None
    owner = blessing.baseline or blessing.artifact
    version = registry.find_by_digest(model, owner)
    if version is None:
        raise NotBlessed(f"it names {blessing.previous}, a blessing of {owner}, which the registry does not have")
    found = find_blessing(registry, version, blessing.previous)
    if found is None:
        raise NotBlessed(f"it names {blessing.previous} as a blessing of {version}, which never had that one")
    if found.artifact != owner:
        raise NotBlessed(f"it names {blessing.previous}, which is for {found.artifact} and not for {owner}")
    if found.judged_at > blessing.judged_at:
        raise NotBlessed(f"it names {blessing.previous}, which was given after it")
    return Link(version, found)


def chain_of(registry: Finds, model: str, blessing: Blessing) -> list[Link]:
    """A blessing and those before it, up to the first champion's.

    Raises:
        NotBlessed: The chain is broken; the message says where.
    """
    chain = [Link(None, blessing)]
    while (link := _next(registry, model, chain)) is not None:
        chain.append(link)
    return chain


def _next(registry: Finds, model: str, chain: list[Link]) -> Link | None:
    last = chain[-1].blessing
    try:
        return previous_of(registry, model, last)
    except NotBlessed as e:
        raise NotBlessed(f"the chain is broken at {blessing_id(last)}: {e}") from e


def check_anchored(blessing: Blessing, champion: Blessing | None) -> None:
    """Check that a model which was compared with the champion names the champion's blessing, if there was one then.

    Raises:
        NotBlessed: It names none.
    """
    if blessing.schema_version == 1 or blessing.previous is not None or champion is None:
        return
    if blessing.baseline == champion.artifact and champion.judged_at < blessing.judged_at:
        raise NotBlessed(
            f"the chain is broken at {blessing_id(blessing)}: it names no blessing before it, and the champion that it "
            f"was compared with had {blessing_id(champion)}"
        )


def data_finding(blessing: Blessing, artifact: Artifact) -> Finding:
    """Whether a blessing speaks of the data and the holdout that the artifact was made with.

    A record of version 1 does not name the holdout, and is not asked.

    Raises:
        ArtifactDamaged: The artifact's training record cannot be read.
    """
    if blessing.holdout is None:
        return Finding("data", "a record of version 1 names no holdout")
    record = artifact.training
    for what, said, made in (("data", blessing.data, record.data), ("holdout", blessing.holdout, record.holdout)):
        if said != made:
            says = f"the blessing of {blessing.artifact} is for the {what} {said}, and the model was made with {made}"
            return Finding("data", says, holds=False, was_blessed=False)
    return Finding("data", f"it was judged on the model's own holdout, {blessing.holdout}")


def _file_of(digest: str) -> str:
    return f"{digest.removeprefix('sha256:')}.json"
