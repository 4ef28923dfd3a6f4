"""What tells that a file was replaced, for those who look at one again and again."""

from __future__ import annotations

from pathlib import Path

Stamp = tuple[int, int, int]


def stamp_of(path: Path) -> Stamp | None:
    """What changes with a file's content: a ConfigMap's swap of links changes the inode behind the path.

    Returns:
        Nanoseconds of its last change, its size in bytes, its inode; None where it cannot be looked at.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
