"""The tables `[source] kafka`, `[sink] kafka`, `[dead_letter] kafka`, and `kafka://` addresses.

What they open is imported when it is opened: `connector.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import IO, Any, ClassVar, Literal, Self, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import field, structs

from streamproc.errors import UsageError
from streamproc.http.template import Template
from streamproc.interfaces import (
    Connector,
    ProgressTracker,
    RunObserver,
    Sink,
    SinkRecipe,
    SinkScope,
    Source,
    SourceRecipe,
    SourceScope,
)
from streamproc.types import Table
from streamproc.units import Seconds

_LAST = re.compile(r"-\d+")
_ZONE = re.compile(r" (?=\d\d:\d\d$)")
_HEARTBEAT_MS = 3000  # librdkafka's default
_SECRET = re.compile(r"password|passphrase|secret|key\.pem|oauthbearer\.config")


class KafkaSourceSettings(
    SourceRecipe, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}
):
    """What to read. Without `group` nothing is committed.

    `from` holds where the group has no committed offset: "committed" or "beginning" (the
    same there), "end", an RFC 3339 time, or "-N" for the last N of each partition.
    """

    what: ClassVar[str] = "a Kafka topic"
    address: ClassVar[str] = "kafka://HOST:PORT/TOPIC[,TOPIC]?group=NAME"
    least_records: ClassVar[int] = 50_000  # partitions are read ahead of each other
    is_endless: ClassVar[bool] = True

    brokers: str
    topics: tuple[str, ...]
    group: str | None = None
    instance: str | None = None
    from_: str | None = None
    on_gap: Literal["earliest", "stop"] = "earliest"
    meta: bool = False
    properties: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_brokers(self.brokers)
        begin = self.from_
        if begin is None or begin in ("committed", "beginning", "end") or _LAST.fullmatch(begin):
            return
        try:
            if datetime.fromisoformat(begin).tzinfo is not None:
                return
        except ValueError:
            pass
        raise ValueError(
            f"from is {begin!r}: expected committed, beginning, end, -N, or a time with its "
            "offset such as 2024-01-31T09:00:00Z"
        )

    @property
    def heartbeat_s(self) -> float:
        """So often the group hears of us, and we of it."""
        from streamproc.kafka.client import number

        return number(self.properties, "heartbeat.interval.ms", _HEARTBEAT_MS) / 1000

    @property
    def remembers(self) -> bool:
        """See `SourceRecipe`."""
        return self.group is not None

    def unnoticed(self) -> Self:
        """See `SourceRecipe`."""
        begin = None if self.from_ == "committed" else self.from_
        return structs.replace(self, group=None, instance=None, from_=begin)

    def opened(self, scope: SourceScope) -> Source:
        """See `SourceRecipe`."""
        from streamproc.kafka.connector import source_of

        return source_of(self, scope)

    def keeper(self, source: Any, scope: SourceScope) -> ProgressTracker:  # of ours
        """See `SourceRecipe`."""
        from streamproc.kafka.connector import keeper_of

        return keeper_of(source, scope)

    def watch(self, end: Any, observer: RunObserver) -> object:  # as in `EndRecipe`
        """See `EndRecipe`."""
        from streamproc.kafka.connector import watch

        return watch(self.brokers, observer)

    def lags(self, source: Any) -> Mapping[str, int]:  # of ours
        """See `SourceRecipe`."""
        lags: Mapping[str, int] = source.lags()
        return lags


class KafkaSinkSettings(SinkRecipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to write. `key` is a template; `partition` "auto" keeps key and place if it can."""

    what: ClassVar[str] = "a Kafka topic"
    address: ClassVar[str] = "kafka://HOST:PORT/TOPIC"
    takes_messages: ClassVar[bool] = True

    brokers: str
    topic: str
    key: Template | None = None
    partition: Literal["auto", "key", "same"] = "auto"
    exactly_once: bool = False
    transaction_interval: Seconds = cast("Seconds", 0.1)
    properties: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_brokers(self.brokers)
        if self.key is not None and self.key.is_literal:
            raise ValueError(f'key: no {{field}} in "{self.key}": all records would have one key')

    @classmethod
    def contradictions(cls, table: Mapping[str, object]) -> Iterable[str]:
        """See `Recipe`: exactly once is for topics of one cluster."""
        source, sink = (_table_in(table.get(name)) for name in ("source", "sink"))
        if not sink.get("exactly_once"):
            return
        properties = source.get("properties")
        if not source.get("group"):
            yield "exactly_once: the source has to be Kafka, with a group"
        elif source.get("brokers") != sink.get("brokers"):
            yield "exactly_once: source and sink have to be the same cluster"
        if isinstance(properties, dict) and properties.get("isolation.level") == "read_uncommitted":
            yield "exactly_once: isolation.level has to be read_committed"
        if table.get("ordered") is False:
            yield "exactly_once: only in order, without --unordered"
        if isinstance(table.get("dead_letter"), str):
            yield "exactly_once: dead letters have to go to a topic, too"

    def watch(self, end: Any, observer: RunObserver) -> object:  # as in `EndRecipe`
        """See `EndRecipe`."""
        from streamproc.kafka.connector import watch

        return watch(self.brokers, observer)

    def opened(self, scope: SinkScope) -> Sink:
        """See `SinkRecipe`."""
        from streamproc.kafka.connector import sink_of

        return sink_of(self, scope)


