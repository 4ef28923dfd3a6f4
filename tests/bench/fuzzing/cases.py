"""Cases: from a seed and a number to the bytes that are sent, the same whenever they are made of the same seeds."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.fuzzing.mutations import mutate
from tests.bench.fuzzing.seeds import LENGTH_HEADER, Seed, fresh_id, is_infer

Header = tuple[bytes, bytes]

LARGE_BYTES = 2_000_000
"""Beyond it a server may refuse and close while the rest is still on its way, so that no answer is read."""

_TYPES = (
    b"", b"text/plain", b"application/json; charset=utf-16", b"application/problem+json", b"application/x-ndjson",
    b"text/csv", b"application/octet-stream", b"multipart/form-data; boundary=x", b"application/vnd.bentoml+pickle",
    b"application/json, text/csv", b"\xff\xfe", b"APPLICATION/JSON", b"application/json;" + b"a" * 5000, b"*/*",
)  # fmt: skip
_GARBAGE = (
    b"", b" ", b"\xff\xfe\x80", b"\x01\x02", b"a" * 8000, b"null", b"NaN", b"-1", b"0", b"1" * 400, b"1e400",
    b"'; DROP TABLE predictions; --", b"${jndi:ldap://x}", b"%00%0d%0a", b"ffffffff-ffff-7fff-bfff-ffffffffffff",
    b"00000000-0000-7000-8000-000000000000", b"0190163d-8694-739b-aea5-966c26f8ad91", b'"', b'""',
    b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
    b"champion", b"challenger", b"\xe2\x80\xa8",
)  # fmt: skip
_NAMED = (
    b"Idempotency-Key", b"traceparent", b"X-Request-ID", b"Gauntlet-Variant", b"Authorization", LENGTH_HEADER,
    b"Content-Encoding", b"Accept-Encoding", b"Accept", b"Range", b"If-Match", b"Cookie", b"Origin", b"X-Forwarded-For",
    b"tracestate", b"Host", b"User-Agent", b"Retry-After", b"TE", b"Prefer",
)  # fmt: skip
_METHODS = (b"GET", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"post", b"BREW", b"PROPFIND", b"QUERY")
_GETS = (
    b"/livez", b"/readyz", b"/healthz", b"/docs", b"/openapi.json", b"/docs/openapi.json", b"/", b"/v1/experiment",
    b"/v2", b"/v2/models", b"/v2/health/ready", b"/metrics", b"/schema.json", b"/v1", b"/favicon.ico",
)  # fmt: skip
_PATH_ENDS = (
    b"/", b"?", b"?a=b&a=c", b"?" + b"q" * 4000, b"%00", b"%2e%2e/%2e%2e/etc/passwd", b"%ff%fe", b"%ed%a0%80", b"//",
    b";a=b", b"%", b"%zz", b"/\xc3\xa9", b"#frag", b"%0d%0aSet-Cookie:%20a=b", b"/" + b"x" * 3000, b"%F0%9F%98%80",
)  # fmt: skip


_FRAMINGS = (
    *["chunked"] * 6, "too short", "too long", "odd length", "both", "odd chunks", "version", "upgrade", "trailers",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One request as bytes.

    Attributes:
        number: By which it is made again.
        name: Of the seed that it began as.
        what: How it was changed.
        method: Of the request.
        pieces: Sent one after another, with a pause between.
        has_answer: Whether HTTP was kept to the letter, so that there must be an answer. To anything else the server
            may as well end the connection.
        is_open: Whether its end does not come: the client stays and waits.
    """

    number: int
    name: str
    what: tuple[str, ...]
    method: bytes
    pieces: tuple[bytes, ...]
    has_answer: bool = True
    is_open: bool = False


@dataclass
class _Draft:
    method: bytes
    path: bytes
    headers: list[Header]
    body: bytes
    framing: bytes = b""
    """What stands for the body on the line; empty for the body itself with its length."""
    is_lawful: bool = True
    is_open: bool = False


