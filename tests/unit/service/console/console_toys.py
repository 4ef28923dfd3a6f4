"""A console in a folder of its own, and browsers' requests to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from service.console.app import make_app
from service.console.settings import ConsoleSettings, read_console_settings
from service.http.keys import add_key

ORIGIN = {"Origin": "http://localhost"}


def settings_in(folder: Path, **given: Any) -> ConsoleSettings:
    """Settings of a console in a folder."""
    return read_console_settings(folder=folder, **given)


def browser(folder: Path, **given: Any) -> FlaskClient:
    """A browser in front of a console."""
    return make_app(settings_in(folder, **given)).server.test_client()


def keys_in(folder: Path) -> dict[str, str]:
    """A key under each scope, by scope."""
    return {scope: add_key(folder / "keys", scope, f"{scope}-person") for scope in ("score", "outcomes", "admin")}


def log_in(client: FlaskClient, key: str) -> Any:
    """What the console says to a key."""
    return client.post("/login", data={"key": key}, headers=ORIGIN)
