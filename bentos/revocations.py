"""The installation's list of blessings that were taken back: `revocations.json`, which serving reads as well.

On Kubernetes it is a ConfigMap's file. The registry says the same in a tag of the version, for those who have one.
A list that cannot be read is no empty list: whoever needs it is told so.
"""

from __future__ import annotations

import fcntl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from bentos.artifact import Trust, policies_of, public_keys_of, write_beside
from bentos.errors import BadInput
from bentos.folder import Folder

SETTING = "GAUNTLET_REVOCATIONS_FILE"

_MOST_BYTES = 16 * 1024 * 1024


class Revocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One blessing that was taken back.

    Attributes:
        blessing: Its id.
        artifact: Digest of the artifact that it was for.
        model: Registered name and version, for people.
        at: When.
        who: Who did it.
        reason: Why.
    """

    blessing: str
    artifact: str
    model: str
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    who: str
    reason: str

    @property
    def told(self) -> str:
        """Who, when and why, to be read after "was revoked"."""
        return f"by {self.who} on {self.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {self.reason}"


class _List(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema_version: int = 1
    revoked: tuple[Revocation, ...] = ()


def parse_revocations(content: bytes, source: str) -> tuple[Revocation, ...]:
    """Read a list of revocations.

    Raises:
        BadInput: It cannot be read; nothing is then known of what is revoked.
    """
    try:
        found = msgspec.json.decode(content, type=_List)
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise BadInput(f"the revocations in {source} cannot be read: {e}") from e
    if found.schema_version != 1:
        version = found.schema_version
        raise BadInput(f"{source} has schema_version {version}; this version of Gauntlet reads 1")
    return found.revoked


def no_revocations() -> bytes:
    """The content of a list that holds none."""
    return msgspec.json.encode(_List()) + b"\n"


def read_revocations(path: Path, *, must_exist: bool = False) -> tuple[Revocation, ...]:
    """Read an installation's revocations; none where there is no file.

    Args:
        path: The file.
        must_exist: Whether it was named, so that its absence is no empty list.

    Raises:
        BadInput: It cannot be read, or is not there and must be.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as e:
        if must_exist:
            empty = msgspec.json.encode(_List()).decode()
            raise BadInput(f"{SETTING}: there is no {path}; a list that is empty is {empty}") from e
        return ()
    except OSError as e:
        raise BadInput(f"the revocations in {path} cannot be read: {e.strerror}") from e
    if len(content) > _MOST_BYTES:
        raise BadInput(f"the revocations in {path} cannot be read: it has more than {_MOST_BYTES} bytes")
    return parse_revocations(content, str(path))


def add_revocation(path: Path, revocation: Revocation) -> None:
    """Add to the list; what is in it already stays as it is.

    Raises:
        BadInput: The list that is there cannot be read.
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = read_revocations(path)
        if revocation.blessing in {one.blessing for one in found}:
            return
        content = msgspec.json.format(msgspec.json.encode(_List(revoked=(*found, revocation))), indent=2)
        write_beside(path, content + b"\n")


def told_by_id(revocations: tuple[Revocation, ...]) -> dict[str, str]:
    """By blessing, who revoked it, when and why: what `Trust` wants."""
    return {one.blessing: one.told for one in revocations}


def revocations_path(folder: Folder, environment: Mapping[str, str]) -> Path:
    """Where an installation's list lies: where `GAUNTLET_REVOCATIONS_FILE` says, else in its folder."""
    named = environment.get(SETTING)
    return Path(named) if named else folder.revocations


def trust_of(folder: Folder, environment: Mapping[str, str]) -> Trust:
    """What an installation trusts: the public keys that the environment names, and no blessing that was revoked.

    Raises:
        InvalidSetting: The keys cannot be read.
        BadInput: The revocations cannot be read.
    """
    found = read_revocations(revocations_path(folder, environment), must_exist=bool(environment.get(SETTING)))
    keys, policies = public_keys_of(environment), policies_of(environment)
    return Trust(keys=keys, revoked=told_by_id(found), policies=policies)
