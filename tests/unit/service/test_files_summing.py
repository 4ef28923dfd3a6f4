"""The summary of a batch: what it says of parts that are right, and that it is not there when one is wrong."""

import json
import shutil

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from test_files_scoring import IDENTITY, OTHER, ROWS, Counting, customers, score

from bentos.errors import InvalidData, InvalidSetting, NotFound, Refused
from service.files import comparing, scoring
from service.files.parts import _KEY
from service.files.places import SUMMARY
from service.files.sharing import Shard
from service.files.summing import sum_up

COUNT = 4
BAD = (0, 7, 24)
"""Rows of the input that the contract does not allow: in the first shard, at the end of its second row, in the last."""


@pytest.fixture
def source(tmp_path):
    tenure = pa.array([73 if row in BAD else row for row in range(ROWS)])
    pq.write_table(customers(tenure=tenure), tmp_path / "in.parquet", row_group_size=7)
    return tmp_path / "in.parquet"


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.parquet"


@pytest.fixture
def aside(tmp_path):
    return tmp_path / "bad.jsonl"


@pytest.fixture
def done(source, output, aside):
    """All shards scored, without a summary."""
    for index in range(COUNT):
        score(source, output, shard=Shard(index, COUNT), bad_rows=aside)
    return output


def part(output, index, count=COUNT):
    return output / f"part-{index:05d}-of-{count:05d}.parquet"


def edit(path, change):
    """Write a part anew with other rows, as somebody might who keeps what it says of itself."""
    told = pq.read_metadata(path).metadata[_KEY]
    table = change(pq.read_table(path))
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_KEY: told})


def retell(path, **changes):
    """Let a part say something else of itself, of the same rows."""
    told = msgspec.json.decode(pq.read_metadata(path).metadata[_KEY])
    table = pq.read_table(path)
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_KEY: msgspec.json.encode(told | changes)})


def test_it_counts_what_was_read_scored_and_set_aside_by_shard_and_by_whom(source, done, aside):
    found = sum_up(source, done, aside)
    assert (found.n_rows, found.n_scored, found.n_set_aside, found.model) == (ROWS, ROWS - 3, 3, IDENTITY)
    assert [(s.shard, s.first_row, s.n_rows, s.n_scored, s.n_set_aside, s.runs) for s in found.shards] == [
        ("0/4", 0, 6, 5, 1, 1),
        ("1/4", 6, 6, 5, 1, 1),
        ("2/4", 12, 6, 6, 0, 1),
        ("3/4", 18, 7, 6, 1, 1),
    ]
    assert all(shard.seconds > 0 for shard in found.shards)
    assert found.seconds == pytest.approx(sum(shard.seconds for shard in found.shards))


def test_it_is_written_beside_the_parts_where_readers_pass_over_it(source, done, aside):
    found = sum_up(source, done, aside)
    assert json.loads((done / SUMMARY).read_text()) == json.loads(msgspec.json.encode(found, enc_hook=str))
    assert pq.read_table(done).num_rows == ROWS - 3


def test_people_read_it_in_a_line_and_one_for_each_shard(source, done, aside):
    (done / "_part-00002-of-00004.json").unlink()
    first, *shards = str(sum_up(source, done, aside)).splitlines()
    assert first == (
        f"{done} is complete: of 25 rows of {source}, each there once, 22 scored by toy version 7 ({IDENTITY.digest}) "
        f"and 3 set aside in {aside}, in 4 shards"
    )
    assert shards[0].startswith("  shard 0/4: rows 0 to 5, 5 scored, 1 set aside, 0.")
    assert shards[2] == "  shard 2/4: rows 12 to 17, 6 scored, 0 set aside, time unknown"


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize("count", [2, 5, 40])
def test_any_number_of_shards_of_any_file_is_summed_up(tmp_path, output, ending, count, monkeypatch):
    monkeypatch.setattr(comparing, "CHUNK_ROWS", 3)
    path = tmp_path / f"in.{ending}"
    if ending == "csv":
        pyarrow.csv.write_csv(customers().set_column(2, "charges", pa.array(["1"] * ROWS)), path)
    else:
        pq.write_table(customers(customerID=pa.array(range(ROWS))), path)
    for index in range(count):
        score(path, output, shard=Shard(index, count))
    found = sum_up(path, output, None)
    assert (found.n_rows, found.n_scored, len(found.shards)) == (ROWS, ROWS, count)


