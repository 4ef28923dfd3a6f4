"""Fetching a public file once: its digest decides whether it is kept."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from bentos.artifact import write_beside
from bentos.errors import Unavailable
from training.use_case import Download

_TIMEOUT_SECONDS = 30
_LARGEST_BYTES = 1 << 30


def fetch(download: Download, path: Path) -> Path:
    """Give the file, from its place on disk if it is there with the right digest, else from the network.

    Raises:
        Unavailable: It cannot be fetched, or its bytes are not those that the use case names; nothing is kept then.
    """
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == download.sha256:
        return path
    content = _get(download.url)
    found = hashlib.sha256(content).hexdigest()
    if found != download.sha256:
        raise Unavailable(f"{download.url} gave other bytes than expected: sha256 {found}, not {download.sha256}")
    write_beside(path, content)
    return path


def _get(url: str) -> bytes:
    try:
        # The scheme was checked to be http(s) when the use case was read.
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return bytes(answer.read(_LARGEST_BYTES))
    except (urllib.error.URLError, HTTPException, OSError) as e:
        raise Unavailable(f"{url} cannot be fetched ({e}); fetch it yourself and name the file") from e
