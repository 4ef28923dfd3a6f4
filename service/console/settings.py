"""Settings of the console process, from environment variables that begin with `GAUNTLET_CONSOLE_`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from bentos.errors import InvalidSetting
from bentos.folder import Folder
from service.settings import LOOPBACK, AbsolutePath


class ConsoleSettings(BaseSettings):
    """What one console is told. Every field is `GAUNTLET_CONSOLE_` and its name in capitals.

    Store and MLflow are named as everywhere: `GAUNTLET_STORE_URL`, `MLFLOW_TRACKING_URI`; else they lie in the folder.
    """

    model_config = SettingsConfigDict(env_prefix="GAUNTLET_CONSOLE_", frozen=True, extra="forbid")

    folder: AbsolutePath
    """The installation's folder; in a container an empty one, where store and MLflow are servers."""

    host: str = "127.0.0.1"
    """The address that it listens on. Loopback unless told otherwise; 0.0.0.0 in a container."""

    port: int = Field(default=3005, ge=0, le=65535)
    """The port that it listens on."""

    threads: int = Field(default=8, ge=1, le=64)
    """How many requests are answered at once; a page asks for several pictures together."""

    service_url: str = Field(default="http://127.0.0.1:3000", pattern=r"^https?://")
    """Where scoring answers, which scores what is typed in and knows the experiment."""

    service_key_file: AbsolutePath | None = None
    """A file with the API key that the console shows to scoring: scopes `score` and `outcomes`, or `admin`. None: no
    key is shown, as scoring on a loopback address asks for none."""

    service_timeout_seconds: float = Field(default=25.0, gt=0, le=120)
    """How long scoring may take; more than the 20 s that scoring itself gives to explanations and e-mails."""

    store_timeout_seconds: float = Field(default=15.0, gt=0, le=300)
    """How long one answer of PostgreSQL may take. One that says nothing for so long is asked by one request at a time
    until it answers, and pages say so meanwhile."""

    model: str | None = None
    """The registered model that the pages are about. None: the registry's only one."""

    policy_file: AbsolutePath | None = None
    """The online policy, which says when an outcome is final. None: `policy.yaml` in `folder`, else the shipped one."""

    authentication: Literal["auto", "on", "off"] = "auto"
    """Whether people must log in: `on`, `off`, or `auto`, which asks unless `host` is a loopback address and neither
    keys nor `trusted_proxies` are there. Who need not log in is an operator."""

    keys_folder: AbsolutePath | None = None
    """The folder of key files, the same as scoring's: a key under `admin` makes an operator, one under `score` may only
    read. None: `keys` in `folder`."""

    session_seconds: int = Field(default=43_200, ge=60)
    """How long a login lasts: a working day. A key that is revoked ends its logins at once."""

    session_key_file: AbsolutePath | None = None
    """A file with at least 32 random bytes by which sessions are signed; every replica needs the same one. None: random
    at each start, so that a restart asks people to log in again. With a file, a copy of a cookie whose owner logged out
    is refused by the process that was told, until that one restarts; taking the key away ends it everywhere."""

    secure_cookie: Literal["auto", "on", "off"] = "auto"
    """Whether browsers send the session over HTTPS only. `auto`: unless `host` is a loopback address without TLS."""

    origins: str = ""
    """Further addresses by which browsers may reach the console, such as https://console.example.org, with spaces
    between. One that equals the request's own Host is always allowed; a proxy that changes Host needs its own here."""

    trusted_proxies: str = ""
    """Addresses of reverse proxies whose word about who asks is taken, with spaces between. Empty: nobody's."""

    proxy_user_header: str = Field(default="X-Forwarded-User", pattern=r"^[A-Za-z0-9-]+$")
    """The header in which a trusted proxy names the person who logged in there (OIDC); it must strip a client's own."""

    proxy_operators: str = ""
    """Those whom a trusted proxy names and who are operators, with spaces between; all others only read."""

    tls_certificate: AbsolutePath | None = None
    """Certificate chain in PEM form, for TLS at this server. None: plain HTTP, as behind an Ingress."""

    tls_key: AbsolutePath | None = None
    """The certificate's private key in PEM form."""

    refresh_seconds: int = Field(default=10, ge=2, le=3600)
    """How often a page that is live asks again."""

    grace_seconds: int = Field(default=10, ge=1)
    """How long a stop waits for requests that are being answered."""

    @property
    def keys_path(self) -> Path:
        """The folder of key files."""
        return self.keys_folder or Folder(self.folder).keys

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine reaches it."""
        return self.host in LOOPBACK

    @property
    def has_secure_cookie(self) -> bool:
        """Whether the session's cookie is for HTTPS only."""
        if self.secure_cookie != "auto":
            return self.secure_cookie == "on"
        return self.tls_certificate is not None or not self.is_loopback


def read_console_settings(**given: Any) -> ConsoleSettings:
    """The settings of this process: what is given here, then the environment, then defaults.

    Raises:
        InvalidSetting: With every variable that is not allowed.
    """
    try:
        return ConsoleSettings(**given)
    except ValidationError as e:
        named = ((".".join(map(str, error["loc"])).upper(), error["msg"]) for error in e.errors())
        raise InvalidSetting("; ".join(f"GAUNTLET_CONSOLE_{name}: {said}" for name, said in named)) from e
