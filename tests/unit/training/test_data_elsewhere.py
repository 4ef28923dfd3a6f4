"""Training data at a URL and in a database: read as a file is, and what opens it is never told."""

import http.server
import sqlite3
import threading

import pytest

from bentos.errors import InvalidData, InvalidSetting, NotFound, Unavailable
from bentos.folder import Folder
from training.commands import USE_CASES
from training.data import data_of, read_data
from training.generator import generate_customers
from training.use_case import load_use_case

USE_CASE = load_use_case(USE_CASES / "telco_churn.yaml")
FRAME = generate_customers(300, 0)
EXPECTED = data_of(USE_CASE.contract, FRAME, source="expected").digest


def read(source, tmp_path, **options):
    return read_data(USE_CASE, source, folder=Folder(tmp_path), **options)


@pytest.fixture
def served(tmp_path):
    """A folder of files on a web server. Yields the folder and its URL."""
    place = tmp_path / "served"
    place.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(place))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield place, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "crm.db"
    with sqlite3.connect(path) as connection:
        FRAME.to_sql("customers", connection, index=False)
    connection.close()
    return f"sqlite:///{path}"


def test_a_parquet_file_at_a_url_is_read_as_the_file_is(served, tmp_path):
    place, url = served
    FRAME.to_parquet(place / "customers.parquet")
    data = read(f"{url}/customers.parquet?signature=s3cret", tmp_path)
    assert (data.digest, data.source) == (EXPECTED, f"{url}/customers.parquet")


def test_a_csv_file_at_a_url_is_read_as_the_file_is(served, tmp_path):
    place, url = served
    FRAME.to_csv(place / "customers.csv", index=False)
    assert read(f"{url}/customers.csv", tmp_path).digest == EXPECTED


def test_what_is_not_at_a_url_is_told_without_its_signature(served, tmp_path):
    _, url = served
    with pytest.raises(Unavailable, match=r"nobody\.csv cannot be fetched") as told:
        read(f"{url}/nobody.csv?signature=s3cret", tmp_path)
    assert "s3cret" not in str(told.value)


def test_a_page_in_place_of_a_file_is_bad_data(served, tmp_path):
    place, url = served
    (place / "customers.parquet").write_text("<html>log in</html>")
    with pytest.raises(InvalidData, match="unreadable"):
        read(f"{url}/customers.parquet", tmp_path)


def test_rows_of_a_database_are_read_as_a_file_is(database, tmp_path):
    data = read(database, tmp_path, query="SELECT * FROM customers")
    assert data.digest == EXPECTED
    assert data.source == database


def test_a_query_cannot_write(database, tmp_path):
    with pytest.raises(Unavailable, match="did not answer the query"):
        read(database, tmp_path, query="DELETE FROM customers RETURNING *")
    assert read(database, tmp_path, query="SELECT * FROM customers").digest == EXPECTED


def test_what_a_query_gives_is_checked_as_every_data(database, tmp_path):
    with pytest.raises(InvalidData, match="tenure"):
        read(database, tmp_path, query="SELECT customerID, Churn FROM customers")


@pytest.mark.parametrize(
    ("source", "query", "error", "message"),
    [
        ("sqlite:///{tmp}/crm.db", None, InvalidSetting, "--query must say which rows"),
        ("sqlite:///{tmp}/nobody.db", "SELECT 1", NotFound, "there is no database"),
        ("sqlite:///{tmp}/crm.db", "SELECT * FROM nobody", Unavailable, "no such table: nobody"),
        ("ftp://host/file.csv", None, InvalidSetting, "data is ftp://...; it must be"),
        ("http://host/file.csv", None, InvalidSetting, "data is http://...; it must be .* on this machine alone"),
        ("http://127.0.0.1.example/file.csv", None, InvalidSetting, "data is http://...; it must be"),
        ("https:///file.csv", None, InvalidSetting, "data is https://...; it must be"),
        ("https://[host/file.csv", None, InvalidSetting, "data is https://...; it must be"),
        ("https://host:port/file.csv", None, InvalidSetting, "data is https://...; it must be"),
        ("oracle://host/crm", "SELECT 1", InvalidSetting, "postgresql://USER@HOST/DATABASE or sqlite:///FILE"),
        ("https://host/file.xlsx", None, InvalidSetting, "neither .csv nor .parquet"),
        ("customers.csv", "SELECT 1", InvalidSetting, "--query goes with a database"),
        (None, "SELECT 1", InvalidSetting, "--query goes with a database"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_is_allowed(database, tmp_path, source, query, error, message):
    with pytest.raises(error, match=message):
        read(source and source.format(tmp=tmp_path), tmp_path, query=query)


def test_a_password_in_the_url_is_refused_and_not_repeated(tmp_path):
    with pytest.raises(InvalidSetting, match="GAUNTLET_DATA_PASSWORD_FILE") as told:
        read("postgresql://crm:s3cret@host/crm", tmp_path, query="SELECT 1")
    assert "s3cret" not in str(told.value)


def test_a_password_in_a_links_address_is_refused_and_not_repeated(tmp_path):
    with pytest.raises(InvalidSetting, match="a signed link, or an open one") as told:
        read("https://crm:s3cret@host/customers.csv", tmp_path)
    assert "s3cret" not in str(told.value)


def test_a_password_file_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("GAUNTLET_DATA_PASSWORD_FILE", str(tmp_path / "nobody"))
    with pytest.raises(InvalidSetting, match=r"names .*nobody, which cannot be read"):
        read("postgresql://crm@host/crm", tmp_path, query="SELECT 1")
