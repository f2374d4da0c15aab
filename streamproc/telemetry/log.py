"""Logs go to stderr, as text or as JSON Lines."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TextIO

from streamproc.codec import encode
from streamproc.secrets import redact


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.message = f"streamproc: {record.levelname.lower()}: {record.getMessage()}"
        text = record.message
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return redact(text)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return encode({key: redact(value) for key, value in entry.items()}).decode()


def configure(level: str, form: str, stream: TextIO) -> None:
    """Send the log of the process to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json() if form == "json" else _Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