def test_rows_that_are_all_bad_are_all_set_aside(tmp_path, output, aside):
    pq.write_table(customers(tenure=pa.array([99] * ROWS)), tmp_path / "in.parquet")
    for index in range(2):
        score(tmp_path / "in.parquet", output, shard=Shard(index, 2), bad_rows=aside)
    assert sum_up(tmp_path / "in.parquet", output, aside).n_set_aside == ROWS


def test_an_input_without_rows_has_a_summary(tmp_path, output):
    pq.write_table(customers(0), tmp_path / "in.parquet")
    for index in range(2):
        score(tmp_path / "in.parquet", output, shard=Shard(index, 2))
    found = sum_up(tmp_path / "in.parquet", output, None)
    assert found.n_rows == 0
    assert "shard 1/2: no rows, 0 scored" in str(found)


def test_whoever_ends_last_sums_up_and_nobody_before(source, output, aside):
    reports = [score(source, output, shard=Shard(index, COUNT), bad_rows=aside, summary=True) for index in (2, 0, 3, 1)]
    assert [report.summary is not None for report in reports] == [False, False, False, True]
    assert (output / SUMMARY).exists()
    assert str(reports[3]).splitlines()[1].startswith(f"{output} is complete: of 25 rows")


def test_one_that_is_killed_before_it_sums_up_does_so_when_it_is_started_again(source, output, aside, monkeypatch):
    options = {"bad_rows": aside, "summary": True}
    for index in range(3):
        score(source, output, shard=Shard(index, COUNT), **options)

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "sum_up", die)
        with pytest.raises(KeyboardInterrupt):
            score(source, output, shard=Shard(3, COUNT), **options)
    assert not (output / SUMMARY).exists()
    report = score(source, output, shard=Shard(3, COUNT), **options)
    assert report.was_finished
    assert report.summary.n_rows == ROWS


def test_a_run_that_died_counts_with_what_it_had_done(source, output, aside, monkeypatch):
    now = iter(range(0, 10_000, 10))
    monkeypatch.setattr("time.monotonic", lambda: float(next(now)))
    with pytest.raises(KeyboardInterrupt):
        score(source, output, Counting(3), shard=Shard(0, COUNT), bad_rows=aside, chunk_rows=2)
    for index in range(COUNT):
        score(source, output, shard=Shard(index, COUNT), bad_rows=aside, chunk_rows=2)
    found = sum_up(source, output, aside)
    assert [shard.runs for shard in found.shards] == [2, 1, 1, 1]
    # The clock goes 10 s a look: at the beginning, after each chunk of two rows, at the end.
    assert [shard.seconds for shard in found.shards] == [30 + 30, 50, 50, 60]
    assert "in 2 runs" in str(found)


def test_a_count_of_the_work_that_is_damaged_begins_anew(source, output, aside):
    with pytest.raises(KeyboardInterrupt):
        score(source, output, Counting(3), shard=Shard(0, COUNT), bad_rows=aside, chunk_rows=2)
    (output / ".part-00000-of-00004.partial" / "work.json").write_bytes(b"{")
    for index in range(COUNT):
        score(source, output, shard=Shard(index, COUNT), bad_rows=aside, chunk_rows=2)
    assert [shard.runs for shard in sum_up(source, output, aside).shards] == [1, 1, 1, 1]


def test_a_single_file_needs_none(source, output):
    with pytest.raises(InvalidSetting, match="--summary sums several shards up"):
        score(source, output, summary=True)
    assert not output.exists()


def test_the_summary_goes_as_soon_as_a_part_comes_anew(source, done, aside):
    sum_up(source, done, aside)
    score(source, done, shard=Shard(1, COUNT), bad_rows=aside, restart=True)
    assert not (done / SUMMARY).exists()
    sum_up(source, done, aside)
    score(source, done, who=OTHER, shard=Shard(1, COUNT), bad_rows=aside, restart=True)
    assert sorted(path.name for path in done.iterdir() if path.suffix == ".json") == [
        "_part-00001-of-00004.json",
        "_plan.json",
    ]


def lose(output):
    part(output, 2).unlink()


def double(output):
    shutil.copy(part(output, 1), part(output, 2))


def add(output):
    shutil.copy(part(output, 1), output / "part-00001-of-00004 (copy).parquet")


def break_off(output):
    part(output, 2).write_bytes(part(output, 2).read_bytes()[:-9])


