"""A server that answers by heart, over real HTTP: an API server, an Ingress with its service, or a Prometheus."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


class Asked(NamedTuple):
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: Mapping[str, str]


@dataclass
class Toy:
    """A server that knows some answers; everything else is not found.

    Attributes:
        url: Where it answers.
        answers: Status and body, by method and path; a body that is text is sent as it is, every other as JSON.
        asked: What was asked.
    """

    url: str = ""
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def will(self, method: str, path: str, body: Any = None, status: int = 200) -> None:
        self.answers[method, path] = (status, body)

    def bodies(self, method: str, path: str) -> list[Any]:
        return [one.body for one in self.asked if (one.method, one.path) == (method, path)]


@contextmanager
def toy_server() -> Iterator[Toy]:
    """A toy that listens on a free port of 127.0.0.1."""
    found = Toy()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            told = self.rfile.read(int(self.headers.get("content-length", 0)))
            where = urlsplit(unquote(self.path))
            query = {name: values[0] for name, values in parse_qs(where.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.asked.append(Asked(self.command, where.path, query, json.loads(told) if told else None, headers))
            status, body = found.answers.get((self.command, where.path), (404, {"message": "not found"}))
            is_text = isinstance(body, str)
            self.send_response(status)
            self.send_header("content-type", "text/plain" if is_text else "application/json")
            self.end_headers()
            self.wfile.write(body.encode() if isinstance(body, str) else json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "POST", "PATCH"):
        setattr(Handler, f"do_{method}", Handler.answer)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()
