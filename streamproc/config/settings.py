"""Every setting, with its type and its default. The pipeline file has this shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Annotated, Any, Literal, cast

from msgspec import UNSET, Meta, Struct, defstruct

from streamproc.config.hook_settings import HookSettings
from streamproc.config.registry import SCHEMES, connector, observer, plugin
from streamproc.enrichers.builtin import Builtin, BuiltinName
from streamproc.enrichers.http_settings import HttpSettings
from streamproc.enrichers.http_stage import Http
from streamproc.enrichers.python import Python
from streamproc.enrichers.reshape import Filter, Select
from streamproc.enrichers.sources import Sources
from streamproc.interfaces import ObserverKind
from streamproc.memory import MAX_BYTES
from streamproc.policies.batch import Batching
from streamproc.policies.cache import Cache
from streamproc.policies.circuit_breaker import CircuitBreaker
from streamproc.policies.concurrency import Concurrency
from streamproc.policies.deadline import Deadline
from streamproc.policies.fallback import Fallback
from streamproc.policies.rate_limit import RateLimit
from streamproc.policies.retry import RetryPolicy
from streamproc.telemetry.monitor_settings import MonitorSettings
from streamproc.telemetry.trace_settings import TraceSettings
from streamproc.types import Table
from streamproc.units import ByteSize, FileName, PositiveSeconds, RunId, Sample, Seconds

Count = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
OnError = Literal["annotate", "dead-letter", "drop", "stop"]
IncomingErrors = Literal["pass", "process", "redo"]


class FallbackSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who answers instead. Exactly one of `http`, `python` and `value`."""

    http: Annotated[HttpSettings, Http] | None = None
    python: Annotated[str, Python] | None = None
    value: Any = UNSET


class StageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stage. Exactly one of `builtin`, `python`, `http`, `select`, `filter` and `all`
    says what it does. `options` are keyword arguments of the Python function or class. Without
    `name` and `into` the result is merged at the top level, over fields that are called the same.

    `request_id = true` sends the id of the record as X-Request-Id with the calls of an http stage.
    `retry = false` and `breaker = false` switch off what an http stage has by default.
    """

    # A field whose type is a recipe, or is annotated with the one that it is the value of, is all
    # that the house has to be told of it; kinds and policies of plugins become fields as well
    # (`stage_settings`).

    name: Name | None = None
    builtin: Annotated[BuiltinName, Builtin] | None = None
    python: Annotated[str, Python] | None = None
    options: dict[str, Any] | None = None
    http: Annotated[HttpSettings, Http] | None = None
    select: Annotated[str, Select] | None = None
    filter: Annotated[str, Filter] | None = None
    all: Annotated[tuple[StageSettings, ...], Sources] | None = None
    into: str | None = None
    when: str | None = None
    timeout: PositiveSeconds | None = None
    deadline: Annotated[PositiveSeconds, Deadline] | None = None
    retry: RetryPolicy | bool | None = None
    breaker: CircuitBreaker | bool | None = None
    rate: RateLimit | str | None = None
    concurrency: Concurrency | Count | None = None
    cache: Cache | str | None = None
    batch: Batching | int | None = None
    fallback: Annotated[tuple[FallbackSettings, ...], Fallback] | None = None
    mark: bool | None = None
    request_id: bool | None = None
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$")] | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """For a worker, which makes the fields of plugins again."""
        return _again, (StageSettings, *_fields(self))


def stage_settings(keys: Iterable[str]) -> type[StageSettings]:
    """The settings of a stage whose table has `keys`: names of plugins are fields as others are.

    Raises `ConfigError` for a plugin that cannot be used.
    """
    return _extended(tuple(sorted(set(keys) - OWN_KEYS)))


@cache
def _extended(names: tuple[str, ...]) -> type[StageSettings]:
    fields = [(name, recipe | None, None) for name in names if (recipe := plugin(name))]
    if not fields:
        return StageSettings
    made = defstruct("StageSettings", fields, bases=(StageSettings,), frozen=True, kw_only=True)
    return cast("type[StageSettings]", made)


class EndSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table, which is called as the scheme of its addresses."""

    # The schemes are fields (`end_settings`).

    def __post_init__(self) -> None:
        if len(self.__struct_fields__) - [*self._values()].count(None) != 1:
            known = ", ".join(self.__struct_fields__)
            raise ValueError(f"expected exactly one of {known}")

    def _values(self) -> Iterator[object]:
        return (getattr(self, name) for name in self.__struct_fields__)

    @property
    def recipe(self) -> Any:  # a SourceRecipe or a SinkRecipe, as the class says
        """What it says."""
        return next(each for each in self._values() if each is not None)

    def __reduce__(self) -> tuple[object, ...]:
        """See `StageSettings`."""
        kind = SourceSettings if isinstance(self, SourceSettings) else SinkSettings
        return _again, (kind, *_fields(self))


