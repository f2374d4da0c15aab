"""Python stages with policies around them."""

from __future__ import annotations

import inspect
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from streamproc.codec import encode
from streamproc.enrichers.function import FunctionEnricher
from streamproc.errors import RecordError
from streamproc.interfaces import Visit
from streamproc.policies.batch import Many
from streamproc.record import NOTHING


class FunctionCall(Struct):
    """A record on its way to a function. See `interfaces.Call`."""

    fields: dict[str, Any]
    target: str
    is_idempotent: bool = True  # whoever sets `retry` says so
    sent: bool = False
    is_negative: bool = False
    options: dict[str, Any] = {}

    def key(self) -> bytes:
        """SHA-256 over stage, record and options."""
        matters = [self.target, self.fields, *([self.options] if self.options else ())]
        return sha256(encode(matters)).digest()


class AskedFunction:
    """A `FunctionEnricher` that takes calls; every attempt gets the record as it came."""

    def __init__(self, function: FunctionEnricher, stage: str, *, may_repeat: bool) -> None:
        self._function = function
        self._stage = stage
        self._options = {name: repr(value) for name, value in function.options.items()}
        self._may_repeat = may_repeat  # then the first attempt must not spoil the record

    async def __aenter__(self) -> Self:
        await self._function.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._function.__aexit__(kind, error, traceback)

    def prepare(self, fields: dict[str, Any]) -> FunctionCall:
        """Every record is for it."""
        return FunctionCall(fields, self._stage, options=self._options)

    async def call(self, call: Any, visit: Visit) -> Any:
        """What the function returns; NOTHING for None."""
        if isinstance(call, Many):
            return await self._call_many(call)
        value = self._function.call(self._given(call))
        if inspect.isawaitable(value):
            value = await value
        return NOTHING if value is None else value

    async def _call_many(self, many: Many) -> list[Any]:
        results = self._function.call([self._given(call) for call in many.calls])
        if inspect.isawaitable(results):
            results = await results
        is_list = isinstance(results, list | tuple)
        if not is_list or len(results) != len(many.calls):
            got = f"{len(results)} results" if is_list else type(results).__name__
            message = f"got a list of {len(many.calls)} records and returned {got}"
            raise RecordError("exception", f"{message}; return a list as long")
        return [NOTHING if result is None else result for result in results]

    def _given(self, call: FunctionCall) -> dict[str, Any]:
        if not self._may_repeat:
            return call.fields
        from copy import deepcopy

        return deepcopy(call.fields)
