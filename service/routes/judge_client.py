"""Asking the judge what it says of the experiment: bounded in time, and never a reason for scoring to fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bentos.errors import Unavailable

if TYPE_CHECKING:
    import httpx

PATH = "/v1/experiment"


class JudgeClient:
    """The judge over HTTP.

    Attributes:
        url: Where it answers.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self.url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._client: httpx.AsyncClient | None = None

    async def ask(self, headers: Mapping[str, str]) -> dict[str, Any]:
        """What the judge says of the experiment.

        Args:
            headers: By which the request can be followed.

        Raises:
            Unavailable: It does not answer in time, or answers something else.
        """
        import asyncio

        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=self._timeout_seconds, trust_env=False)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._client.get(self.url + PATH, headers=headers)
            response.raise_for_status()
            said = response.json()
        except (httpx.HTTPError, TimeoutError, ValueError) as e:
            raise Unavailable(f"the judge at {self.url} does not answer: {str(e) or type(e).__name__}") from e
        if not isinstance(said, dict):
            raise Unavailable(f"the judge at {self.url} answers no object")
        return said

    async def close(self) -> None:
        """Let go of its connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
