"""Scoring's HTTP API as the console asks it: with its own key, in bounded time, and never more than asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from bentos.errors import BadInput, InvalidSetting, NotFound, Refused, Unavailable
from service.console.settings import ConsoleSettings

ANSWER_LIMIT_BYTES = 8 * 1024 * 1024


class ServiceClient:
    """Scoring over HTTP. Safe for several threads.

    Attributes:
        url: Where it answers.
    """

    def __init__(self, settings: ConsoleSettings, transport: httpx.BaseTransport | None = None) -> None:
        """Connect to nobody yet.

        Args:
            settings: Of this process.
            transport: Takes the network's place.
        """
        self.url = settings.service_url.rstrip("/")
        self._key_file = settings.service_key_file
        self._client = httpx.Client(
            timeout=settings.service_timeout_seconds, trust_env=False, follow_redirects=False, transport=transport
        )

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask something of a route.

        Raises:
            BadInput: It refused what was asked; the message is its own.
            Refused: It must not be asked this: the console's key is missing, not known, or has too few scopes.
            Unavailable: It does not answer, or not with an object.
        """
        return self._ask("POST", path, body)

    def get(self, path: str, *, seconds: float | None = None) -> dict[str, Any]:
        """Read a route; raises as `post`.

        Args:
            path: Of the route.
            seconds: How long the answer may take; None: as the settings say.
        """
        return self._ask("GET", path, None, seconds)

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float | None = None
    ) -> dict[str, Any]:
        timeout = httpx.USE_CLIENT_DEFAULT if seconds is None else httpx.Timeout(seconds)
        try:
            answer = self._client.request(method, self.url + path, json=body, headers=self._headers(), timeout=timeout)
            said = answer.json()
        except httpx.HTTPError as e:
            raise Unavailable(f"scoring at {self.url} does not answer: {str(e) or type(e).__name__}") from e
        except ValueError as e:
            raise Unavailable(f"scoring at {self.url} answers {path} with something that is no JSON") from e
        if not isinstance(said, dict):
            raise Unavailable(f"scoring at {self.url} answers {path} with no object")
        if answer.status_code >= 300:
            raise _error_of(answer.status_code, said, path)
        return said

    def _headers(self) -> dict[str, str]:
        if self._key_file is None:
            return {}
        try:
            key = self._key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as e:
            raise InvalidSetting(f"GAUNTLET_CONSOLE_SERVICE_KEY_FILE cannot be read: {e}") from e
        return {"Authorization": f"Bearer {key}"}


def _error_of(status: int, said: Mapping[str, Any], path: str) -> Exception:
    """A problem document as one of ours."""
    detail = str(said.get("detail") or said.get("title") or f"status {status}")[:1000]
    if status in (401, 403):
        return Refused(f"scoring does not let the console ask {path}: {detail} (GAUNTLET_CONSOLE_SERVICE_KEY_FILE)")
    if status == 404:
        return NotFound(detail)
    if status in (400, 413, 422):
        return BadInput(detail)
    if status == 409:
        return Refused(detail)
    return Unavailable(f"scoring answers {path} with {status}: {detail}")
