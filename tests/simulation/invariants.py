"""What has to hold whatever comes of a scenario."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from typing import Any

from simulation.playing import Outcome
from simulation.scenarios import AMPLE_BYTES, Scenario
from simulation.world import kind_of
from streamproc.errors import UnavailableError

_FEW = 2  # records


def check(outcome: Outcome) -> None:
    """All invariants."""
    scenario, world, summary = outcome.scenario, outcome.world, outcome.summary
    assert outcome.seconds < 4000, "the run does not end"
    assert world.most_of_all <= outcome.places.count
    assert outcome.places.taken == 0
    if outcome.error is None and not scenario.signals:
        assert outcome.memory.held_bytes == outcome.memory.leaving_bytes == 0
    assert not world.in_pause
    assert scenario.alike > 1 or not world.done_twice, "a POST was sent again"
    _check_attempts(outcome)
    _check_account(outcome)
    _check_limits(outcome)
    if not scenario.signals:
        _check_end(outcome)
        if outcome.error is None:
            _check_records(outcome)
    if summary.requests:
        calls = summary.requests
        assert calls == world.calls + world.refused


def _check_attempts(outcome: Outcome) -> None:
    """Those of a record are half of the back-off's base apart, on average, and end in time."""
    scenario, times = outcome.scenario, outcome.world.times
    if scenario.alike > 1:
        return  # it may be those of several records
    gaps = [later - earlier for each in times.values() for earlier, later in pairwise(each)]
    assert len(gaps) < 30 or sum(gaps) / len(gaps) > 0.15, "a target is asked again and again"
    first, *more = scenario.stages
    deadline_s = first[0].policies.get("deadline")
    if deadline_s is None or more or len(first) > 1 or scenario.ordered or scenario.signals:
        return
    for (_, n), asked in times.items():
        late_s = outcome.written.get(n, 0.0) - asked[0] - deadline_s
        assert late_s <= 2.0 + 0.05 * deadline_s, f"{n} ends {late_s} s after its deadline"


def _check_account(outcome: Outcome) -> None:
    tally = outcome.summary
    ends = (
        tally.ok + tally.failed + tally.dead_lettered + tally.dropped + tally.filtered
        + tally.skipped + tally.unprocessed
    )  # fmt: skip
    assert tally.received == ends
    if not outcome.scenario.signals and outcome.error is None:
        assert tally.received == outcome.scenario.records
        assert tally.unprocessed == 0
        seen = [line["n"] for line in outcome.lines]
        expected = list(range(outcome.scenario.records))
        assert (seen if outcome.scenario.ordered else sorted(seen)) == expected


def _check_limits(outcome: Outcome) -> None:
    for each in outcome.scenario.asking:
        limit = each.policies.get("concurrency")
        most = limit["max"] if isinstance(limit, dict) else limit
        if most is not None:
            assert outcome.world.most[each.host] <= most
        rate = each.policies.get("rate")
        if rate is not None:
            _check_rate(outcome.world.written[each.host], rate)


def _check_rate(times: list[float], rate: dict[str, Any]) -> None:
    per_second = int(rate["limit"].removesuffix("/s"))
    burst = 0 if rate.get("strict") else max(1, int(per_second * 0.1)) + 1
    last = 0
    for k, at in enumerate(times):
        while times[last] <= at - 1.0:
            last += 1
        assert k - last + 1 <= per_second + burst, f"{k - last + 1} within a second"


def _check_end(outcome: Outcome) -> None:
    """69 only after an outage that was longer than anybody may wait, and while calls waited."""
    if outcome.error is None:
        return
    assert isinstance(outcome.error, UnavailableError), outcome.error
    (asking,) = (
        each for each in outcome.scenario.asking if f"//{each.host}.test" in str(outcome.error)
    )
    scenario, world = outcome.scenario, outcome.world
    service = scenario.services[asking.host]
    refused = sum(scenario.asked(n) in service.bad for n in range(scenario.records))
    is_dead = refused >= 10 or service.outage is not None
    assert is_dead, "a target that answered well was given up"
    waited_s = _waited_s(outcome, world.last_good[asking.host])
    assert waited_s >= asking.max_wait_s - 1, "it had answered lately, or nobody waited"