def make_case(seeds: Sequence[Seed], run: int, number: int, key: bytes | None = None) -> Case:
    """One case.

    Args:
        seeds: What mutations start from.
        run: The run's seed.
        number: Which of its cases.
        key: An API key, where keys are asked for.
    """
    rng = random.Random(f"{run} {number}")
    seed = seeds[rng.randrange(len(seeds))]
    body, what = mutate(seed.body, rng)
    draft = _Draft(b"POST", seed.path.encode(), [(b"Content-Type", seed.content_type.encode()), *seed.headers], body)
    if key is not None:
        draft.headers.append((b"Authorization", b"Bearer " + key))
    if is_infer(seed.path) and seed.headers and rng.random() < 0.7:
        _mend_length(draft, seed, rng)
    for change, share in ((_change_headers, 0.35), (_change_target, 0.08), (_compress, 0.04), (_change_framing, 0.2)):
        if rng.random() < share:
            what.append(change(draft, rng))
    content = _on_the_line(draft)
    is_sure = draft.is_lawful and len(content) <= LARGE_BYTES
    return Case(number, seed.name, tuple(what), draft.method, _in_pieces(content, rng), is_sure, is_open=draft.is_open)


def _mend_length(draft: _Draft, seed: Seed, rng: random.Random) -> None:
    """Most spoilt bodies shall still say rightly where their JSON ends, or nobody looks further."""
    old = int(dict(seed.headers)[LENGTH_HEADER])
    tail = seed.body[old:]
    length = len(draft.body) - len(tail) if draft.body.endswith(tail) else rng.choice((old, len(draft.body), 0))
    draft.headers = [(name, b"%d" % length if name == LENGTH_HEADER else value) for name, value in draft.headers]


def _change_headers(draft: _Draft, rng: random.Random) -> str:
    kind = rng.choice(("type", "garbage", "garbage", "garbage", "own id", "twice", "many", "without", "expect"))
    if kind == "type":
        draft.headers[0] = (b"Content-Type", rng.choice(_TYPES))
    elif kind == "garbage":
        for _ in range(rng.choice((1, 1, 2, 4))):
            draft.headers.append((rng.choice(_NAMED), rng.choice(_GARBAGE)))
        draft.is_lawful &= not any(_is_unlawful(value) for _, value in draft.headers)
    elif kind == "own id":
        draft.headers.append((b"Idempotency-Key", fresh_id().encode()))
    elif kind == "twice":
        draft.headers.insert(0, rng.choice(draft.headers))
    elif kind == "many":
        draft.headers += [(b"X-%d" % i, b"v" * 20) for i in range(rng.choice((50, 500, 3000)))]
        draft.is_lawful &= len(draft.headers) < 1000
    elif kind == "without":
        del draft.headers[rng.randrange(len(draft.headers))]
    else:
        draft.headers.append((b"Expect", rng.choice((b"100-continue", b"100-Continue", b"the-best"))))
    return f"headers: {kind}"


def _is_unlawful(value: bytes) -> bool:
    return any(byte < 32 or byte == 127 for byte in value)


