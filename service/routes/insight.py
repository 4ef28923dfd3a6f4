"""Insight, which explains and writes e-mails, behind scoring's own routes: bounded in time, size and number.

Insight may be slow, large or dead; scoring neither waits nor fails for it. What it answers is passed on as it is.
"""

from __future__ import annotations

import msgspec

from bentos.errors import Unavailable
from service.http.client import Answer, HttpClient
from service.http.following import passed_on
from service.http.limits import Bound
from service.http.messages import Handler, Request, Response

MOST_AT_ONCE = 16
"""Calls that wait for insight at the same time; more are told to come again."""

_is_json = msgspec.json.Decoder(msgspec.Raw).decode


class InsightClient:
    """Insight over HTTP.

    Attributes:
        client: Asks it.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        """Connect to nobody yet.

        Args:
            url: Where it answers.
            timeout_seconds: How long one call may take from its beginning to the answer's end.
        """
        self.client = HttpClient("insight", url, timeout_seconds=timeout_seconds)
        self._bound = Bound(MOST_AT_ONCE)

    async def ask(self, path: str, request: Request) -> Response:
        """Pass a request on, and its answer back. The client's key and cookies stay here.

        Raises:
            HttpRefusal: As many calls wait as may.
            Unavailable: Insight does not answer in time, or answers something else than JSON of a sensible size.
        """
        self._bound.enter()
        try:
            headers = {**passed_on(request.headers), "content-type": "application/json"}
            return _passed_back(await self.client.ask("POST", path, headers=headers, body=request.body))
        finally:
            self._bound.leave()

    async def close(self) -> None:
        """Let go of its connections."""
        await self.client.close()


def insight_handler(client: InsightClient | None, path: str) -> Handler:
    """What answers a route by insight.

    Args:
        client: None where no insight is named.
        path: Of the route, here and there.
    """

    async def answer(request: Request) -> Response:
        if client is None:
            raise Unavailable("no insight is named: GAUNTLET_INSIGHT_URL is not set")
        return await client.ask(path, request)

    return answer


def _passed_back(answer: Answer) -> Response:
    """The answer, if it is one that a client of ours can read."""
    declared = answer.headers.get("content-type", "")
    kind = declared.split(";", 1)[0].strip().lower()
    is_declared = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    try:
        _is_json(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        is_declared = False
    if not is_declared or answer.status < 200 or 300 <= answer.status < 400:
        raise Unavailable(f"insight answers {answer.status} with {kind[:40] or 'no content type'!r} and no JSON")
    wait = answer.headers.get("retry-after", "")
    extra = ((b"retry-after", wait.encode()),) if wait.isdigit() and len(wait) < 6 else ()
    return Response(answer.status, answer.body, kind.encode("ascii", "replace"), extra)
