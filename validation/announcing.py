"""A PASS is announced to whoever builds images: one POST, as GitHub's `repository_dispatch` and any webhook take it."""

from __future__ import annotations

import os
import time
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from bentos.errors import InvalidSetting, Unavailable
from validation.gate.report import GateReport

URL = "GAUNTLET_ON_PASS_URL"
TOKEN_FILE = "GAUNTLET_ON_PASS_TOKEN_FILE"  # noqa: S105
EVENT = "gauntlet-gate-passed"

_SECONDS = 10.0
_WAITS = (1.0, 5.0)
"""Before the second and the third try."""


def check_setting() -> None:
    """Whether a PASS could be announced, asked before the gate works for minutes.

    Raises:
        InvalidSetting: The setting names no URL, or its token cannot be read.
    """
    url = os.environ.get(URL)
    if not url:
        return
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidSetting(f"{URL} must be http://HOST/... or https://HOST/...")
    _token()


def announce_pass(report: GateReport, *, waits: tuple[float, ...] = _WAITS) -> str | None:
    """Tell of a PASS, three times at most; does nothing for another verdict, or where no URL is set.

    Returns:
        Whom it was told (the host alone: a webhook's path is often its secret); None where nobody was to be told.

    Raises:
        Unavailable: Nobody took it. The verdict stands all the same.
    """
    url = os.environ.get(URL)
    if not url or report.verdict != "PASS":
        return None
    host = urlsplit(url).hostname or ""
    for wait in (*waits, None):
        try:
            _post(url, _body_of(report))
        except (OSError, HTTPException) as e:
            if isinstance(e, HTTPError):
                e.close()  # it is the answer too
            if isinstance(e, HTTPError) and e.code < 500 and e.code not in (408, 429):
                raise Unavailable(f"{URL}: {host} refused the PASS with status {e.code}") from e
            if wait is None:
                raise Unavailable(f"{URL}: {host} did not take the PASS: {_why(e)}") from e
            time.sleep(wait)
        else:
            break
    return host


def _why(error: Exception) -> str:
    return f"status {error.code}" if isinstance(error, HTTPError) else type(error).__name__


def _body_of(report: GateReport) -> bytes:
    blessing = report.blessing
    payload = {
        "name": report.candidate.name,
        "version": report.candidate.version,
        "digest": report.candidate.digest,
        "champion": None if report.champion is None else report.champion.digest,
        "verdict": report.verdict,
        "scope": None if blessing is None else blessing.scope,
        "expires_at": None if blessing is None else blessing.expires_at.isoformat(),
    }
    return msgspec.json.encode({"event_type": EVENT, "client_payload": payload})


def _post(url: str, body: bytes) -> None:
    headers = {"content-type": "application/json", "accept": "application/json", "user-agent": "gauntlet"}
    token = _token()
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    with _open(Request(url, data=body, headers=headers, method="POST"), timeout=_SECONDS):  # noqa: S310
        pass


def _token() -> str | None:
    named = os.environ.get(TOKEN_FILE)
    if not named:
        return None
    try:
        return Path(named).read_text().strip()
    except (OSError, UnicodeDecodeError) as e:
        raise InvalidSetting(f"{TOKEN_FILE}: {named} cannot be read: {e}") from e


class _NoRedirects(HTTPRedirectHandler):
    """A redirect would carry the token to another host."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


_open = build_opener(_NoRedirects()).open
