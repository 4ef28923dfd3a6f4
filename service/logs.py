"""Logs: one JSON line an event on stderr, with a constant `event` name and never a person's features or outcome."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """A record as one JSON line: time, level, event, process, and whatever was passed as `extra`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(),
            "level": record.levelname,
            "event": record.getMessage(),
            "process": self._process,
        }
        line.update({key: value for key, value in record.__dict__.items() if key not in _STANDARD})
        if record.exc_info and record.exc_info[0]:
            # The message of an exception may quote a row; where it happened and what it was do not.
            line["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            line["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line, default=str)


def log_to_stderr(process: str) -> None:
    """Let everything that this process logs go to stderr as JSON lines."""
    root = logging.getLogger()
    root.handlers[:] = [_handler(process)]
    root.setLevel(logging.WARNING)
    logging.getLogger("gauntlet").setLevel(logging.INFO)


def log_gauntlet(process: str) -> None:
    """Let what Gauntlet logs go to stderr as JSON lines, in a process whose logging is somebody else's."""
    ours = logging.getLogger("gauntlet")
    ours.handlers[:] = [_handler(process)]
    ours.setLevel(logging.INFO)
    ours.propagate = False


def _handler(process: str) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process))
    return handler
