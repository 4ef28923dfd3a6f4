"""Files scored from end to end: Parquet and CSV, shards, resumption, bad rows, and what is refused."""

import gzip
import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from serving_toys import CONTRACT, NOW, artifact_of, bless, make_bento, make_onnx, write_artifact

from bentos.artifact import Encoder, RiskBand, Scorer, Trust, blessing_id, load_artifact
from bentos.errors import ArtifactDamaged, InUse, InvalidData, InvalidSetting, NotBlessed, NotFound, Refused
from bentos.folder import Folder
from service.files.asking import Request
from service.files.model import FileModel, champion_of, registered
from service.files.scoring import score_file
from service.files.sharing import Shard
from service.scoring.experiment import first_experiment, write_experiment
from service.scoring.models import Identity

IDENTITY = Identity(name="toy", version="7", digest="sha256:" + "a" * 64)
OTHER = Identity(name="toy", version="8", digest="sha256:" + "b" * 64)
ROWS = 25


class Counting:
    """A scorer that counts the rows it scores, and dies when it has scored so many."""

    def __init__(self, die_after=math.inf, probability=0.2):
        self.scorer = Scorer(make_onnx(probability, slope=0.01))
        self.rows, self.die_after = 0, die_after

    def score(self, rows):
        if self.rows + len(rows) > self.die_after:
            raise KeyboardInterrupt
        self.rows += len(rows)
        return self.scorer.score(rows)


def model(scorer=None, identity=IDENTITY, contract=CONTRACT):
    return FileModel(identity, contract, scorer or Counting())


def customers(n_rows=ROWS, **columns):
    """A table of good rows, with some columns replaced or added."""
    row = np.arange(n_rows)
    plain = {
        "Churn": pa.array(["No"] * n_rows),
        "contract": pa.array([("Month-to-month", "One year", "Two year")[i % 3] for i in row]),
        "charges": pa.array([None if i % 5 == 0 else float(i) for i in row], pa.float64()),
        "customerID": pa.array([f"c-{i:04d}" for i in row], pa.string()),
        "senior": pa.array(row % 2),
        "tenure": pa.array(row % 73),
    }
    return pa.table({**plain, **columns})


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(customers(), path, row_group_size=7)
    return path


def score(source, output, scorer=None, *, who=IDENTITY, chunk_rows=4, **options):
    return score_file(Request(input=source, output=output, **options), model(scorer, who), chunk_rows=chunk_rows)


def values(path):
    return pq.read_table(path).to_pylist()


def test_every_row_has_the_answer_that_the_route_would_give(source, tmp_path):
    report = score(source, tmp_path / "out.parquet")
    encoder, scorer = Encoder(CONTRACT), Scorer(make_onnx(0.2, slope=0.01))
    expected = []
    for row in pq.read_table(source).to_pylist():
        chance = float(scorer.score(encoder.encode_row({f.name: row[f.name] for f in CONTRACT.features}))[0])
        answer = {"probability": chance, "label": CONTRACT.label(chance), "risk": CONTRACT.risk(chance)}
        who = {"model": "toy", "model_version": "7", "digest": IDENTITY.digest}
        expected.append({"customerID": row["customerID"], **answer, **who})
    assert values(tmp_path / "out.parquet") == expected
    assert (report.n_rows, report.n_scored, report.n_set_aside, report.was_finished) == (ROWS, ROWS, 0, False)
    assert [path.name for path in tmp_path.iterdir() if path != source] == ["out.parquet"]


