"""The fast entry's server as clients of all kinds meet it: large heads, slow ones, and a stop in the middle."""

import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from small_server import MOST_CONNECTIONS

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = Path(__file__).with_name("small_server.py")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Running:
    def __init__(self, process, port, admin_port):
        self.process, self.port, self.admin_port = process, port, admin_port
        self.url = f"http://127.0.0.1:{port}"

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


@contextmanager
def running(patience=10.0, drain=0.0):
    port, admin = free_port(), free_port()
    command = [sys.executable, str(SCRIPT), str(port), str(admin), str(patience), str(drain)]
    with subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}) as process:
        try:
            wait_until_open(admin)
            wait_until_open(port)
            yield Running(process, port, admin)
        finally:
            process.kill()


def wait_until_open(port, seconds=20):
    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


def post(path, header, body=b""):
    return b"POST " + path.encode() + b" HTTP/1.1\r\nhost: x\r\n" + header + b"\r\n\r\n" + body


def read_to_end(connection):
    """What comes until the server closes; a server that never does fails by the socket's timeout."""
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


WAYS = pytest.mark.parametrize("way", ["/echo", "/soon"])
"""By a task of its own, and by the short way."""


@pytest.fixture(scope="module")
def server():
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def impatient():
    with running(patience=0.3) as found:
        yield found


@WAYS
def test_both_ports_answer(server, way):
    for port in (server.port, server.admin_port):
        answer = httpx.post(f"http://127.0.0.1:{port}{way}", content=b"[1]")
        assert (answer.status_code, answer.content) == (200, b"[1]")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


@WAYS
def test_a_request_id_comes_back(server, way):
    assert httpx.post(f"{server.url}{way}", headers={"x-request-id": "r-7"}).headers["x-request-id"] == "r-7"


@pytest.mark.parametrize(
    "head", [b"GET /echo HTTP/1.1\r\nx: " + b"a" * 200_000, b"GET /" + b"a" * 200_000, b"a: b\r\n" * 20_000]
)
def test_a_head_without_end_is_ended(server, head):
    with server.connect() as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\n" + head if head.startswith(b"a:") else head)
            found = read_to_end(connection)
        except ConnectionError:
            return  # closed while the rest of the head was on its way
        assert found.startswith(b"HTTP/1.1 400")


@WAYS
def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(server, way):
    with server.connect() as connection:
        connection.sendall(post(way, b"content-length: 100000000000000000000"))
        assert read_to_end(connection).startswith(b"HTTP/1.1 4")


@WAYS
def test_a_body_that_turns_out_too_large_is_refused_and_the_connection_closed(server, way):
    with server.connect() as connection:
        connection.sendall(post(way, b"transfer-encoding: chunked"))
        try:
            for _ in range(200):
                connection.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
            found = read_to_end(connection)
        except ConnectionError:
            return
        assert found.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("sent", [b"", b"POST /echo HT", b"POST /echo HTTP/1.1\r\nhost: x\r\n"])
def test_who_sends_no_head_in_time_is_let_go(impatient, sent):
    with impatient.connect() as connection:
        connection.sendall(sent)
        assert read_to_end(connection) == b""


def test_who_sends_no_head_to_the_admin_port_is_let_go(impatient):
    with socket.create_connection(("127.0.0.1", impatient.admin_port), timeout=20) as connection:
        assert read_to_end(connection) == b""


def test_who_reads_no_answer_is_let_go(impatient):
    with impatient.connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n" * 50)
        time.sleep(3)  # the server looks once a second
        assert len(read_to_end(connection)) < 50_000_000  # what the kernel had taken, and then the end


def test_one_connection_too_many_is_told_to_come_again_and_the_others_are_answered(server):
    with ExitStack() as held:
        first = held.enter_context(server.connect())
        for _ in range(MOST_CONNECTIONS - 1):
            held.enter_context(server.connect())
        with server.connect() as late:
            found = read_to_end(late)
            assert found.startswith(b"HTTP/1.1 429")
            assert b"retry-after: 1" in found
        first.sendall(post("/echo", b"content-length: 2\r\nconnection: close", b"[]"))
        assert read_to_end(first).startswith(b"HTTP/1.1 200")


@WAYS
def test_who_sends_half_a_head_after_a_request_is_let_go(impatient, way):
    with impatient.connect() as connection:
        connection.sendall(post(way, b"content-length: 2", b"[]POST /ec"))
        assert read_to_end(connection).count(b"HTTP/1.1 200") == 1


@WAYS
def test_a_body_that_does_not_come_is_answered_408(impatient, way):
    with impatient.connect() as connection:
        connection.sendall(post(way, b"content-length: 10", b"ab"))
        found = read_to_end(connection)
        assert found.startswith(b"HTTP/1.1 408")
        assert b"too-slow" in found


