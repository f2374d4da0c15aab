"""What the stages of a pipeline would do with a record: a walk through them that calls nobody.

What is computed here (`leads`, `select`, `filter`, `when`) is computed, for later stages need it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from msgspec import structs

from streamproc.assembly.traits import into
from streamproc.codec import decode
from streamproc.config.recipes import kind_of, policies_of
from streamproc.config.settings import Settings, StageSettings
from streamproc.enrichers.builtin import Builtin
from streamproc.enrichers.conditions import condition, expression
from streamproc.enrichers.http_request import id_header
from streamproc.enrichers.http_shown import asked, sent
from streamproc.enrichers.http_stage import Http
from streamproc.enrichers.python import Python
from streamproc.enrichers.reshape import Filter, Select
from streamproc.enrichers.sources import Sources
from streamproc.errors import ConfigError, RecordError, described
from streamproc.http.template import MissingFieldError
from streamproc.interfaces import StageKind
from streamproc.record import Failed
from streamproc.trials.known import Known, NotKnownError, is_in_part, named
from streamproc.types import JsonValue, Record


class PreviewLine(NamedTuple):
    """What one stage would do; `details` are lines beneath.

    `effect` is what is counted: called, skipped, filtered, failed, or nothing of these.
    """

    stage: str
    said: str
    effect: str = ""
    details: Sequence[str] = ()

    @classmethod
    def of_failure(cls, failed: Failed) -> PreviewLine:
        """The record ends here."""
        return cls(failed.stage, f"fails, {failed.kind}: {named(failed.message)}", "failed")


Path = tuple[str, ...]
"""Where a result goes."""

Say = Callable[..., None]
"""Takes the rest of a `PreviewLine` of one stage."""

Step = Callable[[Known, Say], Sequence[Known]]
"""Says what a stage would do with a record, and gives the records that go on from there.