@pytest.mark.parametrize("cut", [0.0005, 0.3, 0.5, 0.9995])
def test_labels_and_bands_begin_at_the_very_probability_that_the_contract_names(tmp_path, cut):
    bands = tuple(RiskBand(name=f"from {start}", from_probability=start) for start in (0.0, 0.25, 0.3, 0.5))
    contract = msgspec.structs.replace(CONTRACT, cut=cut, risk_bands=bands)

    class Given:
        def score(self, rows):
            return np.resize(np.array([0, 0.0005, 0.25, 0.3, 0.5, 0.9995, 1], np.float32), len(rows))

    pq.write_table(customers(), tmp_path / "in.parquet")
    request = Request(input=tmp_path / "in.parquet", output=tmp_path / "out.parquet")
    score_file(request, model(Given(), contract=contract))
    for row in values(tmp_path / "out.parquet"):
        assert (row["label"], row["risk"]) == (contract.label(row["probability"]), contract.risk(row["probability"]))


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_csv_file_gets_the_answers_of_the_same_parquet_file(source, tmp_path, ending):
    table = pq.read_table(source)
    charges = pa.array([" " if value is None else str(value) for value in table["charges"].to_pylist()])
    plain, path = tmp_path / "plain.csv", tmp_path / f"in{ending}"
    pyarrow.csv.write_csv(table.set_column(2, "charges", charges), plain)
    content = b"\xef\xbb\xbf" + plain.read_bytes() + b"\n\n"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    score(path, tmp_path / "csv.parquet", keep=("senior",))
    score(source, tmp_path / "parquet.parquet", keep=("senior",))
    expected = [{**row, "senior": str(row["senior"])} for row in values(tmp_path / "parquet.parquet")]
    assert values(tmp_path / "csv.parquet") == expected


@pytest.mark.parametrize("count", [2, 3, 40])
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_the_shards_together_are_the_whole(source, tmp_path, count, ending):
    path = tmp_path / f"in.{ending}"
    if ending == "csv":
        pyarrow.csv.write_csv(customers().set_column(2, "charges", pa.array(["1"] * ROWS)), path)
    score(path, tmp_path / "whole.parquet")
    for index in reversed(range(count)):
        report = score(path, tmp_path / "parts.parquet", shard=Shard(index, count))
        assert report.output.name == f"part-{index:05d}-of-{count:05d}.parquet"
    assert pq.read_table(tmp_path / "parts.parquet").to_pylist() == values(tmp_path / "whole.parquet")
    assert pyarrow.dataset.dataset(tmp_path / "parts.parquet").count_rows() == ROWS
    assert not list((tmp_path / "parts.parquet").glob("*.partial"))


def test_columns_are_carried_over_as_they_are(source, tmp_path):
    table = customers(note=pa.array(["a", "b", None] * 8 + ["c"]).dictionary_encode(), day=pa.array([NOW] * ROWS))
    pq.write_table(table, source)
    score(source, tmp_path / "out.parquet", keep=("Churn", "note", "tenure", "day"))
    kept = pq.read_table(tmp_path / "out.parquet", columns=["customerID", "Churn", "note", "tenure", "day"])
    assert kept.to_pylist() == table.select(kept.column_names).to_pylist()


