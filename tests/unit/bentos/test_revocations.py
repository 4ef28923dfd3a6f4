"""The list of revocations: added to, read again, and never taken for empty."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bentos.artifact import make_keys
from bentos.errors import BadInput, InvalidSetting
from bentos.folder import Folder
from bentos.revocations import Revocation, add_revocation, read_revocations, revocations_path, told_by_id, trust_of

AT = datetime(2026, 2, 1, 8, 30, tzinfo=UTC)


def revocation(blessing: str = "sha256:b", reason: str = "unfair to the old") -> Revocation:
    return Revocation(blessing=blessing, artifact="sha256:a", model="churn version 3", at=AT, who="ann", reason=reason)


def test_what_was_added_is_read_again_with_who_when_and_why(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "revocations.json"
    add_revocation(path, revocation())
    add_revocation(path, revocation("sha256:c"))
    assert read_revocations(path) == (revocation(), revocation("sha256:c"))
    told = "by ann on 2026-02-01 08:30 UTC: unfair to the old"
    assert told_by_id(read_revocations(path)) == {"sha256:b": told, "sha256:c": told}


def test_the_first_reason_stays(tmp_path: Path) -> None:
    path = tmp_path / "revocations.json"
    add_revocation(path, revocation())
    add_revocation(path, revocation(reason="another"))
    assert read_revocations(path) == (revocation(),)


def test_no_file_is_an_empty_list_unless_it_was_named(tmp_path: Path) -> None:
    assert read_revocations(tmp_path / "none") == ()
    with pytest.raises(BadInput, match=r"GAUNTLET_REVOCATIONS_FILE: there is no .*none; a list that is empty is") as e:
        read_revocations(tmp_path / "none", must_exist=True)
    empty = str(e.value).partition("a list that is empty is ")[2]
    (tmp_path / "none").write_text(empty)
    assert read_revocations(tmp_path / "none", must_exist=True) == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"revoked": [{"blessing": "sha256:b"}]}',
        b'{"revokd": []}',
        b'{"schema_version": 2, "revoked": []}',
        b"\xff",
    ],
)
def test_a_list_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "revocations.json"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"revocations\.json"):
        read_revocations(path)
    with pytest.raises(BadInput, match=r"revocations\.json"):
        add_revocation(path, revocation())
    assert path.read_bytes() == content
    with pytest.raises(BadInput, match=r"revocations\.json"):
        trust_of(Folder(tmp_path), {})


def test_trust_is_what_the_environment_and_the_folder_say(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert trust_of(folder, {}).keys is None
    assert trust_of(folder, {}).revoked == {}
    add_revocation(folder.revocations, revocation())
    make_keys(tmp_path / "key")
    trust = trust_of(folder, {"GAUNTLET_BLESSING_PUBLIC_KEY_FILE": str(tmp_path / "key.pub")})
    assert list(trust.revoked) == ["sha256:b"]
    assert trust.keys is not None
    elsewhere = {"GAUNTLET_REVOCATIONS_FILE": str(tmp_path / "elsewhere.json")}
    assert revocations_path(folder, elsewhere) == tmp_path / "elsewhere.json"
    with pytest.raises(BadInput, match=r"there is no .*elsewhere\.json"):
        trust_of(folder, elsewhere)
    with pytest.raises(InvalidSetting, match="GAUNTLET_BLESSING_PUBLIC_KEY_FILE"):
        trust_of(folder, {"GAUNTLET_BLESSING_PUBLIC_KEY_FILE": str(tmp_path / "key")})
