"""The state machine of the circuit breaker; time is an argument."""

from __future__ import annotations

from typing import Any

import pytest

from streamproc.policies.circuit import PROBES, Circuit, CircuitState


def circuit(**more: Any) -> Circuit:
    defaults = {
        "window_s": 30.0, "failure_ratio": 0.5, "min_calls": 20, "consecutive": 10,
        "open_s": 5.0, "max_open_s": 60.0,
    }  # fmt: skip
    return Circuit(**defaults | more)


class Calls:
    """Numbered as they begin."""

    def __init__(self, one: Circuit) -> None:
        self.one = one
        self.begun = self.best = 0
        self.now = 1000.0

    def begin(self, count: int = 1) -> int:
        """So many begin; returns the number of the last one."""
        for _ in range(count):
            self.begun += 1
            self.one.began()
        return self.begun

    def answered(self, number: int) -> bool:
        self.best = max(self.best, number)
        return self.one.succeeded(self.one.epoch, number, self.now, is_first=True)

    def failed(self, number: int, refused: float = 0.0) -> bool:
        return self.one.failed(
            self.one.epoch, number, self.now, best=self.best, begun=self.begun, refused=refused
        )


def opened(**more: Any) -> Circuit:
    """By one failure."""
    one = circuit(consecutive=1, **more)
    calls = Calls(one)
    assert calls.failed(calls.begin())
    return one


@pytest.mark.parametrize(
    ("pattern", "gap_s", "opens_at"),
    [
        ("x" * 10, 0.0, 9),
        ("x" * 10, 100.0, 9),
        ("x" * 9 + "." + "x" * 8, 0.0, None),
        ("x" * 9 + "." + "x" * 9 + "." + "x", 0.0, 20),  # 19 of 21, never ten in a row
        ("x." * 10 + "x", 0.1, 20),  # eleven of 21: what opens it is a failure
        ("x." * 9 + "...x", 0.1, None),  # ten of 22
        ("x." * 200, 1.4, 20),  # 21 of them within the window
        ("x." * 200, 1.6, None),  # nineteen at most
        ("." * 30 + "x." * 16, 0.99, 60),  # the window forgets the good time before
        ("." * 30 + "x." * 9, 0.99, None),
        ("." + "x" * 10, 0.002, 10),
    ],
)
def test_when_it_opens(pattern: str, gap_s: float, opens_at: int | None) -> None:
    """10 in a row at any pace, or half of at least 20 calls within 30 s."""
    calls = Calls(circuit())
    for k, letter in enumerate(pattern):
        number = calls.begin()
        if letter == ".":
            assert not calls.answered(number)
        elif calls.failed(number):
            assert k == opens_at
            return
        calls.now += gap_s
    assert opens_at is None


@pytest.mark.parametrize(("at_once", "opens"), [(10, True), (20, True), (21, False), (100, False)])
def test_ten_in_a_row_are_half_of_those_that_began(at_once: int, opens: bool) -> None:
    """A fast failure overtakes answers that are on their way: that alone is no row."""
    calls = Calls(circuit())
    calls.answered(calls.begin())
    first = calls.begin() - 1
    calls.begin(at_once - 1)
    assert [calls.failed(first + k) for k in range(1, 11)] == [False] * 9 + [opens]


def test_calls_that_began_after_a_row_do_not_hide_it() -> None:
    """A target dies with 20 calls on their way: ten failures are enough, and nine new calls."""
    calls = Calls(circuit())
    calls.begin(20)
    failed = []
    for number in range(1, 11):
        failed.append(calls.failed(number))
        calls.begin()
    assert failed == [False] * 9 + [True]


def test_only_failures_after_the_best_call_are_in_a_row() -> None:
    """Nine failed, and a call that began after them was answered; late news of older ones."""
    calls = Calls(circuit())
    calls.begin(9)
    late = calls.begin()
    assert not any(calls.failed(number) for number in range(1, 10))
    calls.answered(calls.begin())
    assert not calls.failed(late)
    assert not any(calls.failed(calls.begin()) for _ in range(7))


@pytest.mark.parametrize(("in_flight", "opens"), [(0, True), (1, False), (10, False)])
def test_calls_in_flight_count_as_good(in_flight: int, opens: bool) -> None:
    """Ten of 20 failed: half of them, if no more are on their way."""
    calls = Calls(circuit())
    calls.begin(in_flight)
    for _ in range(9):
        calls.failed(calls.begin())
        calls.answered(calls.begin())
    calls.answered(calls.begin())
    assert calls.failed(calls.begin()) == opens


def test_a_call_that_says_nothing_is_in_flight_no_more() -> None:
    """It was cancelled, or ran out of descriptors."""
    calls = Calls(circuit())
    calls.begin()
    for _ in range(9):
        calls.failed(calls.begin())
        calls.answered(calls.begin())
    calls.one.gave_up(calls.one.epoch, is_first=True)
    calls.answered(calls.begin())
    assert calls.failed(calls.begin())


def test_a_success_of_any_attempt_counts() -> None:
    """Second attempts are not in flight, and their failures are no evidence; answers are."""
    calls = Calls(circuit())
    for _ in range(9):
        calls.failed(calls.begin())
    calls.one.succeeded(calls.one.epoch, calls.begun, calls.now, is_first=False)
    calls.best = calls.begun
    assert not any(calls.failed(calls.begin()) for _ in range(9))


