"""What a loop says of connections, and what of it gets into the log."""

from __future__ import annotations

import asyncio
import io
import logging
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from streamproc.telemetry.log import configure

CLOSED = "unable to perform operation on <TCPTransport closed=True>; the handler is closed"
KNOWN = [
    ("Fatal error on SSL protocol", RuntimeError(CLOSED)),
    ("Future exception was never retrieved", ssl.SSLCertVerificationError(1, "expired")),
]
NEWS = [
    ("Fatal error on SSL protocol", TypeError("a bug in a protocol")),
    ("Task exception was never retrieved", ssl.SSLError(1, "in a task of user code")),
    ("Future exception was never retrieved", ValueError("of user code")),
    ("Exception in callback", RuntimeError(CLOSED)),
    ("without an exception", None),
]


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    """The log of the process, as it was."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    logger.handlers = []
    yield
    logger.handlers, logger.level = handlers, level


def told(new_loop: Callable[[], Any], message: str, error: Exception | None, form: str) -> str:
    stream = io.StringIO()
    configure("info", form, stream)
    loop = new_loop()
    try:
        loop.call_exception_handler({"message": message, "exception": error, "transport": None})
    finally:
        loop.close()
    return stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_a_call_has_said_is_not_said_again(new_loop: Any, form: str) -> None:
    for message, error in KNOWN:
        assert told(new_loop, message, error, form) == ""
    for message, error in NEWS:
        assert message in told(new_loop, message, error, form)
