"""Data that lies elsewhere: at a URL, or in a database. What is said of a source never holds what opens it."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pandas as pd

from bentos.errors import InvalidSetting, NotFound, Unavailable

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

PASSWORD_FILE = "GAUNTLET_DATA_PASSWORD_FILE"  # noqa: S105
_WEB = ("http", "https")
_DATABASES = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "sqlite": "sqlite",
}
ALLOWED = (
    "a file, https://HOST/PATH.parquet (or .csv; http:// on this machine alone), or with a query "
    "postgresql://USER@HOST/DATABASE or sqlite:///FILE"
)


def is_elsewhere(source: str) -> bool:
    """Whether a source is a URL and not a file."""
    return "://" in source


def is_database(source: str) -> bool:
    """Whether a source is a database, of which a query must say what is meant.

    Raises:
        InvalidSetting: It is a URL of neither kind, or one by which anybody on the way could change the data.
    """
    scheme = source.partition("://")[0]
    if scheme not in (*_WEB, *_DATABASES):
        raise InvalidSetting(f"data is {scheme}://...; it must be {ALLOWED}")
    if scheme in _WEB and "@" in source.partition("://")[2].partition("/")[0]:
        raise InvalidSetting(
            "the URL of the data holds a user's name or password; it must be a signed link, or an open one"
        )
    if scheme in _WEB and not _is_trusted(source):
        raise InvalidSetting(f"data is {scheme}://...; it must be {ALLOWED}")
    return scheme in _DATABASES


def _is_trusted(url: str) -> bool:
    """Whether a web URL names a host, and one that is reached by TLS or is this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # which is read here as it raises where it is no number
    except ValueError:
        return False
    if not host or parts.scheme == "https":
        return bool(host)
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def told_of(source: str) -> str:
    """A URL as it may stand in reports: without password, and without a query, which signs where a link is signed."""
    parts = urlsplit(source)
    place = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    return f"{parts.scheme}://{place}{parts.path}"


def query_database(source: str, query: str | None) -> pd.DataFrame:
    """What a query answers, in a transaction that cannot write.

    Args:
        source: `postgresql://USER@HOST:PORT/DATABASE`, or `sqlite:///FILE`. The password stands in the file that
            GAUNTLET_DATA_PASSWORD_FILE names.
        query: SQL.

    Raises:
        InvalidSetting: There is no query, the URL holds a password, or the password's file cannot be read.
        NotFound: There is no such SQLite file.
        Unavailable: The database does not answer, or not this query.
    """
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError

    if not query:
        raise InvalidSetting(f"{told_of(source)} is a database; --query must say which rows are meant")
    engine = sa.create_engine(_address(source), poolclass=sa.NullPool)
    is_postgresql = engine.dialect.name == "postgresql"
    try:
        with engine.connect().execution_options(**({"postgresql_readonly": True} if is_postgresql else {})) as database:
            if not is_postgresql:
                database.exec_driver_sql("PRAGMA query_only = ON")
            return pd.read_sql_query(sa.text(query), database)
    except (SQLAlchemyError, pd.errors.DatabaseError) as e:
        original = getattr(e.__cause__ or e, "orig", None)
        why = " ".join(str(original or e).split())[:300]
        raise Unavailable(f"{told_of(source)} did not answer the query: {why}") from e


def _address(source: str) -> URL:
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError

    try:
        url = sa.make_url(source)
    except SQLAlchemyError as e:
        raise InvalidSetting(f"data is no URL of a database; it must be {ALLOWED}") from e
    if url.password is not None:
        raise InvalidSetting(f"the URL of the data holds a password; put it into a file that {PASSWORD_FILE} names")
    url = url.set(drivername=_DATABASES[url.drivername])
    if url.drivername == "sqlite":
        if not url.database or not Path(url.database).is_file():
            raise NotFound(f"there is no database {url.database}")
        return url
    named = os.environ.get(PASSWORD_FILE)
    if not named:
        return url
    try:
        return url.set(password=Path(named).read_text(encoding="utf-8").rstrip("\n"))
    except (OSError, UnicodeDecodeError) as e:
        raise InvalidSetting(f"{PASSWORD_FILE} names {named}, which cannot be read: {e}") from e
