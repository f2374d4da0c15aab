"""The one place that turns errors into messages and exit codes, and leaves."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from contextlib import suppress
from io import StringIO
from traceback import walk_tb

from streamproc.errors import (
    ConfigError,
    PassedOnError,
    ReaderGoneError,
    StreamprocError,
    UsageError,
)
from streamproc.shown import MOST, one_line, traceback_lines

_OUT_OF_MEMORY = (
    "out of memory: let it have more (ulimit -v), or hold less at once "
    "(--max-memory, -j, --max-line-bytes)"
)
_TRUSTED = 5000  # characters of what the command line and the pipeline file say


def say(message: str, most: int = MOST) -> None:
    """A line of at most `most` characters on stderr, if there still is one."""
    _print(one_line(message, most))


def _print(line: str) -> None:
    if sys.stderr is None:  # print() would take stdout
        return
    # when nobody listens the exit code still tells
    with suppress(OSError, ValueError, AttributeError):
        print(line, file=sys.stderr, flush=True)


_logs_json = False


def log_json() -> None:
    """From here on errors and notes are lines of JSON, as the log is."""
    global _logs_json  # noqa: PLW0603 - stderr is one, too
    _logs_json = True


def tell(message: str, level: int = logging.ERROR, most: int = MOST) -> None:
    """One line of what is wrong, of at most `most` characters; in the form of the log."""
    if _logs_json:
        from streamproc.telemetry.log import json_line

        _print(json_line(message, level, most))
    else:
        say(f"streamproc: {message}", most)


def note(message: str) -> None:
    """What a person should know and is no error."""
    tell(message if _logs_json else f"note: {message}", logging.WARNING, _TRUSTED)


def remark(*lines: str) -> None:
    """What became of the run, at its end: some lines, one entry of a log."""
    for each in ["\n".join(lines)] if _logs_json else lines:
        tell(each, logging.WARNING, _TRUSTED)


def report(error: BaseException) -> int:
    """Say what `error` says, and return its exit code. A traceback only for bugs."""
    from click import ClickException  # which workers do without

    if isinstance(error, ClickException):
        said = StringIO()
        error.show(said)
        if _logs_json:
            tell(error.format_message(), most=_TRUSTED)
        else:
            for line in said.getvalue().rstrip().expandtabs(2).split("\n"):
                say(line, _TRUSTED)
        return error.exit_code
    if isinstance(error, ReaderGoneError):
        return error.exit_code
    if isinstance(error, StreamprocError):
        for line in lines_of(error):
            tell(line, most=_TRUSTED)
        return error.exit_code
    if isinstance(error, MemoryError):
        tell(_OUT_OF_MEMORY)
        return 1
    trace = traceback_lines(error)
    whose = whose_bug(error)
    if _logs_json:
        tell("\n".join([f"a bug in {whose}; please report it:", *trace]), most=_TRUSTED)
        return 1
    for line in trace:
        say(line, _TRUSTED)
    say(f"streamproc: this is a bug in {whose}; please report it with the lines above")
    return 1


def whose_bug(error: BaseException) -> str:
    """Of the plugin or of streamproc: of whoever raised it, or has not what it needs to have."""
    from streamproc.config.registry import home_of

    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    lacking: object = None
    if isinstance(error, AttributeError):
        lacking = error.obj
    elif isinstance(error, NotImplementedError) and frames:
        lacking = frames[-1].f_locals.get("self")
    modules = [str(frame.f_globals.get("__name__")) for frame in reversed(frames)]
    for module in (type(lacking).__module__, *modules):
        if module.partition(".")[0] == "streamproc":
            break
        if home := home_of(module):
            return f"{home}, a plugin"
    return "streamproc"


def lines_of(error: StreamprocError) -> list[str]:
    """What `error` says: problems one by one, and of a worker what it made of that already."""
    if isinstance(error, PassedOnError):
        return str(error).split("\n")
    problems = error.problems if isinstance(error, ConfigError) else (str(error),)
    most = _TRUSTED if isinstance(error, ConfigError | UsageError) else MOST
    return [one_line(each or type(error).__name__, most) for each in problems]


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
