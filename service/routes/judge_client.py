"""Asking the judge what it says of the experiment: bounded in time, and never a reason for scoring to fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bentos.errors import Unavailable
from service.http.client import HttpClient

PATH = "/v1/experiment"


class JudgeClient:
    """The judge over HTTP.

    Attributes:
        client: Asks it.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        """Connect to nobody yet.

        Args:
            url: Where it answers.
            timeout_seconds: How long one call may take from its beginning to the answer's end.
        """
        self.client = HttpClient("the judge", url, timeout_seconds=timeout_seconds)

    async def ask(self, headers: Mapping[str, str]) -> dict[str, Any]:
        """What the judge says of the experiment.

        Args:
            headers: By which the request can be followed.

        Raises:
            Unavailable: It does not answer in time, or answers something else.
        """
        answer = await self.client.ask("GET", PATH, headers=headers)
        if not 200 <= answer.status < 300:
            raise Unavailable(f"the judge at {self.client.url} answers {answer.status}")
        try:
            return msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as e:
            raise Unavailable(f"the judge at {self.client.url} answers no object") from e

    async def close(self) -> None:
        """Let go of its connections."""
        await self.client.close()
