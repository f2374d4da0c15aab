"""The order of the policies around a call, outermost first.

    fallback → record deadline → cache, single-flight → credential check → batch → retry
    → admission: circuit breaker, Retry-After pause, rate limit, concurrency, the place
    → attempt timeout → the call

Each place has its reason. Only the stage's own answer is cached, never a fallback's. The
deadline covers attempts and waits. A cached answer costs no attempt, and says nothing of
today's credential. Retry stands outside the limits, so that every attempt pays a token and a
back-off holds nothing. The limits are one layer, because whoever waits for one of them must not
hold the others. A policy that a stage does not have is not there: nothing is asked per record.

>>> call = stack([retry, Admission(breaker), Timeout()], client.call, site)
>>> value = await call(request, visit)
"""

from __future__ import annotations

from collections.abc import Sequence

from streamproc.interfaces import Inner, Layer, Site


def stack(layers: Sequence[Layer], inner: Inner, site: Site) -> Inner:
    """`inner` with `layers` around it, the first one outermost."""
    for layer in reversed(layers):
        inner = layer.wrap(inner, site)
    return inner
