"""Logs go to stderr, as text or as JSON Lines."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TextIO

from streamproc.codec import encode
from streamproc.shown import MOST, as_json, one_line, short, traceback_lines


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.message = f"streamproc: {record.levelname.lower()}: {one_line(record.getMessage())}"
        return "\n".join([record.message, *_traceback(record)])


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = _entry(record, MOST)
        if traceback := _traceback(record):
            entry["traceback"] = "\n".join(traceback)
        return as_json(encode(entry).decode())


def _traceback(record: logging.LogRecord) -> list[str]:
    error = record.exc_info[1] if record.exc_info else None
    return [] if error is None else traceback_lines(error)


def json_line(message: str, level: int, most: int) -> str:
    """One line of a log in JSON, for what is said beside the log; `most` characters of it."""
    record = logging.LogRecord("streamproc", level, "", 0, message, None, None)
    return as_json(encode(_entry(record, most)).decode())


def _entry(record: logging.LogRecord, most: int) -> dict[str, str]:
    return {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": short(record.getMessage(), most),
    }


def _is_news(record: logging.LogRecord) -> bool:
    """False for what uvloop says of a TLS connection that was closed during its handshake.

    A call that waited for the connection failed of it, and says so; a call that was
    cancelled wants to know nothing. Errors of other libraries and of user code are told.
    """
    if record.name != "asyncio" or not record.exc_info:
        return True
    error = record.exc_info[1]
    if record.msg.startswith("Fatal error on SSL protocol"):
        return not str(error).endswith("the handler is closed")
    is_of_tls = any(each.__name__ == "SSLError" for each in type(error).__mro__)
    return not (is_of_tls and record.msg.startswith("Future exception was never retrieved"))


def configure(level: str, form: str, stream: TextIO) -> None:
    """Send the log of the process to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.addFilter(_is_news)
    handler.setFormatter(_Json() if form == "json" else _Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
