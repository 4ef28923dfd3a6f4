"""Puts what a bench printed into README.md: `python -m tests.bench.NAME | python -m tests.bench.readme NAME`.

A result stands between `<!-- NAME -->` and `<!-- /NAME -->`. Nothing is replaced where the bench printed nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

README = Path(__file__).with_name("README.md")


def replace_result(text: str, name: str, result: str) -> str:
    """The text with another result.

    Raises:
        ValueError: The text has no place for it, or there is no result.

    >>> replace_result("a <!-- x -->old<!-- /x --> b", "x", "new")
    'a <!-- x -->\\nnew\\n<!-- /x --> b'
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(begin)
    old, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"there is no place between {begin} and {end}")
    if not result.strip():
        raise ValueError(f"the bench {name} printed nothing; {len(old.splitlines())} lines of an earlier run stay")
    return f"{before}{begin}\n{result.strip()}\n{end}{after}"


def main(arguments: Sequence[str]) -> int:
    """Read a result from stdin, show it, and keep it. Exit code 2 where there is no place or no result."""
    (name,) = arguments
    result = sys.stdin.read()
    sys.stdout.write(result)
    try:
        README.write_text(replace_result(README.read_text(), name, result))
    except ValueError as e:
        sys.stderr.write(f"{e}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
