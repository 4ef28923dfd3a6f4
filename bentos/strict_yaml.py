"""YAML as every file of people's own is read: plain types, each key once, and one kind of error whatever is wrong."""

from __future__ import annotations

from typing import Any

import yaml


class _StrictLoader(yaml.SafeLoader):
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
        return super().construct_mapping(node, deep)


def load_yaml(content: bytes | str) -> Any:
    """Read one YAML document.

    Raises:
        yaml.YAMLError: It is none, names a key twice, holds a date that no calendar has, or is nested too deeply.
    """
    try:
        return yaml.load(content, Loader=_StrictLoader)  # noqa: S506  # a subclass of SafeLoader
    except RecursionError as e:
        raise yaml.YAMLError("it is nested too deeply") from e
    except ValueError as e:  # UnicodeDecodeError is one, and so is 30 February
        raise yaml.YAMLError(str(e)) from e
