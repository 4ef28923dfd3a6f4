"""Where the tracking server is: what `MLFLOW_TRACKING_URI` may name, checked before MLflow tries something else."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from bentos.errors import InvalidSetting, shown

SETTING = "MLFLOW_TRACKING_URI"
ALLOWED = "https://HOST, http://HOST:PORT, postgresql://USER@HOST/DATABASE or sqlite:///FILE"
_DRIVER = "postgresql+psycopg"
"""The one that is installed; of postgresql:// alone SQLAlchemy makes another."""


def tracking_uri_of(environment: Mapping[str, str]) -> str | None:
    """The tracking server of an environment, as MLflow takes it; None where none is named.

    Raises:
        InvalidSetting: What is named can be none. The message holds nothing that comes after a scheme, as a password
            may.

    >>> tracking_uri_of({"MLFLOW_TRACKING_URI": "postgresql://mlflow@db/mlflow"})
    'postgresql+psycopg://mlflow@db/mlflow'
    """
    uri = environment.get(SETTING)
    if not uri:
        return None
    scheme, is_uri, rest = uri.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return uri
    if scheme in ("http", "https", "postgresql", _DRIVER) and _has_host(uri):
        return f"{_DRIVER}://{rest}" if scheme == "postgresql" else uri
    told = f"{scheme[:40]}://..." if is_uri else shown(uri)
    raise InvalidSetting(f"{SETTING} is {told}; it must be {ALLOWED}")


def _has_host(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address, or a port that is no number
        return False
