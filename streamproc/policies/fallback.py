"""Another answer when a stage has none."""

from __future__ import annotations

import logging
from typing import Any

from streamproc.errors import StreamprocError
from streamproc.interfaces import Inner, Site, Visit

log = logging.getLogger("streamproc")


class Fallback:
    """A chain of others to ask: pairs of a name and what to call with the record's fields.

    `first` is the name of the stage's own source. With `mark` the object says in
    `_source` which one answered.
    """

    def __init__(self, first: str, others: list[tuple[str, Inner]], *, mark: bool) -> None:
        self._first = first
        self._others = others
        self._mark = mark

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it; takes fields, not calls."""
        observer = site.observer

        async def answered(fields: Any, visit: Visit) -> Any:
            failure: Exception
            try:
                return self._marked(await inner(fields, visit), self._first)
            except StreamprocError:
                raise  # it ends the stream, which no other answer mends
            except Exception as error:
                failure = error
            for name, other in self._others:
                observer.fell_back()
                log.debug("stage %s: asking %s instead: %s", site.name, name, failure)
                try:
                    return self._marked(await other(fields, visit), name)
                except StreamprocError:
                    raise
                except Exception as error:
                    failure = error
            raise failure

        return answered

    def _marked(self, value: Any, name: str) -> Any:
        return value | {"_source": name} if self._mark and isinstance(value, dict) else value
