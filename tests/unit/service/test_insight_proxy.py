"""Insight behind scoring's routes, over real HTTP: whatever it does, scoring goes on and the client is told why."""

import asyncio
import contextlib
import json
import socket

import pytest
from serving_app import served
from serving_toys import FEATURES

from service.http.client import ANSWER_LIMIT_BYTES
from service.routes.insight import MOST_AT_ONCE

ASKED = {"features": FEATURES}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OK = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"


def url_of(listening):
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


class Insight:
    """A server on a port of this machine that answers every request with what a test wants.

    Attributes:
        heard: The requests, whole.
        over: Is set when those that hang may end.
    """

    def __init__(self, answer):
        self.heard, self.over = [], asyncio.Event()
        self._answer, self._serving = answer, set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = url_of(self._server.sockets[0])
        return self

    async def __aexit__(self, *_):
        self.over.set()
        self._server.close()
        await self._server.wait_closed()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader, writer):
        self._serving.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            self.heard.append(head + await reader.readexactly(length))
            async for part in self._answer(self):
                writer.write(part)
                await writer.drain()
        writer.close()


def says(*parts):
    async def answer(_insight):
        for part in parts:
            yield part

    return answer


def says_json(body, *, status=b"200 OK", kind=b"application/json", extra=b""):
    head = b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b\r\n"
    return says(head % (status, kind, len(body), extra) + body)


async def hangs(insight):
    await insight.over.wait()
    yield b""


async def drips(insight):
    yield OK + b"content-type: application/json\r\n\r\n"
    while not insight.over.is_set():
        yield b" "
        await asyncio.sleep(0.01)


async def is_endless(insight):
    yield OK + b"content-type: application/json\r\n\r\n"
    while not insight.over.is_set():
        yield b" " * 65536


def run(app, talk):
    return app.loop.run_until_complete(talk)


def ask(tmp_path, answer, *, path="/v1/explain", timeout=5.0, **options):
    """What a client is answered, and what insight heard."""
    with served(tmp_path, insight_timeout_seconds=timeout, insight_url="http://127.0.0.1:9") as app:

        async def talk():
            async with Insight(answer) as insight:
                app.application._insight.client.url = insight.url
                return await app._request("POST", path, **({"json": ASKED} | options)), insight.heard

        return run(app, talk())


def test_a_request_is_passed_on_and_its_answer_back(tmp_path):
    content = b'{"features": {},  "anything": [1, 2]}'
    response, (heard,) = ask(tmp_path, says_json(b'{"base_value": 0.5}'), content=content, json=None)
    assert (response.status_code, response.content) == (200, b'{"base_value": 0.5}')
    assert response.headers["content-type"] == "application/json"
    assert heard.startswith(b"POST /v1/explain HTTP/1.1\r\n")
    assert heard.endswith(b"\r\n\r\n" + content)


def test_what_identifies_a_request_is_passed_on_and_what_is_secret_is_not(tmp_path):
    headers = {"x-request-id": "r-1", "traceparent": TRACE, "tracestate": "a=1"}
    headers |= {"authorization": "Bearer secret", "cookie": "a=secret"}
    response, (heard,) = ask(tmp_path, says_json(b"{}"), headers=headers | {"x-forwarded-for": "secret"})
    assert response.headers["x-request-id"] == "r-1"
    assert b"x-request-id: r-1\r\n" in heard.lower()
    assert b"traceparent: " + TRACE.encode() + b"\r\n" in heard
    assert b"tracestate: a=1\r\n" in heard
    assert b"secret" not in heard


def test_a_trace_that_is_none_is_not_passed_on(tmp_path):
    _, (heard,) = ask(tmp_path, says_json(b"{}"), headers={"traceparent": "00-zz", "tracestate": "a=1"})
    assert b"traceparent" not in heard
    assert b"tracestate" not in heard


def test_insights_own_problems_are_passed_back(tmp_path):
    problem = b'{"type": "urn:x", "status": 422}'
    answer = says_json(problem, status=b"422 Odd", kind=b"application/problem+json", extra=b"retry-after: 7\r\n")
    response, _ = ask(tmp_path, answer)
    assert (response.status_code, response.content) == (422, problem)
    assert (response.headers["content-type"], response.headers["retry-after"]) == ("application/problem+json", "7")


def test_cookies_of_insight_are_neither_kept_nor_passed_back(tmp_path):
    answer = says_json(b"{}", extra=b"set-cookie: a=kept\r\n")
    with served(tmp_path, insight_url="http://127.0.0.1:9") as app:

        async def talk():
            async with Insight(answer) as insight:
                app.application._insight.client.url = insight.url
                return [await app._request("POST", "/v1/explain", json=ASKED) for _ in range(2)], insight.heard

        responses, heard = run(app, talk())
    assert [response.status_code for response in responses] == [200, 200]
    assert not any("set-cookie" in response.headers for response in responses)
    assert b"cookie" not in heard[1].lower()


