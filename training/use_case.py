"""The use case file: a contract, and where the data that it describes comes from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from bentos.artifact import Contract, check_contract
from bentos.errors import InvalidContract, NotFound
from bentos.strict_yaml import load_yaml

T = TypeVar("T", bound=msgspec.Struct)

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SOURCE_KEYS = ("source", "downloads")


class Generator(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="generator", forbid_unknown_fields=True
):
    """An embedded generator of synthetic rows, by name."""

    name: str


class Bundled(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="sklearn", forbid_unknown_fields=True):
    """A data set that ships inside scikit-learn: `name` is what follows `sklearn.datasets.load_`."""

    name: str


class Download(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public file.

    Attributes:
        url: Where it is.
        sha256: Its digest, 64 hexadecimal digits; other bytes are refused.
    """

    url: str
    sha256: str


class Sources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a use case's data comes from.

    Attributes:
        source: What is read when no data is named; None: data must be named.
        downloads: Public files by the name that `--data` takes.
    """

    source: Generator | Bundled | None = None
    downloads: dict[str, Download] = {}


class UseCase(msgspec.Struct, frozen=True, kw_only=True):
    """What is predicted, from what, and where the data comes from.

    Attributes:
        contract: What becomes the artifact's `contract.json`.
        source: What is read when no data is named.
        downloads: Public files by name.
    """

    contract: Contract
    source: Generator | Bundled | None = None
    downloads: dict[str, Download] = {}


def load_use_case(path: Path) -> UseCase:
    """Read a use case file.

    Raises:
        NotFound: There is no such file.
        InvalidContract: It cannot be read, has an unknown or missing key, or contradicts itself.
    """
    try:
        raw = load_yaml(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError) as e:
        raise NotFound(f"there is no use case file {path}") from e
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise InvalidContract(f"{path} is no YAML: {' '.join(str(e).split())}") from e
    if not isinstance(raw, dict):
        raise InvalidContract(f"{path} must hold a mapping with the keys {_keys_of(Contract)}")
    return _use_case_of(raw, str(path))


def _use_case_of(raw: dict[str, Any], source: str) -> UseCase:
    body = {key: value for key, value in raw.items() if key not in _SOURCE_KEYS}
    contract = _converted(body, Contract, source)
    check_contract(contract, source)
    sources = _converted({key: raw[key] for key in _SOURCE_KEYS if key in raw}, Sources, source)
    for name, download in sources.downloads.items():
        if not _SHA256.fullmatch(download.sha256):
            raise InvalidContract(f"{source}: downloads.{name}.sha256 must be 64 hexadecimal digits in lower case")
        if not download.url.startswith(("https://", "http://")):
            raise InvalidContract(f"{source}: downloads.{name}.url must begin with https:// or http://")
    return UseCase(contract=contract, source=sources.source, downloads=sources.downloads)


def _converted(raw: dict[str, Any], kind: type[T], source: str) -> T:
    try:
        return msgspec.convert(raw, type=kind)
    except msgspec.ValidationError as e:
        hint = '; quote words such as "Yes" and "No", which YAML takes for true and false' if "`bool`" in str(e) else ""
        known = f"; the keys here are {_keys_of(kind)}" if "unknown field" in str(e) and " at " not in str(e) else ""
        raise InvalidContract(f"{source}: {_with_plain_path(str(e))}{hint}{known}") from e


def _with_plain_path(message: str) -> str:
    """The message with `$.features[3].maximum` written as people write them."""
    return message.replace("`$.", "`").replace("Object", "it", 1)


def _keys_of(kind: type[msgspec.Struct]) -> str:
    return ", ".join(field.name for field in msgspec.structs.fields(kind)) + (
        ", source, downloads" if kind is Contract else ""
    )
