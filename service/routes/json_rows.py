"""The rows of a JSON body one by one, up to the first that is one too many: what follows is not even looked at.

`json.loads` makes an object of every element before anybody can count them: eight megabytes of `{},{},…` hold the event
loop for a second. Here a row is found, given out as it stands in the body, and only then is the next one looked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from bentos.errors import InvalidRequest, Problem, shown
from service.http.problems import MALFORMED, HttpRefusal
from service.routes.bodies import deep_place, read_int

ROW_LIMIT_CHARACTERS = 64 * 1024
_MOST_KEYS = 20
_OTHER_CHARACTERS = 4096
"""Of a key, and of what stands beside the list."""
_FIRST_LOOK = 4096
_SPACE = re.compile(r"[ \t\n\r]{0,65536}")
_scan = json.JSONDecoder(parse_int=read_int).scan_once  # type: ignore[attr-defined]


class JsonRows:
    """Walks once through an object such as `{"rows": [row, …], "purpose": "test"}`.

    Attributes:
        has_rows: Whether the list was found; known when the walk is over.
        others: What else the object holds, by key; whole when the walk is over.
    """

    def __init__(self, body: bytes, name: str, *, most: int) -> None:
        """Get ready to walk.

        Args:
            body: JSON.
            name: The key of the list.
            most: How many rows it may hold.

        Raises:
            HttpRefusal: It is no UTF-8.
        """
        self.has_rows = False
        self.others: dict[str, Any] = {}
        self._name = name
        self._most = most
        try:
            self._text = body.decode()
        except UnicodeDecodeError as e:
            raise HttpRefusal(MALFORMED, f"the body is no JSON: {e}") from e

    def __iter__(self) -> Iterator[bytes]:
        """Each row as it stands in the body.

        Raises:
            HttpRefusal: The body is no JSON, or names one key twice.
            InvalidRequest: The body is no object, or what should be the list is none, or it has too many rows.
        """
        at = self._skip(0)
        if self._at(at) != "{":
            raise self._no_object(at)
        at = self._skip(at + 1)
        if self._at(at) == "}":
            self._end(at + 1)
            return
        while True:
            key, at = self._key(at)
            if key == self._name:
                at = yield from self._rows(at)
            else:
                at = self._other(key, at)
            at = self._skip(at)
            if self._at(at) == "}":
                self._end(at + 1)
                return
            at = self._skip(self._expect(",", at))

    def _rows(self, at: int) -> Generator[bytes, None, int]:
        if self._at(at) != "[":
            found = shown(self._value(at)[0])
            raise InvalidRequest("body", [Problem(self._name, found, self._wanted())])
        self.has_rows = True
        at, count = self._skip(at + 1), 0
        if self._at(at) == "]":
            raise InvalidRequest("body", [Problem(self._name, "[]", self._wanted())])
        while True:
            if count == self._most:
                raise InvalidRequest("body", [Problem(self._name, f"a list of more than {count}", self._wanted())])
            _, end = self._value(at, place=f"row {count}: ")
            yield self._text[at:end].encode()
            at, count = self._skip(end), count + 1
            if self._at(at) == "]":
                return at + 1
            at = self._skip(self._expect(",", at))

    def _key(self, at: int) -> tuple[str, int]:
        self._expect('"', at)
        try:
            key, end = scanstring(self._text[at : at + _OTHER_CHARACTERS], 1)
        except ValueError as e:
            reason = f"there is no key of at most {_OTHER_CHARACTERS:,} characters at character {at}: {str(e)[:200]}"
            raise HttpRefusal(MALFORMED, f"the body is no JSON: {reason}") from e
        at += end
        if key in self.others or (key == self._name and self.has_rows):
            raise HttpRefusal(MALFORMED, f"the body names {key[:80]!r} twice")
        if len(self.others) == _MOST_KEYS:
            wanted = f"an object with {self._name!r}"
            raise InvalidRequest("body", [Problem("body", f"an object with more than {_MOST_KEYS} keys", wanted)])
        return key, self._skip(self._expect(":", self._skip(at)))

    def _other(self, key: str, at: int) -> int:
        self.others[key], at = self._value(at, place=f"{key[:80]!r}: ", most=_OTHER_CHARACTERS)
        return at

    def _value(self, at: int, *, place: str = "", most: int = ROW_LIMIT_CHARACTERS) -> tuple[Any, int]:
        """A value and where it ends; a part of the text is looked at, as a value that is larger is refused anyway."""
        for length in (_FIRST_LOOK, most) if most > _FIRST_LOOK else (most,):
            try:
                value, end = _scan(self._text[at : at + length], 0)
            except RecursionError as e:
                deep = f"{place}it is nested too deeply{deep_place(self._text[at : at + length])}"
                raise HttpRefusal(MALFORMED, f"the body is no JSON that is read: {deep}") from e
            except (StopIteration, ValueError) as e:
                reason = str(e)[:200] if isinstance(e, ValueError) else type(e).__name__
            else:
                if end < length or not isinstance(value, int | float):
                    return value, at + end
                reason = "a number is too long"  # of which only the beginning was looked at
        if len(self._text) - at > most:
            raise HttpRefusal(MALFORMED, f"{place}there is no JSON value of at most {most} characters at {at}")
        raise HttpRefusal(MALFORMED, f"the body is no JSON: {place}{reason} (counted from character {at})")

    def _wanted(self) -> str:
        return f"a list of 1 to {self._most:,}"

    def _no_object(self, at: int) -> HttpRefusal | InvalidRequest:
        if at == len(self._text):
            return HttpRefusal(MALFORMED, "the body is no JSON: it is empty")
        value, end = self._value(at)
        self._end(end)
        return InvalidRequest("body", [Problem("body", shown(value), f"an object with {self._name!r}")])

    def _end(self, at: int) -> None:
        if self._skip(at) != len(self._text):
            raise HttpRefusal(MALFORMED, f"the body is no JSON: extra data at character {at}")

    def _expect(self, character: str, at: int) -> int:
        if self._at(at) != character:
            raise HttpRefusal(MALFORMED, f"the body is no JSON: {character!r} is missing at character {at}")
        return at + 1

    def _at(self, at: int) -> str:
        return self._text[at : at + 1]

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return at if found is None else found.end()