def tear(output):
    content = part(output, 2).read_bytes()
    part(output, 2).write_bytes(content[:4] + b"\xff" * 200 + content[204:])


def repeat_a_row(output):
    edit(part(output, 2), lambda table: pa.concat_tables([table.slice(0, 5), table.slice(0, 1)]))


def swap_rows(output):
    edit(part(output, 2), lambda table: table.take(pa.array([1, 0, 2, 3, 4, 5])))


def drop_a_row(output):
    edit(part(output, 2), lambda table: table.slice(1))


def add_a_row(output):
    edit(part(output, 2), lambda table: pa.concat_tables([table, table.slice(0, 1)]))


def forget_a_probability(output):
    column = pa.array([0.1, None, 0.1, 0.1, 0.1, 0.1], pa.float32())
    edit(part(output, 2), lambda table: table.set_column(1, "probability", column))


def exceed(output):
    column = pa.array([0.1, 1.5, 0.1, 0.1, 0.1, 0.1], pa.float32())
    edit(part(output, 2), lambda table: table.set_column(1, "probability", column))


def mix_models(output):
    digests = pa.array([IDENTITY.digest] * 5 + [OTHER.digest]).dictionary_encode()
    edit(part(output, 2), lambda table: table.set_column(table.num_columns - 1, "digest", digests))


def lose_a_column(output):
    edit(part(output, 2), lambda table: table.drop_columns(["digest"]))


def count_wrongly(output):
    retell(part(output, 2), n_rows=7)


def set_more_aside(output):
    retell(part(output, 2), n_set_aside=1)


def say_nothing_of_a_plan(output):
    retell(part(output, 2), plan=None)


AGAIN = r"part-00002-of-00004\.parquet {}; remove it and score shard 2/4 again"
WRONG = {
    lose: "lacks 1 of 4 parts; score the shards 2/4",
    double: AGAIN.format("holds the rows of shard 1/4"),
    add: r"part-00001-of-00004 \(copy\)\.parquet is none of the 4 parts, and readers take it for one; move it away",
    break_off: AGAIN.format("is not what score-file writes"),
    repeat_a_row: AGAIN.format("has other ids than rows 12 to 17 of the input"),
    swap_rows: AGAIN.format("has other ids than rows 12 to 17 of the input"),
    drop_a_row: AGAIN.format("has other ids than rows 12 to 17 of the input"),
    add_a_row: AGAIN.format("has more rows than the input"),
    forget_a_probability: AGAIN.format("has rows without a probability"),
    exceed: AGAIN.format("has rows without a probability"),
    mix_models: AGAIN.format(f"has rows whose digest is not {IDENTITY.digest}"),
    lose_a_column: AGAIN.format("has the columns customerID, probability, label, risk, model, model_version"),
    count_wrongly: "stands for 6 rows; of 26 it must be 7",
    set_more_aside: AGAIN.format("set 1 rows aside, and .*bad.jsonl/part-00002-of-00004.jsonl holds 0"),
    say_nothing_of_a_plan: AGAIN.format("was made with no plan"),
}


@pytest.mark.parametrize(("spoil", "reason"), WRONG.items(), ids=[spoil.__name__ for spoil in WRONG])
def test_what_is_wrong_is_said_in_a_sentence_and_there_is_no_summary(source, done, aside, spoil, reason):
    sum_up(source, done, aside)
    spoil(done)
    with pytest.raises(Refused, match=reason):
        sum_up(source, done, aside)
    assert not (done / SUMMARY).exists()


def test_a_part_that_is_torn_inside_is_named(source, done, aside):
    tear(done)
    with pytest.raises(InvalidData, match=r"part-00002-of-00004\.parquet: file: unreadable"):
        sum_up(source, done, aside)


@pytest.mark.parametrize("what", ["model", "input"])
def test_a_part_of_another_model_or_input_is_named(source, done, aside, tmp_path, what):
    pq.write_table(customers(), tmp_path / "other.parquet")
    path, who = (source, OTHER) if what == "model" else (tmp_path / "other.parquet", IDENTITY)
    elsewhere = tmp_path / "elsewhere.parquet"
    score(path, elsewhere, who=who, shard=Shard(2, COUNT), bad_rows=tmp_path / "other.jsonl")
    shutil.copy(part(elsewhere, 2), part(done, 2))
    with pytest.raises(Refused, match=f"part-00002-of-00004.parquet was made with another {what} "):
        sum_up(source, done, aside)


