"""Logs of children: bounded, and no line is lost while the child writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.child import rotate


@pytest.fixture
def output(tmp_path):
    log = tmp_path / "scoring.log"
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    yield log, file
    os.close(file)


def test_a_log_that_is_not_full_stays(output):
    log, file = output
    os.write(file, b"x" * 99)
    assert not rotate(log, most_bytes=100, outputs=[file])
    assert log.read_bytes() == b"x" * 99


def test_full_logs_are_put_aside_and_the_oldest_is_forgotten(output):
    log, file = output
    for letter in b"abcde":
        os.write(file, bytes([letter]) * 100)
        assert rotate(log, most_bytes=100, outputs=[file])
    os.write(file, b"f")
    kept = {path.name: path.read_bytes()[:1] for path in log.parent.iterdir()}
    assert kept == {"scoring.log": b"f", "scoring.log.1": b"e", "scoring.log.2": b"d"}


WRITING = """
import json, sys, threading
from itertools import count
from pathlib import Path
from service import child
log, written = Path(sys.argv[1]), {}
child.follow_log(log, most_bytes=100_000, look_seconds=0.001, files=1000)
def write(name, file):
    for i in count():
        file.write(f"{name} {i} " + "x" * 40 + "\\n")
        file.flush()
        if i % 1000 == 999 and log.with_name("child.log.3").exists():
            break
    written[name] = i + 1
threads = [threading.Thread(target=write, args=one) for one in (("out", sys.stdout), ("err", sys.stderr))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
Path(sys.argv[2]).write_text(json.dumps(written))
"""


def test_no_line_is_lost_while_two_threads_write_and_the_log_is_rotated(tmp_path):
    log, told = tmp_path / "logs" / "child.log", tmp_path / "written.json"
    log.parent.mkdir()
    with log.open("ab") as file:
        command = [sys.executable, "-c", WRITING, str(log), str(told)]
        subprocess.run(command, cwd=Path(__file__).resolve().parents[3], stdout=file, stderr=file, check=True)
    lines = [line.split(" x")[0] for path in log.parent.iterdir() for line in path.read_text().splitlines()]
    written = json.loads(told.read_text())
    assert sorted(lines) == sorted(f"{name} {i}" for name, n in written.items() for i in range(n))
