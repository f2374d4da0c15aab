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


def json_line(message: str, level: int) -> str:
    """One line of a log in JSON, for what is said beside the log."""
    name = "streamproc"
    return _Json().format(logging.LogRecord(name, level, "", 0, message, None, None))


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
