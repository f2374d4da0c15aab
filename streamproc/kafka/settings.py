"""The tables `[source] kafka`, `[sink] kafka`, `[dead_letter] kafka`, and `kafka://` addresses."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from streamproc.errors import UsageError
from streamproc.http.template import Template
from streamproc.secrets import hide
from streamproc.units import Seconds

SCHEME = "kafka://"
_LAST = re.compile(r"-\d+")
_ZONE = re.compile(r" (?=\d\d:\d\d$)")
_SECRET = re.compile(r"password|passphrase|secret|key\.pem|oauthbearer\.config")


class KafkaSourceSettings(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}
):
    """What to read. Without `group` nothing is committed.

    `from` holds where the group has no committed offset: "committed" or "beginning" (the
    same there), "end", an RFC 3339 time, or "-N" for the last N of each partition.
    """

    brokers: str
    topics: tuple[str, ...]
    group: str | None = None
    instance: str | None = None
    from_: str | None = None
    on_gap: Literal["earliest", "stop"] = "earliest"
    meta: bool = False
    properties: dict[str, Any] = {}

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


class KafkaSinkSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to write. `key` is a template; `partition` "auto" keeps key and place if it can."""

    brokers: str
    topic: str
    key: Template | None = None
    partition: Literal["auto", "key", "same"] = "auto"
    exactly_once: bool = False
    transaction_interval: Seconds = cast("Seconds", 0.1)
    properties: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _check_brokers(self.brokers)
        if self.key is not None and self.key.is_literal:
            raise ValueError(f'key: no {{field}} in "{self.key}": all records would have one key')


class SourceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where records come from, instead of INPUT."""

    kafka: KafkaSourceSettings


class SinkSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where records go, instead of `output`; a `[dead_letter]` table has the same keys."""

    kafka: KafkaSinkSettings


def is_secret(name: str) -> bool:
    """Whether the property of that name is never printed, wherever it was given."""
    return _SECRET.search(name) is not None


def _check_brokers(brokers: str) -> None:
    if "@" in brokers:
        raise ValueError(
            "brokers: no user and password there; they are properties: sasl.username, and "
            'sasl.password = "${VAR}"'
        )


def hide_secrets(address: str) -> None:
    """From now on messages are without the secrets in `address`."""
    for name, value in parse_qsl(address.partition("?")[2]):
        if is_secret(name):
            hide(value)


def is_address(name: str | None) -> bool:
    """Whether `name` is a Kafka address and no file."""
    return name is not None and name.startswith(SCHEME)


def table_of(address: str, *, is_source: bool) -> dict[str, Any]:
    """The table that `kafka://HOST:PORT[,...]/TOPIC[,...]?key=value` means. Raises `UsageError`.

    A parameter with a dot in its name is one of librdkafka's properties; `properties.` before it
    does no harm, and says so of one without a dot.
    """
    hide_secrets(address)
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
    return {"kafka": table}
