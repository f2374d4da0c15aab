"""An `http` stage with `batch`: one POST with a list, its answers handed out again."""

from __future__ import annotations

import asyncio
from typing import Any

from streamproc.codec import encode
from streamproc.enrichers.http import HttpEnricher, locate, refused
from streamproc.enrichers.http_request import HttpCall
from streamproc.errors import CallError, RecordError
from streamproc.http.contract import Request, Response, bad_answer
from streamproc.interfaces import FOLLOWED, Visit
from streamproc.memory import LARGE_BYTES
from streamproc.threads import LONG_BYTES, aside
from streamproc.types import CallResult


class HttpBulkEnricher(HttpEnricher):
    """As `HttpEnricher`; `call` takes many calls as one and returns a list of results.

    Answers are matched by position, or by the member `key` that item and answer share.
    """

    def __init__(self, *given: Any, key: str | None = None, **more: Any) -> None:  # its base's
        super().__init__(*given, **more)
        self._key = key

    async def call(self, many: Any, visit: Visit) -> CallResult:  # a Many, where its base takes one
        """One result per call; a `RecordError` where the service gave none."""
        request = self._builder.bulk(many.calls)
        request.standing = many.standing
        if (follower := FOLLOWED.get()) is not None and not self._has_parent:
            request.headers += follower.headers
        try:
            response = await self._client.send(request)
            if len(response.body) > LARGE_BYTES:
                await self.make_room(request, response, visit)
            many.status = response.status
            if len(response.body) > LONG_BYTES:
                return await aside(self._results, response, request, many.calls)
            return self._results(response, request, many.calls)
        except (CallError, asyncio.CancelledError) as error:
            locate(error, request)
            raise
        finally:
            many.sent = request.sent

    def _results(
        self, response: Response, request: Request, calls: list[HttpCall]
    ) -> list[CallResult]:
        if response.status not in self._ok:
            raise refused(request, response)
        answers = self.read(request, response)
        if not isinstance(answers, list):
            raise bad_answer(f"expected a list of answers, got {type(answers).__name__}")
        items = [call.item for call in calls]
        if self._key is not None:
            return _by_key(items, answers, self._key)
        if len(answers) != len(items):
            raise bad_answer(f"asked for {len(items)} items and got {len(answers)} answers")
        return answers


def _by_key(items: list[object], answers: list[object], key: str) -> list[CallResult]:
    found: dict[bytes, Any] = {
        encode(answer[key]): answer
        for answer in answers
        if isinstance(answer, dict) and key in answer
    }
    results: list[Any] = []
    for item in items:
        value = item.get(key) if isinstance(item, dict) else item
        wanted = encode(value)
        missing = RecordError("bad_answer", f"no answer has {key} = {wanted.decode()}")
        results.append(found.get(wanted, missing))
    return results
