"""Short turns of the processor, asked of the kernel itself by a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.promptness import SHORTEST_NS

_ASKS = """
import os
from service.promptness import take_short_turns
print(os.nice(3))
print(take_short_turns())
print(os.getpriority(os.PRIO_PROCESS, 0))
print(open("/proc/self/sched").read())
"""


@pytest.mark.skipif(not Path("/proc/self/sched").exists(), reason="this kernel does not say how long turns are")
def test_turns_are_as_short_as_may_be_and_nothing_else_is_changed() -> None:
    done = subprocess.run([sys.executable, "-c", _ASKS], capture_output=True, text=True, check=True)
    wanted, taken, nice, told = done.stdout.split("\n", 3)
    slices = [line.split(":")[1].strip() for line in told.splitlines() if line.startswith("se.slice")]
    assert nice == wanted
    assert taken == "True"
    assert slices in ([], [str(SHORTEST_NS)])


def test_where_the_kernel_refuses_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    from service.promptness import take_short_turns

    assert not take_short_turns()