def _waited_s(outcome: Outcome, since: float) -> float:
    """How long records were on their way since then."""
    came = [(max(at, since), 1) for at in outcome.offered]
    went = [(max(at, since), -1) for at in outcome.written.values()]
    total_s, on_their_way, last = 0.0, 0, since
    for at, change in [*sorted(came + went), (outcome.world.now(), 0)]:
        total_s += (at - last) * (on_their_way > 0)
        on_their_way += change
        last = at
    return total_s


def _check_records(outcome: Outcome) -> None:
    """Bad records fail of their own error, good ones do not fail."""
    scenario = outcome.scenario
    unlucky: list[int] = []
    for line in outcome.lines:
        n, failure = line["n"], line.get("_error")
        reasons = _reasons(scenario, n)
        if failure is None:
            assert not _must_fail(scenario, n), f"{n} is ok"
            continue
        kinds = {(failure["kind"], failure.get("status"))}
        if "sources" in failure:
            kinds = {(each["kind"], each.get("status")) for each in failure["sources"].values()}
        if not kinds & reasons:
            unlucky.append(n)
    # the tenth opens the circuit; where hardly anybody else is there, or memory lets one record go
    # on at a time, it is a probe again and again, until it has no attempt left, and fails as well
    most = 9 if scenario.max_memory >= AMPLE_BYTES else 10
    most += len(unlucky) > most and _are_few(outcome, unlucky)
    most *= max(
        each.most_in_call * (scenario.alike if "cache" in each.policies else 1)
        for each in scenario.asking
    )
    assert len(unlucky) <= most * _outages(scenario), f"{len(unlucky)} good records failed"


def _are_few(outcome: Outcome, unlucky: list[int]) -> bool:
    """Whether hardly any others were there when the last of these failed."""
    since, until = (pick(outcome.written[n] for n in unlucky) for pick in (min, max))
    others = set(range(len(outcome.offered))) - set(unlucky)
    written, offered = outcome.written, outcome.offered
    return sum(offered[n] < until and written.get(n, inf) > since for n in others) <= _FEW


def _outages(scenario: Scenario) -> int:
    return sum(service.outage is not None for service in scenario.services.values())


def _reasons(scenario: Scenario, n: int) -> set[tuple[str, int | None]]:
    """What a record may fail of."""
    reasons: set[tuple[str, int | None]] = set()
    if scenario.interrupts:
        reasons |= {("timeout", None), ("deadline", None)}
    for each in scenario.asking:
        service = scenario.services[each.host]
        bad = service.bad.get(scenario.asked(n))
        if each.is_bulk and service.bad:
            bad = next(iter(service.bad.values()))  # of another record in its list
        if bad is not None:
            reasons |= kind_of(bad)
        is_once = each.posts or each.policies.get("retry") is False
        # a bad one fails of what its last attempt met
        may_meet = each.policies.get("breaker") is False or bad is not None or is_once
        if service.outage is not None and may_meet:
            reasons |= {("connect", None), ("http_status", 500), ("timeout", None)}
        if service.flaky or service.capacity is not None:
            reasons |= {("http_status", 500), ("http_status", 503)}
        if is_once and service.pause is not None:
            reasons |= {("throttled", 429)}
        if "deadline" in each.policies:
            reasons |= {
                ("deadline", None), ("throttled", 429), ("http_status", 500),
                ("http_status", 503), ("reset", None), ("timeout", None), ("connect", None),
            }  # fmt: skip
    return reasons


def _must_fail(scenario: Scenario, n: int) -> bool:
    """Whether a service that is always asked always refuses it."""
    return any(
        scenario.asked(n) in scenario.services[each.host].bad and "fallback" not in each.policies
        for each in scenario.asking
    )


__all__ = ["check"]
