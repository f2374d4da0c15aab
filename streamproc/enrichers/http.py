"""The `http` stage: a request per record, and what its answer means."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from types import TracebackType
from typing import Self

from streamproc.attendance import Watch
from streamproc.codec import decode_finite, decoded_bytes
from streamproc.enrichers.conditions import condition, expression
from streamproc.enrichers.http_request import HttpCall, RequestBuilder, id_header
from streamproc.enrichers.http_shown import asked, masked_url
from streamproc.errors import CallError, DecodeError, RecordError
from streamproc.http.contract import Client, Request, Response, bad_answer
from streamproc.http.retry_after import retry_after_s
from streamproc.interfaces import FOLLOWED, Visit
from streamproc.memory import LARGE_BYTES
from streamproc.policies.retry import HALF_DONE
from streamproc.record import BOM, NO_RESULT
from streamproc.secrets import excerpt
from streamproc.threads import LONG_BYTES, aside
from streamproc.types import CallResult, JsonValue

_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504, 529))
_BROKEN = frozenset(status for status in _AGAIN if status >= 500)
_MAY_SAY_WHEN = frozenset((429, 503, 529))
_SHOWN = 200  # characters of a bad answer


class HttpEnricher:
    """Asks a service. `repeat_when`: JMESPath over status and body, true asks again.

    `answers` watches what its `select` looks at. `with_id`: the service is told which record it
    is asked for.
    """

    def __init__(
        self,
        builder: RequestBuilder,
        client: Client,
        answers: Watch,
        *,
        repeat_when: str | None = None,
        with_id: bool = False,
    ) -> None:
        """Raises `ConfigError` for an expression that is none."""
        settings = builder.settings
        self._builder = builder
        self._client = client
        self._ok = frozenset(range(200, 300) if settings.ok is None else settings.ok)
        self._missing = settings.missing
        self._answers = answers
        self._select = expression("http.select", settings.select)
        self._repeat_when = condition("retry.when", repeat_when)
        self._with_id = with_id
        # the pipeline file says who follows: nobody else does
        self._has_parent = any(name.lower() == "traceparent" for name in settings.headers)
        self.prepare = builder.build

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

    async def call(self, call: HttpCall, visit: Visit) -> CallResult:
        """What answers a record, `NO_RESULT` if there is nothing to add. Raises `CallError`."""
        if self._with_id and not call.has_id:
            call.headers += id_header(visit.record_id)
            call.has_id = True
        if (follower := FOLLOWED.get()) is not None and not self._has_parent:
            headers = call.headers.removesuffix(call.followed)
            call.followed = follower.headers
            call.headers = headers + call.followed
        try:
            response = await self._client.send(call)
            if len(response.body) > LARGE_BYTES:
                await self.make_room(call, response, visit)
            call.status = response.status
            if response.status not in self._ok:
                if response.status == 404 and self._missing != "fail":
                    call.is_negative = True
                    return None if self._missing == "null" else NO_RESULT
                raise refused(call, response)
            if len(response.body) > LONG_BYTES:
                return await aside(self.read, call, response)
            return self.read(call, response)
        except (CallError, asyncio.CancelledError) as error:
            locate(error, call)
            raise

    async def make_room(self, request: Request, response: Response, visit: Visit) -> None:
        """For what a large answer is decoded to."""
        request.answering(response.status)
        is_long = len(response.body) > LONG_BYTES
        await visit.share.reserve(decoded_bytes(response.body), is_long=is_long)

    def read(self, request: Request, response: Response) -> CallResult:
        """The value in a good answer. Raises `CallError`."""
        try:
            value = decode_finite(response.body)
        except RecordError:
            value = _parsed_closely(response)
        if self._repeat_when is not None and self._repeat_when(
            {"status": response.status, "body": value}
        ):
            raise CallError(
                "http_status",
                f"the answer meets retry.when: {excerpt(response.body, _SHOWN)}",
                again=request.is_idempotent or not request.is_redirected,
                status=response.status,
            )
        if self._select is None:
            return value
        if self._answers.absent:
            self._answers.look(value)
        return self._select(value)


def refused(request: Request, response: Response) -> CallError:
    """What a status means that is no answer."""
    status = response.status
    after_s = retry_after_s(response, time.time()) if status in _MAY_SAY_WHEN else None
    throttled = status in (429, 529) or (status == 503 and after_s is not None)
    try:
        phrase = " " + HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    location = response.header(b"location") if 300 <= status < 400 else None
    if location:
        said = f" to {masked_url(location.encode('latin-1'))}: to follow it set redirects = true"
    else:
        said = f": {excerpt(response.body, _SHOWN)}" if response.body else ""
    return CallError(
        "throttled" if throttled else "http_status",
        f"{status}{phrase}{said}",
        # a service that broke down on a POST may have done what it asked for, one that sent us
        # elsewhere has done it
        again=status in _AGAIN
        and (request.is_idempotent or (status < 500 and not request.is_redirected)),
        throttled=throttled,
        after_s=after_s,
        is_outage=status >= 500 and not throttled,
        status=status,
    )


def _parsed_closely(response: Response) -> JsonValue:
    body = response.body
    if not body or body.isspace():
        if response.status in (204, 205):
            return None
        raise bad_answer(f"{response.status} with an empty body, expected JSON")
    try:
        return decode_finite(body.removeprefix(BOM))
    except DecodeError as error:
        raise bad_answer(f"not JSON ({error.message}): {excerpt(body, _SHOWN)}") from None
    except RecordError as error:
        raise bad_answer(f"{error.message}: {excerpt(body, _SHOWN)}") from None


def _if_once(error: CallError, request: Request) -> str:
    """Why it is not asked for again what would be of another method, and how to permit it."""
    is_half_done = request.sent and error.kind in HALF_DONE
    if request.is_idempotent or not (is_half_done or (error.status or 0) in _BROKEN):
        return ""
    return (
        f"; a {request.method.decode()} is not repeated, for it may have been done: "
        "--set STAGE.retry.idempotent=true permits it"
    )


def locate(error: BaseException, request: Request) -> None:
    """`error` tells of which request it is: a call's error in its message, others in a note."""
    call = asked(request)
    if isinstance(error, CallError):
        said = error.message.removeprefix(f"{request.target.authority}: ")
        error.reword(f"{call}: {said}{_if_once(error, request)}")
    else:
        error.add_note(call)
