"""The fast entry's server as clients of all kinds meet it: large heads, slow ones, and a stop in the middle."""

import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

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


def read_to_end(connection):
    """What comes until the server closes; a server that never does fails by the socket's timeout."""
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


@pytest.fixture(scope="module")
def server():
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def impatient():
    with running(patience=0.3) as found:
        yield found


def test_both_ports_answer(server):
    for port in (server.port, server.admin_port):
        answer = httpx.post(f"http://127.0.0.1:{port}/echo", content=b"[1]")
        assert (answer.status_code, answer.content) == (200, b"[1]")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_a_request_id_comes_back(server):
    assert httpx.post(f"{server.url}/echo", headers={"x-request-id": "r-7"}).headers["x-request-id"] == "r-7"


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


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(server):
    with server.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000000000000000\r\n\r\n")
        assert read_to_end(connection).startswith(b"HTTP/1.1 4")


def test_a_body_that_turns_out_too_large_is_refused_and_the_connection_closed(server):
    with server.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
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


def test_who_sends_half_a_head_after_a_request_is_let_go(impatient):
    with impatient.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n[]POST /ec")
        assert read_to_end(connection).count(b"HTTP/1.1 200") == 1


def test_a_body_that_does_not_come_is_answered_408(impatient):
    with impatient.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nab")
        found = read_to_end(connection)
        assert found.startswith(b"HTTP/1.1 408")
        assert b"too-slow" in found


def test_a_body_that_drips_is_answered_408(impatient):
    with impatient.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
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
