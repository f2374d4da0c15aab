"""What makes the requests of an http stage, for a run and for one that only looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamproc.config.settings import StageSettings
from streamproc.errors import ConfigError

if TYPE_CHECKING:
    from streamproc.enrichers.http_request import RequestBuilder
    from streamproc.policies.retry import RetryPolicy


def requests_of(settings: StageSettings, name: str) -> RequestBuilder:
    """What makes the requests of an http stage. Raises `ConfigError`."""
    from streamproc.enrichers.http_request import RequestBuilder

    assert settings.http is not None
    builder = RequestBuilder(
        settings.http,
        name,
        is_bulk=settings.batch is not None,
        repeats=retry_of(settings).idempotent,
        shares=getattr(settings.cache, "share", "credential"),
    )
    if builder.problems:
        raise ConfigError(*[f"http.{problem}" for problem in builder.problems])
    return builder


def retry_of(settings: StageSettings) -> RetryPolicy:
    """How its calls are made again."""
    from streamproc.policies.retry import RetryPolicy

    return settings.retry if isinstance(settings.retry, RetryPolicy) else RetryPolicy()
