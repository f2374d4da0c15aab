"""Scripted answers: what is called in a test instead of services and functions."""

from __future__ import annotations

import asyncio
import builtins
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from http import HTTPStatus
from typing import Annotated, Any, cast
from urllib.parse import parse_qsl, unquote

from msgspec import UNSET, Meta, Struct

from streamproc.codec import decode_any, encode
from streamproc.enrichers.conditions import condition
from streamproc.enrichers.http_shown import asked
from streamproc.enrichers.markers import enricher, marks, transform
from streamproc.entering import Entered
from streamproc.errors import CallError, ConfigError, RecordError, Retry
from streamproc.http.contract import Request, Response, cannot_connect, reset
from streamproc.types import CallResult, Function, JsonObject, JsonValue, Record
from streamproc.units import Seconds

NEVER = "timeout"  # the error of who does not answer
HTTP_ERRORS = (NEVER, "connect", "dns", "tls", "reset")
_SCRIPTED = "as the test says"


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes back `after` so long: `json`, or a text as `body`; or there is an `error`.

    `when` (JMESPath) looks at what is asked: of a request `method`, `url`, `path`, `query`,
    `headers` (lower case) and `body`, of a Python stage the record. `status` and `headers` are
    those of an HTTP answer.
    """

    when: str | None = None
    after: Seconds = cast("Seconds", 0.0)
    status: Annotated[int, Meta(ge=200, le=599)] = HTTPStatus.OK.value
    headers: dict[str, str] = {}
    json: Any = UNSET
    body: str | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        given = [self.json is not UNSET, self.body is not None, self.error is not None]
        if sum(given) > 1:
            raise ValueError("expected one of json, body and error")

    def problems(self, *, is_http: bool) -> Iterator[str]:
        """What is wrong with it as an answer of a service, or of a function."""
        try:
            condition("when", self.when)
        except ConfigError as error:
            yield str(error)
        if is_http:
            if self.error is not None and self.error not in HTTP_ERRORS:
                yield f"error: expected one of {', '.join(HTTP_ERRORS)}, got {self.error!r}"
            return
        if self.error not in (None, NEVER) and _exception(self.error or "") is None:
            yield f'error: expected {NEVER} or an exception ("ValueError: no"), got {self.error!r}'
        if self.status != HTTPStatus.OK or self.headers or self.body is not None:
            yield "status, headers and body are for http stages: a function returns json"


class Script:
    """Test doubles that answer by script, and know who was called.

    Of several answers that fit, the first one is given once; the last of them stays.
    """

    def __init__(self, answers: Mapping[str, Sequence[Answer]]) -> None:
        self._left = {
            stage: [(condition("when", each.when), each) for each in found]
            for stage, found in answers.items()
        }
        self.calls: Counter[str] = Counter()
        self.unexpected: list[str] = []

    def client(self, stage: str) -> _Client:
        """See `Doubles`."""
        return _Client(self, stage)

    def function(self, stage: str, own: object) -> Function | None:
        """See `Doubles`: code without answers is called itself."""
        if stage not in self._left:
            return None
        wishes = marks(own)

        async def answered(given: JsonValue) -> CallResult:
            if wishes.batch is None:
                return await self._returned(stage, given)
            return [await self._returned(stage, each) for each in given]

        double: Function = enricher(batch=wishes.batch, wait_s=wishes.wait_s)(answered)
        return transform(double) if wishes.replaces else double

    async def next(self, stage: str, facts: Record, shown: str) -> Answer:
        """The answer to the next call, in its time. Raises `CallError` if there is none."""
        self.calls[stage] += 1
        left = self._left.get(stage, [])
        fit = [each for each in left if each[0] is None or each[0](facts)]
        if not fit:
            self.unexpected.append(f"{stage}: {shown}")
            raise CallError("exception", f"{shown}: no answer of the test is for this call")
        if len(fit) > 1:
            left.remove(fit[0])
        answer = fit[0][1]
        await asyncio.sleep(answer.after)
        if answer.error == NEVER:
            await asyncio.get_running_loop().create_future()
        return answer

    async def _returned(self, stage: str, record: Record) -> CallResult:
        answer = await self.next(stage, record, encode(record).decode())
        if answer.error is not None and (error := _exception(answer.error)) is not None:
            raise error
        return None if answer.json is UNSET else deepcopy(answer.json)


class _Client(Entered):
    """An `http.Client` that sends nothing."""

    def __init__(self, script: Script, stage: str) -> None:
        self._script = script
        self._stage = stage

    async def send(self, request: Request) -> Response:
        """See `Client`."""
        request.sent = True
        answer = await self._script.next(self._stage, _facts(request), asked(request))
        if answer.error is not None:
            request.sent = answer.error == "reset"
            raise _call_error(request, answer.error)
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        body = (answer.body or "").encode() if answer.json is UNSET else encode(answer.json)
        return Response(answer.status, headers, body)


def _call_error(request: Request, kind: str) -> CallError:
    return reset(_SCRIPTED) if kind == "reset" else cannot_connect(request.target, _SCRIPTED, kind)


def _exception(text: str) -> Exception | None:
    """The exception that "NAME: message" means, of Python's own or `Retry`."""
    name, _, message = text.partition(":")
    kind = Retry if name == "Retry" else getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return None
    return kind(*filter(None, [message.strip()]))


def _facts(request: Request) -> JsonObject:
    """A request, for JMESPath."""
    path, _, query = request.path.decode().partition("?")
    lines = (line.partition(": ") for line in request.headers.decode().splitlines())
    return {
        "method": request.method.decode(),
        "url": request.target.name + request.path.decode(),
        "path": unquote(path),
        "query": dict(parse_qsl(query, keep_blank_values=True)),
        "headers": {name.lower(): value for name, _, value in lines},
        "body": _body(request.body),
    }


def _body(body: bytes) -> JsonValue:
    """JSON as its value, all else as text."""
    try:
        return decode_any(body) if body else None
    except RecordError:
        return body.decode("utf-8", "replace")
