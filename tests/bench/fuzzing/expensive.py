"""Bodies of a legal size that take as long to read as can be thought of, for every route; and how long each holds the
event loop.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.fuzzing.probe import watching
from tests.bench.fuzzing.seeds import LENGTH_HEADER, fresh_id
from tests.bench.fuzzing.wire import Answer, send

ROW_BYTES = 64 * 1024
WHOLE_BYTES = 8 * 1024 * 1024
STREAM_BYTES = 2 * 1024 * 1024
_JSON, _NDJSON, _CSV, _BINARY = "application/json", "application/x-ndjson", "text/csv", "application/octet-stream"
_SPARE = 200


@dataclass(frozen=True)
class Expensive:
    """A body that asks for much.

    Attributes:
        path: Of the route.
        what: It is, for people.
        content_type: As it is declared.
        body: Its bytes.
        headers: Beside content-type and content-length.
    """

    path: str
    what: str
    content_type: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def on_the_line(self, key: str | None) -> bytes:
        """The request."""
        headers = [(b"content-type", self.content_type.encode()), *self.headers]
        if key is not None:
            headers.append((b"authorization", b"Bearer " + key.encode()))
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        head = b"POST %b HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n"
        return head % (self.path.encode(), lines, len(self.body)) + self.body


@dataclass(frozen=True)
class Held:
    """What a body cost.

    Attributes:
        asked: The body.
        answer: Of the last time.
        loop_ms: The longest that nobody else was answered, and no more than the processor time that the server spent:
            the rest is other processes'. The least of all times that the body was sent.
        seconds: From the request's beginning to the answer's end, in the fastest of them.
    """

    asked: Expensive
    answer: Answer
    loop_ms: float
    seconds: float


def measure(port: int, pid: int, asked: Expensive, *, key: str | None = None, times: int = 3) -> Held:
    """Send a body several times, and nothing beside it but a probe.

    Args:
        port: Of the server.
        pid: Of the server.
        asked: The body.
        key: An API key, where keys are asked for.
        times: How often it is sent.
    """
    found = []
    for _ in range(times):
        with watching(port, from_ms=1.0) as late:
            spent = _cpu_ms(pid)
            answer = send(port, (asked.on_the_line(key),), limit_seconds=60)
            spent = _cpu_ms(pid) - spent
        found.append((min(spent, late.longest_ms(answer.began)), answer))
    loop_ms = min(longest for longest, _ in found)
    return Held(asked, found[-1][1], loop_ms, min(answer.seconds for _, answer in found))


def make_expensive(document: Mapping[str, Any]) -> Iterator[Expensive]:
    """Every body, from the service's OpenAPI document."""
    schemas, paths = document["components"]["schemas"], document["paths"]
    features = schemas["Features"]["example"]
    for what, body in _rows(features):
        yield Expensive("/v1/score", what, _JSON, body)
    for what, body in _rows(features):
        yield Expensive("/v1/explain", what, _JSON, body)
    plain = {"customer_id": "somebody", "features": features}
    for what, body in (*_lists("rows", plain), *_batches(features)):
        yield Expensive("/v1/score/batch", what, _JSON, body)
    for what, body in _streams(plain):
        yield Expensive("/v1/score/batch", what, _NDJSON, body)
    for name in ("outcomes", "treatments"):
        example = paths[f"/v1/{name}"]["post"]["requestBody"]["content"][_JSON]["example"][name][0]
        for what, body in _lists(name, example):
            yield Expensive(f"/v1/{name}", what, _JSON, body)
        for what, body in _streams(example):
            yield Expensive(f"/v1/{name}", what, _NDJSON, body)
        for what, body in _tables(example):
            yield Expensive(f"/v1/{name}", what, _CSV, body)
    infer = next(path for path in paths if path.endswith("/infer"))
    example = paths[infer]["post"]["requestBody"]["content"][_JSON]["example"]
    limit = ROW_BYTES + 1000 * (len(features) + 1) * 64 - _SPARE
    for what, body in _tensors(example, limit):
        yield Expensive(infer, what, _JSON, body)
    yield from _packed(infer, example)


