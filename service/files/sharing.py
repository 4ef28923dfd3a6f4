"""Which rows of a file one process scores: shard i of n, counted from 0 as Kubernetes counts an Indexed Job's pods."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bentos.errors import InvalidSetting

MOST_SHARDS = 99_999
"""The names of parts have five digits."""

_SHARD = re.compile(r"(\$?\w+)/(\d{1,6})", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """One of several equal shares of a file's rows.

    Attributes:
        index: Which one, from 0.
        count: How many there are.
    """

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def rows_of(self, total: int) -> tuple[int, int]:
        """The half-open range of rows that this shard scores; the shards' ranges follow one another.

        >>> [Shard(index, 3).rows_of(8) for index in range(3)]
        [(0, 2), (2, 5), (5, 8)]
        """
        return total * self.index // self.count, total * (self.index + 1) // self.count


def parse_shard(text: str, environment: Mapping[str, str]) -> Shard:
    """Read `INDEX/COUNT`, where INDEX may be the name of an environment variable: `$JOB_COMPLETION_INDEX/8`.

    Args:
        text: What was given.
        environment: Where a named index is looked up.

    Raises:
        InvalidSetting: It has another form, names an unset variable, or the index is not below the count.

    >>> parse_shard("$JOB_COMPLETION_INDEX/8", {"JOB_COMPLETION_INDEX": "3"})
    Shard(index=3, count=8)
    """
    form = _SHARD.fullmatch(text)
    if form is None:
        raise InvalidSetting(f"--shard is {text!r}; it must be INDEX/COUNT such as 0/8, the index counted from 0")
    index, count = form.group(1), int(form.group(2))
    if index.startswith("$"):
        if index[1:] not in environment:
            raise InvalidSetting(f"--shard is {text!r}, and the environment has no {index[1:]}")
        index = environment[index[1:]]
    if not (index.isascii() and index.isdigit()):
        raise InvalidSetting(f"--shard is {text!r}; its index is {index[:80]!r} and must be a whole number from 0")
    if not 1 <= count <= MOST_SHARDS or int(index) >= count:
        raise InvalidSetting(
            f"--shard is {int(index)}/{count}; the count must be from 1 to {MOST_SHARDS} and the index below it, from 0"
        )
    return Shard(int(index), count)
