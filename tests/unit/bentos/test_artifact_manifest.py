from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.artifact import (
    FILES,
    MANIFEST,
    check_file,
    check_folder,
    load_artifact,
    sha256,
    verify,
    write_beside,
    write_files,
)
from bentos.errors import ArtifactDamaged, BadInput, InvalidSetting, NotFound

CONTENTS = {name: f"the content of {name}".encode() for name in FILES}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(tmp_path / "artifact", CONTENTS)
    return tmp_path / "artifact"


def test_an_artifact_verifies_to_the_digest_it_was_written_with(tmp_path: Path) -> None:
    digest = write_files(tmp_path / "artifact", CONTENTS)
    assert verify(tmp_path / "artifact") == digest == sha256((tmp_path / "artifact" / MANIFEST).read_bytes())


def test_the_same_files_give_the_same_digest_and_others_another(tmp_path: Path) -> None:
    one, same = (write_files(tmp_path / name, CONTENTS) for name in ("one", "same"))
    other = write_files(tmp_path / "other", {**CONTENTS, "model.onnx": b"x"})
    assert one == same != other


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_anywhere_is_refused_with_the_file_s_name(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("flip") / "artifact"
    write_files(folder, CONTENTS)
    content = CONTENTS[name]

    @given(st.integers(0, len(content) - 1), st.integers(1, 255))
    def check(position: int, mask: int) -> None:
        flipped = bytearray(content)
        flipped[position] ^= mask
        (folder / name).write_bytes(flipped)
        with pytest.raises(ArtifactDamaged, match=name.replace(".", r"\.")):
            load_artifact(folder)

    check()
    (folder / name).write_bytes(content)
    verify(folder)


def test_a_flipped_byte_in_the_manifest_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("flip") / "artifact"
    write_files(folder, CONTENTS)
    content = (folder / MANIFEST).read_bytes()

    @given(st.integers(0, len(content) - 1), st.integers(1, 255))
    def check(position: int, mask: int) -> None:
        flipped = bytearray(content)
        flipped[position] ^= mask
        (folder / MANIFEST).write_bytes(flipped)
        with pytest.raises(ArtifactDamaged, match=r"MANIFEST\.json"):
            verify(folder)

    check()


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_truncated_file_is_refused(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactDamaged, match=name.replace(".", r"\.")):
        verify(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_with_its_name(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ArtifactDamaged, match=f"{name} is missing"):
        verify(folder)


def test_a_file_that_does_not_belong_is_refused_with_its_name(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(b"")
    with pytest.raises(ArtifactDamaged, match=r"model\.pkl is not part of an artifact"):
        verify(folder)


def test_a_blessing_beside_the_files_changes_no_digest(folder: Path) -> None:
    before = verify(folder)
    write_beside(folder / "blessing.json", b"{}")
    assert verify(folder) == before


def test_a_folder_that_is_no_artifact_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=MANIFEST):
        verify(tmp_path)


def test_an_artifact_is_written_once(folder: Path) -> None:
    with pytest.raises(BadInput, match="written once"):
        write_files(folder, CONTENTS)


@pytest.mark.parametrize("files", [{}, {**CONTENTS, "notes.txt": b""}, dict.fromkeys(FILES[1:], b"")])
def test_files_that_are_not_those_of_an_artifact_are_refused_and_nothing_is_left(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    with pytest.raises(BadInput, match="an artifact holds"):
        write_files(tmp_path / "artifact", files)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    write_beside(tmp_path / "file", b"old")
    with pytest.raises(TypeError):
        write_beside(tmp_path / "file", "text, not bytes")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "new", "folder/new"):
        check_file("--html", tmp_path / name)
    check_folder("--release", tmp_path / "release")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("{tmp}", "--html is {tmp}, a folder; it must be a file"),
        ("/dev/null", "--html is /dev/null, a device or a pipe; it must be a file"),
        ("{tmp}/file/page", "--html: {tmp}/file cannot be made: {tmp}/file is a file"),
        ("{tmp}/" + "x" * 300, "File name too long"),
        ("/proc/page", "--html: nothing may be written to /proc/page: "),
    ],
)
def test_a_place_that_cannot_be_written_is_told_with_its_option(tmp_path: Path, place: str, told: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidSetting) as caught:
        check_file("--html", Path(place.format(tmp=tmp_path)))
    assert told.format(tmp=tmp_path) in str(caught.value)
