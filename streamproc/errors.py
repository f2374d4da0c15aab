"""What can go wrong, one class per fact.

    StreamprocError                 a stream that fails; carries its exit code
    ├── UsageError              2   the command line asks for something that makes no sense
    ├── ConfigError            78   a pipeline file, a SPEC or imported user code is no good
    ├── ResumeError            65   a checkpoint does not fit input, output or pipeline
    ├── InputError             66   an input cannot be opened or read
    ├── RestartsError          70   worker processes died too often
    ├── FencedError            70   another instance has our name
    ├── PassedOnError           *   an error of a worker process, with its exit code
    ├── CreateError            73   an output file cannot be created, an address cannot be bound
    ├── OutputError            74   an output could not be written
    ├── UnavailableError       69   a target stayed unavailable past the maximum wait
    ├── UnauthorizedError      77   a broker does not let us
    ├── ReaderGoneError       141   the reader of stdout went away
    ├── TooManyAbandonedError   1   user code ignored its cancellation too often
    └── AccountingError         1   a record is not accounted for: a bug in streamproc
    RecordError                     a record that fails; becomes a `record.Failed`
    ├── DecodeError                 a line that is no record
    ├── UnreadableError             a record that would take too much to decode
    ├── SourcesError                some sources of a record failed; has what the others gave
    └── CallError                   a call that failed, with what policies want to know of it
        └── CircuitOpenError        not called: its circuit is open, and there is a fallback
    Retry                           user code asks to be called again
    Interrupted                     the second signal, raised inside a plain `def`
    Unfinished                      a wait was cut short because the run is ending

A record that fails is a value, a stream that fails is an exception: a
`RecordError` never leaves the engine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from streamproc.types import JsonObject, JsonValue

# What the command returns, of errors and of runs that went to an end.
EXIT_CODES = {
    "0": "end of input, no record failed",
    "1": "a bug in streamproc or a plugin; out of memory; or over `-j` calls ignored cancellation",
    "2": "usage",
    "3": "finished; some records failed, or none has a field that a stage names; or a test failed",
    "4": "stopped by `--max-errors` or `--on-error stop`",
    "65": "the checkpoint does not fit the input, the output or the pipeline; nothing was changed",
    "66": "an input cannot be opened or read, or is no JSON Lines",
    "69": "a target stayed unavailable past the maximum wait",
    "70": "more workers died within a minute than `--max-restarts`; or another instance took over",
    "73": "an output, dead-letter or checkpoint file cannot be made, or the checkpoint is in use; "
    "or an address cannot be had",
    "74": "output could not be written: disk full, closed",
    "75": "drain deadline or second signal: some records are unprocessed",
    "77": "not authorised: a target answered 401 to the first ten records, or a broker refuses us",
    "78": "pipeline file, SPEC or imported user code is no good: one clear message",
    "129, 130, 143": "SIGHUP, SIGINT, SIGTERM, after a clean drain",
    "141": "the reader of stdout went away: silent",
}

# When several apply, the first of these is the exit code.
_SEVERITY = (1, 74, 65, 66, 69, 70, 73, 77, 78, 75, 141, 4, 129, 130, 143, 3, 0)


def worst_of(codes: Collection[int]) -> int:
    """The exit code that is told; 0 if there is none."""
    return next((code for code in _SEVERITY if code in codes), 0)


class StreamprocError(Exception):
    """The stream cannot go on, or must not start. `exit_code` is what the command returns."""

    exit_code = 1


class UsageError(StreamprocError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class ConfigError(StreamprocError):
    """A pipeline file, a SPEC or imported user code is no good.

    `problems` are all that were found, one line each.
    """

    exit_code = 78

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ResumeError(StreamprocError):
    """A checkpoint does not fit the input, the output or the pipeline."""

    exit_code = 65


class InputError(StreamprocError):
    """An input cannot be opened or read."""

    exit_code = 66


class RestartsError(StreamprocError):
    """Worker processes died too often."""

    exit_code = 70


class FencedError(StreamprocError):
    """Another instance has taken over our name."""

    exit_code = 70


class PassedOnError(StreamprocError):
    """What ended a worker process; said by its parent."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class CreateError(StreamprocError):
    """An output, dead-letter or checkpoint file cannot be created, or an address not be bound."""

    exit_code = 73


