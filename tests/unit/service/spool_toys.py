"""Records by number, and a reader of spools that knows nothing but lines and their checksums."""

from __future__ import annotations

from pathlib import Path

from service.prediction_log.lines import BadLine, decode_line
from service.prediction_log.records import Outcome, Prediction, Record
from service.prediction_log.segments import segments_of


def outcome(number: int, **changes) -> Outcome:
    fields = {"prediction_id": f"p{number}", "positive": True, "observed_at": number, "received_at": number}
    return Outcome(**{**fields, **changes})


def prediction(number: int, **changes) -> Prediction:
    fields = {
        "prediction_id": f"p{number}",
        "at": 1_772_366_400_000_000 + number,
        "customer_id": f"c{number}",
        "purpose": "live",
        "experiment": "e",
        "revision": 2,
        "mode": "shadow",
        "split": 0.0,
        "variant": "champion",
        "champion": "sha256:a",
        "challenger": "sha256:b",
        "champion_probability": 0.25,
        "challenger_probability": None,
        "champion_positive": False,
        "challenger_positive": None,
        "features": {"tenure": 3.5, "Contract": "Month-to-month", "note": "ünïcode \u2028 \n"},
    }
    return Prediction(**{**fields, **changes})


def whole_lines(segment: Path) -> list[bytes]:
    return segment.read_bytes().split(b"\n")[:-1]


def lines_in(folder: Path) -> list[bytes]:
    return [line for segment in segments_of(folder) for line in whole_lines(segment)]


def records_in(folder: Path) -> list[Record]:
    """Every record of one spool; a whole line that is none is an error."""
    return [decode_line(line) for line in lines_in(folder)]


def ids_in(folder: Path) -> list[str]:
    return [record.prediction_id for record in records_in(folder)]


def is_torn(segment: Path) -> bool:
    """Whether something that is no record stands behind the segment's last line feed."""
    tail = segment.read_bytes().rpartition(b"\n")[2]
    if not tail:
        return False
    try:
        decode_line(tail)
    except BadLine:
        return True
    return False
