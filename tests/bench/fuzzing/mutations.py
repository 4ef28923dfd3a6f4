"""Ways to spoil a body: bytes that flip, JSON that lies, numbers that are none. A `Random` decides everything."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

Mutation = Callable[[bytes, random.Random], bytes]

NUMBERS = (
    b"1e400", b"-1e400", b"1E+309", b"5e-324", b"-0", b"-0.0", b"0e0", b"NaN", b"Infinity", b"-Infinity", b"nan", b"01",
    b".5", b"5.", b"0x10", b"1_000", b"+1", b"1e", b"--1", b"9223372036854775807", b"9223372036854775808",
    b"-9223372036854775809", b"18446744073709551616", b"1" + b"0" * 400, b"7" * 4299, b"7" * 4301, b"7" * 20_000,
    b"0." + b"3" * 5000, b"1e" + b"9" * 500, b"3.0", b"1e1", b"0.1e1",
)  # fmt: skip
"""Numbers of JSON that are hard to hold, and some that JSON does not have."""

TEXTS = (
    b'""', b'" "', b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\\uFFFF"', b'"\xff\xfe"',
    b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"a\x00b"', b'"\n"', b'"\\q"', b'"\\u12"', b"'a'", b'"%00"', b'"../.."',
    b'"=1+1"', b'"Ye\xcc\x81s"', b'"\xe2\x80\xae"', b'"__proto__"', b'"' + b"A" * 70_000 + b'"',
    b'"' + b"\\u0041" * 3000 + b'"', b'"' + "😀".encode() * 2000 + b'"', b'"ffffffff-ffff-7fff-bfff-ffffffffffff"',
    b'"00000000-0000-7000-8000-000000000000"', b'"9999-12-31T23:59:59.999999Z"', b'"0001-01-01T00:00:00+23:59"',
    b'"1969-12-31T23:59:59Z"', b'"2024-02-30T12:00:00Z"', b'"2024-07-14T12:00:00"', b'"2024-07-14T24:00:00Z"',
)  # fmt: skip

OTHERS = (
    b"null", b"true", b"false", b"[]", b"{}", b"[[]]", b"[null]", b'{"":null}', b'{"a":{"a":{"a":1}}}', b"",
    b"[" * 500 + b"]" * 500, b"[" * 30_000, b"[" * 30_000 + b"]" * 30_000, b'{"a":' * 500 + b"1" + b"}" * 500,
    b'{"a":' * 10_000, b"[" + b"0," * 5000 + b"0]", b"[" + b"{}," * 3000 + b"{}]", b"/* */1",
)  # fmt: skip

_STRANGE = (
    b"\x00",
    b"\xff",
    b"\xfe\xff",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xc3",
    b"\x7f",
    b"\x1e",
    b"\xef\xbb\xbf",
)
_STRUCTURE = b'{}[]",:\\\n\r '
_MARK = "\x02raw\x03"


def mutate(body: bytes, rng: random.Random) -> tuple[bytes, list[str]]:
    """A body that was spoilt in none to three ways, and which."""
    names: list[str] = []
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2, 3))):
        one = rng.choice(_ALL)
        body = one(body, rng)
        names.append(one.__name__)
    return body, names


def flip_bits(body: bytes, rng: random.Random) -> bytes:
    found = bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if found:
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def truncate(body: bytes, rng: random.Random) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def insert_strange_bytes(body: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(body) + 1)
    return body[:at] + rng.choice(_STRANGE) * rng.choice((1, 1, 3, 100)) + body[at:]


def change_structure(body: bytes, rng: random.Random) -> bytes:
    """Replace, add or take one character of JSON's own."""
    places = [at for at, byte in enumerate(body[:20_000]) if byte in _STRUCTURE]
    at = rng.choice(places) if places else 0
    new = rng.choice((b"", bytes([rng.choice(_STRUCTURE)]), bytes([rng.choice(_STRUCTURE)]) * 2))
    return body[:at] + new + body[at + 1 :]


def cut_a_slice(body: bytes, rng: random.Random) -> bytes:
    first, last = _slice(body, rng)
    return body[:first] + body[last:]


