"""The one line that a Job leaves behind: Kubernetes shows it with the pod's end, in `kubectl get` and in events.

Where `GAUNTLET_TERMINATION_FILE` names a file (in a pod `/dev/termination-log`), what a command came to is
written there too: a verdict with its first reason, a model with its score, an error.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SETTING = "GAUNTLET_TERMINATION_FILE"
MOST_BYTES = 4096
"""What Kubernetes keeps of it."""


def leave(words: str) -> None:
    """Write the last words, in place of earlier ones; nothing where no file is named.

    What cannot be written is left: exit code and output say the same, and a verdict must not hang on it.
    """
    named = os.environ.get(SETTING)
    if named:
        content = words.strip().encode()
        if len(content) > MOST_BYTES:
            content = content[: MOST_BYTES - 4].decode(errors="ignore").encode() + " …".encode()
        with suppress(OSError):
            Path(named).write_bytes(content)
