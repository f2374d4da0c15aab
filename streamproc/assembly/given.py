"""What Python code gives: stages, sources and sinks in the forms that are at hand there."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol, cast, runtime_checkable

from streamproc.config.addresses import scheme_of, table_of
from streamproc.config.load import resolve
from streamproc.config.specs import stage_of
from streamproc.errors import ConfigError, StreamprocError
from streamproc.interfaces import Sink, SinkRecipe, Source, SourceRecipe
from streamproc.sinks.recipes import File
from streamproc.sources.recipes import Files
from streamproc.types import Function, Table


@runtime_checkable
class Writable(Protocol):
    """An open file, binary or text."""

    def write(self, data: object, /) -> object:
        """Take `data`."""


Path = str | os.PathLike[str]
What = str | Function | Mapping[str, object]
StageLike = What | tuple[str, What]
"""A SPEC or URL, a function or class, a table as in the pipeline file; or a pair with a name."""
Records = Iterable[object] | AsyncIterable[object]
"""dicts, or lines as str or bytes; so an open file, too."""
SourceLike = Source | Path | Records
SinkLike = Sink | Path | list[Any] | Writable
"""A list, whatever else is in it, gets dicts."""

_FLAGS = r" \(--?[a-z][a-z-]*(?: [A-Z]+)?\)|^-e "
_FLAG = r"(?<!\S)--([a-z][a-z-]*)"


def tables_of(stages: Sequence[StageLike]) -> tuple[list[Table], list[Function | None]]:
    """The tables of `stages`, and what they call where that is known. Raises `ConfigError`."""
    if isinstance(stages, str | Mapping) or not isinstance(stages, Sequence):
        raise ConfigError(
            f"stages: expected a list of stages, got {type(stages).__name__}: [{stages!r}]"
        )
    found, problems = [], []
    for i, stage in enumerate(stages):
        try:
            found.append(_table_of(stage))
        except ConfigError as error:
            problems += [f"stage[{i}]: {_in_python(problem)}" for problem in error.problems]
    if problems:
        raise ConfigError(*problems)
    return [table for table, _ in found], [target for _, target in found]


def _table_of(stage: object) -> tuple[Table, Function | None]:
    name, what = stage if isinstance(stage, tuple) and len(stage) == 2 else (None, stage)
    named: Table = {} if name is None else {"name": name}
    if isinstance(what, Mapping):
        table = dict(what)
        target = table["python"] if callable(table.get("python")) else None
        return table | ({} if target is None else {"python": _spec_of(target)}) | named, target
    if isinstance(what, str):
        if what.startswith(("http://", "https://")):
            if name is None:
                raise ConfigError(f'a URL needs a name for its result: ("company", {what!r})')
            return {"http": {"url": what}} | named, None
        return stage_of(what) | named, None
    if callable(what):
        return {"python": _spec_of(what)} | named, what
    raise ConfigError(
        "expected a SPEC or URL (str), a function, a table (dict), or a pair of a name and one of "
        f"these, got {type(what).__name__}"
    )


def _spec_of(function: Callable[..., object]) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return f"{getattr(function, '__module__', '__main__')}:{name}"


def _in_python(problem: str) -> str:
    """A problem without the flags of the command line, or with the keys that say the same."""
    problem = problem.replace("under a line [[stage]]", "into its table")
    return re.sub(_FLAG, lambda match: match[1].replace("-", "_"), re.sub(_FLAGS, "", problem))


@contextmanager
def in_words_of_python() -> Iterator[None]:
    """What is raised within says so, too."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(*map(_in_python, error.problems)) from None
    except StreamprocError as error:
        error.args = tuple(_in_python(str(each)) for each in error.args)
        raise


def source_of(
    source: SourceLike, form: Literal["jsonl", "json"] = "jsonl"
) -> Source | SourceRecipe:
    """What reads `source`; a file has that form. Raises TypeError, `ConfigError`, `UsageError`."""
    if isinstance(source, str) and scheme_of(source):
        given = resolve({"source": table_of(source, is_source=True)}).source
        return cast("SourceRecipe", given and given.recipe)
    if isinstance(source, str | os.PathLike):
        return Files(inputs=(os.fspath(source),), format=form)
    if hasattr(source, "receive"):
        return source  # type: ignore[return-value]  # what has `receive` is a Source
    if isinstance(source, AsyncIterable | Sequence) and not isinstance(source, bytes):
        from streamproc.testing import MemorySource

        return MemorySource(source)
    if isinstance(source, Mapping | bytes) or not isinstance(source, Iterable):
        raise TypeError(
            "source: expected the name of a file, an open file, or an iterable of records, "
            f"got {type(source).__name__}"
        )
    from streamproc.sources.iterable import IterableSource

    return IterableSource(source)


def sink_of(sink: SinkLike) -> Sink | SinkRecipe:
    """What writes to `sink`. Raises TypeError, `ConfigError`, `UsageError`."""
    from streamproc.sinks.python import ListSink, OpenFileSink

    if isinstance(sink, str) and scheme_of(sink):
        given = resolve({"sink": table_of(sink, is_source=False)}).sink
        return cast("SinkRecipe", given and given.recipe)
    if isinstance(sink, str | os.PathLike):
        return File(path=os.fspath(sink))
    if hasattr(sink, "takes_messages"):
        return sink  # type: ignore[return-value]  # what has that is a Sink
    if isinstance(sink, list):
        return ListSink(sink)
    if isinstance(sink, Writable):
        return OpenFileSink(sink)
    raise TypeError(
        "sink: expected the name of a file, an open file, or a list for the records, "
        f"got {type(sink).__name__}"
    )
