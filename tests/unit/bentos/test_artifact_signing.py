"""Keys: made, read, refused by name; a signature covers everything; who has no key carries no cryptography."""

from __future__ import annotations

import base64
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from test_artifact_blessing import EXPIRES, blessing

from bentos.artifact import (
    Blessing,
    PublicKeys,
    SigningKey,
    canonical_blessing,
    dump_blessing,
    make_keys,
    parse_blessing,
    public_keys_of,
    sha256,
    signing_key_of,
)
from bentos.artifact.signing import read_public_keys, read_signing_key
from bentos.errors import BadInput, InvalidSetting

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    make_keys(tmp_path / "key.pem")
    return read_signing_key(tmp_path / "key.pem")


@pytest.fixture
def keys(key: SigningKey, tmp_path: Path) -> PublicKeys:
    return read_public_keys(tmp_path / "key.pem.pub")


def test_a_signed_blessing_is_known_again_after_it_was_written_and_read(key: SigningKey, keys: PublicKeys) -> None:
    signed = parse_blessing(dump_blessing(key.sign(blessing(attempts=3))), "file")
    assert signed.key == key.fingerprint
    assert keys.is_signed(signed)


def test_signing_again_gives_the_same_signature(key: SigningKey) -> None:
    signed = key.sign(blessing())
    assert key.sign(signed) == signed


OTHER = {
    "artifact": "sha256:x",
    "baseline": "sha256:x",
    "data": "sha256:x",
    "holdout": "sha256:x",
    "policy": "sha256:x",
    "code": "0.2.0",
    "n": 1401,
    "seed": 1,
    "verdict": "INCONCLUSIVE",
    "checks": [],
    "scope": "shadow",
    "awaits": ["mcnemar"],
    "attempts": 1,
    "previous": "sha256:x",
    "judged_at": EXPIRES,
    "expires_at": EXPIRES.replace(year=2030),
    "key": "sha256:x",
    "schema_version": 3,
}


@pytest.mark.parametrize("field", [name for name in Blessing.__struct_fields__ if name != "signature"])
def test_a_signature_covers_every_field(key: SigningKey, keys: PublicKeys, field: str) -> None:
    assert not keys.is_signed(msgspec.structs.replace(key.sign(blessing()), **{field: OTHER[field]}))


@pytest.mark.parametrize("signature", [None, "", "no base64!", "c2ln", base64.b64encode(bytes(64)).decode()])
def test_what_is_no_signature_is_none(key: SigningKey, keys: PublicKeys, signature: str | None) -> None:
    assert not keys.is_signed(msgspec.structs.replace(key.sign(blessing()), signature=signature))


def test_another_keys_signature_under_this_keys_name_does_not_count(
    key: SigningKey, keys: PublicKeys, tmp_path: Path
) -> None:
    make_keys(tmp_path / "other.pem")
    forged = read_signing_key(tmp_path / "other.pem").sign(blessing())
    assert not keys.knows(forged.key)
    assert not keys.is_signed(forged)
    assert not keys.is_signed(msgspec.structs.replace(forged, key=key.fingerprint))


def test_one_file_may_hold_the_old_key_and_the_new(key: SigningKey, tmp_path: Path) -> None:
    make_keys(tmp_path / "new.pem")
    both = tmp_path / "both.pub"
    both.write_bytes((tmp_path / "key.pem.pub").read_bytes() + b"\n" + (tmp_path / "new.pem.pub").read_bytes())
    keys = read_public_keys(both)
    assert len(keys.fingerprints) == 2
    assert keys.is_signed(key.sign(blessing()))
    assert keys.is_signed(read_signing_key(tmp_path / "new.pem").sign(blessing()))


def test_the_fingerprint_is_the_digest_of_the_public_key_in_der_form(tmp_path: Path) -> None:
    public, fingerprint = make_keys(tmp_path / "key.pem")
    body = "".join(public.read_text().splitlines()[1:-1])
    assert fingerprint == sha256(base64.b64decode(body))


