"""Python stages with policies around them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import Struct, field

from streamproc.codec import decode, encode
from streamproc.enrichers.function import FunctionEnricher, file_of
from streamproc.errors import RecordError
from streamproc.interfaces import Standing, Visit
from streamproc.policies.batch import Many
from streamproc.record import NO_RESULT
from streamproc.types import CallResult, Record

_VERSION = 3  # of what is in a key


class FunctionCall(Struct):
    """A record on its way to a function. See `interfaces.Call`."""

    fields: dict[str, Any]
    target: str
    is_idempotent: bool = True  # whoever sets `retry` says so
    sent: bool = False
    is_negative: bool = False
    status: int | None = None
    salt: bytes = b""
    standing: Standing = field(default_factory=Standing)

    def __str__(self) -> str:
        return self.target

    def key(self) -> bytes:
        """A hash of the function; stage and record."""
        return self.salt + encode([self.target, self.fields])


def identity(
    target: object, options: Mapping[str, object] | None = None, spec: str | None = None
) -> bytes:
    """32 bytes that are others for another function, for another version of its file and for
    other `options`.

    What another function or class has made (a closure, an instance) is told from others of its
    making by the name, and by the file, that `spec` (see `load`) gives it.
    """
    bound = [f"{name}={_written(value)}" for name, value in sorted((options or {}).items())]
    while isinstance(target, partial):
        bound += [repr(target.args), repr(target.keywords)]
        target = target.func
    named = target if hasattr(target, "__qualname__") else type(target)
    module = str(named.__module__)
    try:
        source = Path(str(getattr(sys.modules.get(module), "__file__", None))).read_bytes()
    except OSError:  # it was typed in
        code = getattr(named, "__code__", None)
        source = repr((code.co_code, code.co_consts)).encode() if code is not None else b""
    name = encode([_VERSION, module, named.__qualname__, bound])
    if spec is not None:
        name += encode(spec.rpartition(":")[2])
        with suppress(OSError):  # a module without a file
            name += sha256(file_of(spec).read_bytes()).digest()
    return sha256(name + sha256(source).digest()).digest()


def _written(option: object) -> str:
    """What tells an option from others: its value, even where it is not shown."""
    return str(option) if isinstance(option, str) else repr(option)


class AskedFunction:
    """A `FunctionEnricher` that takes calls; every attempt gets the record as it came."""

    def __init__(
        self, function: FunctionEnricher, stage: str, spec: str | None = None, *, may_repeat: bool
    ) -> None:
        self._function = function
        self._stage = stage
        options = {"recipe": function.recipe} | function.options
        self._salt = identity(function.target, options, spec)
        self.replaces = function.replaces
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

    def prepare(self, fields: Record) -> FunctionCall:
        """Every record is for it."""
        return FunctionCall(fields, self._stage, salt=self._salt)

    async def call(self, call: FunctionCall | Many, visit: Visit) -> CallResult:
        """What the function returns; `NO_RESULT` for None."""
        if isinstance(call, Many):
            return await self._call_many(call)
        value = self._function.call(self._given(call))
        if inspect.isawaitable(value):
            value = await value
        return NO_RESULT if value is None else value

    async def _call_many(self, many: Many) -> list[CallResult]:
        results = self._function.call([self._given(call) for call in many.calls])
        if inspect.isawaitable(results):
            results = await results
        is_list = isinstance(results, list | tuple)
        if not is_list or len(results) != len(many.calls):
            got = f"{len(results)} results" if is_list else type(results).__name__
            message = f"got a list of {len(many.calls)} records and returned {got}"
            raise RecordError("exception", f"{message}; return a list as long")
        return [NO_RESULT if result is None else result for result in results]

    def _given(self, call: FunctionCall) -> Record:
        if not self._may_repeat:
            return call.fields
        from copy import deepcopy

        try:
            return deepcopy(call.fields)
        except RecursionError:  # it takes several calls for each level, and there may be 512
            return decode(encode(call.fields))
