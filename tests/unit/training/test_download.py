from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request

import pytest

from bentos.errors import Unavailable
from bentos.folder import Folder
from training.data import read_data
from training.download import _StaysTrusted, fetch, get
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
        leads_to: Where its `/moved` leads on to.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.content = CONTENT
        self.leads_to = "/telco.csv"
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked += 1
                if self.path == "/moved":
                    self.send_response(302)
                    self.send_header("Location", host.leads_to)
                    self.end_headers()
                    return
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


def test_a_link_is_followed_within_its_host_and_to_https_alone(host: Host) -> None:
    moved = host.url.replace("telco.csv", "moved")
    assert get(moved) == CONTENT
    host.leads_to = host.url.replace("127.0.0.1", "localhost")
    with pytest.raises(Unavailable, match="it leads on to http://localhost; that must be https"):
        get(moved)
    host.leads_to = "https://127.0.0.1:9/telco.csv"
    with pytest.raises(Unavailable, match="refused"):  # by whoever is not there: it was asked
        get(moved)


def test_a_link_never_leads_from_https_to_plain_http() -> None:
    asked = Request("https://host.example/a.csv")
    for leads_to in ("http://host.example/a.csv", "http://127.0.0.1/a.csv", "ftp://host.example/a.csv"):
        with pytest.raises(URLError, match="must be https"):
            _StaysTrusted().redirect_request(asked, None, 302, "Found", {}, leads_to)