class OutputError(StreamprocError):
    """The output `name` could not be written: disk full, closed, an I/O error."""

    exit_code = 74

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name


class UnavailableError(StreamprocError):
    """A target stayed unavailable past the maximum wait; the run can be resumed."""

    exit_code = 69


class UnauthorizedError(StreamprocError):
    """Credentials are wrong, or do not suffice."""

    exit_code = 77


class ReaderGoneError(StreamprocError):
    """The reader of stdout went away, as in `yes | head -1`."""

    exit_code = 141


class TooManyAbandonedError(StreamprocError):
    """More calls than the concurrency ignored their cancellation and still run."""


class AccountingError(StreamprocError):
    """The numbers of the summary do not add up: a bug in streamproc."""


class RecordError(Exception):
    """One record failed: `kind` is the fact, one of those in docs/reference/output.md.

    Raise it in an enricher to choose kind and message yourself; any other
    exception becomes kind `exception`. `details` are further members of `_error`.
    """

    def __init__(self, kind: str, message: str, **details: JsonValue) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.details = details


class DecodeError(RecordError):
    """A line is not a JSON object."""


class UnreadableError(RecordError):
    """A line is a record, or a body JSON, that would take too much time or memory to decode.

    `bad_number`: integers that are too long. `too_long`: many more bytes than it has.
    """


class SourcesError(RecordError):
    """Some sources of a record failed. `kept` is what the others gave (`record.Several`)."""

    def __init__(self, first: RecordError, sources: JsonObject, kept: object) -> None:
        names = ", ".join(sources)
        super().__init__(first.kind, f"{names}: {first.message}", sources=sources)
        self.kept = kept


_UNANSWERED = ("connect", "dns", "tls", "reset", "timeout", "deadline")


class CallError(RecordError):
    """A call failed, and these are the facts that policies decide by.

    `again`: another attempt may succeed. `throttled`: the target asks for less.
    `after_s`: not again before so many seconds. `is_outage`: the target is to blame, not
    the request; what circuit breakers count.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        again: bool = False,
        throttled: bool = False,
        after_s: float | None = None,
        is_outage: bool = False,
        **details: JsonValue,
    ) -> None:
        super().__init__(kind, message, **details)
        self.again = again
        self.throttled = throttled
        self.after_s = after_s
        self.is_outage = is_outage
        self.attempts = 1

    def reword(self, message: str) -> None:
        """Say it so: whoever passes it on knows more of the call."""
        self.message, self.args = message, (message,)

    @property
    def status(self) -> int | None:
        """Of the answer, None where there was none."""
        status = self.details.get("status")
        return status if isinstance(status, int) else None

    @property
    def is_failure(self) -> bool:
        """Whether it speaks for an outage: no answer, or a 5xx, also one that says when to come."""
        return self.is_outage or (self.throttled and (self.status or 0) >= 500)

    @property
    def is_answer(self) -> bool:
        """Whether the target answered, and not with a 5xx: then it is not down."""
        if self.throttled:
            return self.status is None or self.status < 500
        return not self.is_outage and self.kind not in _UNANSWERED


class CircuitOpenError(CallError):
    """The target is not called now: its circuit is open, and a fallback can answer."""


class Retry(Exception):  # noqa: N818 - it asks for something
    """Raise it in a stage with `retry` to be called again, after `after_s` seconds at least.

    With `after_s` all other records of the stage wait that long, too.
    """

    def __init__(self, message: str = "asked for a retry", *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class Interrupted(BaseException):
    """The second signal came while a plain `def` kept the loop busy.

    Not an `Exception`, so that user code does not swallow it by accident.
    """


class Unfinished(BaseException):
    """A wait was cut short because the run is ending: the record stays unprocessed."""


def described(error: BaseException) -> str:
    """Type and message of an error in user code."""
    try:
        message = str(error)
    except Interrupted:
        raise
    except BaseException:  # its __str__ is broken, too
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def foremost(errors: Iterable[BaseException]) -> BaseException:
    """Which of them is told, of one or more: what nobody foresaw, before what ends a run."""
    return min(errors, key=lambda error: isinstance(error, StreamprocError))
