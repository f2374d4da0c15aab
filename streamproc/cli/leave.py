"""The one place that turns errors into messages and exit codes, and leaves."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import traceback
from contextlib import suppress
from io import StringIO

import click

from streamproc.errors import ReaderGoneError, StreamprocError
from streamproc.secrets import redact


def say(message: str) -> None:
    """A line on stderr, if there still is one."""
    if sys.stderr is None:  # print() would take stdout
        return
    # when nobody listens the exit code still tells
    with suppress(OSError, ValueError, AttributeError):
        print(redact(message), file=sys.stderr, flush=True)


_logs_json = False


def log_json() -> None:
    """From here on errors and notes are lines of JSON, as the log is."""
    global _logs_json  # noqa: PLW0603 - stderr is one, too
    _logs_json = True


def _tell(message: str, level: int = logging.ERROR) -> None:
    """One line of what is wrong; in the form of the log."""
    if _logs_json:
        from streamproc.telemetry.log import json_line

        say(json_line(message, level))
    else:
        say(f"streamproc: {message}")


def note(message: str) -> None:
    """What a person should know and is no error."""
    _tell(message if _logs_json else f"note: {message}", logging.WARNING)


def report(error: BaseException) -> int:
    """Say what `error` says, and return its exit code. A traceback only for our own bugs."""
    if isinstance(error, click.exceptions.Abort):
        return 130
    if isinstance(error, click.ClickException):
        said = StringIO()
        error.show(said)
        if _logs_json:
            _tell(error.format_message())
        else:
            say(said.getvalue().rstrip())
        return error.exit_code
    if isinstance(error, ReaderGoneError):
        return error.exit_code
    if isinstance(error, StreamprocError):
        for line in str(error).splitlines() or [type(error).__name__]:
            _tell(line)
        return error.exit_code
    trace = "".join(traceback.format_exception(error)).rstrip()
    if _logs_json:
        _tell(f"a bug in streamproc; please report it: {trace}")
        return 1
    say(trace)
    say("streamproc: this is a bug in streamproc; please report it with the lines above")
    return 1


def leave(code: int) -> None:
    """End the process now, whatever threads and tasks of user code are still busy with.

    A normal interpreter exit would join threads, which may never end, and flush a
    stdout whose reader is gone, which would complain a second time.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
