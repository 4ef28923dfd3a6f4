"""The Secrets of an installation, made at random and once: what `gauntlet secrets | kubectl create -f -` creates.

Beside them the ConfigMap `gauntlet-trust`: the public half of the key that signs blessings, and a list of those that
were taken back, which is empty. No overlay holds it, so that no apply resets it.

Nothing has a default password. The API server refuses to create them a second time, so no key is replaced by chance.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any

from bentos.artifact import new_keys
from bentos.revocations import no_revocations
from service.http.keys import SCOPES, Scope, key_line, make_key
from service.prediction_log.tombstones import KEY_BYTES

_NAME = "app.kubernetes.io/name"

_CONSOLE = "console"
_CONSOLE_MAY: tuple[Scope, ...] = ("score", "outcomes")
"""What the console asks of scoring: what-ifs, explanations, drafts; a treatment where an operator records one."""

TRUST_KEY, TRUST_REVOKED = "blessing.pub", "revocations.json"
"""What the ConfigMap `gauntlet-trust` holds: by whom blessings must be signed, and which were taken back."""


def make_secrets(namespace: str, client: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Make the Secrets of a new installation.

    Args:
        namespace: Where they are to be.
        client: The name of the first client, which gets a key of each scope.

    Returns:
        The Secrets as manifests, with the ConfigMap that says whose blessings count, and the client's keys by scope.
        The API keys' Secret holds their SHA-256 alone, so whoever calls must hand the keys themselves on.

    Raises:
        InvalidSetting: The client's name is not what it must be.
    """
    keys = {scope: make_key() for scope in SCOPES}
    console = make_key()
    lines = {scope: f"{key_line(key, client)}\n" for scope, key in keys.items()}
    for scope in _CONSOLE_MAY:
        lines[scope] += f"{key_line(console, _CONSOLE)}\n"
    private, public, _ = new_keys()
    trust = {TRUST_KEY: public.decode(), TRUST_REVOKED: no_revocations().decode()}
    return [
        _secret(namespace, "gauntlet-api-keys", {scope: text.encode() for scope, text in lines.items()}),
        _secret(namespace, "gauntlet-blessing-key", {"key.pem": private}),
        _secret(namespace, "gauntlet-console", {"api-key": console.encode(), "session-key": secrets.token_bytes(64)}),
        _secret(namespace, "gauntlet-database", {"password": secrets.token_urlsafe(32).encode()}),
        _secret(namespace, "gauntlet-tombstone", {"key": secrets.token_bytes(KEY_BYTES)}),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(namespace, "gauntlet-trust"), "data": trust},
    ], {str(scope): key for scope, key in keys.items()}


def _metadata(namespace: str, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "labels": {_NAME: "gauntlet"}}


def _secret(namespace: str, name: str, content: Mapping[Any, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(namespace, name),
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in content.items()},
    }
