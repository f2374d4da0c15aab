"""The observers of a run: who hears what, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Self

import pytest

from streamproc.errors import ConfigError, CreateError
from streamproc.interfaces import CallEnded, CallFailed, Observer, ObserverKind, TargetPaused
from streamproc.telemetry.observers import Observers

FAILED = CallFailed("s", "s", 1, "timeout", "no result within 1 s", None)
PAUSED = TargetPaused("s", "https://a", 3.0)


class Ears(Observer):
    """Hears of failures and states; `entered` says how far it is."""

    def __init__(self, *, fails: bool = False) -> None:
        self.heard: list[Any] = []
        self.entered = ""
        self._fails = fails

    def call_failed(self, event: CallFailed) -> None:
        if self._fails:
            raise RuntimeError("deaf")
        self.heard.append(event)

    def state_changed(self, event: Any) -> None:
        self.heard.append(event)


class Sync(Ears):
    def __enter__(self) -> Self:
        self.entered = "entered"
        return self

    def __exit__(self, *error: object) -> None:
        self.entered = "left"


class Async(Ears):
    async def __aenter__(self) -> Self:
        self.entered = "entered"
        return self

    async def __aexit__(self, *error: object) -> None:
        self.entered = "left"


class Stuck(Ears):
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        raise OSError("disk full")


class Kind(ObserverKind, frozen=True, kw_only=True):
    made: Any

    def opened(self) -> Observer:
        if isinstance(self.made, Exception):
            raise self.made
        return self.made  # type: ignore[no-any-return] - whatever the test wants


def tell(*made: Any) -> None:
    """All events to `made`."""

    async def main() -> None:
        observers = Observers({f"o{i}": Kind(made=each) for i, each in enumerate(made)})
        assert observers.wanted == frozenset()
        async with observers:
            for each in made:
                assert getattr(each, "entered", "") in ("", "entered")
            for event in (FAILED, PAUSED, FAILED):
                if type(event) in observers.wanted:
                    observers.tell(event)
            assert CallEnded not in observers.wanted
        assert observers.wanted == frozenset()

    asyncio.run(main())


@pytest.mark.parametrize("kind", [Ears, Sync, Async])
def test_each_hears_what_it_has_methods_for(kind: type[Ears]) -> None:
    """It is entered for the run, if it can be, and nothing else is told."""
    one, other = kind(), Ears()
    tell(one, other)
    assert one.heard == other.heard == [FAILED, PAUSED, FAILED]
    assert one.entered in ("", "left")


def test_who_has_no_method_of_its_own_hears_nothing() -> None:
    async def main() -> None:
        async with Observers({"deaf": Kind(made=Observer())}) as observers:
            assert not observers.wanted

    asyncio.run(main())


def test_one_that_raises_hears_no_more_and_the_others_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    deaf, other = Ears(fails=True), Ears()
    tell(deaf, other)
    assert (deaf.heard, other.heard) == ([], [FAILED, PAUSED, FAILED])
    assert caplog.messages == ["observers.o0 failed, and hears no more: RuntimeError: deaf"]


def test_one_that_cannot_be_closed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The account of the run stands: it is a warning."""
    tell(Stuck())
    assert [each.levelno for each in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize(
    ("made", "error", "said"),
    [
        (PermissionError(13, "Permission denied", "x.jsonl"), CreateError, "x.jsonl: Permission"),
        (ConnectionError("nobody there"), CreateError, "observers.o1: nobody there"),
        (ValueError("no"), ConfigError, "observers.o1 cannot be opened: ValueError: no"),
        (object(), ConfigError, "observers.o1: its recipe opened object, which is no Observer"),
    ],
)
def test_one_that_cannot_be_opened_ends_the_start(made: Any, error: Any, said: str) -> None:
    """Those that were opened before are closed."""
    before = Sync()
    with pytest.raises(error, match=said):
        tell(before, made)
    assert before.entered == "left"
