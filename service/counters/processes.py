"""What the kernel says of each worker's process, under the names that every Prometheus client uses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from service.counters.text import head, start_of

_FAMILIES = (
    ("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds, by worker."),
    ("process_resident_memory_bytes", "gauge", "Resident memory size in bytes, by worker."),
    ("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds, by worker."),
    ("process_open_fds", "gauge", "Number of open file descriptors, by worker."),
)
FAMILIES = len(_FAMILIES)
"""So many lines a worker."""


@dataclass(frozen=True)
class Usage:
    """What one process uses.

    Attributes:
        cpu_seconds: User and system time.
        resident_bytes: Memory.
        start_seconds: When it began, since 1970 UTC.
        open_files: File descriptors.
    """

    cpu_seconds: float
    resident_bytes: float
    start_seconds: float
    open_files: float


def process_lines(workers: Iterable[tuple[str, int]], proc: Path = Path("/proc")) -> Iterator[str]:
    """The lines for the workers' processes; nothing where there is no /proc.

    Args:
        workers: Name and process id of each.
        proc: Where the kernel tells.
    """
    found = [(name, usage) for name, pid in workers if (usage := read_usage(pid, proc)) is not None]
    for place, (metric, kind, explanation) in enumerate(_FAMILIES):
        if found:
            yield head(metric, kind, explanation)
        for name, usage in found:
            values = (usage.cpu_seconds, usage.resident_bytes, usage.start_seconds, usage.open_files)
            yield f"{start_of(metric, {'worker': name})}{values[place]!r}"


def read_usage(pid: int, proc: Path = Path("/proc")) -> Usage | None:
    """What a process uses; None where it is gone or the kernel does not tell."""
    try:
        # The name in parentheses may hold anything; the fields behind it are counted from the third of proc(5).
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        boot = next(line for line in (proc / "stat").read_text().splitlines() if line.startswith("btime "))
        open_files = len(os.listdir(proc / str(pid) / "fd"))  # noqa: PTH208  # names alone, no path each
    except (OSError, StopIteration):
        return None
    ticks = float(os.sysconf("SC_CLK_TCK"))
    return Usage(
        cpu_seconds=(int(fields[11]) + int(fields[12])) / ticks,
        resident_bytes=float(int(fields[21]) * os.sysconf("SC_PAGE_SIZE")),
        start_seconds=int(boot.split()[1]) + int(fields[19]) / ticks,
        open_files=float(open_files),
    )