@WAYS
def test_a_body_that_drips_is_answered_408(impatient, way):
    with impatient.connect() as connection:
        connection.sendall(post(way, b"content-length: 1000"))
        connection.settimeout(0.1)
        found = b""
        for _ in range(100):
            try:
                connection.sendall(b"x")
                found += connection.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if found:
                break
        assert found.startswith(b"HTTP/1.1 408")


def test_an_answer_begins_before_the_request_ends(server):
    with server.connect() as connection:
        connection.sendall(b"POST /parts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        found = b""
        while b"first" not in found:
            found += connection.recv(65536)
        connection.sendall(b"4\r\nlast\r\n0\r\n\r\n")
        while b"last" not in found:
            found += connection.recv(65536)
        assert b"transfer-encoding: chunked" in found


def test_more_requests_at_once_than_allowed_are_told_to_come_again(server):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: httpx.post(f"{server.url}/slow", content=b"1", timeout=20), range(8)))
    refused = [one for one in found if one.status_code == 429]
    assert {one.status_code for one in found} == {200, 429}
    assert {one.headers["retry-after"] for one in refused} == {"1"}
    assert httpx.post(f"{server.url}/slow", content=b"1", timeout=20).status_code == 200  # nothing stays counted in


def test_a_stop_finishes_what_is_being_answered_and_ends_with_zero():
    with running() as server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.post, f"{server.url}/slow", content=b"1", timeout=20)
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        assert asked.result().status_code == 200
        assert server.process.wait(20) == 0


def test_while_it_drains_it_answers_and_asks_for_another_connection():
    with running(drain=1.0) as server, httpx.Client(base_url=server.url, timeout=20) as client:
        assert "connection" not in client.post("/echo", content=b"1").headers
        server.process.send_signal(signal.SIGTERM)
        seen = set()
        while "close" not in seen:
            seen.add(client.post("/echo", content=b"1").headers.get("connection"))
        assert server.process.wait(20) == 0


def test_a_second_signal_ends_the_draining():
    with running(drain=600.0) as server:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


@pytest.mark.parametrize(
    "ways", [("/soon", "/soon", "/soon"), ("/soon", "/echo", "/soon"), ("/slow", "/soon", "/soon")]
)
def test_requests_that_come_one_after_the_other_at_once_are_answered_in_their_order(server, ways):
    sent = b"".join(post(way, b"content-length: 1", str(i).encode()) for i, way in enumerate(ways))
    with server.connect() as connection:
        connection.sendall(sent + post("/echo", b"connection: close\r\ncontent-length: 1", b"9"))
        found = read_to_end(connection)
    bodies = [part.split(b"HTTP/1.1")[0] for part in found.split(b"\r\n\r\n")[1:]]
    assert bodies == [b"0", b"1", b"2", b"9"]


@WAYS
def test_an_answer_ends_the_connection_where_the_client_asks_for_that(server, way):
    for head in (b"HTTP/1.0\r\ncontent-length: 1", b"HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1"):
        with server.connect() as connection:
            connection.sendall(b"POST " + way.encode() + b" " + head + b"\r\n\r\n1")
            found = read_to_end(connection)
        assert found.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in found
        assert found.endswith(b"1")


@WAYS
def test_a_client_that_asks_whether_to_send_is_told_to(server, way):
    with server.connect() as connection:
        connection.sendall(post(way, b"expect: 100-continue\r\nconnection: close\r\ncontent-length: 1"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"1")
        assert read_to_end(connection).endswith(b"1")


@WAYS
def test_a_client_that_leaves_is_no_harm(server, way):
    for _ in range(20):
        with server.connect() as connection:
            connection.sendall(post(way, b"content-length: 1", b"1"))
        with server.connect() as connection:
            connection.sendall(post(way, b"content-length: 5", b"1"))
    assert httpx.post(f"{server.url}{way}", content=b"1").content == b"1"


@WAYS
def test_a_body_that_comes_in_pieces_is_whole(server, way):
    with server.connect() as connection:
        connection.sendall(post(way, b"connection: close\r\ntransfer-encoding: chunked"))
        for piece in (b"1\r\na\r\n", b"2\r\nb", b"c\r\n", b"0\r\n\r\n"):
            time.sleep(0.02)
            connection.sendall(piece)
        assert read_to_end(connection).endswith(b"abc")


def test_a_crash_on_the_short_way_is_a_500_and_the_connection_lives(server):
    with httpx.Client(base_url=server.url) as client:
        assert client.post("/soon", content=b"crash").json()["status"] == 500
        assert client.post("/soon", content=b"1").content == b"1"


def test_a_stop_finishes_what_is_on_the_short_way():
    with running() as server, server.connect() as connection:
        connection.sendall(post("/soon", b"content-length: 5", b"123"))
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(b"45")
        assert read_to_end(connection).endswith(b"12345")
        assert server.process.wait(20) == 0
