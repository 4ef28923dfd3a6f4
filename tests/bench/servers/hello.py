"""Server `hello`: says one thing and reads nothing. What uvicorn costs."""

from __future__ import annotations

from tests.bench.servers.asgi import serve

if __name__ == "__main__":
    serve(lambda _body: b'{"hello":"world"}', reads_body=False)
