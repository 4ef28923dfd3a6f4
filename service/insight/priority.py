"""How insight stands back behind whatever else a machine does: an explanation can wait, a score cannot.

Niceness says who gets how much of a processor, and not how soon: whoever wakes up may still have to wait until the one
that runs has used up its slice of time, some milliseconds. Since Linux 6.12 a process says itself how long its slices
are (`sched_setattr`, `sched_runtime`), and gives way at once to those whose slices are shorter. Earlier kernels take no
notice.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import platform
import struct
from pathlib import Path

logger = logging.getLogger("gauntlet.insight")

SLICE_SECONDS = 0.1
"""The longest that Linux allows; usual ones have 1 to 3 ms."""

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274, "s390x": 345, "ppc64le": 355}
"""The system call's number; Python has no name for it, nor has glibc before 2.41."""

_ATTR = struct.Struct("=IIQiIQQQ")
"""`struct sched_attr` in its first version: size, policy, flags, nice, priority, runtime, deadline, period."""


def give_way(pid: int = 0) -> None:
    """Let a process interrupt nobody when it wakes up, and be interrupted at once.

    Args:
        pid: The process; 0 is this one's calling thread.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    nice = os.getpriority(os.PRIO_PROCESS, pid)
    attr = _ATTR.pack(_ATTR.size, os.SCHED_BATCH, 0, nice, 0, int(SLICE_SECONDS * 1e9), 0, 0)
    if number is None or ctypes.CDLL(None, use_errno=True).syscall(number, pid, attr, 0) != 0:
        reason = "unknown machine" if number is None else os.strerror(ctypes.get_errno())
        logger.info("slice_not_set", extra={"pid": pid, "reason": reason})
        os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))


def stand_back(pid: int, niceness: int) -> None:
    """Give a process a lower priority than this one has, and let it give way.

    Where Linux shares processors between sessions first (autogroup, as on most machines outside of containers),
    niceness counts within a session only; where the process's session is its own, the session stands back as well.

    Args:
        pid: The process, which leads a session.
        niceness: By how much, as `nice` counts; with 0 it counts as much as this one, and gives no way.
    """
    wanted = min(os.getpriority(os.PRIO_PROCESS, 0) + niceness, 19)
    with contextlib.suppress(ProcessLookupError):  # it died already, which its first word will tell
        os.setpriority(os.PRIO_PROCESS, pid, wanted)
        if niceness:
            give_way(pid)
    with contextlib.suppress(OSError):  # this kernel has none, or it died
        Path(f"/proc/{pid}/autogroup").write_text(str(wanted))
