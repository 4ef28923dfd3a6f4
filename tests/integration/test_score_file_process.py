"""`gauntlet score-file` as people and Jobs start it: exit codes, one sentence, and kill -9 in the middle."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packing_toys import ToyRegistry
from serving_toys import CHECKOUT, make_bento

ROWS = 400_000


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    make_bento(folder / "bento", (0.1, 0.7), slope=0.01)
    return folder


def customers(n_rows, **columns):
    row = np.arange(n_rows)
    plan = pa.DictionaryArray.from_arrays(pa.array(row % 3), pa.array(["Month-to-month", "One year", "Two year"]))
    plain = {"customerID": pa.array(row), "tenure": row % 73, "charges": row % 900 + 0.5, "contract": plan}
    return pa.table({**plain, "senior": row % 2, **columns})


@pytest.fixture(scope="module")
def source(home):
    pq.write_table(customers(ROWS), home / "in.parquet")
    return home / "in.parquet"


def command(home, *arguments):
    return [sys.executable, "-m", "gauntlet", "score-file", *map(str, arguments), "--folder", str(home)]


def run(home, *arguments, **environment):
    done = subprocess.run(
        command(home, *arguments), cwd=CHECKOUT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def whole(home, source):
    assert run(home, source, home / "whole.parquet").returncode == 0
    return (home / "whole.parquet").read_bytes()


@pytest.mark.parametrize("moment", ["plan.json", "chunk-000000.arrow", "chunk-000002.new", "chunk-000003.arrow"])
def test_a_run_that_is_killed_goes_on_where_it_was_and_gives_the_same_bytes(home, source, whole, tmp_path, moment):
    output, work = tmp_path / "out.parquet", tmp_path / ".out.parquet.partial"
    process = subprocess.Popen(command(home, source, output), cwd=CHECKOUT, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    named = (work / moment).with_suffix(".arrow")  # what is unfinished is there for an instant, which may be missed
    while not ((work / moment).exists() or named.exists()) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.0002)
    process.kill()
    assert process.communicate(timeout=30)[1] == b""
    assert process.returncode == -signal.SIGKILL
    assert not output.exists()
    n_done = len(list(work.glob("chunk-*.arrow")))
    assert n_done >= {"plan.json": 0, "chunk-000000.arrow": 1, "chunk-000002.new": 2, "chunk-000003.arrow": 4}[moment]
    report = json.loads(run(home, source, output, "--json").stdout)
    assert report["n_done_before"] == min(n_done * 65_536, ROWS)
    assert output.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_a_shard_may_be_named_by_the_environment(home, tmp_path):
    source = tmp_path / "in.parquet"
    pq.write_table(customers(50), source)
    for index in range(2):
        done = run(home, source, tmp_path / "a.parquet", "--shard", "$JOB_INDEX/2", JOB_INDEX=str(index))
        assert f"as shard {index}/2" in done.stdout
        assert run(home, source, tmp_path / "b.parquet", GAUNTLET_SHARD=f"{index}/2").returncode == 0
    found = pq.read_table(tmp_path / "a.parquet")
    assert found["customerID"].to_pylist() == list(range(50))
    assert pq.read_table(tmp_path / "b.parquet").equals(found)
    again = run(home, source, tmp_path / "a.parquet", "--shard", "1/2")
    assert "nothing was done" in again.stdout


def test_bad_input_is_one_sentence_and_exit_code_2(home, tmp_path):
    pq.write_table(customers(9, tenure=[1, 2, 3, 4, 500, 6, 7, 8, 9]), tmp_path / "in.parquet")
    done = run(home, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert done.returncode == 2
    assert done.stderr == (
        f"gauntlet: {tmp_path / 'in.parquet'}: row 4, tenure: 500 is not allowed; "
        "it must be a whole number from 0 to 72 month\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]
    aside = run(home, tmp_path / "in.parquet", tmp_path / "out.parquet", "--bad-rows", tmp_path / "bad.jsonl")
    assert (aside.returncode, "8 rows scored by toy version 1, 1 set aside in" in aside.stdout) == (0, True)
    shard = run(home, tmp_path / "in.parquet", tmp_path / "out.parquet", "--shard", "4/4")
    assert (shard.returncode, shard.stderr.count("\n")) == (2, 1)


def test_a_chunk_that_was_cut_after_a_kill_is_scored_again(home, tmp_path):
    source, output, work = tmp_path / "in.parquet", tmp_path / "out.parquet", tmp_path / ".out.parquet.partial"
    pq.write_table(customers(150_000), source)
    assert run(home, source, tmp_path / "whole.parquet").returncode == 0
    work.mkdir()
    (work / "chunk-000001.new").symlink_to("/dev/full")
    full = run(home, source, output)
    assert (full.returncode, full.stderr.count("\n")) == (75, 1)  # once there is room, the same again goes on
    assert f"gauntlet: {work} cannot be written or read (No space left on device)" in full.stderr
    (work / "chunk-000001.new").unlink()
    os.truncate(work / "chunk-000000.arrow", 100)
    done = run(home, source, output, "--json")
    assert (done.returncode, json.loads(done.stdout)["n_done_before"]) == (0, 0), done.stderr
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_csv_row_of_another_length_that_is_no_utf8_is_one_sentence(home, tmp_path):
    (tmp_path / "in.csv").write_bytes(b"customerID,tenure,charges,contract,senior\nsecret\xff,1\n")
    done = run(home, tmp_path / "in.csv", tmp_path / "out.parquet")
    assert (done.returncode, done.stderr) == (
        2,
        f"gauntlet: {tmp_path / 'in.csv'}: row 0, file: a row of 2 values is not allowed; "
        "it must be rows of 5, one for each column\n",
    )


def test_nothing_is_loaded_that_scoring_a_file_does_not_need(home, tmp_path):
    pq.write_table(
        customers(9, charges=[None, *range(8)], customerID=[f"c{i}" for i in range(9)]), tmp_path / "in.parquet"
    )
    code = "import sys, gauntlet; gauntlet.cli.main(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    arguments = command(home, tmp_path / "in.parquet", tmp_path / "out.parquet")[3:]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=CHECKOUT, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "pyarrow" in loaded, done.stderr
    assert not loaded & {"pandas", "mlflow", "sklearn", "scipy", "bentoml", "sqlalchemy", "uvicorn", "httpx", "rich"}


def test_a_blessed_version_of_the_registry_scores_where_it_is_named(home, tmp_path, monkeypatch):
    import gauntlet

    pq.write_table(customers(9), tmp_path / "in.parquet")
    registry = ToyRegistry(tmp_path / "registry")
    registry.add(0.9, blessing={})
    registry.resolve = lambda uri: registry.versions[int(uri.rpartition("/")[2]) - 1]
    monkeypatch.setattr("bentos.registry.registry_of", lambda folder: registry)
    arguments = ["score-file", str(tmp_path / "in.parquet"), str(tmp_path / "out.parquet"), "--folder", str(home)]
    gauntlet.cli.main([*arguments, "--model", "models:/toy/1"], standalone_mode=False)
    (first, *_) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert (first["model_version"], first["label"], first["risk"]) == ("1", "Yes", "high")
    assert first["digest"] == registry.versions[0].digest
    registry.add(0.8)
    with pytest.raises(gauntlet.GauntletError, match="passed no gate"):
        gauntlet.cli.main([*arguments, "--restart", "--model", "models:/toy/2"], standalone_mode=False)