def _filled(before: str, one: str, after: str, limit: int, *, between: str = ",") -> bytes:
    """As many of one thing as fit; `%d` in it is its number."""
    if "%d" in one:
        parts, size, number = [], len(before) + len(after), 0
        while size < limit - len(one) - 10:
            parts.append(one % number)
            size += len(parts[-1]) + len(between)
            number += 1
        return (before + between.join(parts) + after).encode()
    times = (limit - len(before) - len(after)) // (len(one.encode()) + len(between))
    return (before + between.join([one] * times) + after).encode()


def _rows(features: Mapping[str, Any], limit: int = ROW_BYTES) -> Iterator[tuple[str, bytes]]:
    """One row each, of the size that one may have."""
    first = next(iter(features))
    head = f'{{"features":{{"{first}":'
    yield "unknown features", _filled('{"features":{', '"%d":0', "}}", limit)
    yield "unknown fields", _filled('{"features":{},', '"%d":0', "}", limit)
    yield "a list as a feature", _filled(head + "[", "0", "]}}", limit)
    yield "objects as a feature", _filled(head + "[", "{}", "]}}", limit)
    yield "a number of very many digits", _filled(head, "7", "}}", limit, between="")
    yield "numbers of 4,000 digits", _filled(head + "[", "7" * 4000, "]}}", limit)
    yield "deep nesting", _filled(head + "0}}", "[", "", limit, between="")
    yield "a text of escapes", _filled(head + '"', "\\ud800", '"}}', limit, between="")
    yield "one key many times", _filled('{"features":{', '"a":0', "}}", limit)
    yield "keys of surrogates", _filled('{"features":{', '"\\ud800%d":0', "}}", limit)
    yield "spaces", _filled('{"features":{}', " ", "}", limit, between="")


