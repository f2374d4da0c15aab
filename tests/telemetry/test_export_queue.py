"""What is sent beside a run: bounded, told once, and never waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from streamproc.telemetry import export_queue
from streamproc.telemetry.export_queue import ExportQueue


class Place:
    """Takes what is sent while it is `open`, and has a word to say if it refuses."""

    trouble = ""

    def __init__(self, why: str | None = None, *, tries_again: bool = False) -> None:
        self.got: list[list[int]] = []
        self.why = why
        self.open = threading.Event()
        self.open.set()
        self._tries_again = tries_again

    def send(self, items: list[int], on_trouble: Callable[[], None]) -> str | None:
        if self._tries_again:
            on_trouble()
            self.open.clear()
        self.open.wait()
        self.got.append(items)
        return self.why

    def shutdown(self) -> None:
        self.open.set()


def queue_to(place: Place, *, most: int = 10, enough: int = 3) -> ExportQueue[int]:
    queue = ExportQueue("things", place, lambda _: 1, most=most, enough=enough, delay_s=0.01)
    queue.start()
    return queue


def test_all_is_sent_in_its_order_and_the_rest_at_the_end() -> None:
    place = Place()
    queue = queue_to(place, most=100)
    for n in range(20):
        queue.put(n)
    queue.close()
    assert [n for items in place.got for n in items] == list(range(20))
    assert max(map(len, place.got)) <= 3


def test_no_more_than_it_holds_is_taken_while_nothing_can_be_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What found no room is counted: those who ask first make nothing in vain."""
    place = Place()
    place.open.clear()
    queue = queue_to(place)
    taken = 0
    for n in range(100):
        if queue.has_room():
            queue.put(n)
            taken += 1
    assert 10 <= taken <= 13  # as many as one send takes may be under way
    place.open.set()
    queue.close()
    assert sum(map(len, place.got)) == taken
    assert caplog.messages == [f"things: {100 - taken} were not sent"]


def test_a_place_that_refuses_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    place = Place("no such path")
    queue = queue_to(place, most=100)
    for n in range(9):
        queue.put(n)
    queue.close()
    told = "things cannot be sent, and the run goes on: no such path"
    assert caplog.messages == [told, "things: 9 were not sent"]


def test_the_end_does_not_wait_for_a_place_that_is_not_there(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even until it is given up, once it had to be tried again."""
    monkeypatch.setattr(export_queue, "_END_S", threading.TIMEOUT_MAX)
    queue = queue_to(Place("refused", tries_again=True))
    queue.put(1)
    queue.close()
    assert caplog.messages[-1] == "things: 1 were not sent"


def test_the_end_waits_for_a_place_that_hangs_so_long_and_no_longer(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_queue, "_END_S", 0.01)
    place = Place()
    place.open.clear()
    queue = queue_to(place)
    queue.put(1)
    place.trouble = "no answer"
    queue.close()  # shutdown lets it go
    assert place.got == [[1]]
    assert caplog.messages[0] == "things cannot be sent, and the run goes on: no answer"


def test_one_that_raises_is_as_one_that_refuses(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Place):
        def send(self, items: list[int], on_trouble: Callable[[], None]) -> str | None:
            raise ValueError("broken")

    queue = queue_to(Broken())
    queue.put(1)
    queue.close()
    assert caplog.messages[0].endswith("ValueError: broken")