def test_a_part_whose_ids_are_no_column_of_the_input_is_named(source, done, aside):
    edit(part(done, 0), lambda table: table.rename_columns(["customer", *table.column_names[1:]]))
    with pytest.raises(Refused, match=r"part-00000-of-00004\.parquet has ids in customer, which is no column of "):
        sum_up(source, done, aside)


def rewrite(path, *lines):
    path.write_text("".join(line + "\n" for line in lines))


ASIDE = {
    "lost": (lambda path: path.unlink(), "part-00001-of-00004.jsonl, which is not there"),
    "emptied": (lambda path: rewrite(path), "has other ids than rows 6 to 11 of the input"),
    "damaged": (lambda path: rewrite(path, '{"row": 7, "id":'), "whose line 1 is damaged"),
    "another row": (lambda path: rewrite(path, ROW_OF % 8), "has other ids than rows 6 to 11 of the input"),
    "another shard": (lambda path: rewrite(path, ROW_OF % 12), "set row 12 aside in line 1 of .*not among its rows 6"),
    "twice": (lambda path: rewrite(path, ROW_OF % 7, ROW_OF % 7), "set row 7 aside in line 2 of .*which is twice"),
    "one more": (lambda path: rewrite(path, ROW_OF % 7, ROW_OF % 8), "has other ids than rows 6 to 11 of the input"),
}
ROW_OF = '{"row": %d, "id": "c", "problems": []}'


@pytest.mark.parametrize(("change", "reason"), ASIDE.values(), ids=ASIDE)
def test_rows_that_were_set_aside_must_be_there_once_too(source, done, aside, change, reason):
    change(aside / "part-00001-of-00004.jsonl")
    with pytest.raises(Refused, match=reason):
        sum_up(source, done, aside)


def test_a_row_that_is_neither_scored_nor_set_aside_is_found(source, done, aside):
    """Part and bad rows agree with each other, and not with the input."""
    drop_a_row(done)
    retell(part(done, 2), n_set_aside=1)
    with pytest.raises(Refused, match="has other ids than rows 12 to 17"):
        sum_up(source, done, aside)


def test_what_changes_while_it_is_checked_is_not_summed_up(source, done, aside):
    def change(said):
        if said.startswith("25 of 25"):
            edit(part(done, 0), lambda table: table)

    with pytest.raises(Refused, match=r"part-00000-of-00004\.parquet was changed while it was checked"):
        sum_up(source, done, aside, progress=change)
    assert not (done / SUMMARY).exists()


def test_an_output_that_is_begun_anew_while_it_is_checked_gets_no_summary(source, done, aside):
    def restart(said):
        if said.startswith("25 of 25"):
            score(source, done, who=OTHER, shard=Shard(0, COUNT), bad_rows=aside, restart=True)

    with pytest.raises(Refused, match="was begun anew with something else while it was checked"):
        sum_up(source, done, aside, progress=restart)
    assert not (done / SUMMARY).exists()


def test_what_is_asked_wrongly_takes_no_summary_away(source, done, aside, tmp_path):
    sum_up(source, done, aside)
    with pytest.raises(InvalidSetting, match="was made with --bad-rows; name it"):
        sum_up(source, done, None)
    with pytest.raises(NotFound, match="no data file"):
        sum_up(tmp_path / "nothing.parquet", done, aside)
    with pytest.raises(Refused, match="and what was scored is sha256:"):
        sum_up(part(done, 0), done, aside)
    assert (done / SUMMARY).exists()


def test_an_output_that_is_none_is_named(source, output, aside):
    with pytest.raises(NotFound, match=r"there is no .*_plan\.json; name an output of `gauntlet score-file`"):
        sum_up(source, output, aside)
    score(source, output, bad_rows=aside)
    with pytest.raises(NotFound, match=r"there is no .*_plan\.json"):
        sum_up(source, output, aside)


def test_an_output_without_bad_rows_is_not_asked_for_any(tmp_path, output, aside):
    pq.write_table(customers(), tmp_path / "in.parquet")
    for index in range(2):
        score(tmp_path / "in.parquet", output, shard=Shard(index, 2))
    with pytest.raises(InvalidSetting, match="was made without --bad-rows; leave it out"):
        sum_up(tmp_path / "in.parquet", output, aside)
