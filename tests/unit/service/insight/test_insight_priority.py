"""How insight stands back, read from the kernel; in processes of their own, as nobody gets a priority back."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
from serving_toys import CHECKOUT

from service.insight.priority import stand_back

TELL = """
import ctypes, os, struct
from service.insight import priority
{act}
found = ctypes.create_string_buffer(48)
ctypes.CDLL(None).syscall(315 if os.uname().machine == "x86_64" else 275, 0, found, 48, 0)
print(os.sched_getscheduler(0) == os.SCHED_BATCH, os.nice(0), struct.unpack("=IIQiIQQQ", found)[5])
"""
KERNEL = tuple(int(part) for part in platform.release().split(".")[:2])


def told(act):
    done = subprocess.run(
        [sys.executable, "-c", TELL.format(act=act)], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    is_batch, nice, slice_ns = done.stdout.split()
    return is_batch == "True", int(nice), int(slice_ns)


@pytest.mark.skipif(
    KERNEL < (6, 12) or platform.machine() not in ("x86_64", "aarch64"), reason="no slices of one's own"
)
def test_who_gives_way_keeps_its_niceness_and_has_long_slices():
    assert told("priority.give_way()") == (True, os.nice(0), 100_000_000)


def test_on_an_unknown_machine_it_is_a_batch_process_at_least():
    is_batch, nice, slice_ns = told("priority.platform.machine = lambda: 'pdp11'; priority.give_way()")
    assert (is_batch, nice) == (True, os.nice(0))
    assert slice_ns < 100_000_000


def test_a_worker_that_died_meanwhile_is_no_error():
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
        before = os.getpriority(os.PRIO_PROCESS, 0)
        stand_back(gone.pid, 19)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