MADE_UP = {
    "says no JSON": says_json(b"<html>", kind=b"text/html"),
    "says something else under JSON's name": says_json(b"<html>"),
    "leads elsewhere": says_json(b"{}", status=b"307 Elsewhere", extra=b"location: /elsewhere\r\n"),
    "says nothing": says(),
    "speaks something else than HTTP": says(b"SSH-2.0-x\r\n"),
    "breaks off": says(OK + b"content-type: application/json\r\ncontent-length: 9\r\n\r\n{"),
    "is packed": says_json(b"{}", extra=b"content-encoding: gzip\r\n"),
    "is huge": is_endless,
    "is huge and says so": says_json(b'"' + b"x" * ANSWER_LIMIT_BYTES + b'"'),
}


@pytest.mark.parametrize("answer", MADE_UP.values(), ids=MADE_UP.keys())
def test_an_insight_that_answers_nothing_sensible_is_unavailable(tmp_path, answer):
    response, heard = ask(tmp_path, answer)
    assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
    assert "insight" in response.json()["detail"]
    assert len(heard) == 1


@pytest.mark.parametrize("answer", [hangs, drips], ids=["hangs", "drips"])
def test_scoring_answers_while_insight_is_slow_and_the_client_is_told_so(tmp_path, answer):
    with served(tmp_path, insight_timeout_seconds=1, insight_url="http://127.0.0.1:9") as app:

        async def talk():
            async with Insight(answer) as insight:
                app.application._insight.client.url = insight.url
                asked = [asyncio.ensure_future(app._request("POST", "/v1/explain", json=ASKED)) for _ in range(4)]
                while len(insight.heard) < 4:
                    await asyncio.sleep(0.01)
                scored = [await app._request("POST", "/v1/score", json=ASKED) for _ in range(20)]
                are_waiting = [not one.done() for one in asked]
                return scored, are_waiting, await asyncio.gather(*asked)

        scored, are_waiting, asked = run(app, talk())
    assert {response.status_code for response in scored} == {200}
    assert are_waiting == [True] * 4
    assert {response.status_code for response in asked} == {503}
    assert "within 1 s" in asked[0].json()["detail"]


def test_more_calls_than_may_wait_are_told_to_come_again_and_later_ones_are_answered(tmp_path):
    with served(tmp_path, insight_timeout_seconds=20, insight_url="http://127.0.0.1:9") as app:

        async def hangs_first(insight):
            if len(insight.heard) <= MOST_AT_ONCE:
                await insight.over.wait()
            yield OK + b"content-type: application/json\r\n\r\n{}"

        async def talk():
            async with Insight(hangs_first) as insight:
                app.application._insight.client.url = insight.url
                first = [
                    asyncio.ensure_future(app._request("POST", "/v1/explain", json=ASKED)) for _ in range(MOST_AT_ONCE)
                ]
                while len(insight.heard) < MOST_AT_ONCE:
                    await asyncio.sleep(0.01)
                refused = await app._request("POST", "/v1/retention-email", json=ASKED | {"customer_id": "a"})
                scored = await app._request("POST", "/v1/score", json=ASKED)
                for one in first:
                    one.cancel()
                await asyncio.gather(*first, return_exceptions=True)
                return refused, scored, await app._request("POST", "/v1/explain", json=ASKED)

        refused, scored, later = run(app, talk())
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert (scored.status_code, later.status_code) == (200, 200)


def test_an_insight_that_does_not_listen_is_unavailable(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = url_of(unused)
        with served(tmp_path, insight_url=url) as app:
            response = app.post("/v1/explain", ASKED)
            assert (response.status_code, app.post("/v1/score", ASKED).status_code) == (503, 200)
            assert url in response.json()["detail"]


def test_without_an_insight_the_routes_say_which_setting_names_one(tmp_path):
    with served(tmp_path) as app:
        for path in ("/v1/explain", "/v1/retention-email"):
            response = app.post(path, ASKED)
            assert response.status_code == 503
            assert "GAUNTLET_INSIGHT_URL" in response.json()["detail"]


def test_a_body_that_is_too_large_never_reaches_insight(tmp_path):
    response, heard = ask(tmp_path, says_json(b"{}"), json={"padding": "x" * 65536})
    assert (response.status_code, heard) == (413, [])


def test_what_identifies_a_request_is_passed_on_to_the_judge_too(tmp_path):
    with served(tmp_path, judge_url="http://127.0.0.1:9") as app:

        async def serve(reader, writer):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK + b"content-type: application/json\r\n\r\n{}")
            await writer.drain()
            writer.close()

        async def talk():
            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                app.application._judge.client.url = url_of(server.sockets[0])
                headers = {"x-request-id": "r-1", "traceparent": TRACE, "authorization": "Bearer secret"}
                return await app._request("GET", "/v1/experiment", headers=headers)

        heard = []
        response = run(app, talk())
    assert json.loads(response.content)["judge"]["status"] == "available"
    assert b"x-request-id: r-1\r\n" in heard[0].lower()
    assert TRACE.encode() in heard[0]
    assert b"secret" not in heard[0]
