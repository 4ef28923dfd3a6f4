"""What damages a run of `score-file`, and what is said of it: chunks, plans, disks and CSV files."""

import os

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from test_files_scoring import ROWS, Counting, customers, score, write

from bentos.errors import InvalidData, Refused, Unavailable
from service.files.sharing import Shard

HEADER = b"customerID,tenure,charges,contract,senior\n"
ROW = b"a%d,1,2,One year,0\n"


@pytest.fixture
def source(tmp_path):
    pq.write_table(customers(), tmp_path / "in.parquet", row_group_size=7)
    return tmp_path / "in.parquet"


def die(source, output, **options):
    """Leave three chunks of 4 rows behind."""
    with pytest.raises(KeyboardInterrupt):
        score(source, output, Counting(12), **options)
    return output.with_name(f".{output.name}.partial")


def cut(chunk):
    os.truncate(chunk, 100)


def empty(chunk):
    chunk.write_bytes(b"")


def shorten(chunk):
    with pa.OSFile(str(chunk)) as file:
        table = pa.ipc.open_file(file).read_all()
    with pa.OSFile(str(chunk), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table.slice(1))


def strip(chunk):
    with pa.OSFile(str(chunk)) as file:
        table = pa.ipc.open_file(file).read_all().replace_schema_metadata(None)
    with pa.OSFile(str(chunk), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("damage", [cut, empty, shorten, strip])
def test_a_damaged_chunk_is_scored_again_and_no_other(source, tmp_path, damage, number):
    score(source, tmp_path / "whole.parquet")
    work = die(source, tmp_path / "out.parquet")
    damage(work / f"chunk-{number:06d}.arrow")
    scorer, told = Counting(), []
    report = score_telling(source, tmp_path / "out.parquet", scorer, told)
    assert (report.n_done_before, scorer.rows) == (8, ROWS - 8)
    assert told[1] == f"{work / f'chunk-{number:06d}.arrow'} is damaged; its rows are scored again"
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def score_telling(source, output, scorer, told):
    from test_files_scoring import model

    from service.files.asking import Request
    from service.files.scoring import score_file

    return score_file(Request(input=source, output=output), model(scorer), chunk_rows=4, progress=told.append)


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_chunk_whose_bad_rows_were_lost_is_scored_again(tmp_path, is_removed):
    pq.write_table(customers(tenure=pa.array([73, 1, 1, 1] * 6 + [1])), tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / "whole.parquet", bad_rows=tmp_path / "whole.jsonl")
    options = {"bad_rows": tmp_path / "bad.jsonl"}
    work = die(tmp_path / "in.parquet", tmp_path / "out.parquet", **options)
    lost = work / "chunk-000001.jsonl"
    if is_removed:
        lost.unlink()
    else:
        os.truncate(lost, 5)
    assert score(tmp_path / "in.parquet", tmp_path / "out.parquet", **options).n_set_aside == 6
    assert (tmp_path / "bad.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"\xff": 1}'])
@pytest.mark.parametrize("shard", [Shard(), Shard(0, 2)], ids=str)
def test_a_plan_that_cannot_be_read_is_refused_and_thrown_away_by_a_restart(source, tmp_path, content, shard):
    output = tmp_path / "out.parquet"
    with pytest.raises(KeyboardInterrupt):
        score(source, output, Counting(9), shard=shard)
    (plan,) = (path for path in tmp_path.rglob("*plan.json"))
    plan.write_bytes(content)
    with pytest.raises(Refused, match=r"plan\.json cannot be read; --restart throws what was begun away"):
        score(source, output, shard=shard)
    assert score(source, output, shard=shard, restart=True).n_done_before == 0
    assert score(source, output, shard=shard).was_finished


def test_a_restart_names_a_folder_that_is_in_its_way_and_touches_nothing(source, tmp_path):
    work = die(source, tmp_path / "out.parquet")
    (work / "mine").mkdir()
    before = sorted(work.iterdir())
    with pytest.raises(Refused, match=r"\.partial/mine is a folder, which score-file did not make; move it away"):
        score(source, tmp_path / "out.parquet", restart=True)
    assert sorted(work.iterdir()) == before


@pytest.mark.parametrize("name", ["chunk-000003.arrow", "chunk-000003.jsonl", "plan.json"])
def test_a_folder_where_a_file_is_to_be_is_named(source, tmp_path, name):
    options = {"bad_rows": tmp_path / "bad.jsonl"}
    work = die(source, tmp_path / "out.parquet", **options)
    (work / name).unlink(missing_ok=True)
    (work / name).mkdir()
    with pytest.raises(Unavailable, match=rf"\.partial/{name} cannot be written or read \(Is a directory\); mend"):
        score(source, tmp_path / "out.parquet", **options)


@pytest.mark.parametrize("name", ["chunk-000003.new", "part.new"])
def test_a_full_disk_is_named_and_what_was_scored_is_gone_on_with(source, tmp_path, name):
    work = die(source, tmp_path / "out.parquet")
    (work / name).symlink_to("/dev/full")
    with pytest.raises(Unavailable) as caught:
        score(source, tmp_path / "out.parquet")
    assert str(caught.value) == (
        f"{work} cannot be written or read (No space left on device); "
        "mend that and run the same again: what is scored is not scored again"
    )
    (work / name).unlink()
    report = score(source, tmp_path / "out.parquet")
    assert report.n_done_before == (12 if name.startswith("chunk") else ROWS)


NO_HEADER = "a first line that is empty or of more than 1,048,576 bytes"
CSV = {
    "ragged and no UTF-8": (
        HEADER + ROW % 1 + b"secret\xff,1\n",
        "row 1, file: a row of 2 values is not allowed; it must be rows of 5, one for each column",
    ),
    "too long": (
        HEADER + ROW % 1 + b'a2,1,2,"' + b"secret" * 500_000 + b'",0\n',
        "file: a row of more than 1,048,576 bytes is not allowed; it must be rows that are shorter, "
        "and every quote closed, as one that is not makes one row",
    ),
    "not closed": (HEADER + b'a,1,2,"secret,0\n' + b"".join(ROW % i for i in range(100_000)), "a row of more than "),
    "header too long": (b"secret" * 500_000 + b"\n", f"file: {NO_HEADER}"),
    "no header": (b"\n\n", f"file: {NO_HEADER} is not allowed; it must be the names of the columns"),
}


@pytest.mark.parametrize(("content", "reason"), CSV.values(), ids=CSV)
def test_what_is_wrong_with_a_csv_file_is_one_sentence_without_its_content(tmp_path, capfd, content, reason):
    with pytest.raises(InvalidData) as caught:
        score(write(tmp_path, "in.csv", content), tmp_path / "out.parquet")
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)
    assert capfd.readouterr().err == ""
