from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bentos.errors import Unavailable
from bentos.folder import Folder
from training.data import read_data
from training.download import fetch
from training.generator import generate_customers
from training.use_case import Download, UseCase

CONTENT = generate_customers(300, seed=9).to_csv(index=False).encode()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Host:
    """A public file's host on this machine.

    Attributes:
        url: Of the file.
        asked: How often it was asked for.
        content: What it answers with.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.content = CONTENT
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked += 1
                self.send_response(200 if self.path == "/telco.csv" else 404)
                self.end_headers()
                self.wfile.write(host.content)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/telco.csv"


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def with_host(use_case: UseCase, url: str) -> UseCase:
    return UseCase(contract=use_case.contract, downloads={"telco": Download(url=url, sha256=SHA256)})


def test_a_public_file_is_fetched_by_name_and_kept(host: Host, telco_use_case: UseCase, tmp_path: Path) -> None:
    use_case = with_host(telco_use_case, host.url)
    first = read_data(use_case, "telco", folder=Folder(tmp_path))
    again = read_data(use_case, "telco", folder=Folder(tmp_path))
    assert (len(first.frame), first.digest, host.asked) == (300, again.digest, 1)
    assert not first.is_synthetic
    assert (tmp_path / "data" / "telco.csv").read_bytes() == CONTENT


def test_other_bytes_are_refused_and_not_kept(host: Host, tmp_path: Path) -> None:
    host.content = CONTENT + b"\n"
    with pytest.raises(Unavailable, match="other bytes than expected"):
        fetch(Download(url=host.url, sha256=SHA256), tmp_path / "telco.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_on_disk_is_fetched_again(host: Host, tmp_path: Path) -> None:
    (tmp_path / "telco.csv").write_bytes(b"half a fi")
    assert fetch(Download(url=host.url, sha256=SHA256), tmp_path / "telco.csv").read_bytes() == CONTENT


def test_a_file_that_the_host_does_not_have_is_told(host: Host, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="404"):
        fetch(Download(url=host.url + "x", sha256=SHA256), tmp_path / "telco.csv")


def test_a_host_that_does_not_answer_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="fetch it yourself and name the file"):
        fetch(Download(url="http://127.0.0.1:9/telco.csv", sha256=SHA256), tmp_path / "telco.csv")
