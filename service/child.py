"""A child of `gauntlet serve`: runs a module as `python -m` does, and ends when its parent does.

The parent holds the other end of this process's stdin. However the parent ends, kill -9 included, that end closes, and
this process tells itself to stop as it would be told to. Its output goes to the end of a log, which it rotates itself:
the full file gets another name while it is still open, and then the output is turned to a new one, so that no line is
lost between the two.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

LOG_BYTES = 20 * 1024 * 1024
"""From which size on a log is put aside."""

LOG_FILES = 3
"""How many files a log has at most: NAME.log, which is written, then NAME.log.1 and NAME.log.2."""

LOOK_SECONDS = 1.0
"""How often the log's size is looked at; a log can grow past its bound by what is written meanwhile."""


def follow_parent() -> None:
    """Send this process SIGTERM when its stdin ends."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="follow-parent", daemon=True).start()


def follow_log(
    path: Path, *, most_bytes: int = LOG_BYTES, look_seconds: float = LOOK_SECONDS, files: int = LOG_FILES
) -> None:
    """Rotate the log of this process whenever it is full.

    Args:
        path: Where stdout and stderr go.
        most_bytes: From which size on it is put aside.
        look_seconds: How often the size is looked at.
        files: How many files there may be.
    """
    never = threading.Event()

    def watch() -> None:
        while not never.wait(look_seconds):
            try:
                rotate(path, most_bytes=most_bytes, files=files)
            except OSError:  # a full disk may be emptied; until then everything goes to the file that is there
                continue

    threading.Thread(target=watch, name="follow-log", daemon=True).start()


def rotate(path: Path, *, most_bytes: int, outputs: Sequence[int] = (1, 2), files: int = LOG_FILES) -> bool:
    """Put a full log aside and begin a new one.

    Args:
        path: The log.
        most_bytes: From which size on it is full.
        outputs: File descriptors that are turned to the new log.
        files: How many files there may be; the oldest is forgotten.

    Returns:
        Whether it was full.

    Raises:
        OSError: The disk is full, or the log's folder is gone.
    """
    if os.fstat(outputs[0]).st_size < most_bytes:
        return False
    for number in range(files - 1, 0, -1):
        older = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number}"))
    new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        for output in outputs:
            os.dup2(new, output)
    finally:
        os.close(new)
    return True


def main(arguments: Sequence[str]) -> None:
    """Run a module with arguments: `[--log FILE] MODULE ARGUMENT…`."""
    follow_parent()
    match arguments:
        case ["--log", log, module, *rest]:
            follow_log(Path(log))
        case [module, *rest]:
            pass
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
