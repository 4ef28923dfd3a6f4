"""The Secrets of an installation, made at random and once: what `gauntlet secrets | kubectl create -f -` creates.

Nothing has a default password. The API server refuses to create them a second time, so no key is replaced by chance.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any

from service.http.keys import SCOPES, key_line, make_key
from service.prediction_log.tombstones import KEY_BYTES

_NAME = "app.kubernetes.io/name"


def make_secrets(namespace: str, client: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Make the Secrets of a new installation.

    Args:
        namespace: Where they are to be.
        client: The name of the first client, which gets a key of each scope.

    Returns:
        The Secrets as manifests, and the client's keys by scope. The API keys' Secret holds their SHA-256 alone, so
        whoever calls must hand the keys themselves on.

    Raises:
        InvalidSetting: The client's name is not what it must be.
    """
    keys = {scope: make_key() for scope in SCOPES}
    lines = {scope: f"{key_line(key, client)}\n".encode() for scope, key in keys.items()}
    return [
        _secret(namespace, "gauntlet-api-keys", lines),
        _secret(namespace, "gauntlet-database", {"password": secrets.token_urlsafe(32).encode()}),
        _secret(namespace, "gauntlet-tombstone", {"key": secrets.token_bytes(KEY_BYTES)}),
    ], {str(scope): key for scope, key in keys.items()}


def _secret(namespace: str, name: str, content: Mapping[Any, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {_NAME: "gauntlet"}},
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in content.items()},
    }
