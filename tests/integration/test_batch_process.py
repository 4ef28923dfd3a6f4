"""A batch as Jobs run it: shards as processes, one of them killed in the middle, last words, exit codes, summary."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from serving_toys import CHECKOUT, make_bento
from test_score_file_process import customers

ROWS, BAD = 400_001, 333_333
"""In two shards of four chunks each; one row is bad."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    make_bento(folder / "bento", (0.1,), slope=0.01)
    tenure = [row % 73 if row != BAD else 99 for row in range(ROWS)]
    pq.write_table(customers(ROWS, tenure=pa.array(tenure)), folder / "in.parquet")
    return folder


def start(home, output, index, **environment):
    """One shard of two, as the component `batch` starts it."""
    arguments = [home / "in.parquet", output, "--shard", "$JOB_COMPLETION_INDEX/2", "--summary"]
    options = ["--bad-rows", f"{output}.bad-rows.jsonl", "--keep", "tenure,senior", "--folder", home]
    return subprocess.Popen(
        [sys.executable, "gauntlet.py", "score-file", *map(str, [*arguments, *options])],
        cwd=CHECKOUT,
        env={**os.environ, "JOB_COMPLETION_INDEX": str(index), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def summary(*arguments):
    command = [sys.executable, "gauntlet.py", "batch-summary", *map(str, arguments)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)


def test_a_shard_killed_in_the_middle_costs_no_row_and_doubles_none(home, tmp_path):
    output, chunk = tmp_path / "out.parquet", tmp_path / "out.parquet" / ".part-00000-of-00002.partial"
    first, second = start(home, output, 0), start(home, output, 1, GAUNTLET_TERMINATION_FILE=str(tmp_path / "said"))
    until = time.monotonic() + 60
    while not (chunk / "chunk-000000.arrow").exists() and first.poll() is None and time.monotonic() < until:
        time.sleep(0.0002)
    first.kill()
    assert ended(first)[0] == -signal.SIGKILL
    n_done = min(len(list(chunk.glob("chunk-*.arrow"))) * 65_536, 200_000)
    assert ended(second)[0] == 0
    assert (
        (tmp_path / "said")
        .read_text()
        .startswith(
            f"{output}/part-00001-of-00002.parquet: 200,000 rows scored by toy version 1 as shard 1/2, 1 set aside in "
        )
    )
    assert not (output / "_summary.json").exists()
    code, out, err = ended(start(home, output, 0, GAUNTLET_TERMINATION_FILE=str(tmp_path / "said")))
    assert (code, err) == (0, "")
    done, summed = (tmp_path / "said").read_text().splitlines()
    assert n_done
    assert f" as shard 0/2, {n_done:,} of its rows in an earlier run (" in done
    assert summed.startswith(
        f"{output} is complete: of 400,001 rows of {home / 'in.parquet'}, each there once, 400,000 "
    )
    assert "shard 0/2: rows 0 to 199,999, 200,000 scored, 0 set aside" in out
    found = json.loads((output / "_summary.json").read_text())
    assert [shard["runs"] for shard in found["shards"]] == [2, 1]
    table = pq.read_table(output)
    assert table["customerID"].to_pylist() == [row for row in range(ROWS) if row != BAD]
    assert table.column_names[:4] == ["customerID", "tenure", "senior", "probability"]


@pytest.fixture(scope="module")
def output(home):
    """Both shards, scored."""
    for index in range(2):
        assert ended(start(home, home / "out.parquet", index))[0] == 0
    return home / "out.parquet"


def test_the_summary_can_be_asked_for_again(home, output):
    aside = f"{output}.bad-rows.jsonl"
    before = (output / "_summary.json").read_bytes()
    said = summary(home / "in.parquet", output, "--bad-rows", aside)
    assert (said.returncode, said.stderr) == (0, "")
    assert "400,000 scored by toy version 1 (sha256:" in said.stdout
    assert (output / "_summary.json").read_bytes() == before
    assert summary(home / "in.parquet", output, "--bad-rows", aside, "--json").stdout.encode() == before


def test_a_part_that_is_missing_is_one_sentence_and_exit_code_2(home, output):
    hidden = output / ".part-00001"
    (output / "part-00001-of-00002.parquet").rename(hidden)
    said = summary(home / "in.parquet", output, "--bad-rows", f"{output}.bad-rows.jsonl")
    hidden.rename(output / "part-00001-of-00002.parquet")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == f"gauntlet: {output} lacks 1 of 2 parts; score the shards 1/2\n"


def test_the_last_shard_fails_with_what_the_summary_finds(home, output):
    intruder = output / "old.parquet"
    intruder.write_bytes(b"x")
    code, _, err = ended(start(home, output, 1))
    intruder.unlink()
    assert (code, err.count("\n")) == (2, 1)
    assert f"{intruder} is none of the 2 parts" in err


def test_a_shard_that_somebody_else_scores_is_exit_code_75(home, tmp_path):
    """As a pod does that is thought lost, and is not: its Job tries again."""
    output = tmp_path / "out.parquet"
    assert ended(start(home, output, 1))[0] == 0
    work = output / ".part-00000-of-00002.partial"
    work.mkdir()
    with (work / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = ended(start(home, output, 0))
    assert (code, err.count("\n")) == (75, 1)
    assert f"another process scores into {output}/part-00000-of-00002.parquet now" in err
    assert ended(start(home, output, 0))[0] == 0


def test_a_registry_that_is_away_is_exit_code_75(home, tmp_path):
    arguments = [home / "in.parquet", tmp_path / "out.parquet", "--model", "models:/toy/1", "--folder", home]
    done = subprocess.run(
        [sys.executable, "gauntlet.py", "score-file", *map(str, arguments)],
        cwd=CHECKOUT,
        env={**os.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.count("\n")) == (75, 1)
    assert "the tracking server http://127.0.0.1:9 does not answer" in done.stderr
