"""Ed25519 keys, by which a gate signs its blessings and whoever packs, serves or promotes knows them again.

Keys lie in PEM files: PKCS #8 for the private one, SubjectPublicKeyInfo for the public one, as
`openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them. A file of public keys may hold several, so
that a key can be replaced: add the new one, sign with it, bless anew what matters, take the old one out.

`cryptography` is imported where a key is used, so that a process without one does not carry it.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bentos.artifact.blessing import Blessing, canonical_blessing
from bentos.artifact.manifest import sha256
from bentos.errors import BadInput, InvalidSetting

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_SETTING = "GAUNTLET_BLESSING_KEY_FILE"
"""Names the private key's file; the gate reads it."""

PUBLIC_KEY_SETTING = "GAUNTLET_BLESSING_PUBLIC_KEY_FILE"
"""Names the file of public keys; package, serve and promote read it, and refuse then what none of them signed."""

_MOST_BYTES = 65536
_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


@dataclass(frozen=True)
class SigningKey:
    """A private key.

    Attributes:
        fingerprint: Of its public half.
    """

    _key: Ed25519PrivateKey = field(repr=False)
    fingerprint: str

    def sign(self, blessing: Blessing) -> Blessing:
        """The blessing with this key's fingerprint and its signature."""
        named = msgspec.structs.replace(blessing, key=self.fingerprint, signature=None)
        signature = base64.b64encode(self._key.sign(canonical_blessing(named))).decode()
        return msgspec.structs.replace(named, signature=signature)


@dataclass(frozen=True)
class PublicKeys:
    """The keys whose signatures count, by fingerprint."""

    _keys: Mapping[str, Ed25519PublicKey] = field(repr=False)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of each."""
        return tuple(self._keys)

    def knows(self, fingerprint: str | None) -> bool:
        """Whether a key is one of these."""
        return fingerprint in self._keys

    def is_signed(self, blessing: Blessing) -> bool:
        """Whether the blessing's signature is that of the key which it names, over what it says."""
        from cryptography.exceptions import InvalidSignature

        key = self._keys.get(blessing.key or "")
        if key is None or blessing.signature is None:
            return False
        try:
            key.verify(base64.b64decode(blessing.signature, validate=True), canonical_blessing(blessing))
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def make_keys(path: Path) -> tuple[Path, str]:
    """Make a key pair: the private key in a file that only its owner may read, the public one in `NAME.pub`.

    Returns:
        The public key's file, and its fingerprint.

    Raises:
        BadInput: One of the files is there already.
    """
    public = path.with_name(f"{path.name}.pub")
    for made in (path, public):
        if made.exists():
            raise BadInput(f"{made} is there already; a key is not overwritten")
    content, public_content, fingerprint = new_keys()
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    public.write_bytes(public_content)
    return public, fingerprint


def new_keys() -> tuple[bytes, bytes, str]:
    """Make a key pair: the private key and the public one in PEM form, and the public one's fingerprint."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem, spki = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, key.public_key().public_bytes(pem, spki), _fingerprint(key.public_key())


def signing_key_of(environment: Mapping[str, str]) -> SigningKey | None:
    """The private key that the environment names; None where it names none.

    Raises:
        InvalidSetting: It names a file that is not there, cannot be read, or holds no Ed25519 private key.
    """
    path = environment.get(KEY_SETTING)
    return read_signing_key(Path(path)) if path else None


def public_keys_of(environment: Mapping[str, str]) -> PublicKeys | None:
    """The public keys that the environment names; None where it names none.

    Raises:
        InvalidSetting: It names a file that is not there, cannot be read, or holds anything but Ed25519 public keys.
    """
    path = environment.get(PUBLIC_KEY_SETTING)
    return read_public_keys(Path(path)) if path else None


def read_signing_key(path: Path) -> SigningKey:
    """Read a private key.

    Raises:
        InvalidSetting: As `signing_key_of`.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _content(path, KEY_SETTING)
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as e:
        raise InvalidSetting(f"{KEY_SETTING}: {path} is encrypted; it must be a private key without password") from e
    except (ValueError, UnsupportedAlgorithm) as e:
        found = "a public key" if _PUBLIC.search(content) else "no private key"
        raise InvalidSetting(f"{KEY_SETTING}: {path} holds {found}; {_WANTED_PRIVATE}") from e
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidSetting(f"{KEY_SETTING}: {path} holds a key of another kind; {_WANTED_PRIVATE}")
    return SigningKey(key, _fingerprint(key.public_key()))


def read_public_keys(path: Path) -> PublicKeys:
    """Read a file of public keys.

    Raises:
        InvalidSetting: As `public_keys_of`.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _content(path, PUBLIC_KEY_SETTING)
    if b"PRIVATE KEY-----" in content:
        raise InvalidSetting(f"{PUBLIC_KEY_SETTING}: {path} holds a private key, which must not be here; {_WANTED}")
    keys: dict[str, Ed25519PublicKey] = {}
    for one in _PUBLIC.findall(content):
        try:
            key = load_pem_public_key(one)
        except (ValueError, UnsupportedAlgorithm) as e:
            raise InvalidSetting(f"{PUBLIC_KEY_SETTING}: {path} holds a key that cannot be read; {_WANTED}") from e
        if not isinstance(key, Ed25519PublicKey):
            raise InvalidSetting(f"{PUBLIC_KEY_SETTING}: {path} holds a key of another kind; {_WANTED}")
        keys[_fingerprint(key)] = key
    if not keys:
        raise InvalidSetting(f"{PUBLIC_KEY_SETTING}: {path} holds no public key; {_WANTED}")
    return PublicKeys(keys)


_WANTED_PRIVATE = "it must be an Ed25519 private key in PEM form, as `gauntlet blessing key FILE` makes it"
_WANTED = "it must hold Ed25519 public keys in PEM form, as `gauntlet blessing key FILE` writes one to FILE.pub"


def _content(path: Path, setting: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as e:
        raise InvalidSetting(f"{setting}: {path} cannot be read ({e.strerror})") from e
    if len(content) > _MOST_BYTES:
        raise InvalidSetting(f"{setting}: {path} has more than {_MOST_BYTES} bytes, which no key has")
    return content


def _fingerprint(key: Ed25519PublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
