"""YAML as every file of people's own is read: plain types, each key once, and one kind of error whatever is wrong.

Aliases and tags are refused: nobody needs them here, and a few kilobytes of aliases are gigabytes when they are read.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 1024 * 1024
_DEEPEST = 50
_MOST_DIGITS = 400
"""Of a number: what has more is no number that anything here could be, and thousands cannot even be printed."""

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where it is installed: a tenth of the time."""


class _StrictLoader(_Loader):  # type: ignore[misc, valid-type]  # either has the same methods
    """YAML's plain types; a key that is written twice is an error, as the first would be lost in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping whose keys are all different."""
        seen: set[Any] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key.value, str) else str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} is written twice", node.start_mark
                )
            seen.add(name)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        """A scalar whose text can be encoded."""
        found = super().construct_scalar(node)
        if isinstance(found, str) and any("\ud800" <= character <= "\udfff" for character in found):
            raise yaml.constructor.ConstructorError(None, None, "half a surrogate pair is no text", node.start_mark)
        if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and len(node.value) > _MOST_DIGITS:
            raise yaml.constructor.ConstructorError(None, None, "a number is too long", node.start_mark)
        return found


def load_yaml(content: bytes | str) -> Any:
    """Read one YAML document.

    Raises:
        yaml.YAMLError: It is none, is larger than `MOST_BYTES`, names a key twice, uses an alias or a tag, holds a date
            that no calendar has or a number of very many digits, or is nested too deeply.
    """
    if len(content) > MOST_BYTES:
        raise yaml.YAMLError(f"it is larger than {MOST_BYTES:,} bytes")
    try:
        _check_events(content)
        return yaml.load(content, Loader=_StrictLoader)  # noqa: S506  # a subclass of SafeLoader
    except yaml.YAMLError:
        raise
    except RecursionError as e:
        raise yaml.YAMLError("it is nested too deeply") from e
    except ValueError as e:  # UnicodeDecodeError is one, and so is 30 February
        raise yaml.YAMLError(str(e)) from e
    except Exception as e:  # the loader raises what its conversions raise: OverflowError of 1:1:1:…:1.0
        raise yaml.YAMLError(f"a value cannot be read: {e}") from e


def read_file(path: Path) -> bytes:
    """The bytes of a file for `load_yaml`.

    Raises:
        FileNotFoundError: There is none.
        yaml.YAMLError: It is no regular file, or is larger than `MOST_BYTES`.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # to open a pipe is to wait for whoever writes to it
        raise yaml.YAMLError("it is no file that can be read; it must be a regular one, or a link to one")
    if found.st_size > MOST_BYTES:
        raise yaml.YAMLError(f"it has {found.st_size:,} bytes; {MOST_BYTES:,} are allowed")
    return path.read_bytes()


def dump_yaml(plain: Any) -> bytes:
    """One YAML document as `load_yaml` reads it, keys in their order."""
    return yaml.dump(plain, Dumper=_PlainDumper, sort_keys=False).encode()


class _PlainDumper(yaml.SafeDumper):
    """Writes what stands in two places twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """Of everything."""
        del data
        return True


def _check_events(content: bytes | str) -> None:
    """Look through the document without building anything of it.

    Raises:
        yaml.YAMLError: It uses an alias or a tag, or is nested too deeply.
    """
    depth = 0
    for event in yaml.parse(content, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"aliases such as *{event.anchor} are not read; write the value out{_at(event)}")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise yaml.YAMLError(f"it is nested too deeply{_at(event)}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise yaml.YAMLError(f"tags such as {tag} are not read; write the plain value{_at(event)}")


def _at(event: yaml.Event) -> str:
    return f", in line {event.start_mark.line + 1}" if event.start_mark is not None else ""
