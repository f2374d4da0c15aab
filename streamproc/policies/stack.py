"""The order of the policies around a call, outermost first.

    fallback → record deadline → cache, single-flight → credential check → batch → retry
    → admission: circuit breaker, Retry-After pause, rate limit, concurrency, the place
    → attempt timeout → the call

Policies of plugins stand where their level says: the outermost of a record, after the cache of a
call, before the timeout of an attempt.

Each place has its reason. Only the stage's own answer is cached, never a fallback's. The
deadline covers attempts and waits. A cached answer costs no attempt, and says nothing of
today's credential. Retry stands outside the limits, so that every attempt pays a token and a
back-off holds nothing. The limits are one layer, because whoever waits for one of them must not
hold the others. A policy that a stage does not have is not there: nothing is asked per record.

>>> call = stack([retry, Admission(breaker), Timeout()], client.call, site)
>>> value = await call(request, visit)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, NamedTuple

from streamproc.interfaces import Inner, Layer, Policy, Site
from streamproc.policies.admission import Admission
from streamproc.policies.followed import FollowedCalls
from streamproc.policies.timeout import Timeout
from streamproc.policies.told import ToldAttempts

Opened = AbstractAsyncContextManager[Layer]
"""Entering it gives a layer."""

_FIRST, _LAST = ("cache",), ("batch", "retry")  # of those around a call
_INNERMOST = ("fallback", "deadline")  # of those around a record


class Layers(NamedTuple):
    """Around a `record` and around a `call`, outermost first; `admission` is one of the latter."""

    record: list[Opened]
    call: list[Opened]
    admission: Admission


def layers_of(policies: Mapping[str, Policy], site: Site, checks: Iterable[Layer] = ()) -> Layers:
    """The layers that `policies` mean, by their names; `checks` stand inside the cache."""
    by_level: dict[str, dict[str, Policy]] = {"record": {}, "call": {}, "start": {}, "attempt": {}}
    for name, policy in policies.items():
        by_level[policy.level][name] = policy
    records, calls = by_level["record"], by_level["call"]
    outer = [*(name for name in records if name not in _INNERMOST), *_INNERMOST]
    plugged = [name for name in calls if name not in _FIRST + _LAST]
    first, inner = ([calls[name].opened(site) for name in names if name in calls]
                    for names in (_FIRST, [*plugged, *_LAST]))  # fmt: skip
    starts: dict[str, Any] = by_level["start"]
    admission = Admission(**starts)
    attempts = [each.opened(site) for each in by_level["attempt"].values()]
    return Layers(
        [records[name].opened(site) for name in outer if name in records],
        [
            *as_they_are([FollowedCalls()]),
            *first,
            *as_they_are(checks),
            *inner,
            *as_they_are([admission, ToldAttempts()]),
            *attempts,
            *as_they_are([Timeout()]),
        ],
        admission,
    )


def as_they_are(layers: Iterable[Layer]) -> list[Opened]:
    """`layers`, which hold nothing, as what is opened."""
    return [nullcontext(layer) for layer in layers]


def stack(layers: Sequence[Layer], inner: Inner, site: Site) -> Inner:
    """`inner` with `layers` around it, the first one outermost."""
    for layer in reversed(layers):
        inner = layer.wrap(inner, site)
    return inner
