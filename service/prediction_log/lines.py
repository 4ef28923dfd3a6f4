"""A record as one line of the spool: JSON, and in it the CRC-32 of everything before, so that damage is seen."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import msgspec

from service.prediction_log.records import Record

_MARK = b',"crc":"'
_END = _MARK + b'%08x"}\n'
_TAIL_LENGTH = len(_MARK) + 8 + len(b'"}')

_encode_into = msgspec.json.Encoder().encode_into
_decode = msgspec.json.Decoder(Record).decode


class BadLine(ValueError):
    """A line that is no record, or not the record that was written."""


def encode_line(record: Record) -> bytes:
    r"""The record with its checksum and a line feed.

    Examples:
        >>> from service.prediction_log.records import Treatment
        >>> encode_line(Treatment(v=2, prediction_id="p", action="call", taken_at=1, received_at=2))
        b'{"kind":"treatment","v":2,"prediction_id":"p","action":"call","taken_at":1,"received_at":2,"crc":"dca2d3cd"}\n'
    """
    return encode_lines((record,))[0]


def encode_lines(records: Iterable[Record]) -> list[bytes]:
    """A line a record, as `encode_line` makes it; they share one buffer, which saves a fifth of the time."""
    body, lines = bytearray(), []
    for record in records:
        _encode_into(record, body)
        body.pop()  # the closing brace, which comes after the checksum
        lines.append(b"".join((body, _END % zlib.crc32(body))))
    return lines


def decode_line(line: bytes) -> Record:
    """Read a line, given without its line feed. Lines of version 1 carry no checksum.

    Raises:
        BadLine: It is no record, or its checksum is another.
    """
    body, tail = line[:-_TAIL_LENGTH], line[-_TAIL_LENGTH:]
    has_checksum = tail.startswith(_MARK)
    if has_checksum and tail[len(_MARK) : -2] != b"%08x" % zlib.crc32(body):
        raise BadLine("the checksum does not fit the line")
    try:
        record: Record = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise BadLine(str(e)) from e
    if not has_checksum and record.v > 1:
        raise BadLine("the line has no checksum")
    return record
