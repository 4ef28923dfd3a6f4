from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bentos.artifact import (
    BLESSING,
    FILES,
    BlessedCheck,
    Blessing,
    add_blessing,
    blessing_id,
    canonical_blessing,
    check_blessing,
    dump_blessing,
    parse_blessing,
    read_blessing,
    sha256,
    verify,
    write_files,
)
from bentos.errors import ArtifactDamaged, NotBlessed

JUDGED = datetime(2026, 1, 31, 12, tzinfo=UTC)
EXPIRES = JUDGED + timedelta(days=30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(tmp_path / "artifact", {name: name.encode() for name in FILES})
    return tmp_path / "artifact"


def blessing(artifact: str = "sha256:a", **changes: Any) -> Blessing:
    made = Blessing(
        artifact=artifact,
        baseline=None,
        data="sha256:d",
        policy="sha256:p",
        code="0.1.0",
        n=1400,
        seed=0,
        verdict="PASS",
        checks=[BlessedCheck(name="accuracy", value=0.8, low=0.78, high=0.82, bound=0.75)],
        scope="split",
        judged_at=JUDGED,
        expires_at=EXPIRES,
    )
    return msgspec.structs.replace(made, **changes)


def test_a_blessing_is_added_to_the_artifact_it_names_and_read_again(folder: Path) -> None:
    given = blessing(verify(folder))
    add_blessing(folder, given)
    assert read_blessing(folder) == given
    assert verify(folder) == given.artifact


def test_a_blessing_for_another_artifact_is_not_added(folder: Path) -> None:
    with pytest.raises(NotBlessed, match="the blessing is for sha256:a"):
        add_blessing(folder, blessing())
    assert not (folder / BLESSING).exists()


def test_a_damaged_artifact_is_not_blessed(folder: Path) -> None:
    given = blessing(verify(folder))
    (folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(ArtifactDamaged, match=r"model\.onnx"):
        add_blessing(folder, given)


def test_no_blessing_is_told_with_what_to_do(folder: Path) -> None:
    with pytest.raises(NotBlessed, match="run `gauntlet gate` on it"):
        read_blessing(folder)


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"artifact": "\xff"}'])
def test_a_blessing_that_cannot_be_read_is_none(folder: Path, content: bytes) -> None:
    (folder / BLESSING).write_bytes(content)
    with pytest.raises(NotBlessed, match=r"blessing\.json"):
        read_blessing(folder)


@pytest.mark.parametrize(
    ("changes", "wanted", "told"),
    [
        ({}, {"artifact": "sha256:b"}, "is for sha256:a, not for sha256:b"),
        ({"verdict": "INCONCLUSIVE"}, {}, "verdict is INCONCLUSIVE, not PASS"),
        ({}, {"now": EXPIRES}, "expired on 2026-03-02; run the gate again"),
        ({"scope": "shadow"}, {}, "reaches to scope 'shadow' only, not to 'split'"),
    ],
)
def test_a_blessing_that_does_not_hold_is_told_why(changes: dict[str, Any], wanted: dict[str, Any], told: str) -> None:
    arguments = {"artifact": "sha256:a", "now": JUDGED, "scope": "split"} | wanted
    with pytest.raises(NotBlessed) as caught:
        check_blessing(blessing(**changes), **arguments)
    assert told in str(caught.value)


@pytest.mark.parametrize("scope", ["split", "shadow"])
def test_a_blessing_for_the_split_holds_for_both_until_it_expires(scope: str) -> None:
    check_blessing(blessing(), artifact="sha256:a", now=EXPIRES - timedelta(microseconds=1), scope=scope)


VERSION_1 = b"""{
  "artifact": "sha256:a",
  "baseline": null,
  "checks": [
    {
      "bound": 0.75,
      "high": 0.82,
      "low": 0.78,
      "name": "accuracy",
      "value": 0.8
    }
  ],
  "code": "0.1.0",
  "data": "sha256:d",
  "expires_at": "2026-03-02T12:00:00Z",
  "judged_at": "2026-01-31T12:00:00Z",
  "n": 1400,
  "policy": "sha256:p",
  "schema_version": 1,
  "scope": "split",
  "seed": 0,
  "verdict": "PASS"
}
"""
"""As `dump_blessing` wrote it before there were signatures."""


def test_a_record_of_version_1_is_read_and_keeps_its_bytes_and_its_id() -> None:
    read = parse_blessing(VERSION_1, "old")
    assert (read.schema_version, read.attempts, read.previous, read.key) == (1, None, None, None)
    assert dump_blessing(read) == VERSION_1
    assert blessing_id(read) == sha256(VERSION_1)
    check_blessing(read, artifact="sha256:a", now=JUDGED, scope="split")


def squeezed(content: bytes) -> bytes:
    """JSON without blanks between its tokens, as any language can make it: no number is read."""
    found, is_text, is_escaped = [], False, False
    for letter in content.decode():
        if is_text or not letter.isspace():
            found.append(letter)
        if is_escaped:
            is_escaped = False
        elif letter == "\\":
            is_escaped = True
        elif letter == '"':
            is_text = not is_text
    return "".join(found).encode()


def test_the_canonical_form_is_the_file_without_blanks_and_signature() -> None:
    checks = [
        BlessedCheck(name='gap["a b", \\ü]', value=1e-7, low=-0.1, high=1e22, bound=3.0),
        BlessedCheck(name="none", value=float("nan")),
    ]
    given = blessing(checks=checks, key="sha256:k", signature="c2ln", attempts=7, previous="sha256:" + "5" * 64)
    file = dump_blessing(given)
    assert canonical_blessing(given) == squeezed(file.replace(b'  "signature": "c2ln",\n', b""))
    assert blessing_id(given) == sha256(canonical_blessing(given))
    assert canonical_blessing(parse_blessing(file, "file")) == canonical_blessing(given)


def test_an_id_covers_the_key_and_everything_else_but_the_signature() -> None:
    given = blessing(key="sha256:k", signature="c2ln")
    assert blessing_id(given) == blessing_id(msgspec.structs.replace(given, signature="b3RoZXI="))
    others = {"key": "sha256:other", "attempts": 2, "awaits": ["x"], "holdout": "sha256:h", "previous": "sha256:x"}
    others |= {"artifact": "x", "baseline": "x", "data": "x", "policy": "x", "code": "x", "n": 1, "seed": 1}
    others |= {"verdict": "x", "checks": [], "scope": "shadow", "judged_at": EXPIRES, "expires_at": JUDGED}
    changed = [blessing_id(msgspec.structs.replace(given, **{name: value})) for name, value in others.items()]
    assert len({blessing_id(given), *changed}) == len(others) + 1
    assert {*others, "schema_version", "signature"} == set(Blessing.__struct_fields__)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b'"schema_version": 2', b'"schema_version": 3', "schema_version is 3; this version of Gauntlet reads 1 and 2"),
        (b'"scope": "split"', b'"scope": "all"', "scope"),
        (b'"seed": 0', b'"seed": 0, "signed": true', "unknown field `signed`"),
        (b'"awaits": []', b'"awaits": ["mcnemar"]', "only an INCONCLUSIVE verdict for the shadow leaves any open"),
        (b'"attempts": null', b'"attempts": 0', "attempts is 0; it must be at least 1"),
        (b'"2026-03-02T12:00:00Z"', b'"2026-01-01T12:00:00Z"', "expires_at is not after judged_at"),
        (b'"2026-03-02T12:00:00Z"', b'"2026-03-02T12:00:00"', "timezone"),
        (b'"previous": null', b'"previous": "sha256:../../x"', "it must be a blessing's id"),
        (b'"key": null', b'"key": "sha256:k"', "key and signature go together"),
        (b'"signature": null', b'"signature": "c2ln"', "key and signature go together"),
    ],
)
def test_a_record_that_contradicts_itself_is_no_blessing(folder: Path, old: bytes, new: bytes, told: str) -> None:
    content = dump_blessing(blessing())
    assert content.count(old) == 1
    (folder / BLESSING).write_bytes(content.replace(old, new))
    with pytest.raises(NotBlessed, match=r"blessing\.json") as caught:
        read_blessing(folder)
    assert told in str(caught.value)


def test_a_record_that_contradicts_itself_is_not_added(folder: Path) -> None:
    with pytest.raises(NotBlessed, match="attempts is 0"):
        add_blessing(folder, blessing(verify(folder), attempts=0))
    assert not (folder / BLESSING).exists()


def test_the_same_blessing_has_one_id_and_another_has_another() -> None:
    assert blessing_id(blessing()) == blessing_id(blessing()) != blessing_id(blessing(n=1401))
    assert dump_blessing(blessing()) == dump_blessing(blessing())


def test_a_key_that_is_written_twice_is_refused_as_readers_take_either():
    content = dump_blessing(blessing())
    doubled = content.rstrip()[:-1] + b', "verdict": "PASS"}'
    with pytest.raises(NotBlessed, match="the key 'verdict' is written twice"):
        parse_blessing(doubled, "blessing.json")
