"""A child of `gauntlet serve`: runs a module as `python -m` does, and ends when its parent does.

The parent holds the other end of this process's stdin. However the parent ends, kill -9 included, that end closes, and
this process tells itself to stop as it would be told to.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from collections.abc import Sequence


def follow_parent() -> None:
    """Send this process SIGTERM when its stdin ends."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="follow-parent", daemon=True).start()


def main(arguments: Sequence[str]) -> None:
    """Run the module that is named first, with the rest as its arguments."""
    follow_parent()
    module, *rest = arguments
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
