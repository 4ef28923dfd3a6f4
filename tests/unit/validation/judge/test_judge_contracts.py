"""Where the judge has the champion's contract from, and what it says where it is not to be had."""

from __future__ import annotations

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import msgspec
import pytest

from bentos.artifact import dump_contract
from bentos.errors import InvalidContract, NotFound, Unavailable
from bentos.folder import Folder
from tests.serving_toys import CONTRACT, make_bento
from validation.judge.contracts import PATH, contracts_of

CHAMPION, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
LATER = msgspec.structs.replace(CONTRACT, protected=())


class Scoring:
    """What stands in for scoring's admin port: it answers as it is told to.

    Attributes:
        url: Its base.
        body: What it answers.
        status: As which.
        asked: The paths that were asked for.
    """

    def __init__(self) -> None:
        self.body, self.status, self.asked = b"", 200, []


@contextmanager
def scoring():
    found = Scoring()
    found.body = told({CHAMPION: CONTRACT})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found.asked.append(self.path)
            self.send_response(found.status)
            self.send_header("content-length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def told(contracts):
    return msgspec.json.encode({digest: msgspec.Raw(dump_contract(one)) for digest, one in contracts.items()})


def of_scoring(tmp_path, url):
    return contracts_of(Folder(tmp_path), path=None, scoring=url)


def test_scoring_is_asked_once_a_champion(tmp_path):
    with scoring() as admin:
        contracts = of_scoring(tmp_path, f"{admin.url}/")
        assert [contracts.of(CHAMPION) for _ in range(3)] == [CONTRACT] * 3
        admin.body = told({CHAMPION: CONTRACT, OTHER: LATER})
        assert contracts.of(OTHER) == LATER
        assert admin.asked == [PATH, PATH]


def test_what_was_told_of_the_champion_holds_while_scoring_is_away(tmp_path):
    with scoring() as admin:
        contracts = of_scoring(tmp_path, admin.url)
        contracts.of(CHAMPION)
    assert contracts.of(CHAMPION) == CONTRACT
    with pytest.raises(Unavailable, match=rf"scoring does not tell its models' contracts at {admin.url}{PATH}: "):
        contracts.of(OTHER)


def test_a_champion_that_scoring_does_not_carry_is_named(tmp_path):
    with scoring() as admin, pytest.raises(NotFound, match=f"contracts of {CHAMPION}, and not the champion {OTHER}'s"):
        of_scoring(tmp_path, admin.url).of(OTHER)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (503, b"{}", Unavailable),
        (200, b"<html>", Unavailable),
        (200, b"[]", Unavailable),
        (200, b'{"%s": {"name": "half"}}' % CHAMPION.encode(), InvalidContract),
    ],
)
def test_what_is_no_contract_is_refused_and_asked_for_again(tmp_path, status, body, error):
    with scoring() as admin:
        contracts, admin.status, right = of_scoring(tmp_path, admin.url), status, admin.body
        admin.body = body
        with pytest.raises(error):
            contracts.of(CHAMPION)
        admin.status, admin.body = 200, right
        assert contracts.of(CHAMPION) == CONTRACT


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://127.0.0.1:1", "http://[::1"])
def test_an_address_at_which_nobody_answers_is_told(tmp_path, url):
    with pytest.raises(Unavailable, match="scoring does not tell"):
        of_scoring(tmp_path, url).of(CHAMPION)


def test_a_file_that_is_named_comes_first(tmp_path):
    path = tmp_path / "contract.json"
    contracts = contracts_of(Folder(tmp_path), path=path, scoring="http://127.0.0.1:1")
    with pytest.raises(NotFound, match=f"there is no contract {path}"):
        contracts.of(CHAMPION)
    path.write_bytes(dump_contract(LATER))
    assert contracts.of(CHAMPION) == LATER


def test_a_bento_beside_the_judge_tells_the_champions_and_is_read_once(tmp_path):
    folder, digests = Folder(tmp_path), make_bento(tmp_path / "packed", (0.25, 0.7))
    folder.bento.symlink_to(tmp_path / "packed")
    contracts = contracts_of(folder, path=None, scoring=None)
    assert contracts.of(digests[1]).protected == ("senior",)
    assert contracts.of(digests[1]) is contracts.of(digests[1])
    assert contracts.of(digests[0]) is not contracts.of(digests[1])
    assert contracts.of(CHAMPION) == contracts.of(digests[0])  # who serves where nobody it carries was named
    with pytest.raises(NotFound, match="is no Bento"):
        contracts_of(Folder(tmp_path / "elsewhere"), path=None, scoring=None).of(CHAMPION)