def _lists(name: str, example: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Whole JSON bodies that hold a list."""
    head, limit = f'{{"{name}":[', WHOLE_BYTES
    row = json.dumps(example, separators=(",", ":"))
    open_row = row.removesuffix("}")
    yield "right ones, as many as may be", _filled(head, row, "]}", min(limit, 1000 * (len(row) + 1)))
    yield "right ones, too many", _filled(head, row, "]}", limit)
    yield "empty objects", _filled(head, "{}", "]}", limit)
    yield "empty lists", _filled(head, "[]", "]}", limit)
    yield "lists of lists", _filled(head + "[", "[]", "]]}", limit)
    yield "nulls", _filled(head, "null", "]}", limit)
    wide = _filled(open_row + ",", '"u%d":0', "}", limit // 1000 - 2).decode()
    yield "1,000 of 8 kB, of unknown fields", _filled(head, wide, "]}", limit)
    wide = _filled(open_row + ",", '"u%d":0', "}", ROW_BYTES - _SPARE).decode()
    yield "128 of 64 kB, of unknown fields", _filled(head, wide, "]}", limit)
    wide = _filled(open_row + ',"u":[', "0", "]}", ROW_BYTES - _SPARE).decode()
    yield "128 of 64 kB, of a list of numbers", _filled(head, wide, "]}", limit)
    wide = _filled(open_row + ',"u":"', "\\u00e9", '"}', ROW_BYTES - _SPARE, between="").decode()
    yield "128 of 64 kB, of escapes", _filled(head, wide, "]}", limit)
    values = {**example, next(iter(example)): ":" * 4000}
    yield "texts of colons", _filled(head, json.dumps(values), "]}", limit)
    yield "other keys of 64 kB", _filled("{", '"%d":[' + ",".join(["0"] * 30_000) + "]", "}", limit)
    yield "a key of 8 MiB of escapes", _filled('{"', "\\u00e9", '":0}', limit, between="")
    yield "a text of 8 MiB", _filled(head + '"', "é", '"]}', limit, between="")
    yield "a text of 8 MiB of four-byte characters", _filled(head + '"', "😀", '"]}', limit, between="")
    yield "8 MiB of spaces", _filled(head, " ", row + "]}", limit, between="")
    yield "8 MiB of digits", _filled(head, "7", "]}", limit, between="")
    yield "8 MiB of opening brackets", _filled(head, "[", "", limit, between="")
    yield "8 MiB of NaN", _filled(head, "NaN", "]}", limit)
    yield "8 MiB that are no UTF-8", head.encode() + b"\xff" * (limit - 100)
    yield "a list at the top", _filled("[", "{}", "]", limit)
    yield "a text at the top", _filled('"', "a", '"', limit, between="")


def _batches(features: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    same = json.dumps({"features": features, "prediction_id": fresh_id()})
    yield "1,000 rows of one id", _filled('{"rows":[', same, "]}", 1000 * (len(same) + 1))
    wrong = json.dumps({"features": dict.fromkeys(features, "wrong" * 100)})
    yield "1,000 rows with every feature wrong", _filled('{"rows":[', wrong, "]}", 1000 * (len(wrong) + 1))
    mixed = json.dumps({"features": features}) + "," + json.dumps({"features": {**features, "%": 1}})
    yield "right and wrong rows in turn", _filled('{"rows":[', mixed, "]}", 500 * (len(mixed) + 1))


def _streams(example: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Lines of JSON, of which any number is legal: enough to fill what is read at once several times."""
    limit, row = STREAM_BYTES, json.dumps(example)
    open_row = row.removesuffix("}")
    yield "right lines", _filled("", row, "\n", limit, between="\n")
    yield "empty objects", _filled("", "{}", "\n", limit, between="\n")
    yield "empty lines", _filled(row, "\n", "\n", limit, between="")
    yield "lines of a space", _filled(row, " ", "\n", limit, between="\n")
    wide = _filled(open_row + ",", '"u%d":0', "}", ROW_BYTES - _SPARE).decode()
    yield "lines of 64 kB, of unknown fields", _filled("", wide, "\n", limit, between="\n")
    wide = _filled(open_row + ",", '"u%d":0', "}", 8000).decode()
    yield "lines of 8 kB, of unknown fields", _filled("", wide, "\n", limit, between="\n")
    wide = _filled(open_row + ',"u":[', "[]", "]}", ROW_BYTES - _SPARE).decode()
    yield "lines of 64 kB, of lists", _filled("", wide, "\n", limit, between="\n")
    yield "one line of 2 MiB", _filled(row, " ", "\n", limit, between="")
    yield "lines longer than allowed", _filled("", "[" * (ROW_BYTES + 1), "\n", limit, between="\n")
    if "features" in example:
        wide = _filled('{"features":{', '"%d":0', "}}", ROW_BYTES - _SPARE).decode()
        yield "lines of 64 kB, of unknown features", _filled("", wide, "\n", limit, between="\n")


def _tables(example: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    head, limit = ",".join(example) + "\n", STREAM_BYTES
    row = ",".join(map(str, example.values()))
    yield "right lines", _filled(head, row, "\n", limit, between="\n")
    yield "lines in quotes", _filled(head, '"' + row.replace(",", '","') + '"', "\n", limit, between="\n")
    yield "lines of commas", _filled(head, "," * (ROW_BYTES - 2), "\n", limit, between="\n")
    yield "lines of quotes", _filled(head, '"' + '""' * (ROW_BYTES // 2 - 2) + '"', "\n", limit, between="\n")
    yield "empty lines", _filled(head + row, "\n", "\n", limit, between="")
    yield "a header of commas", _filled("", ",", "\n" + row, ROW_BYTES - 2, between="")


def _tensors(example: Mapping[str, Any], limit: int) -> Iterator[tuple[str, bytes]]:
    """JSON bodies of the Open Inference Protocol."""
    inputs = example["inputs"]
    first = json.dumps(inputs[0]["name"])
    many = [{**one, "shape": [1000], "data": one["data"] * 1000} for one in inputs]
    yield "1,000 right rows", json.dumps({"inputs": many}).encode()
    wrong = [{**one, "shape": [1000], "datatype": "BYTES", "data": ["wrong"] * 1000} for one in inputs]
    yield "1,000 rows with every element wrong", json.dumps({"inputs": wrong}).encode()
    head = f'{{"inputs":[{{"name":{first},"datatype":"FP64","shape":[1000],"data":['
    yield "a tensor of very many numbers", _filled(head, "0", "]}]}", limit)
    yield "a tensor of very many floats", _filled(head, "1e1", "]}]}", limit)
    yield "a tensor of very many lists", _filled(head, "[]", "]}]}", limit)
    yield "a tensor of very many texts", _filled(head, '""', "]}]}", limit)
    yield "numbers of 4,000 digits", _filled(head, "7" * 4000, "]}]}", limit)
    yield "deep nesting", _filled(head, "[", "", limit, between="")
    shape = f'{{"inputs":[{{"name":{first},"datatype":"FP64","shape":['
    yield "a shape of very many numbers", _filled(shape, "1", "]}]}", limit)
    yield "very many inputs", _filled('{"inputs":[', "{}", "]}", limit)
    whole = json.dumps({"name": "x", "datatype": "FP64", "shape": [1], "data": [0]})
    yield "very many whole inputs", _filled('{"inputs":[', whole, "]}", limit)
    outputs = f'{{"inputs":{json.dumps(inputs)},"outputs":['
    yield "very many outputs", _filled(outputs, '{"name":"probability"}', "]}", limit)
    parameters = f'{{"inputs":{json.dumps(inputs)},"parameters":{{'
    yield "very many parameters", _filled(parameters, '"%d":0', "}}", limit)
    yield "a name of very many escapes", _filled('{"inputs":[{"name":"', "\\u00e9", '"}]}', limit, between="")
    yield "one key many times", _filled("{", '"id":""', "}", limit)


def _packed(path: str, example: Mapping[str, Any]) -> Iterator[Expensive]:
    """Bodies with bytes behind their JSON, or compressed."""

    def behind(what: str, content: bytes, *, shape: list[int], datatype: str, name: str = "matrix") -> Expensive:
        parameters = {"binary_data_size": len(content)}
        one = {"name": name, "datatype": datatype, "shape": shape, "parameters": parameters}
        head = json.dumps({"inputs": [one]}).encode()
        return Expensive(path, what, _BINARY, head + content, ((LENGTH_HEADER, str(len(head)).encode()),))

    width, room = len(example["inputs"]), WHOLE_BYTES - 1000
    shape = [1000, width]
    yield behind("elements without length", b"\0\0\0\0" * (room // 4), shape=shape, datatype="BYTES")
    yield behind("elements of one byte", b"\1\0\0\0\xff" * (room // 5), shape=shape, datatype="BYTES")
    yield behind("an element that is no UTF-8", _element(b"\xff" * room), shape=[1], datatype="BYTES")
    share = room // (1000 * width) - 4
    yield behind("texts that are no UTF-8", _element(b"\xff" * share) * 1000 * width, shape=shape, datatype="BYTES")
    yield behind("texts of digits", _element(b"7" * share) * 1000 * width, shape=shape, datatype="BYTES")
    yield behind("a matrix of NaN", struct.pack("<d", float("nan")) * 1000 * width, shape=shape, datatype="FP64")
    packed = gzip.compress(b" " * (WHOLE_BYTES - 100) + b"{}")
    yield Expensive(path, "8 MiB of spaces, compressed", _JSON, packed, ((b"content-encoding", b"gzip"),))
    packed = gzip.compress(b"[" * 200_000_000, 1)
    yield Expensive(path, "200 MB, compressed", _JSON, packed, ((b"content-encoding", b"gzip"),))


def _cpu_ms(pid: int) -> float:
    """What the process's first thread, which has the event loop, has spent."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


def _element(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content
