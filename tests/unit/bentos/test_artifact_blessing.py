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
    check_blessing,
    dump_blessing,
    read_blessing,
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


def test_the_same_blessing_has_one_id_and_another_has_another() -> None:
    assert blessing_id(blessing()) == blessing_id(blessing()) != blessing_id(blessing(n=1401))
    assert dump_blessing(blessing()) == dump_blessing(blessing())
