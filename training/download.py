"""Fetching a public file once: its digest decides whether it is kept."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bentos.artifact import write_beside
from bentos.errors import Unavailable
from training.use_case import Download

_TIMEOUT_SECONDS = 30
_LARGEST_BYTES = 1 << 30


class _StaysTrusted(urllib.request.HTTPRedirectHandler):
    """Follows to https, and within one host: not to where anybody on the way could change the data."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request that follows, by urllib's own rules where it may be made."""
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if after.scheme != "https" and (before.scheme, before.hostname) != (after.scheme, after.hostname):
            raise urllib.error.URLError(f"it leads on to {after.scheme}://{after.hostname}; that must be https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_opener = urllib.request.build_opener(_StaysTrusted)


def fetch(download: Download, path: Path) -> Path:
    """Give the file, from its place on disk if it is there with the right digest, else from the network.

    Raises:
        Unavailable: It cannot be fetched, or its bytes are not those that the use case names; nothing is kept then.
    """
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == download.sha256:
        return path
    content = get(download.url)
    found = hashlib.sha256(content).hexdigest()
    if found != download.sha256:
        raise Unavailable(f"{download.url} gave other bytes than expected: sha256 {found}, not {download.sha256}")
    write_beside(path, content)
    return path


def get(url: str) -> bytes:
    """What lies at an http(s) URL, of which the caller has checked that it is one.

    Raises:
        Unavailable: It cannot be fetched, or is larger than a gibibyte. The message holds no query, which may sign.
    """
    told = url.partition("?")[0]
    try:
        with _opener.open(url, timeout=_TIMEOUT_SECONDS) as answer:
            content = bytes(answer.read(_LARGEST_BYTES + 1))
    except (urllib.error.URLError, HTTPException, OSError) as e:
        if isinstance(e, urllib.error.HTTPError):
            e.close()
        raise Unavailable(f"{told} cannot be fetched ({e}); fetch it yourself and name the file") from e
    if len(content) > _LARGEST_BYTES:
        raise Unavailable(f"{told} is larger than 1 GiB; fetch it yourself and name the file")
    return content
