"""What becomes of brokers and partitions during a run, told to its observers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

from streamproc.config.settings import Settings
from streamproc.interfaces import RunObserver, Source


def listen_to_brokers(settings: Settings, source: Source, observer: RunObserver) -> list[Any]:
    """`observer` tells of those of all topics, and of the partitions that are read.

    Returns who tells it, to be held until the run is over.
    """
    tables = [settings.source, settings.sink, settings.dead_letter]
    found = [kafka for each in tables if (kafka := getattr(each, "kafka", None)) is not None]
    if not found:
        return []
    from streamproc.kafka.client import broker_monitor

    loop = asyncio.get_running_loop()

    def changed(brokers: str, are_there: bool) -> None:
        with suppress(RuntimeError):  # the run is over
            told = partial(observer.brokers_changed, brokers, are_there=are_there)
            loop.call_soon_threadsafe(told)

    if hasattr(source, "on_partitions"):
        source.on_partitions = observer.partitions_changed
    voices = [broker_monitor(kafka.brokers) for kafka in found]
    for each in voices:
        each.on_change = changed
    return voices
