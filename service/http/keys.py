"""API keys: who may ask what. Keys are 256 random bits, kept as SHA-256 in files that are reread when they change.

One file a scope (`score`, `outcomes`, `admin`) in one folder, as a Kubernetes Secret is mounted; in it a line a key:
its SHA-256 in hexadecimal, and the client's name. Several lines with one name are one client whose key is being
replaced. A key under `admin` may do everything.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec

from bentos.artifact import write_beside
from bentos.errors import InvalidSetting, NotFound
from service.http.problems import FORBIDDEN, UNAUTHORIZED, HttpRefusal
from service.stamps import Stamp, stamp_of

logger = logging.getLogger("gauntlet.keys")

Scope = Literal["score", "outcomes", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_PREFIX = "gauntlet_"
_LINE = re.compile(r"([0-9a-f]{64})[ \t]+([A-Za-z0-9._-]{1,64})")
_CHALLENGE = (b"www-authenticate", b"Bearer")


class Client(msgspec.Struct, frozen=True):
    """Who asks.

    Attributes:
        name: As the key file calls it; every key of that name is the same client.
        scopes: What it may ask.
    """

    name: str
    scopes: frozenset[Scope]


class Keys:
    """The keys of one installation.

    Attributes:
        is_valid: Whether every file, as it is now, can be read; while not, the last good keys hold.
    """

    def __init__(self, folder: Path) -> None:
        """Read the folder; what is not there lets nobody in.

        Args:
            folder: With one file a scope.
        """
        self.is_valid = True
        self._reason = ""
        self._folder = folder
        self._clients: dict[bytes, Client] = {}
        self._stamps: list[Stamp | None] | None = None
        self.poll()

    def poll(self) -> None:
        """Reread the files if one of them changed; never raises."""
        stamps = [stamp_of(self._folder / scope) for scope in SCOPES]
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._clients = read_keys(self._folder)
        except InvalidSetting as e:
            self._refuse(e)
            return
        except OSError as e:  # the files may be right, and a key that was taken away must not hold: the next poll reads
            self._refuse(e)
            self._stamps = None
            return
        self.is_valid = True
        logger.info("keys_read", extra={"keys": len(self._clients)})

    def _refuse(self, why: Exception) -> None:
        if self.is_valid or str(why) != self._reason:
            logger.error("keys_invalid", extra={"reason": str(why)})
        self.is_valid, self._reason = False, str(why)

    def client_of(self, authorization: bytes | None, scope: Scope | None) -> Client:
        """Who shows this header.

        Args:
            authorization: The header's value.
            scope: What it must be allowed to ask; None for any key.

        Raises:
            HttpRefusal: 401 without a key that is known, 403 with one that may not ask this.
        """
        if authorization is None:
            raise HttpRefusal(UNAUTHORIZED, "an API key is needed: send Authorization: Bearer KEY", _CHALLENGE)
        kind, _, key = authorization.partition(b" ")
        if kind.lower() != b"bearer":
            raise HttpRefusal(UNAUTHORIZED, "Authorization must be: Bearer KEY", _CHALLENGE)
        shown = hashlib.sha256(key.strip()).digest()
        found = None
        for digest, client in self._clients.items():  # every one is compared, each in constant time
            if hmac.compare_digest(digest, shown):
                found = client
        if found is None:
            raise HttpRefusal(UNAUTHORIZED, "this API key is not known here", _CHALLENGE)
        if scope is not None and scope not in found.scopes and "admin" not in found.scopes:
            raise HttpRefusal(FORBIDDEN, f"the key of {found.name} may not ask this; it needs the scope {scope}")
        return found

    def has_any(self) -> bool:
        """Whether there is a key at all."""
        return bool(self._clients)

    def client_marked(self, mark: str) -> Client | None:
        """The client one of whose keys has this mark; None once that key was taken away."""
        for digest, client in self._clients.items():
            if hmac.compare_digest(mark_of(digest), mark):
                return client
        return None


def mark_of(digest: bytes) -> str:
    """What a session remembers of the key it began with: neither the key nor what the key files hold."""
    return hashlib.sha256(b"session:" + digest).hexdigest()


def digest_of(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.strip().encode()).digest()


def read_keys(folder: Path) -> dict[bytes, Client]:
    """The clients of a folder of key files by the SHA-256 of their keys.

    Raises:
        InvalidSetting: A line is not what it must be; the message names file and line, and never shows it.
        OSError: A file cannot be read.
    """
    scopes: dict[tuple[bytes, str], set[Scope]] = {}
    for scope in SCOPES:
        for digest, name in _lines(folder / scope):
            scopes.setdefault((digest, name), set()).add(scope)
    return {digest: Client(name, frozenset(allowed)) for (digest, name), allowed in scopes.items()}


def make_key() -> str:
    """A new key: 256 random bits behind a prefix by which leaked ones are found."""
    return _PREFIX + secrets.token_urlsafe(32)


def key_line(key: str, name: str) -> str:
    """The line by which a key is kept.

    Raises:
        InvalidSetting: The name is none.
    """
    line = f"{hashlib.sha256(key.encode()).hexdigest()} {name}"
    if not _LINE.fullmatch(line):
        raise InvalidSetting(f"the name {name[:80]!r} must be 1 to 64 letters, digits, dots, hyphens or underscores")
    return line


def add_key(folder: Path, scope: Scope, name: str) -> str:
    """Add a new key for a client; its other keys stay, so that it can be replaced without a gap.

    Args:
        folder: With one file a scope; made if needed.
        scope: What it may ask.
        name: Of the client.

    Returns:
        The key. It is kept nowhere: whoever calls must hand it on.

    Raises:
        InvalidSetting: The name or the file is not what it must be.
    """
    key = make_key()
    line = key_line(key, name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = [f"{digest.hex()} {known}" for digest, known in _lines(folder / scope)]
    write_beside(folder / scope, "".join(f"{one}\n" for one in [*kept, line]).encode())
    return key


def revoke_keys(folder: Path, scope: Scope, name: str, *, all_but_newest: bool = False) -> int:
    """Take keys of a client away.

    Args:
        folder: With one file a scope.
        scope: From which.
        name: Of the client.
        all_but_newest: Keep the key that was added last, as the end of a replacement.

    Returns:
        How many were taken away.

    Raises:
        NotFound: The client has no key in that scope.
        InvalidSetting: The file is not what it must be.
    """
    lines = list(_lines(folder / scope))
    own = [line for line in lines if line[1] == name]
    if not own:
        known = ", ".join(sorted({client for _, client in lines})) or "nobody"
        raise NotFound(f"{name} has no key for {scope}; these have: {known}")
    gone = own[:-1] if all_but_newest else own
    if gone:
        kept = "".join(f"{digest.hex()} {known}\n" for digest, known in lines if (digest, known) not in gone)
        write_beside(folder / scope, kept.encode())
    return len(gone)


def _lines(path: Path) -> Iterator[tuple[bytes, str]]:
    """Digest and name of every key in a file; nothing where there is no file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except UnicodeDecodeError as e:
        raise InvalidSetting(f"{path} is no text") from e
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise InvalidSetting(
                f"{path}, line {number}: it must be a SHA-256 in 64 hexadecimal digits and a client's name; "
                "`gauntlet keys add` writes such lines"
            )
        yield bytes.fromhex(found[1]), found[2]