Raises `RecordError` where the record would fail.
"""


class Preview:
    """The stages of `settings`. Python modules are imported, and nothing in them is called."""

    def __init__(self, settings: Settings) -> None:
        """Raises `ConfigError`."""
        self._incoming_errors = settings.incoming_errors
        self._steps: list[tuple[str, Step]] = []
        problems: list[str] = []
        for i, stage in enumerate(settings.stage):
            try:
                kind = kind_of(stage)
                if kind is None or not kind.does_nothing:
                    self._steps.append((stage.name or "", _step_of(stage)))
            except ConfigError as error:
                problems += [f"stage[{i}]: {problem}" for problem in error.problems]
        if problems:
            raise ConfigError(*problems)

    def of(self, line: bytes, record_id: str) -> list[PreviewLine]:
        """What would become of the record `line`."""
        lines: list[PreviewLine] = []
        try:
            fields = decode(line)
        except RecordError as error:
            return [PreviewLine.of_failure(Failed("decode", error.kind, error.message))]
        if "_error" in fields and self._incoming_errors != "process":
            how = "passes untouched" if self._incoming_errors == "pass" else "may be redone"
            return [PreviewLine("decode", f"{how}, for it has an _error (--incoming-errors)")]
        self._walk(0, Known(record_id, fields), lines)
        return lines

    def _walk(self, first: int, known: Known, lines: list[PreviewLine]) -> None:
        for k, (name, step) in enumerate(self._steps[first:], first):
            try:
                made = step(known, lambda *said, n=name: lines.append(PreviewLine(n, *said)))
            except RecordError as error:
                lines.append(PreviewLine.of_failure(Failed(name, error.kind, error.message)))
                return
            if len(made) != 1:
                for each in made:
                    self._walk(k + 1, each, lines)
                return
            known = made[0]


def _step_of(settings: StageSettings) -> Step:
    step = _unconditional(settings)
    is_wanted = condition("when", settings.when)
    return step if is_wanted is None else partial(_take_if, is_wanted, settings.when or "", step)


def _unconditional(settings: StageSettings) -> Step:
    match kind := kind_of(settings):
        case None:
            raise ConfigError  # what it does is not known: told where its table is read
        case Builtin():
            return _computed(kind, into(settings))
        case Filter():
            return _filtered(kind.text)
        case Select():
            return _selected(kind.text)
        case Sources():
            return partial(_take_all, [(each.name or "", _step_of(each)) for each in kind.stages])
        case Http():
            return _requested(kind, settings)
        case _:
            return _called(kind, into(settings))


def _take_if(
    is_wanted: Callable[[Record], bool], when: str, step: Step, known: Known, say: Say
) -> Sequence[Known]:
    try:
        if not _found(is_wanted, known):
            say(f"skipped, for `when` is not true: {when}", "skipped")
            return [known]
    except NotKnownError as unknown:
        say(f"only when {when}, and {unknown} is not known yet:")
        return step(known, partial(_say_perhaps, say))
    return step(known, say)


def _say_perhaps(say: Say, said: str, effect: str = "", details: Sequence[str] = ()) -> None:
    say(said, effect and f"perhaps {effect}", details)


def _take_all(steps: Sequence[tuple[str, Step]], known: Known, say: Say) -> Sequence[Known]:
    errors: list[RecordError] = []
    for name, step in steps:
        try:
            step(known, lambda said, *more, n=name: say(f"{n}: {said}", *more))
        except RecordError as error:  # the others are asked nevertheless
            errors.append(error)
    if errors:
        raise errors[0]
    return [known]


def _computed(kind: Builtin, path: Path | None) -> Step:
    call = kind.leads().call

    def take(known: Known, say: Say) -> Sequence[Known]:
        say(f"{kind.called}, which calls nobody")
        if (facts := call(known.fields)) is not None:
            known.put(path, facts)
        return [known]

    return take


def _filtered(text: str) -> Step:
    is_wanted = condition("filter", text)
    assert is_wanted is not None

    def take(known: Known, say: Say) -> Sequence[Known]:
        try:
            if _found(is_wanted, known):
                return [known]
        except NotKnownError as unknown:
            say(f"goes on only if {text}, and {unknown} is not known yet:")
            return [known]
        say(f"goes no further, for this is not true: {text}", "filtered")
        return []

    return take


def _selected(text: str) -> Step:
    search = expression("select", text)
    assert search is not None

    def take(known: Known, say: Say) -> Sequence[Known]:
        try:
            found = _found(search, known)
        except NotKnownError as unknown:
            say(f"becomes {text}, and {unknown} is not known yet")
            return [Known(known.record_id, {}, is_open=True)]
        say(f"becomes {text}")
        made = found if isinstance(found, list) else [] if found is None else [found]
        if wrong := [each for each in made if not isinstance(each, dict)]:
            raise RecordError("exception", f"returned {wrong[0]!r:.100}, expected an object")
        return [Known(known.record_id, dict(each)) for each in made]

    return take


def _found(search: Callable[[Record], object], known: Known) -> JsonValue:
    """What JMESPath finds. Raises `NotKnownError`, `RecordError`."""
    try:
        found = search(known.view())
    except ValueError as error:  # a function got what it does not take
        if known.is_whole:
            raise RecordError("exception", described(error)) from error
        raise NotKnownError(("part of the record",)) from error
    if is_in_part(found):
        raise NotKnownError(("part of the record",))
    return found


def _requested(kind: Http, settings: StageSettings) -> Step:
    told = structs.replace(kind.settings, on_missing="fail")  # which field it is
    asks, policies = structs.replace(kind, settings=told), policies_of(settings)
    builder = asks.requests(settings.name or "", policies)
    is_bulk = "batch" in policies
    skips = kind.settings.on_missing == "skip"
    paths, path = builder.fields, into(settings)

    def take(known: Known, say: Say) -> Sequence[Known]:
        unknown = [".".join(each) for each in paths if not known.is_known(each)]
        try:
            call = builder.build(known.filled(paths))
        except MissingFieldError as error:
            if not skips:
                raise
            say(f"skipped, for {error.message}", "skipped")
            return [known]
        except RecordError:
            if not unknown:
                raise
            said = f"{builder.method} {told.url.written}, and {', '.join(unknown)} is not known yet"
            say(said, "called")
        else:
            assert call is not None
            if kind.request_id:
                call.headers += id_header(known.record_id)
            request = builder.bulk([call]) if is_bulk else call
            details = list(map(named, sent(request)))
            say(named(asked(request)), "called", details)
        known.conceal(path)
        return [known]

    return take


def _called(kind: StageKind, path: Path | None) -> Step:
    if isinstance(kind, Python):
        from streamproc.enrichers.function import load
        from streamproc.enrichers.markers import marks

        called, replaces = kind.spec, marks(load(kind.spec)).replaces
    else:
        called, replaces = type(kind).__name__, kind.replaces

    def take(known: Known, say: Say) -> Sequence[Known]:
        say(f"{called}, Python that is not called here", "called")
        if replaces:
            return [Known(known.record_id, {}, is_open=True)]
        known.conceal(path)
        return [known]

    return take
