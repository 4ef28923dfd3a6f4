"""Training data from a real PostgreSQL: by a query that cannot write, with the password of a file."""

import pytest
import sqlalchemy as sa
from postgresql_toys import driver_url, running_server

from bentos.errors import Unavailable
from bentos.folder import Folder
from training.commands import USE_CASES
from training.data import data_of, read_data
from training.generator import generate_customers
from training.use_case import load_use_case

pytestmark = pytest.mark.servers

USE_CASE = load_use_case(USE_CASES / "telco_churn.yaml")
FRAME = generate_customers(300, 0)


@pytest.fixture(scope="module")
def url():
    try:
        with running_server() as server:
            url = server.make_database("crm")
            engine = sa.create_engine(driver_url(url))
            with engine.begin() as connection:
                FRAME.to_sql("customers", connection, index=False)
                connection.exec_driver_sql('ALTER TABLE customers ALTER "MonthlyCharges" TYPE numeric(8, 2)')
            engine.dispose()
            yield url
    except LookupError as e:
        pytest.skip(str(e))


def read(url, tmp_path, query):
    return read_data(USE_CASE, url, folder=Folder(tmp_path), query=query)


def test_rows_are_read_as_a_file_is_whatever_the_columns_types(url, tmp_path, monkeypatch):
    (tmp_path / "password").write_text("s3cret\n")
    monkeypatch.setenv("GAUNTLET_DATA_PASSWORD_FILE", str(tmp_path / "password"))
    data = read(url, tmp_path, "SELECT * FROM customers")
    assert data.digest == data_of(USE_CASE.contract, FRAME.round({"MonthlyCharges": 2}), source="x").digest
    assert data.source == url.replace("gauntlet@", "")


def test_a_query_cannot_write(url, tmp_path):
    with pytest.raises(Unavailable, match="read-only transaction"):
        read(url, tmp_path, "DELETE FROM customers RETURNING *")


def test_a_database_that_is_not_there_is_told(tmp_path):
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9/crm did not answer"):
        read("postgresql://gauntlet@127.0.0.1:9/crm", tmp_path, "SELECT 1")
