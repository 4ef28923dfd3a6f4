"""Writing and verifying an artifact's folder: every byte is named in `MANIFEST.json`, and the folder appears whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from bentos.errors import ArtifactDamaged, BadInput, InvalidSetting, NotFound

MANIFEST = "MANIFEST.json"
BLESSING = "blessing.json"
FILES = ("contract.json", "estimator.skops", "model.onnx", "reference.json", "training.json")
"""What every artifact holds, beside the manifest; a PASS adds the blessing."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """sha256 of each file, in lower-case hexadecimal, by name."""

    schema_version: int
    files: dict[str, str]


def sha256(content: bytes) -> str:
    """A digest as it is written everywhere: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def write_files(folder: Path, files: Mapping[str, bytes]) -> str:
    """Write an artifact: everything beside the final place first, then one rename.

    Args:
        folder: Must not exist.
        files: The content of every name in `FILES`.

    Returns:
        The artifact digest.

    Raises:
        BadInput: A file is missing or unknown, or the folder exists.
    """
    if set(files) != set(FILES):
        raise BadInput(f"an artifact holds {', '.join(FILES)}; given were {', '.join(sorted(files))}")
    if folder.exists():
        raise BadInput(f"{folder} exists; an artifact is written once")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, content in files.items():
            (beside / name).write_bytes(content)
        content = _manifest_of({name: sha256(files[name]) for name in FILES})
        (beside / MANIFEST).write_bytes(content)
        beside.chmod(0o755)
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return sha256(content)


def write_beside(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def check_file(option: str, file: Path) -> None:
    """Whether `write_beside` can write a file, asked before what is to be kept there takes minutes. Nothing is made.

    Args:
        option: How whoever named the file did so, such as `--html`.
        file: The file; one that is there is left as it is.

    Raises:
        InvalidSetting: It cannot; the message names the option and says why not.
    """
    with suppress(OSError):  # what cannot even be looked at cannot be written either, which is told next
        if file.exists() and not file.is_file():
            found = "a folder" if file.is_dir() else "a device or a pipe"
            raise InvalidSetting(f"{option} is {file}, {found}; it must be a file")
    check_folder(option, file.parent, beside=file.name)


def check_folder(option: str, folder: Path, *, beside: str = "") -> None:
    """Whether files can be written into a folder, or the folder be made first; as `check_file`.

    Args:
        option: How whoever named the folder did so.
        folder: The folder.
        beside: Beside which file of it `write_beside` is to write.

    Raises:
        InvalidSetting: They cannot.
    """
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        if not there.is_dir():
            raise InvalidSetting(f"{option}: {folder} cannot be made: {there} is a file")
        # Tried and not asked: permissions say nothing of a full disk, a name that is too long, or root in /proc.
        handle, name = tempfile.mkstemp(prefix=f".{beside}-", dir=there)
    except OSError as e:
        raise InvalidSetting(f"{option}: nothing may be written to {folder / beside}: {e.strerror}") from e
    os.close(handle)
    Path(name).unlink()


def verify(folder: Path) -> str:
    """Check every byte of an artifact against its manifest.

    Returns:
        The artifact digest: that of `MANIFEST.json`.

    Raises:
        NotFound: There is no such folder, or no manifest in it.
        ArtifactDamaged: A file is missing, changed or unexpected; the message names it.
    """
    if not (folder / MANIFEST).is_file():
        raise NotFound(f"{folder} is no artifact: it has no {MANIFEST}")
    content = (folder / MANIFEST).read_bytes()
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise ArtifactDamaged(f"{folder / MANIFEST}: {e}") from e
    if set(manifest.files) != set(FILES):
        raise ArtifactDamaged(f"{folder / MANIFEST} must name {', '.join(FILES)}")
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactDamaged(f"{path} is missing, and {MANIFEST} names it")
        if sha256(path.read_bytes()) != expected:
            raise ArtifactDamaged(f"{path} differs from what {MANIFEST} says; fetch the artifact again")
    if content != _manifest_of(manifest.files):  # a changed blank would make the same files another artifact
        raise ArtifactDamaged(f"{folder / MANIFEST} is not as it was written; fetch the artifact again")
    extra = {path.name for path in folder.iterdir()} - {*FILES, MANIFEST, BLESSING}
    if extra:
        raise ArtifactDamaged(f"{folder / min(extra)} is not part of an artifact")
    return sha256(content)


def _manifest_of(digests: Mapping[str, str]) -> bytes:
    manifest = Manifest(schema_version=1, files={name: digests[name] for name in FILES})
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