class Kafka(Connector):
    """Topics."""

    source = KafkaSourceSettings
    sink = KafkaSinkSettings

    @classmethod
    def is_secret(cls, name: str) -> bool:
        """See `Connector`."""
        return is_secret(name)

    @classmethod
    def table_of(cls, address: str, *, is_source: bool) -> Table:
        """See `Connector`."""
        return table_of(address, is_source=is_source)

    @classmethod
    def replay(
        cls,
        source: KafkaSourceSettings,
        sink: KafkaSinkSettings | None,
        out: IO[bytes],
        complain: Callable[[str], None],
        *,
        keep_sources: bool,
    ) -> int:
        """See `Connector`."""
        from streamproc.kafka.replay import Replay

        letters = Replay(source, complain)
        if sink is not None:
            return letters.to_topic(sink)
        return letters.to_lines(out, keep_sources=keep_sources)


def _table_in(table: object) -> Table:
    inner = table.get("kafka") if isinstance(table, dict) else None
    return inner if isinstance(inner, dict) else {}


def is_secret(name: str) -> bool:
    """Whether the property of that name is never printed, wherever it was given."""
    return _SECRET.search(name) is not None


def _check_brokers(brokers: str) -> None:
    if "@" in brokers:
        raise ValueError(
            "brokers: no user and password there; they are properties: sasl.username, and "
            'sasl.password = "${VAR}"'
        )


def table_of(address: str, *, is_source: bool) -> Table:
    """The table that `kafka://HOST:PORT[,...]/TOPIC[,...]?key=value` means. Raises `UsageError`.

    A parameter with a dot in its name is one of librdkafka's properties; `properties.` before it
    does no harm, and says so of one without a dot.
    """
    parts = urlsplit(address)
    try:
        _check_brokers(parts.netloc)
    except ValueError as error:
        raise UsageError(f"{address}: {error}") from None
    topics = [unquote(topic) for topic in parts.path.strip("/").split(",") if topic]
    if not parts.netloc or not topics:
        raise UsageError(f"{address}: expected kafka://HOST:PORT/TOPIC")
    if len(topics) > 1 and not is_source:
        raise UsageError(f"{address}: one topic, expected kafka://HOST:PORT/TOPIC")
    table: dict[str, Any] = {"brokers": parts.netloc}
    table |= {"topics": topics} if is_source else {"topic": topics[0]}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        name = key.removeprefix("properties.")
        if "." in key:
            table.setdefault("properties", {})[name] = value
        else:
            table[name] = {"true": True, "false": False}.get(value, value)
    if "from" in table:
        table["from"] = _ZONE.sub("+", str(table["from"]))  # `+` is a space in a query
    return table
