"""Groq over HTTP by its official client: one call, bounded in time and size, and every fault by name."""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import httpx
import msgspec

if TYPE_CHECKING:
    from groq import AsyncGroq

ANSWER_LIMIT_BYTES = 256 * 1024
MOST_TOKENS = 600
TEMPERATURE = 0.4
UNTOLD_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 3600.0
"""A `Retry-After` that asks for more is asked again by then."""

Fault = Literal["timeout", "unreachable", "rate_limited", "rejected", "server_error", "broken_answer"]


@dataclass(frozen=True, kw_only=True)
class NoAnswer:
    """Why there is nothing to read.

    Attributes:
        fault: Which kind.
        detail: For people; nothing of what was sent or answered.
        pause_seconds: For how long Groq asks to be left alone.
    """

    fault: Fault
    detail: str
    pause_seconds: float = 0.0


class _Message(msgspec.Struct):
    content: str


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class GroqClient:
    """Asks one model. It never tries twice: whoever waits for a draft gets the template sooner."""

    def __init__(self, url: str, model: str, *, timeout_seconds: float) -> None:
        """Connect to nobody yet.

        Args:
            url: Where Groq answers, or a gateway in its place.
            model: Which model writes.
            timeout_seconds: How long a call may take from its beginning to the answer's end.
        """
        self._url, self._model = url, model
        self._timeout_seconds = timeout_seconds
        self._opening = asyncio.Lock()
        self._client: AsyncGroq | None = None

    async def complete(self, messages: list[dict[str, str]], key: str) -> str | NoAnswer:
        """What the model says to these messages, which has to be JSON.

        Args:
            messages: Of the chat.
            key: Groq's API key.
        """
        async with self._opening:
            if self._client is None:
                # Importing the client takes a second, for which no other request waits.
                self._client = await asyncio.to_thread(_open, self._url, self._timeout_seconds)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._client.with_options(api_key=key).chat.completions.with_raw_response.create(
                    **self._request(messages)
                )
        except Exception as e:  # its own errors, and whatever a broken answer makes of it
            return _fault_of(e, self._timeout_seconds)
        return _content_of(answer.http_response.content)

    async def close(self) -> None:
        """Let go of its connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _request(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": messages,
            "temperature": TEMPERATURE,
            "max_completion_tokens": MOST_TOKENS,
            "response_format": {"type": "json_object"},
        }


class _Bounded(httpx.AsyncHTTPTransport):
    """Reads no more of an answer than a sensible one has; a packed one could be of any size."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask, and bound the answer."""
        request.headers["accept-encoding"] = "identity"
        answer = await super().handle_async_request(request)
        if answer.headers.get("content-encoding", "identity") != "identity":
            await answer.aclose()
            raise httpx.DecodingError("the answer is packed, which was not asked for", request=request)
        assert isinstance(answer.stream, httpx.AsyncByteStream)  # noqa: S101  # it is an asynchronous transport's
        answer.stream = _BoundedStream(answer.stream, request)
        return answer


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, request: httpx.Request) -> None:
        self._stream, self._request = stream, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        async for part in self._stream:
            total += len(part)
            if total > ANSWER_LIMIT_BYTES:
                raise httpx.DecodingError(f"the answer has more than {ANSWER_LIMIT_BYTES} bytes", request=self._request)
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def _open(url: str, timeout_seconds: float) -> AsyncGroq:
    from groq import AsyncGroq

    return AsyncGroq(
        api_key="set for each call",
        base_url=url,
        max_retries=0,
        timeout=timeout_seconds,
        # No proxy and no other credentials of the environment, and the key goes nowhere but to this address.
        http_client=httpx.AsyncClient(
            transport=_Bounded(), timeout=timeout_seconds, trust_env=False, follow_redirects=False
        ),
    )


def _content_of(body: bytes) -> str | NoAnswer:
    try:
        choices = msgspec.json.decode(body, type=_Completion).choices
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return NoAnswer(fault="broken_answer", detail="Groq answers what is no chat completion")
    if not choices:
        return NoAnswer(fault="broken_answer", detail="Groq answers nothing")
    if choices[0].finish_reason != "stop":
        return NoAnswer(fault="broken_answer", detail="Groq did not end what it was writing")
    return choices[0].message.content


def _fault_of(e: Exception, timeout_seconds: float) -> NoAnswer:
    import groq

    late = f"Groq did not answer within {timeout_seconds:g} s"
    if isinstance(e, (TimeoutError, groq.APITimeoutError)):
        return NoAnswer(fault="timeout", detail=late)
    if isinstance(e, groq.APIStatusError):
        return _fault_of_status(e.status_code, e.response.headers)
    if isinstance(e, groq.APIConnectionError) and not isinstance(e.__cause__, httpx.DecodingError):
        return NoAnswer(fault="unreachable", detail=f"Groq does not answer: {type(e.__cause__ or e).__name__}")
    return NoAnswer(fault="broken_answer", detail="Groq answers what cannot be read")


def _fault_of_status(status: int, headers: httpx.Headers) -> NoAnswer:
    if status == httpx.codes.TOO_MANY_REQUESTS:
        pause = _pause_of(headers)
        return NoAnswer(
            fault="rate_limited", detail=f"Groq asks to be left alone for {pause:.0f} s", pause_seconds=pause
        )
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        pause = _pause_of(headers) if "retry-after" in headers else 0.0
        return NoAnswer(fault="server_error", detail=f"Groq answers {status}", pause_seconds=pause)
    return NoAnswer(fault="rejected", detail=f"Groq rejects the request or the key with {status}")


def _pause_of(headers: httpx.Headers) -> float:
    """What `Retry-After` asks for: seconds or a date, of which only the server's own clock is believed."""
    told = headers.get("retry-after", "")
    try:
        seconds = float(told)
    except ValueError:
        seconds = _seconds_between(headers.get("date", ""), told)
    if not seconds >= 0:  # NaN fails this too
        return UNTOLD_PAUSE_SECONDS
    return min(max(seconds, 1.0), LONGEST_PAUSE_SECONDS)


def _seconds_between(since: str, until: str) -> float:
    try:
        return (email.utils.parsedate_to_datetime(until) - email.utils.parsedate_to_datetime(since)).total_seconds()
    except (TypeError, ValueError):
        return float("nan")