def test_ids_may_be_whole_numbers(tmp_path):
    pq.write_table(customers(customerID=pa.array(range(ROWS))), tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["customerID"].to_pylist() == list(range(ROWS))


def test_a_file_without_rows_gives_a_file_without_rows(tmp_path):
    pq.write_table(customers(0), tmp_path / "in.parquet")
    assert score(tmp_path / "in.parquet", tmp_path / "out.parquet").n_rows == 0
    assert "probability" in pq.read_table(tmp_path / "out.parquet").column_names
    assert score(tmp_path / "in.parquet", tmp_path / "out.parquet").was_finished


@pytest.mark.parametrize("die_after", range(0, ROWS, 3))
@pytest.mark.parametrize("shard", [Shard(), Shard(1, 2)], ids=str)
def test_a_run_that_dies_anywhere_goes_on_and_gives_the_same_bytes(source, tmp_path, die_after, shard):
    whole = score(source, tmp_path / "whole.parquet", shard=shard)
    first, second = Counting(min(die_after, whole.n_rows - 1)), Counting()
    with pytest.raises(KeyboardInterrupt):
        score(source, tmp_path / "out.parquet", first, shard=shard)
    report = score(source, tmp_path / "out.parquet", second, shard=shard)
    assert report.n_done_before == first.rows
    assert second.rows == whole.n_rows - first.rows
    assert report.output.read_bytes() == whole.output.read_bytes()


@pytest.mark.parametrize("file", ["part.new", ".bad.jsonl.new"])
def test_a_run_that_dies_while_its_files_take_their_places_is_finished_by_the_next(source, tmp_path, monkeypatch, file):
    score(source, tmp_path / "whole.parquet", bad_rows=tmp_path / "whole.jsonl")
    replace = Path.replace

    def die(self, target):
        if self.name == file:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            score(source, tmp_path / "out.parquet", bad_rows=tmp_path / "bad.jsonl")
    assert not (tmp_path / "out.parquet").exists()
    scorer = Counting()
    report = score(source, tmp_path / "out.parquet", scorer, bad_rows=tmp_path / "bad.jsonl")
    assert (report.n_done_before, report.was_finished, scorer.rows) == (ROWS, False, 0)
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    names = {"in.parquet", "whole.parquet", "whole.jsonl", "out.parquet", "bad.jsonl"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_finished_shard_is_not_scored_again(source, tmp_path):
    score(source, tmp_path / "out.parquet")
    before, scorer = (tmp_path / "out.parquet").stat().st_mtime_ns, Counting()
    report = score(source, tmp_path / "out.parquet", scorer)
    assert (report.was_finished, report.n_rows, scorer.rows) == (True, ROWS, 0)
    assert (tmp_path / "out.parquet").stat().st_mtime_ns == before
    assert str(report).endswith("25 rows scored by toy version 7; nothing was done")
    assert score(source, tmp_path / "out.parquet", restart=True).n_done_before == 0


@pytest.mark.parametrize("shard", [Shard(), Shard(1, 2)], ids=str)
@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize("change", ["input", "model", "keep", "bad rows"])
def test_what_was_begun_with_something_else_is_refused_or_restarted(source, tmp_path, shard, is_finished, change):
    output, again = tmp_path / "out.parquet", {"shard": shard}
    try:
        score(source, output, Counting(math.inf if is_finished else 9), shard=shard)
    except KeyboardInterrupt:
        assert not is_finished
    if change == "input":
        pq.write_table(customers(tenure=pa.array([1] * ROWS)), source)
    options = {"model": {"who": OTHER}, "keep": {"keep": ("Churn",)}, "bad rows": {"bad_rows": tmp_path / "bad.jsonl"}}
    again |= options.get(change, {})
    with pytest.raises(Refused, match=r"out\.parquet was begun with .*; --restart .*scores anew"):
        score(source, output, **again)
    report = score(source, output, restart=True, **again)
    assert report.n_done_before == 0
    assert score(source, output, **again).was_finished


def test_restarting_one_shard_with_another_model_throws_the_others_away(source, tmp_path):
    output = tmp_path / "out.parquet"
    for index in (0, 1):
        score(source, output, shard=Shard(index, 3))
    with pytest.raises(KeyboardInterrupt):
        score(source, output, Counting(5), shard=Shard(2, 3))
    score(source, output, who=OTHER, shard=Shard(1, 3), restart=True)
    left = [".lock", "_part-00001-of-00003.json", "_plan.json", "part-00001-of-00003.parquet"]
    assert sorted(path.name for path in output.iterdir()) == left


def test_restarting_a_shard_leaves_the_others_alone(source, tmp_path):
    output = tmp_path / "out.parquet"
    for index in (0, 1):
        score(source, output, shard=Shard(index, 2))
    score(source, output, shard=Shard(1, 2), restart=True)
    assert pq.read_table(output).num_rows == ROWS


def test_a_shard_of_an_old_plan_cannot_put_its_part_among_those_of_a_new_one(source, tmp_path):
    output = tmp_path / "out.parquet"

    class Overtaken(Counting):
        def score(self, rows):
            if not self.rows:
                score(source, output, who=OTHER, shard=Shard(0, 2), restart=True)
                (output / ".part-00001-of-00002.partial").mkdir()
            return super().score(rows)

    with pytest.raises(Refused, match="begun anew with something else"):
        score(source, output, Overtaken(), shard=Shard(1, 2), chunk_rows=100)
    assert {row["model_version"] for row in values(output)} == {"8"}


def test_two_processes_cannot_score_one_shard_at_once(source, tmp_path):
    class Twice(Counting):
        def score(self, rows):
            with pytest.raises(InUse, match=r"another process scores into .*out\.parquet now"):
                score(source, tmp_path / "out.parquet")
            return super().score(rows)

    assert score(source, tmp_path / "out.parquet", Twice()).n_scored == ROWS


def test_an_input_that_changes_meanwhile_is_refused(source, tmp_path):
    class Writing(Counting):
        def score(self, rows):
            with source.open("ab") as file:
                file.write(b"x")
            return super().score(rows)

    with pytest.raises(Refused, match=r"in\.parquet was changed while it was scored"):
        score(source, tmp_path / "out.parquet", Writing(), chunk_rows=100)
    assert not (tmp_path / "out.parquet").exists()


BAD = {
    "out of range": (
        {"tenure": pa.array([1] * 20 + [73] + [1] * 4)},
        "row 20, tenure: 73 is not allowed; it must be a ",
    ),
    "no whole number": ({"tenure": pa.array([1.0] * 20 + [1.5] + [1] * 4)}, "row 20, tenure: 1.5 is not allowed"),
    "no number": ({"tenure": pa.array(["1"] * 20 + ["x"] + ["2"] * 4)}, "row 20, tenure: 'x' is not allowed"),
    "null": ({"tenure": pa.array([1] * 20 + [None] + [1] * 4)}, "row 20, tenure is missing; it must be a whole"),
    "nan": ({"charges": pa.array([1] * 20 + [math.inf] + [1] * 4)}, "row 20, charges: inf is not allowed"),
    "unseen": ({"contract": pa.array(["One year"] * 20 + ["no"] + ["One year"] * 4)}, "row 20, contract: 'no' is not"),
    "no id": (
        {"customerID": pa.array([f"c{i}" if i != 20 else None for i in range(25)])},
        "row 20, customerID is miss",
    ),
    "blank id": (
        {"customerID": pa.array([f"c{i}" if i != 20 else " " for i in range(25)])},
        "row 20, customerID: ' ' is",
    ),
    "id twice": (
        {"customerID": pa.array([f"c{i}" if i != 20 else "c3" for i in range(25)])},
        "'c3' is not allowed; it ",
    ),
    "number twice": (
        {"customerID": pa.array([i if i != 20 else 3 for i in range(25)])},
        "row 20, customerID: 3 is not",
    ),
}


@pytest.mark.parametrize(("columns", "reason"), BAD.values(), ids=BAD)
def test_a_bad_row_ends_it_by_number_and_column_and_leaves_nothing(tmp_path, columns, reason):
    pq.write_table(customers(**columns), tmp_path / "in.parquet", row_group_size=9)
    with pytest.raises(InvalidData) as caught:
        score(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert str(caught.value).startswith(str(tmp_path / "in.parquet"))
    assert reason in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


@pytest.mark.parametrize("columns", [columns for columns, _ in BAD.values()], ids=BAD)
def test_a_bad_row_is_set_aside_with_its_reasons_and_the_others_are_scored(tmp_path, columns):
    pq.write_table(customers(**columns), tmp_path / "in.parquet", row_group_size=9)
    report = score(tmp_path / "in.parquet", tmp_path / "out.parquet", bad_rows=tmp_path / "bad.jsonl")
    (line,) = (tmp_path / "bad.jsonl").read_text().splitlines()
    assert (json.loads(line)["row"], len(json.loads(line)["problems"])) == (20, 1)
    assert (report.n_scored, report.n_set_aside) == (24, 1)
    ids = customers(**columns)["customerID"].to_pylist()
    assert pq.read_table(tmp_path / "out.parquet")["customerID"].to_pylist() == ids[:20] + ids[21:]


def test_every_problem_of_a_row_is_told_where_it_is_set_aside(tmp_path):
    columns = {"tenure": pa.array([99] + [1] * 24), "contract": pa.array([None] + ["One year"] * 24)}
    ids = pa.array(["c1", "c1", "c1", *(f"d{i}" for i in range(22))])
    pq.write_table(customers(customerID=ids, **columns), tmp_path / "in.parquet")
    report = score(tmp_path / "in.parquet", tmp_path / "out.parquet", bad_rows=tmp_path / "bad.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [(line["row"], line["id"]) for line in lines] == [(0, "c1"), (1, "c1"), (2, "c1")]
    assert lines[0]["problems"] == [
        "tenure: 99 is not allowed; it must be a whole number from 0 to 72 month",
        "contract is missing; it must be one of 'Month-to-month', 'One year', 'Two year'",
    ]
    assert lines[1]["problems"] == [
        "customerID: 'c1' is not allowed; it must be an id of its own: this one is used above"
    ]
    assert report.n_set_aside == 3


@pytest.mark.parametrize("die_after", range(0, 22, 4))
def test_bad_rows_are_the_same_after_a_death(tmp_path, die_after):
    pq.write_table(customers(tenure=pa.array([73, 1, 73] * 8 + [1])), tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / "whole.parquet", bad_rows=tmp_path / "whole.jsonl")
    options = {"bad_rows": tmp_path / "bad.jsonl"}
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path / "in.parquet", tmp_path / "out.parquet", Counting(min(die_after, 8)), **options)
    assert score(tmp_path / "in.parquet", tmp_path / "out.parquet", **options).n_set_aside == 16
    assert (tmp_path / "bad.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_shards_set_their_bad_rows_aside_in_parts(tmp_path):
    pq.write_table(customers(tenure=pa.array([73] + [1] * 23 + [73])), tmp_path / "in.parquet")
    for index in range(2):
        score(tmp_path / "in.parquet", tmp_path / "out.parquet", shard=Shard(index, 2), bad_rows=tmp_path / "bad.jsonl")
    parts = sorted((tmp_path / "bad.jsonl").iterdir())
    assert [path.name for path in parts] == ["part-00000-of-00002.jsonl", "part-00001-of-00002.jsonl"]
    assert [json.loads(path.read_text())["row"] for path in parts] == [0, 24]


def test_an_id_is_found_twice_across_shards(tmp_path):
    ids = [f"c{i}" for i in range(24)] + ["c0"]
    pq.write_table(customers(customerID=pa.array(ids)), tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / "out.parquet", shard=Shard(0, 2))
    with pytest.raises(InvalidData, match="row 24, customerID: 'c0'"):
        score(tmp_path / "in.parquet", tmp_path / "out.parquet", shard=Shard(1, 2))


def test_a_shard_with_a_bad_row_leaves_no_plan_in_the_way_of_the_repaired_file(source, tmp_path):
    pq.write_table(customers(tenure=pa.array([73] * ROWS)), source)
    with pytest.raises(InvalidData):
        score(source, tmp_path / "out.parquet", shard=Shard(0, 2))
    pq.write_table(customers(), source)
    assert score(source, tmp_path / "out.parquet", shard=Shard(0, 2)).n_scored == 12


def test_columns_that_are_missing_doubled_or_of_another_type_are_named_at_once(tmp_path):
    table = customers().drop_columns(["tenure", "senior"]).append_column("tenur", pa.array([1] * ROWS))
    table = table.append_column("contract", pa.array(["One year"] * ROWS))
    table = table.set_column(table.column_names.index("charges"), "charges", pa.array([NOW] * ROWS))
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(InvalidData) as caught:
        score(tmp_path / "in.parquet", tmp_path / "out.parquet")
    told = [str(problem) for problem in caught.value.problems]
    assert told[0] == "tenure is missing; it must be a column of the file, which has 'tenur'"
    assert [problem.field for problem in caught.value.problems] == ["tenure", "charges", "contract", "senior"]
    assert "a column of type timestamp" in told[1]
    assert "comes 2 times" in told[2]


def write(tmp_path, name, content=b"x"):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def test_files_of_other_kinds_and_broken_ones_are_refused_by_name(source, tmp_path):
    out = tmp_path / "out.parquet"
    with pytest.raises(NotFound, match="no data file"):
        score(tmp_path / "nothing.parquet", out)
    with pytest.raises(InvalidSetting, match=r"neither \.parquet nor \.csv"):
        score(write(tmp_path, "in.json"), out)
    with pytest.raises(InvalidSetting, match="is a folder"):
        score(tmp_path, out)
    for name, content in (("no.parquet", b"PAR1"), ("no.csv", b""), ("no.csv.gz", b"no gzip")):
        with pytest.raises(InvalidData, match=f"{name}: file: unreadable"):
            score(write(tmp_path, name, content), out)
    torn = source.read_bytes()
    with pytest.raises(InvalidData, match=r"torn\.parquet: file: unreadable"):
        score(write(tmp_path, "torn.parquet", torn[:40] + b"\xff" * 200 + torn[240:]), out)
    assert not out.exists()


def test_a_csv_row_of_another_length_is_named_without_its_content(tmp_path):
    header = "customerID,tenure,charges,contract,senior\n"
    rows = [f"c{i},1,2,One year,0\n" for i in range(9)]
    path = write(tmp_path, "in.csv", (header + "".join(rows[:5]) + "secret,1\n" + "".join(rows[5:])).encode())
    with pytest.raises(InvalidData) as caught:
        score(path, tmp_path / "out.parquet")
    assert str(caught.value).endswith(
        "row 5, file: a row of 2 values is not allowed; it must be rows of 5, one for each column"
    )
    assert "secret" not in str(caught.value)


def test_csv_text_that_is_no_utf8_is_refused(tmp_path):
    content = b"customerID,tenure,charges,contract,senior\na,1,2,One year,0\n\xff,1,2,One year,0\n"
    with pytest.raises(InvalidData, match="UTF8"):
        score(write(tmp_path, "in.csv", content), tmp_path / "out.parquet")


def test_names_that_cannot_be_written_to_are_refused(source, tmp_path):
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(customers(), foreign)
    for restart in (False, True):
        with pytest.raises(Refused, match="is not what `gauntlet score-file` writes"):
            score(source, foreign, restart=restart)
    (tmp_path / "full.parquet").mkdir()
    write(tmp_path / "full.parquet", "mine.parquet")
    with pytest.raises(InvalidSetting, match="name a folder that is empty or new"):
        score(source, tmp_path / "full.parquet", shard=Shard(0, 2))
    with pytest.raises(InvalidSetting, match="it must be a file"):
        score(source, tmp_path / "full.parquet")
    with pytest.raises(InvalidSetting, match="it must be a folder"):
        score(source, foreign, shard=Shard(0, 2))
    with pytest.raises(InvalidSetting, match=r"must end with \.parquet"):
        score(source, tmp_path / "out.csv")
    with pytest.raises(InvalidSetting, match=r"must end with \.jsonl"):
        score(source, tmp_path / "out.parquet", bad_rows=source)
    with pytest.raises(InvalidSetting, match="which is the input too"):
        score(source, source)
    with pytest.raises(InvalidSetting, match="name another file for --bad-rows"):
        score(source, tmp_path / "out.parquet", bad_rows=write(tmp_path, "mine.jsonl"))
    assert (tmp_path / "mine.jsonl").read_bytes() == b"x"


def test_columns_to_keep_must_be_there_and_not_be_written_twice(source, tmp_path):
    with pytest.raises(InvalidSetting, match=r"--keep is 'nobody'; .* has the columns Churn, contract"):
        score(source, tmp_path / "out.parquet", keep=("nobody",))
    pq.write_table(customers(risk=pa.array([1] * ROWS)), source)
    with pytest.raises(InvalidSetting, match="the column risk is one that score-file writes"):
        score(source, tmp_path / "out.parquet", keep=("risk",))


@pytest.mark.parametrize("odd", [math.nan, 1.5, -0.1])
def test_a_model_that_answers_no_probability_is_refused(source, tmp_path, odd):
    class Odd(Counting):
        def score(self, rows):
            return np.where(np.arange(len(rows)) == 2, np.float32(odd), super().score(rows))

    with pytest.raises(Refused, match=r"toy:7 answers .* for a row from 0 on, which is no probability"):
        score(source, tmp_path / "out.parquet", Odd())
    assert not (tmp_path / "out.parquet").exists()


def test_the_champion_is_the_experiment_file_s_and_without_one_the_bento_s(tmp_path):
    folder = Folder(tmp_path)
    digests = make_bento(folder.bento, (0.2, 0.7))
    assert champion_of(folder).identity == Identity(name="toy", version="1", digest=digests[0])
    write_experiment(folder.experiment, first_experiment(digests[1], now=NOW))
    found = champion_of(folder)
    assert found.identity.digest == digests[1]
    assert found.scorer.score(np.zeros((1, 8), np.float32)) == pytest.approx([0.7])


def test_a_champion_that_the_bento_lacks_or_that_is_damaged_is_refused(tmp_path):
    folder = Folder(tmp_path)
    with pytest.raises(NotFound, match="gauntlet package"):
        champion_of(folder)
    (digest,) = make_bento(folder.bento, (0.2,))
    write_experiment(folder.experiment, first_experiment("sha256:" + "0" * 64, now=NOW))
    with pytest.raises(NotFound, match=r"does not carry the champion .* it carries version 1"):
        champion_of(folder)
    folder.experiment.unlink()
    (artifact_of(folder.bento, digest) / "model.onnx").write_bytes(b"x")
    with pytest.raises(ArtifactDamaged, match=r"model\.onnx"):
        champion_of(folder)


def test_a_version_of_the_registry_must_have_passed_the_gate_once(tmp_path):
    digest = write_artifact(tmp_path / "model", 0.3)
    identity = Identity(name="toy", version="3", digest=digest)
    with pytest.raises(NotBlessed, match="passed no gate"):
        registered(identity, load_artifact(tmp_path / "model"))
    bless(tmp_path / "model", scope="shadow")
    with pytest.raises(NotBlessed, match="'shadow' only"):
        registered(identity, load_artifact(tmp_path / "model"))
    revoked = bless(tmp_path / "model")
    trust = Trust(revoked={blessing_id(revoked): "by ann: unfair"})
    with pytest.raises(NotBlessed, match="was revoked by ann: unfair"):
        registered(identity, load_artifact(tmp_path / "model"), trust=trust)
    with pytest.raises(NotBlessed, match="was changed after it was given"):
        registered(identity, load_artifact(tmp_path / "model"), expected="sha256:other")
    bless(tmp_path / "model", days=0.001)  # long expired: it may go on scoring, and not be packed
    assert registered(identity, load_artifact(tmp_path / "model")).identity == identity
    with pytest.raises(ArtifactDamaged):
        registered(msgspec.structs.replace(identity, digest=OTHER.digest), load_artifact(tmp_path / "model"))
