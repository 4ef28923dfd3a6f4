from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bentos.errors import PROBLEMS_SHOWN, InvalidContract, InvalidData, InvalidSetting, NotFound, Problem
from bentos.folder import Folder
from training.data import Data, count_seen, encode, read_data, split, truth
from training.generator import generate_customers
from training.use_case import Bundled, Generator, UseCase


@pytest.fixture
def customers() -> pd.DataFrame:
    return generate_customers(200, seed=5).astype(object)


def saved(folder: Path, frame: pd.DataFrame, name: str = "data.csv") -> str:
    path = folder / name
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return str(path)


def read(use_case: UseCase, source: str | None, **options: Any) -> Data:
    return read_data(use_case, source, folder=Folder(Path("unused")), **options)


def problems_of(use_case: UseCase, source: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidData) as caught:
        read(use_case, source)
    return caught.value.problems


def test_everything_that_is_wrong_is_told_at_once(
    telco_use_case: UseCase, customers: pd.DataFrame, tmp_path: Path
) -> None:
    customers.loc[3, "tenure"] = -1
    customers.loc[4, "tenure"] = "abc"
    customers.loc[5, "tenure"] = 3.5
    customers.loc[6, "Contract"] = "Three year"
    customers.loc[7, "customerID"] = customers.loc[0, "customerID"]
    customers.loc[8, "customerID"] = " "
    customers.loc[9, "Churn"] = "Maybe"
    customers.loc[10, "Churn"] = None
    customers.loc[11, "MonthlyCharges"] = None
    customers = customers.rename(columns={"gender": "sex"})
    found = problems_of(telco_use_case, saved(tmp_path, customers))
    assert {(problem.row, problem.field) for problem in found} == {
        (None, "gender"),
        (None, "sex"),
        (3, "tenure"),
        (4, "tenure"),
        (5, "tenure"),
        (6, "Contract"),
        (7, "customerID"),
        (8, "customerID"),
        (9, "Churn"),
        (10, "Churn"),
        (11, "MonthlyCharges"),
    }


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
@pytest.mark.parametrize(
    ("column", "value", "shown", "allowed"),
    [
        ("tenure", "-1", "-1", "a whole number from 0 to 120 months"),
        ("tenure", "abc", "'abc'", "a whole number from 0 to 120 months"),
        ("tenure", "1_0", "'1_0'", "a whole number from 0 to 120 months"),
        ("tenure", "nan", "'nan'", "a whole number from 0 to 120 months"),
        ("MonthlyCharges", "inf", "inf", "a number from 0 to 250 USD"),
        ("TotalCharges", "1e9", "1000000000.0", "a number from 0 to 30000 USD, or null"),
        ("Contract", "Three year", "'Three year'", "one of 'Month-to-month', 'One year', 'Two year'"),
        ("SeniorCitizen", "2", "'2'", "one of '0', '1'"),
        ("Churn", "Maybe", "'Maybe'", "'Yes' or 'No'"),
        ("customerID", "", "''", "text that is not blank"),
    ],
)
def test_a_value_is_told_with_row_column_and_what_is_allowed(
    telco_use_case: UseCase,
    customers: pd.DataFrame,
    tmp_path: Path,
    name: str,
    column: str,
    value: str,
    shown: str,
    allowed: str,
) -> None:
    customers = customers.map(lambda cell: "" if cell != cell else str(cell))
    customers.loc[17, column] = value
    (problem,) = problems_of(telco_use_case, saved(tmp_path, customers, name))
    assert (problem.field, problem.row, problem.allowed) == (column, 17, allowed)
    assert problem.value.removesuffix(".0'") in (shown, shown + ".0")


def test_a_doubled_id_is_told_where_it_comes_again(
    telco_use_case: UseCase, customers: pd.DataFrame, tmp_path: Path
) -> None:
    customers.loc[9, "customerID"] = customers.loc[2, "customerID"]
    (problem,) = problems_of(telco_use_case, saved(tmp_path, customers))
    assert (problem.field, problem.row) == ("customerID", 9)
    assert "used above" in problem.allowed


def test_a_target_with_one_label_cannot_be_learned(
    telco_use_case: UseCase, customers: pd.DataFrame, tmp_path: Path
) -> None:
    customers["Churn"] = "No"
    (problem,) = problems_of(telco_use_case, saved(tmp_path, customers))
    assert str(problem) == "Churn: 'No' in every row is not allowed; it must be 'Yes' in some rows and 'No' in others"