def test_a_private_key_is_its_owners_alone_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key.pem"
    make_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(BadInput, match=r"key\.pem is there already"):
        make_keys(path)
    path.rename(tmp_path / "away")
    with pytest.raises(BadInput, match=r"key\.pem\.pub is there already"):
        make_keys(path)
    assert (tmp_path / "away").read_bytes() == before


def test_a_private_key_is_not_in_what_is_printed(key: SigningKey, tmp_path: Path) -> None:
    secret = "".join((tmp_path / "key.pem").read_text().splitlines()[1:-1])
    assert key.fingerprint in repr(key)
    assert secret not in repr(key)
    assert "Ed25519" not in repr(key)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_a_signature_without_us(key: SigningKey, tmp_path: Path) -> None:
    signed = key.sign(blessing())
    (tmp_path / "canonical").write_bytes(canonical_blessing(signed))
    (tmp_path / "signature").write_bytes(base64.b64decode(signed.signature or ""))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem.pub", "-rawin", "-in", "canonical"]
    done = subprocess.run([*command, "-sigfile", "signature"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_key_that_openssl_made_signs(tmp_path: Path) -> None:
    for command in (
        ["genpkey", "-algorithm", "ed25519", "-out", "key.pem"],
        ["pkey", "-in", "key.pem", "-pubout", "-out", "key.pub"],
    ):
        subprocess.run(["openssl", *command], cwd=tmp_path, check=True, capture_output=True)
    signed = read_signing_key(tmp_path / "key.pem").sign(blessing())
    assert read_public_keys(tmp_path / "key.pub").is_signed(signed)


def other_kind() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def other_public() -> bytes:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def encrypted() -> bytes:
    private = ed25519.Ed25519PrivateKey.generate()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


def private() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no private key"),
        (public(), "holds a public key"),
        (other_kind(), "a key of another kind"),
        (encrypted(), "is encrypted"),
        (b"x" * 100_000, "more than 65536 bytes"),
    ],
    ids=["empty", "nonsense", "public", "another kind", "encrypted", "large"],
)
def test_a_file_that_holds_no_private_key_is_refused_by_setting(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(InvalidSetting, match=r"GAUNTLET_BLESSING_KEY_FILE: .*key ") as caught:
        signing_key_of({"GAUNTLET_BLESSING_KEY_FILE": str(tmp_path / "key")})
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "a key that cannot be read"),
        (private(), "holds a private key, which must not be here"),
        (public() + private(), "holds a private key, which must not be here"),
        (other_public(), "a key of another kind"),
        (public() + other_public(), "a key of another kind"),
    ],
    ids=["empty", "nonsense", "private", "private too", "another kind", "one of another kind"],
)
def test_a_file_that_holds_no_public_keys_is_refused_by_setting(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(InvalidSetting, match=r"GAUNTLET_BLESSING_PUBLIC_KEY_FILE: .*key ") as caught:
        public_keys_of({"GAUNTLET_BLESSING_PUBLIC_KEY_FILE": str(tmp_path / "key")})
    assert told in str(caught.value)


def test_a_named_file_that_is_not_there_is_refused_and_no_name_is_no_key(tmp_path: Path) -> None:
    for read, name in ((signing_key_of, "KEY_FILE"), (public_keys_of, "PUBLIC_KEY_FILE")):
        with pytest.raises(InvalidSetting, match=rf"GAUNTLET_BLESSING_{name}: .*away cannot be read \(No such file"):
            read({f"GAUNTLET_BLESSING_{name}": str(tmp_path / "away")})
        assert read({}) is None
        assert read({f"GAUNTLET_BLESSING_{name}": ""}) is None


def test_a_process_without_a_key_carries_no_cryptography() -> None:
    code = (
        "import sys, service.application, bentos.revocations, bentos.blessings\n"
        "from bentos.artifact import public_keys_of, signing_key_of\n"
        "assert public_keys_of({}) is signing_key_of({}) is None\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'cryptography'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
