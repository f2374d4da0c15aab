"""Every setting, with its type and its default. The pipeline file has this shape."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from msgspec import UNSET, Meta, Struct

from streamproc.enrichers.http_settings import HttpSettings
from streamproc.kafka.settings import SinkSettings, SourceSettings
from streamproc.policies.batch import Batch
from streamproc.policies.cache import Cache
from streamproc.policies.circuit_breaker import CircuitBreaker
from streamproc.policies.concurrency import Concurrency
from streamproc.policies.rate_limit import RateLimit
from streamproc.policies.retry import Retry
from streamproc.units import ByteSize, Sample, Seconds

Count = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
OnError = Literal["annotate", "dead-letter", "drop", "stop"]
IncomingErrors = Literal["pass", "process", "redo"]


class FallbackSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who answers instead. Exactly one of `http`, `python` and `value`."""

    http: HttpSettings | None = None
    python: str | None = None
    value: Any = UNSET


class StageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `[[stage]]`. Exactly one of `builtin`, `python`, `http`, `select`, `filter` and `all`
    says what it does. `options` are keyword arguments of the Python function or class.

    `retry = false` and `breaker = false` switch off what an http stage has by default.
    """

    name: Name | None = None
    builtin: Literal["leads", "none"] | None = None
    python: str | None = None
    options: dict[str, Any] | None = None
    http: HttpSettings | None = None
    select: str | None = None
    filter: str | None = None
    all: tuple[StageSettings, ...] | None = None
    into: str | None = None
    when: str | None = None
    timeout: Seconds | None = None
    deadline: Seconds | None = None
    retry: Retry | bool | None = None
    breaker: CircuitBreaker | bool | None = None
    rate: RateLimit | str | None = None
    concurrency: Concurrency | Count | None = None
    cache: Cache | str | None = None
    batch: Batch | int | None = None
    fallback: tuple[FallbackSettings, ...] | None = None
    mark: bool | None = None
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$")] | None = None


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pipeline file, or the flags that say the same."""

    # Defaults are plain numbers, which msgspec can put into the schema.
    stage: tuple[StageSettings, ...] = (StageSettings(name="leads", builtin="leads"),)
    concurrency: Count = 64
    ordered: bool = True
    timeout: Seconds = cast("Seconds", 30.0)
    on_error: OnError = "annotate"
    incoming_errors: IncomingErrors = "pass"
    source: SourceSettings | None = None
    sink: SinkSettings | None = None
    dead_letter: str | SinkSettings | None = None
    output: str | None = None
    input_format: Literal["jsonl", "json"] = "jsonl"
    max_errors: Count | None = None
    max_line_bytes: ByteSize = cast("ByteSize", 16 << 20)
    checkpoint: str | None = None
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
    connect_timeout: Seconds = cast("Seconds", 10.0)
    workers: Literal["auto"] | Count = 1
    max_restarts: Annotated[int, Meta(ge=0)] = 20
    drain_timeout: Seconds = cast("Seconds", 25.0)
    progress: bool | None = None
    summary: Literal["text", "json", "none"] | None = None
    loop: Literal["uvloop", "asyncio"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    log_format: Literal["text", "json"] = "text"