def test_a_message_stops_after_a_screenful_and_says_how_much_is_left(
    telco_use_case: UseCase, customers: pd.DataFrame, tmp_path: Path
) -> None:
    customers["tenure"] = 999
    with pytest.raises(InvalidData) as caught:
        read(telco_use_case, saved(tmp_path, customers))
    assert len(caught.value.problems) == 200
    assert str(caught.value).count("tenure: 999") == PROBLEMS_SHOWN
    assert str(caught.value).endswith(f"and {200 - PROBLEMS_SHOWN} more")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.csv", b"", "empty"),
        ("blank.csv", b"\n\n", "empty"),
        ("empty.parquet", b"", "empty"),
        ("bytes.csv", b"\xff\xfe\x00\x01", "unreadable"),
        ("zeros.csv", b"a,b\n1,\0", "unreadable"),
        ("quote.csv", b'a,b\n"1,2\n', "unreadable"),
        ("text.parquet", b"customerID,gender\n1,Male\n", "unreadable"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "row 1, file: a row of 3 values"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_one_line(
    telco_use_case: UseCase, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidData) as caught:
        read(telco_use_case, str(tmp_path / name))
    assert told in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_header_without_rows_is_told(telco_use_case: UseCase, customers: pd.DataFrame, tmp_path: Path) -> None:
    (problem,) = problems_of(telco_use_case, saved(tmp_path, customers.iloc[:0]))
    assert (problem.field, problem.value) == ("file", "no rows")


def test_a_column_that_comes_twice_is_told(telco_use_case: UseCase, customers: pd.DataFrame, tmp_path: Path) -> None:
    customers.insert(4, "again", customers["gender"])
    customers.columns = pd.Index(["gender" if name == "again" else name for name in customers.columns])
    (problem,) = problems_of(telco_use_case, saved(tmp_path, customers))
    assert (problem.field, problem.value) == ("gender", "a column that comes 2 times")


@pytest.mark.parametrize("name", ["data.xlsx", "data"])
def test_another_kind_of_file_is_refused(telco_use_case: UseCase, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(InvalidSetting, match=r"neither \.csv nor \.parquet"):
        read(telco_use_case, str(tmp_path / name))


def test_a_file_that_is_not_there_is_told_with_the_names_that_are(telco_use_case: UseCase) -> None:
    with pytest.raises(NotFound, match="public files by name: telco"):
        read(telco_use_case, "nowhere.csv")


def test_missing_is_read_as_null_and_encoded_with_its_indicator(
    telco_use_case: UseCase, customers: pd.DataFrame, tmp_path: Path
) -> None:
    customers["TotalCharges"] = customers["TotalCharges"].astype(str)
    customers.loc[0, "TotalCharges"], customers.loc[1, "TotalCharges"] = " ", ""
    data = read(telco_use_case, saved(tmp_path, customers))
    assert data.frame["TotalCharges"].isna().tolist()[:3] == [True, True, False]
    assert encode(telco_use_case.contract, data.frame)[:2, -2:].tolist() == [[0, 1], [0, 1]]


def test_the_same_rows_have_one_digest_in_csv_and_in_parquet(
    telco_use_case: UseCase, customers: pd.DataFrame, tmp_path: Path
) -> None:
    typed = customers.infer_objects().assign(tenure=customers["tenure"].astype(int))
    typed["SeniorCitizen"] = typed["SeniorCitizen"].astype(int)
    as_csv = read(telco_use_case, saved(tmp_path, typed))
    as_parquet = read(telco_use_case, saved(tmp_path, typed, "data.parquet"))
    assert as_csv.digest == as_parquet.digest
    pd.testing.assert_frame_equal(as_csv.frame, as_parquet.frame)


def test_columns_in_another_order_are_the_same_data(
    telco_use_case: UseCase, customers: pd.DataFrame, tmp_path: Path
) -> None:
    straight = read(telco_use_case, saved(tmp_path, customers))
    turned = read(telco_use_case, saved(tmp_path, customers[customers.columns[::-1]], "turned.csv"))
    assert straight.digest == turned.digest


def test_one_changed_value_changes_the_digest(telco_use_case: UseCase, customers: pd.DataFrame, tmp_path: Path) -> None:
    before = read(telco_use_case, saved(tmp_path, customers)).digest
    customers.loc[0, "MonthlyCharges"] += 0.01
    assert read(telco_use_case, saved(tmp_path, customers, "changed.csv")).digest != before


def test_generated_data_says_that_it_is_synthetic(synthetic: Data) -> None:
    assert synthetic.is_synthetic
    assert "synthetic" in synthetic.source
    assert synthetic.frame["customerID"].str.startswith("SYN-").all()


def test_a_bundled_data_set_gets_ids_and_named_labels(cancer_use_case: UseCase) -> None:
    data = read(cancer_use_case, None)
    assert not data.is_synthetic
    assert len(data.frame) == 569
    assert set(data.frame["diagnosis"]) == {"malignant", "benign"}
    assert int(truth(cancer_use_case.contract, data.frame).sum()) == 212  # malignant, as the data set's paper has it
    assert data.frame["patient"].is_unique


@pytest.mark.parametrize("source", [Generator(name="bank"), Bundled(name="california_housing")])
def test_a_source_that_there_is_not_is_told_with_those_that_there_are(
    telco_use_case: UseCase, source: Generator | Bundled
) -> None:
    other = UseCase(contract=telco_use_case.contract, source=source)
    with pytest.raises(InvalidContract, match=r"telco|breast_cancer"):
        read(other, None)


def test_without_a_source_data_must_be_named(telco_use_case: UseCase) -> None:
    with pytest.raises(InvalidSetting, match="name a data file"):
        read(UseCase(contract=telco_use_case.contract), None)


def test_no_rows_cannot_be_generated(telco_use_case: UseCase) -> None:
    with pytest.raises(InvalidSetting, match="rows is 0"):
        read(telco_use_case, None, rows=0)


def test_the_split_keeps_a_fifth_and_loses_nobody(telco_use_case: UseCase, synthetic: Data) -> None:
    training, holdout = split(telco_use_case.contract, synthetic, folds=5)
    assert len(training) + len(holdout) == len(synthetic.frame)
    assert not set(training["customerID"]) & set(holdout["customerID"])
    assert 0.17 < len(holdout) / len(synthetic.frame) < 0.23  # 4 standard deviations of 3,000 draws


def test_the_split_depends_on_ids_alone(telco_use_case: UseCase, synthetic: Data) -> None:
    shuffled = synthetic.frame.sample(frac=1, random_state=np.random.RandomState(3))
    other = Data(shuffled, synthetic.digest, is_synthetic=True, source="shuffled")
    _, holdout = split(telco_use_case.contract, synthetic, folds=5)
    _, again = split(telco_use_case.contract, other, folds=5)
    assert set(holdout["customerID"]) == set(again["customerID"])


def test_too_few_rows_for_the_folds_are_told_by_label_and_part(telco_use_case: UseCase) -> None:
    few = read(telco_use_case, None, rows=8, seed=1)
    with pytest.raises(InvalidData, match="at least 5, for 5 folds"):
        split(telco_use_case.contract, few, folds=5)


def test_the_real_data_is_valid_as_it_is(telco: Data, telco_file: Path) -> None:
    assert len(telco.frame) == 7043
    assert int(telco.frame["TotalCharges"].isna().sum()) == 11
    assert int((telco.frame["Churn"] == "Yes").sum()) == 1869
    sha256 = "16320c9c1ec72448db59aa0a26a0b95401046bef5d02fd3aeb906448e3055e91"
    assert hashlib.sha256(telco_file.read_bytes()).hexdigest() == sha256


def test_held_out_rows_that_were_trained_on_under_other_ids_are_counted(
    telco_use_case: UseCase, synthetic: Data
) -> None:
    contract = telco_use_case.contract
    training, holdout = split(contract, synthetic, folds=5)
    columns = [*(feature.name for feature in contract.features), contract.target]
    before = count_seen(training, holdout, columns)
    assert before < 0.05 * len(holdout)
    again = holdout.iloc[:7].assign(**{contract.id: [f"again-{i}" for i in range(7)]})
    assert count_seen(pd.concat([training, again]), holdout, columns) >= before + 7 - 1
