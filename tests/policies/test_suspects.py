"""Whose fault a failure is: the target's, or the call's own."""

from __future__ import annotations

import random

import pytest

from streamproc.interfaces import Standing
from streamproc.policies.suspects import Suspects


class Calls:
    """Numbered as they begin; each one of them goes through one attempt after another."""

    def __init__(self) -> None:
        self.they = Suspects()
        self.begun = 0

    def begin(self) -> Standing:
        self.begun += 1
        return Standing(serial=self.begun)

    def again(self, call: Standing) -> None:
        call.serial = self.begun

    def good(self, call: Standing) -> None:
        self.they.answered(call)

    def bad(self, call: Standing) -> None:
        self.they.failed(call, self.begun)


def test_who_has_not_failed_is_none() -> None:
    calls = Calls()
    call, later = calls.begin(), calls.begin()
    calls.good(later)
    assert call not in calls.they


def test_a_later_call_has_to_be_answered_after_the_failure() -> None:
    """One that was answered before says that the target was up then."""
    calls = Calls()
    earlier, call, later, last = (calls.begin() for _ in range(4))
    calls.good(last)
    calls.bad(call)
    assert call not in calls.they
    calls.good(earlier)  # it may have been on its way when the target went down
    assert call not in calls.they
    calls.good(later)
    assert call in calls.they


def test_the_first_failure_counts() -> None:
    """Which other calls began before a second attempt does not matter."""
    calls = Calls()
    call, other = calls.begin(), calls.begin()
    calls.bad(call)
    calls.begin()
    calls.again(call)
    calls.bad(call)
    calls.good(other)
    assert call in calls.they


def test_against_all_that_happened() -> None:
    """What is remembered suffices: the same as from a list of all answers."""
    dice = random.Random(7)
    for _ in range(200):
        calls, answered, failed = Calls(), [], []
        for call in dice.sample([calls.begin() for _ in range(30)], 30):
            if dice.random() < 0.5:
                calls.good(call)
                answered.append(call.serial)
            else:
                calls.bad(call)
                failed.append((call, len(answered)))
            for each, at in failed:
                assert (each in calls.they) == any(n > each.serial for n in answered[at:])


def of_each_ten(refused: int, *, attempts: int = 2, calls: int = 2000) -> float:
    """The share that is known after so many calls of which `refused` of ten always fail."""
    line, waiting = Calls(), []
    for n in range(calls):
        call = line.begin()
        if n % 10 < refused:
            line.bad(call)
            waiting.append(call)
        else:
            line.good(call)
        if n % 10 == 9:
            for each in waiting:
                for _ in range(attempts - 1):
                    line.again(each)
                    line.bad(each)
            waiting.clear()
    return line.they.share(line.begun)


@pytest.mark.parametrize("refused", [0, 1, 6])
def test_the_share_of_refused_calls(refused: int) -> None:
    """However often each of them is tried."""
    assert of_each_ten(refused) == pytest.approx(refused / 10, abs=0.02)
    assert of_each_ten(refused, attempts=5) == pytest.approx(refused / 10, abs=0.02)
    assert of_each_ten(refused, calls=100) == pytest.approx(refused / 10, abs=0.02)


def test_who_failed_once_may_be_unlucky() -> None:
    assert of_each_ten(6, attempts=1) == 0.0


def test_an_outage_refuses_nobody() -> None:
    """All fail, again and again, and nobody is answered meanwhile."""
    calls = Calls()
    calls.good(calls.begin())
    down = [calls.begin() for _ in range(64)]
    for _ in range(5):
        for call in down:
            calls.bad(call)
    assert calls.they.share(calls.begun) == 0.0


def test_fewer_than_a_row_may_be_their_own_fault() -> None:
    """If nobody waits who has not failed. A later answer tells of those before it."""
    calls = Calls()
    early = [calls.begin() for _ in range(5)]
    good = calls.begin()
    late = [calls.begin() for _ in range(3)]
    fresh = calls.begin()
    for call in early + late:
        calls.bad(call)
        calls.bad(call)
    they = calls.they
    assert not they.explain(early, 8)
    assert they.explain(early, 9)
    assert not they.explain([*early, fresh], 9)
    calls.good(good)
    assert they.explain(early, 0)
    assert not they.explain([*early, *late], 3)
    assert they.explain([*early, *late], 4)


def test_who_failed_before_tells_of_nobody() -> None:
    """The first one that is answered after an outage is one of those that failed in it."""
    calls = Calls()
    call, later = calls.begin(), calls.begin()
    calls.bad(call)
    calls.bad(later)
    calls.again(later)
    calls.good(later)
    assert call not in calls.they


def test_who_probes() -> None:
    """Who has not failed, in turn; then those of whom it is not known; suspects last."""
    calls = Calls()
    suspect, other, unknown, fresh, tried = (calls.begin() for _ in range(5))
    for call in (suspect, unknown):
        calls.bad(call)
    calls.good(other)
    tried.probes = 1
    order = sorted([suspect, unknown, tried, fresh], key=calls.they.rank)
    assert [each.serial for each in order] == [fresh.serial, tried.serial, unknown.serial, 1]


def test_it_is_forgotten() -> None:
    """An input may be of another kind further on."""
    calls = Calls()
    for _ in range(500):
        call, other = calls.begin(), calls.begin()
        calls.bad(call)
        calls.good(other)
        calls.bad(call)
    assert calls.they.share(calls.begun) == pytest.approx(0.5, abs=0.01)
    for _ in range(5000):
        calls.good(calls.begin())
    assert calls.they.share(calls.begun) < 0.01
