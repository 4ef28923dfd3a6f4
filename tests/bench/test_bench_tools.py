"""The benches' own tools: what they end, what they count, and what they leave out. Nothing here measures."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import processes
from tests.bench.installation import BODY_END
from tests.bench.machine import CannotMeasure, Facts
from tests.bench.measuring import Measured, Skipped
from tests.bench.memory import Grown, Point
from tests.bench.openloop import flood
from tests.bench.readme import README, replace_result
from tests.bench.report import Bench, ratios, render
from tests.bench.wrk import Load

FACTS = Facts("now", "cpu", 2, 8.0, "Linux", "3.11", {}, "4.1", "abc", 0.0)
FINE = Load(32, 10.0, 10_000, 1.0, 2.0, 4.0, 9.0, 0, 0)
CORE = min(os.sched_getaffinity(0))


def measured(
    server: str, per_second: float, *, p99_ms: float = 4.0, bad: int = 0, logged: int | None = None
) -> Measured:
    crowded = replace(FINE, requests=int(per_second * 10), p99_ms=p99_ms, bad=bad)
    return Measured(server, server, "", FINE, crowded, 100.0, 1.0, 0.0, logged, 20)


def bench(*found: Measured, skipped: tuple[Skipped, ...] = ()) -> Bench:
    return Bench(FACTS, "somewhere", 10.0, found, skipped)


def test_each_run_of_gauntlet_stands_beside_the_floors_before_and_after_it():
    run = bench(
        measured("floor", 1000), measured("gauntlet", 800), measured("floor", 600), measured("gauntlet", 450),
        measured("floor", 300), measured("mlflow", 8),
    )  # fmt: skip
    share, _, _, mlflow = ratios(run)
    assert share.each == (1.0, 1.0)
    assert share.is_reached
    assert mlflow.each == (100.0, 56.25)
    assert (mlflow.value, mlflow.is_reached) == (78.125, False)


def test_a_bound_from_above_is_not_reached_by_more():
    run = bench(measured("floor", 1000, p99_ms=4.0), measured("gauntlet", 900, p99_ms=9.0))
    assert [(ratio.what, ratio.is_reached) for ratio in ratios(run)][1] == ("p99 at c=32, gauntlet / floor", False)


def test_what_failed_is_shown_and_enters_no_ratio():
    run = bench(measured("floor", 1000), measured("gauntlet", 5000, bad=3), measured("gauntlet", 5000, logged=7))
    assert ratios(run) == []
    text = render(run)
    assert "3 answers of 4xx or 5xx" in text
    assert "20 requests were answered and 7 logged" in text


def test_what_was_skipped_is_named_with_its_reason():
    assert "**mlserver** was not measured: no index" in render(
        bench(skipped=(Skipped("mlserver", "MLServer", "no index"),))
    )


def test_memory_that_grows_is_not_called_flat_and_of_few_requests_nothing_is_said():
    points = [Point(100_000 * i, 100.0 + (0 if i < 2 else i), 1.0) for i in range(11)]
    assert Grown((1.0,), 90.0, tuple(points), 0).growth_mb == pytest.approx(10.0)
    assert Grown((1.0,), 90.0, tuple(points), 0).is_flat is False
    assert Grown((1.0,), 90.0, tuple(points[:2]), 0).is_flat is None
    assert Grown((1.0,), 90.0, tuple(replace(point, rss_mb=100.0) for point in points), 0).is_flat


def test_a_result_takes_the_place_of_the_last_and_nothing_takes_the_place_of_none():
    text = replace_result(README.read_text(), "serving", "12 req/s\n")
    assert text.count("12 req/s") == 1
    assert replace_result(text, "serving", "Not measured yet.") == replace_result(
        README.read_text(), "serving", "Not measured yet."
    )
    with pytest.raises(ValueError, match="printed nothing"):
        replace_result(text, "serving", "\n")
    with pytest.raises(ValueError, match="no place"):
        replace_result(text, "unheard-of", "1")


def wait_for_end(pid):
    until = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < until, "it never ended"
        time.sleep(0.02)


def is_alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


LEAVING = """
import http.server, os, subprocess, sys, threading
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"],
                         start_new_session=True)
open(sys.argv[2], "w").write(str(child.pid))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""  # noqa: E501


def test_a_child_that_left_its_group_and_ignores_sigterm_is_ended_too(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.5)
    port, noted = processes.free_port(), tmp_path / "pid"
    command = [sys.executable, "-c", LEAVING, str(port), str(noted)]
    with processes.serving(command, port=port, ready="/", log=tmp_path / "log", core=CORE) as running:
        child = int(noted.read_text())
        assert child in running.pids()
        assert running.memory_mb() > 1
    wait_for_end(child)
    assert running.pids() == []


def test_a_server_that_ends_at_once_says_why(tmp_path):
    command = [sys.executable, "-c", "import sys; sys.exit('no such model')"]
    with (
        pytest.raises(CannotMeasure, match=r"exit code 1(?s:.)*no such model"),
        processes.serving(command, port=processes.free_port(), ready="/", log=tmp_path / "log", core=CORE),
    ):
        pass


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)], ids=["told", "killed"])
def test_a_bench_that_ends_ends_its_server(tmp_path, number, code):
    program = (
        "import sys, time; from pathlib import Path; from tests.bench.processes import *\n"
        "end_by_signals(); port = free_port()\n"
        "with serving([sys.executable, '-m', 'http.server', '-b', '127.0.0.1', str(port)], port=port, ready='/',"
        f" log=Path({str(tmp_path / 'log')!r}), core={CORE}) as running:\n"
        "    print(running.pid, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = int(process.stdout.readline())
        process.send_signal(number)
        assert process.wait(30) == code
    wait_for_end(server)


async def _answering(statuses: list[int]) -> tuple[asyncio.Server, int]:
    """A server that answers the statuses in turn, each answer in two pieces."""
    told = iter(statuses * 1000)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).lower():
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 4\r\n\r\nab" % next(told))
            await writer.drain()
            await asyncio.sleep(0.001)
            writer.write(b"cd")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def test_the_open_loop_counts_every_request_that_was_due_once(tmp_path):
    bodies = tmp_path / "bodies"
    bodies.write_bytes(b'{"a":1}' + BODY_END + b'{"b":\n2}' + BODY_END)

    async def run():
        server, port = await _answering([200, 429, 200, 200])
        async with server:
            url = f"http://127.0.0.1:{port}/x"
            return await asyncio.to_thread(flood, url, bodies, rate=200, seconds=1, connections=4, core=CORE)

    found = asyncio.run(run())
    assert found.due == found.accepted + found.refused + found.unsent + found.unanswered
    assert found.unanswered == 0
    assert found.accepted > found.refused > 0
    assert set(found.statuses) == {"200", "429"}
    assert 0 < found.p50_ms <= found.p99_ms <= found.highest_ms