def test_how_long_it_stays_open() -> None:
    """5 s, 10, 20, 40, 60, 60, each within 20%, not always the same; 5 s again once it closed."""
    one, now, seen = circuit(consecutive=1), 1000.0, set()
    calls = Calls(one)
    for _ in range(2):
        for expected in (5, 10, 20, 40, 60, 60):
            while one.is_closed or one.state is CircuitState.HALF_OPEN:
                calls.failed(calls.begin())
            assert expected * 0.8 <= one.opens_at - now <= expected * 1.2
            seen.add(one.opens_at)
            one.half_open()
        for _ in range(PROBES):
            assert one.admit()
            calls.answered(calls.begin())
        assert one.state is CircuitState.CLOSED
    assert len(seen) == 12


def test_a_single_success_resets_how_long_it_stays_open() -> None:
    """It opens again after three failures in turn, and for 5 s, not for 40."""
    one = opened()
    calls = Calls(one)
    for _ in range(2):
        one.half_open()
        assert [calls.failed(calls.begin()) for _ in range(3)] == [False, False, True]
    one.half_open()
    outcomes = [calls.failed, calls.failed, calls.answered, calls.failed, calls.failed]
    assert not any(outcome(calls.begin()) for outcome in outcomes)
    assert one.state is CircuitState.HALF_OPEN
    assert calls.failed(calls.begin())
    assert 4 <= one.opens_at - calls.now <= 6


def test_a_half_open_circuit_has_three_permits() -> None:
    """Three calls go through; a permit that comes back is good for another one."""
    one = opened()
    assert not one.admit()
    one.half_open()
    assert [one.admit() for _ in range(4)] == [True, True, True, False]


def test_a_permit_comes_back() -> None:
    one = opened()
    one.half_open()
    for _ in range(PROBES):
        one.admit()
    assert one.gave_up(one.epoch, is_first=True)
    assert [one.admit(), one.admit()] == [True, False]


def test_the_permit_of_a_failed_probe_waits_for_a_success() -> None:
    """A dead target gets three calls each time; one that answers gets three at a time again."""
    one = opened()
    one.half_open()
    calls = Calls(one)
    for _ in range(PROBES):
        one.admit()
    calls.failed(calls.begin())
    calls.failed(calls.begin())
    assert not one.can_admit
    calls.answered(calls.begin())
    assert [one.admit() for _ in range(4)] == [True, True, True, False]


def test_who_went_through_without_a_permit_gives_none_back() -> None:
    """As a call does whose fault it is, when nothing else can be admitted."""
    one = opened()
    one.half_open()
    assert [one.admit() for _ in range(5)] == [True] * 3 + [False] * 2
    one.gave_up(one.epoch, is_first=False)
    one.gave_up(one.epoch, is_first=False)
    assert not one.can_admit
    one.gave_up(one.epoch, is_first=False)
    assert one.can_admit


def test_who_was_answered_while_it_was_open_makes_it_half_open() -> None:
    """It went through all the same, and the target is there again."""
    one = opened()
    one.succeeded(one.epoch, 2, 1001.0, is_first=False)
    assert one.state is CircuitState.HALF_OPEN
    assert one.can_admit


@pytest.mark.parametrize(("refused", "opens_at"), [(0.0, 9), (0.25, 9), (0.5, 19), (0.9, 131)])
def test_a_row_that_chance_makes_does_not_open_it(refused: float, opens_at: int) -> None:
    """The larger the share of records that are refused anyway, the longer it is."""
    calls = Calls(circuit(min_calls=1000))
    failed = [calls.failed(calls.begin(), refused) for _ in range(opens_at + 1)]
    assert failed == [False] * opens_at + [True]


@pytest.mark.parametrize(("good", "opens"), [(3, False), (2, True)])
def test_half_of_those_that_need_not_fail(good: int, opens: bool) -> None:
    """With 60% of refused ones: of ten calls eight, not five."""
    calls = Calls(circuit(min_calls=10, consecutive=1000))
    for _ in range(good):
        calls.answered(calls.begin())
    for _ in range(9 - good):
        assert not calls.failed(calls.begin(), 0.6)
    assert calls.failed(calls.begin(), 0.6) == opens


def test_what_belongs_to_an_earlier_epoch_counts_for_nothing() -> None:
    """Neither in an open circuit, nor a half-open one, nor in one that closed again."""

    def late(epoch: int) -> list[bool]:
        failed = [one.failed(epoch, 99, 0.0, best=0, begun=99) for _ in range(30)]
        answered = [one.succeeded(epoch, 99, 0.0, is_first=True) for _ in range(30)]
        return [*failed, *answered, one.gave_up(epoch, is_first=True)]

    one = opened()
    assert not any(late(0))
    one.half_open()
    assert not any(late(0))
    assert (one.state, one.permits) == (CircuitState.HALF_OPEN, 3)
    half = one.epoch
    for _ in range(PROBES):
        one.admit()
        one.succeeded(half, 3, 0.0, is_first=True)
    assert one.state is CircuitState.CLOSED
    assert not any(late(0) + late(half))
    assert one.state is CircuitState.CLOSED