def repeat_a_slice(body: bytes, rng: random.Random) -> bytes:
    first, last = _slice(body, rng)
    times = min(rng.choice((2, 3, 10, 1000)), 1 + 100_000 // max(last - first, 1))
    return body[:first] + body[first:last] * times + body[last:]


def move_a_slice(body: bytes, rng: random.Random) -> bytes:
    first, last = _slice(body, rng)
    rest = body[:first] + body[last:]
    at = rng.randrange(len(rest) + 1)
    return rest[:at] + body[first:last] + rest[at:]


def change_encoding(body: bytes, rng: random.Random) -> bytes:
    text = body.decode("utf-8", "replace")
    return text.encode(rng.choice(("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7", "cp037")), "replace")


def surround(body: bytes, rng: random.Random) -> bytes:
    before, after = rng.choice(
        (
            (b"", body),
            (b" " * 5000, b""),
            (b"", b"\n" * 5000),
            (b"[", b"]"),
            (b")]}',\n", b""),
            (b"", b"\x00"),
            (b"", b",1"),
        )
    )
    return before + body + after


def replace_a_number(body: bytes, rng: random.Random) -> bytes:
    return _replace_token(body, rng, b"0123456789.-", rng.choice(NUMBERS))


def replace_a_value(body: bytes, rng: random.Random) -> bytes:
    """Put something else in the place of one value of the JSON; lines are JSON each."""
    return _change_json(body, rng, lambda parent, key: _put(parent, key, _MARK))


def remove_a_value(body: bytes, rng: random.Random) -> bytes:
    return _change_json(body, rng, _remove)


def add_a_key(body: bytes, rng: random.Random) -> bytes:
    def add(parent: Any, key: Any) -> None:
        if isinstance(parent, dict):
            parent[rng.choice(("extra", "", "features", "rows", "\x00", "é", "k" * 300, "Features", "__class__"))] = (
                _MARK
            )
        else:
            parent.insert(key, _MARK)

    return _change_json(body, rng, add)


def swap_values(body: bytes, rng: random.Random) -> bytes:
    """Give two members of one object or list each other's value."""

    def swap(parent: Any, key: Any) -> None:
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        other = rng.choice(keys)
        parent[key], parent[other] = parent[other], parent[key]

    return _change_json(body, rng, swap)


def name_a_key_twice(body: bytes, rng: random.Random) -> bytes:
    marks = [at for at in range(min(len(body), 20_000)) if body[at : at + 2] == b'":']
    if not marks:
        return body
    end = rng.choice(marks)
    first = body.rfind(b'"', 0, end)
    if first < 0:
        return body
    twin = body[first : end + 2] + rng.choice((b"1,", b"null,", b'"a",', rng.choice(OTHERS) + b","))
    return body[:first] + twin + body[first:]


def grow(body: bytes, rng: random.Random) -> bytes:
    """Many rows, or many lines, of the same."""
    times = rng.choice((10, 100, 1001))
    times = min(times, 1 + 2_000_000 // max(len(body), 1))
    if body.rstrip().endswith(b"}") and body.count(b"\n") > 0:
        return body * times

    def repeat(parent: Any, key: Any) -> None:
        value = parent[key]
        if isinstance(value, list):
            parent[key] = value * times

    return _change_json(body, rng, repeat)


def empty(_body: bytes, rng: random.Random) -> bytes:
    return rng.choice((b"", b" ", b"\n", b"null", b"0", b'""', b"[]", b"{}", b"\x00", b"{", b"\xef\xbb\xbf", *OTHERS))


def _slice(body: bytes, rng: random.Random) -> tuple[int, int]:
    first = rng.randrange(len(body) + 1)
    return first, min(len(body), first + rng.choice((1, 4, 20, 200)))


def _replace_token(body: bytes, rng: random.Random, letters: bytes, new: bytes) -> bytes:
    places = [at for at, byte in enumerate(body[:20_000]) if byte in letters]
    if not places:
        return body
    first = last = rng.choice(places)
    while first > 0 and body[first - 1] in letters:
        first -= 1
    while last < len(body) and body[last] in letters:
        last += 1
    return body[:first] + new + body[last:]


def _change_json(body: bytes, rng: random.Random, change: Callable[[Any, Any], None]) -> bytes:
    """Change one value of the JSON, or of one line of it; what is no JSON stays as it is."""
    lines = body.split(b"\n")
    at = rng.randrange(len(lines))
    text = body if len(lines) > 500 or not lines[at].strip() else lines[at]
    try:
        told = json.loads(text)
        places = _places(told)
        if not places:
            return body
        change(*rng.choice(places))
        changed = json.dumps(told, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError, UnicodeError):
        return body
    raw = rng.choice(rng.choice((NUMBERS, TEXTS, OTHERS)))
    changed = changed.replace(json.dumps(_MARK).encode(), raw)
    if text is body:
        return changed
    return b"\n".join((*lines[:at], changed, *lines[at + 1 :]))


def _places(told: Any) -> list[tuple[Any, Any]]:
    """Every value below the top, as its parent and its key."""
    found: list[tuple[Any, Any]] = []
    waiting = [told]
    while waiting and len(found) < 2000:
        parent = waiting.pop()
        if isinstance(parent, dict | list):
            pairs = parent.items() if isinstance(parent, dict) else enumerate(parent)
            for key, value in pairs:
                found.append((parent, key))
                waiting.append(value)
    return found


def _put(parent: Any, key: Any, value: Any) -> None:
    parent[key] = value


def _remove(parent: Any, key: Any) -> None:
    del parent[key]


_ALL: tuple[Mutation, ...] = (
    flip_bits, truncate, insert_strange_bytes, change_structure, cut_a_slice, repeat_a_slice, move_a_slice,
    change_encoding, surround, replace_a_number, replace_a_number, replace_a_value, replace_a_value, replace_a_value,
    replace_a_value, remove_a_value, add_a_key, swap_values, name_a_key_twice, grow, empty,
)  # fmt: skip
