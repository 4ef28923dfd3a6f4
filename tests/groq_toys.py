"""A server on this machine that speaks Groq's HTTP API, and says what a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "gsk_a-key-that-nobody-may-see"
GOOD_BODY = (
    "We are glad that you are with us, and we would like to make it easier for you to stay content. "
    "If it suits you, we can offer you a contract for one year, or we can look together for a lower price."
)
GOOD = {"subject": "Something that may suit you", "body": GOOD_BODY}

Answer = Callable[[BaseHTTPRequestHandler], None]


class Heard:
    """One request, as it came over the line."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Groq:
    """The server.

    Attributes:
        heard: The requests, whole.
        over: Is set when answers that hang may end.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or says(GOOD)
        self.heard: list[Heard] = []
        self.over = threading.Event()
        ours = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                ours.heard.append(Heard(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.over = ours.over
                ours.answer(self)

            def end_headers(self) -> None:
                # Said, and not only done: a client that was not told may send its next request into the closing.
                self.send_header("connection", "close")
                super().end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: tests read what was heard."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Groq:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def says(written: Any, *, finish: str = "stop") -> Answer:
    """A chat completion whose message is this, written as JSON unless it is text already."""
    content = written if isinstance(written, str) else json.dumps(written, ensure_ascii=False)
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    made = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "toy", "choices": [choice]}
    return replies(200, json.dumps(made).encode())


def replies(status: int, body: bytes, **headers: str) -> Answer:
    """Exactly this answer; underscores in headers' names are hyphens."""

    def answer(to: BaseHTTPRequestHandler) -> None:
        to.send_response_only(status)
        told = {"content-type": "application/json", "content-length": str(len(body))}
        for name, value in (told | {name.replace("_", "-"): value for name, value in headers.items()}).items():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)

    return answer


def hangs(to: Any) -> None:
    to.over.wait()


def drips(to: Any) -> None:
    """Something every moment, and never an end."""
    to.send_response(200)
    to.send_header("content-type", "application/json")
    to.end_headers()
    try:
        while not to.over.wait(0.02):
            to.wfile.write(b" ")
    except OSError:
        pass


def is_endless(to: Any) -> None:
    to.send_response(200)
    to.send_header("content-type", "application/json")
    to.end_headers()
    try:
        while not to.over.is_set():
            to.wfile.write(b" " * 65536)
    except OSError:
        pass


def breaks_off(to: Any) -> None:
    to.send_response(200)
    to.send_header("content-type", "application/json")
    to.send_header("content-length", "1000")
    to.end_headers()
    to.wfile.write(b'{"choices": [')