class SourceSettings(EndSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where records come from, instead of INPUT."""


class SinkSettings(EndSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where records go, instead of `output`; a `[dead_letter]` table has the same keys."""


def end_settings(kind: type[EndSettings], keys: Iterable[str]) -> type[EndSettings]:
    """`SourceSettings` or `SinkSettings` of a table that has `keys`: a field for each scheme.

    Raises `ConfigError` for a plugin that cannot be used.
    """
    return _with_schemes(kind, tuple(dict.fromkeys((*SCHEMES, *keys))))


@cache
def _with_schemes(kind: type[EndSettings], schemes: tuple[str, ...]) -> type[EndSettings]:
    side = "source" if issubclass(kind, SourceSettings) else "sink"
    found = {scheme: getattr(connector(scheme), side, None) for scheme in schemes}
    fields = [(scheme, recipe | None, None) for scheme, recipe in found.items() if recipe]
    made = defstruct(
        kind.__name__, fields, bases=(kind,), frozen=True, kw_only=True,
        forbid_unknown_fields=True, namespace={"__doc__": kind.__doc__},
    )  # fmt: skip
    return cast("type[EndSettings]", made)


def struct_for(kind: type[Struct], keys: Iterable[str]) -> type[Struct]:
    """`kind`, with the fields that a table with `keys` has by a registry. Raises `ConfigError`."""
    if issubclass(kind, StageSettings):
        return stage_settings(keys)
    if issubclass(kind, ObserverSettings):
        return observer_settings(tuple(keys))
    return end_settings(kind, keys) if issubclass(kind, EndSettings) else kind


def _fields(struct: Struct) -> tuple[Table]:
    return ({name: getattr(struct, name) for name in struct.__struct_fields__},)


def _again(kind: type[Struct], fields: Table) -> Struct:
    return struct_for(kind, fields)(**fields)


OWN_KEYS = frozenset(StageSettings.__struct_fields__)


class ObserverSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who hears of the run: a table for each observer, by the name that its plugin has for it."""

    @property
    def recipes(self) -> dict[str, ObserverKind]:
        """Those that are there, by name."""
        found = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: recipe for name, recipe in found if recipe is not None}


@cache
def observer_settings(names: tuple[str, ...]) -> type[ObserverSettings]:
    """The settings whose keys are `names`, as far as there are such observers.

    Raises `ConfigError` for a plugin that cannot be used.
    """
    fields = [(name, recipe | None, None) for name in names if (recipe := observer(name))]
    made = defstruct("ObserverSettings", fields, bases=(ObserverSettings,), frozen=True,
                     kw_only=True, forbid_unknown_fields=True)  # fmt: skip
    return cast("type[ObserverSettings]", made)


def all_sources(stages: Iterable[StageSettings]) -> Iterator[StageSettings]:
    """Stages, and what they ask at once."""
    for stage in stages:
        yield stage
        yield from stage.all or ()


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pipeline file, or the flags that say the same."""

    # Defaults are plain numbers, which msgspec can put into the schema.
    stage: tuple[StageSettings, ...] = (StageSettings(name="leads", builtin="leads"),)
    concurrency: Count = 64
    ordered: bool = True
    timeout: PositiveSeconds = cast("PositiveSeconds", 30.0)
    on_error: OnError = "annotate"
    incoming_errors: IncomingErrors = "pass"
    source: SourceSettings | None = None
    sink: SinkSettings | None = None
    dead_letter: FileName | SinkSettings | None = None
    output: FileName | None = None
    input_format: Literal["jsonl", "json"] = "jsonl"
    max_errors: Count | None = None
    max_memory: ByteSize = cast("ByteSize", MAX_BYTES)
    max_line_bytes: ByteSize = cast("ByteSize", 16 << 20)
    checkpoint: FileName | None = None
    resume: bool = False
    resume_force: bool = False
    durable: bool = False
    ack_fd: Annotated[int, Meta(ge=0)] | None = None
    stop_at_end: bool = False
    skip: Annotated[int, Meta(ge=0)] = 0
    sample: Sample = cast("Sample", 1.0)
    sample_seed: Annotated[int, Meta(ge=0)] = 0
    limit: Count | None = None
    allow_empty: bool = False
    keep_going: bool = False
    connect_timeout: PositiveSeconds = cast("PositiveSeconds", 10.0)
    workers: Literal["auto"] | Count | None = None
    max_restarts: Annotated[int, Meta(ge=0)] = 20
    drain_timeout: Seconds = cast("Seconds", 25.0)
    run_id: RunId | None = None
    on: tuple[HookSettings, ...] = ()
    observers: ObserverSettings | None = None
    monitor: MonitorSettings | str | None = None
    trace: TraceSettings | bool | None = None
    report: FileName | None = None
    progress: bool | None = None
    progress_format: Literal["line", "full", "json"] = "line"
    summary: Literal["text", "json", "none"] | None = None
    loop: Literal["uvloop", "asyncio"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    log_format: Literal["text", "json"] = "text"

    @property
    def stage_names(self) -> str:
        """All of them, for messages."""
        return ", ".join(stage.name or "?" for stage in self.stage)