def _change_target(draft: _Draft, rng: random.Random) -> str:
    kind = rng.choice(("method", "path", "other path", "end of path", "absolute"))
    if kind == "method":
        draft.method = rng.choice(_METHODS)
        draft.is_lawful &= draft.method in (b"GET", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
    elif kind == "other path":
        draft.method, draft.path = rng.choice((b"GET", b"HEAD", b"POST")), rng.choice(_GETS)
    elif kind == "end of path":
        draft.path += rng.choice(_PATH_ENDS)
        draft.is_lawful = False
    elif kind == "absolute":
        draft.path, draft.is_lawful = b"http://elsewhere.example" + draft.path, False
    else:
        draft.path = b"/" + bytes(rng.choice(b"abcv12/.-_~%") for _ in range(rng.choice((1, 10, 100))))
        draft.is_lawful = False
    return f"target: {kind}"


def _compress(draft: _Draft, rng: random.Random) -> str:
    packed = rng.choice((gzip.compress(draft.body), zlib.compress(draft.body), gzip.compress(b"[" * 30_000_000, 1)))
    draft.body = packed if rng.random() < 0.7 else packed[: rng.randrange(len(packed))] + b"\x00\x01"
    draft.headers.append(
        (b"Content-Encoding", rng.choice((b"gzip", b"deflate", b"GZIP", b"br", b"gzip, gzip", b"identity")))
    )
    return "compressed"


def _change_framing(draft: _Draft, rng: random.Random) -> str:
    kind = rng.choice(_FRAMINGS)
    length = b"Content-Length: %d\r\n" % len(draft.body)
    if kind == "chunked":
        draft.framing = b"Transfer-Encoding: chunked\r\n\r\n" + _chunked(draft.body, rng)
        return "framing: chunked"
    draft.is_lawful = False
    if kind == "too short":
        draft.framing = b"Content-Length: %d\r\n\r\n" % rng.randrange(len(draft.body) + 1) + draft.body
    elif kind == "too long":
        draft.framing = (
            b"Content-Length: %d\r\n\r\n" % (len(draft.body) + rng.choice((1, 1000, 10**7, 10**20))) + draft.body
        )
        draft.is_open = rng.random() < 0.3
    elif kind == "odd length":
        odd = rng.choice((b"-1", b"", b"0x10", b"1, 1", b"+5", b"5 5", b"\xb2", b"9" * 30, b"1\r\nContent-Length: 2"))
        draft.framing = b"Content-Length: " + odd + b"\r\n\r\n" + draft.body
    elif kind == "both":
        draft.framing = length + b"Transfer-Encoding: chunked\r\n\r\n" + _chunked(draft.body, rng)
    elif kind == "odd chunks":
        draft.framing = _odd_chunks(draft.body, rng)
        draft.is_open = rng.random() < 0.2
    elif kind == "version":
        draft.path += rng.choice(
            (b" HTTP/1.0\r\nX: y", b" HTTP/0.9\r\nX: y", b" HTTP/2.0\r\nX: y", b" HTTP/1.1\r\n folded")
        )
    elif kind == "upgrade":
        upgrade = rng.choice((b"h2c", b"websocket", b"HTTP/2.0, SHTTP/1.3"))
        draft.framing = b"Connection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n" + length + b"\r\n" + draft.body
    else:
        chunks = _chunked(draft.body, rng).removesuffix(b"\r\n")
        trailers = b"".join(b"X-%d: %b\r\n" % (i, b"t" * 100) for i in range(rng.choice((1, 5000))))
        draft.framing = b"Transfer-Encoding: chunked\r\n\r\n" + chunks + trailers + b"\r\n"
    return f"framing: {kind}"


def _chunked(body: bytes, rng: random.Random) -> bytes:
    size = rng.choice((1, 7, 1000, 65_536))
    size = max(size, len(body) // 3000)
    end = rng.choice((b"\r\n", b"\r\n", b";a=b\r\n", b';quoted="x"\r\n'))
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x" % len(one) + end + one + b"\r\n" for one in chunks) + b"0\r\n\r\n"


def _odd_chunks(body: bytes, rng: random.Random) -> bytes:
    head = b"Transfer-Encoding: " + rng.choice(
        (b"chunked", b"gzip, chunked", b"chunked, chunked", b"xchunked", b"identity")
    )
    size = rng.choice((b"%x" % len(body), b"-1", b"", b"0x5", b"f" * 40, b"5 ", b"%X" % (len(body) + 5), b"zz"))
    end = rng.choice((b"0\r\n\r\n", b"", b"0\r\n", b"00000\r\n\r\n"))
    return head + b"\r\n\r\n" + size + rng.choice((b"\r\n", b"\n", b";" + b"e" * 9000 + b"\r\n")) + body + b"\r\n" + end


def _on_the_line(draft: _Draft) -> bytes:
    has_host = any(name.lower() == b"host" for name, _ in draft.headers)
    headers = draft.headers if has_host else [(b"Host", b"127.0.0.1"), *draft.headers]
    head = b"%b %b HTTP/1.1\r\n" % (draft.method, draft.path)
    head += b"".join(b"%b: %b\r\n" % (name, value.replace(b"\r", b"").replace(b"\n", b"")) for name, value in headers)
    return head + (draft.framing or b"Content-Length: %d\r\n\r\n" % len(draft.body) + draft.body)


def _in_pieces(content: bytes, rng: random.Random) -> tuple[bytes, ...]:
    if rng.random() < 0.8:
        return (content,)
    cuts = sorted(rng.randrange(len(content)) for _ in range(rng.choice((1, 1, 3, 20))))
    return tuple(content[first:last] for first, last in zip([0, *cuts], [*cuts, len(content)], strict=True))
