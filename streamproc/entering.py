"""What a class is entered and left by that does nothing else then."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Entered:
    """Holds nothing: entering it gives itself."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Nothing is to be closed."""


class Stacked:
    """Leaves all that its `_stack` was given while it was entered."""

    _stack: AsyncExitStack

    async def _enter_all(self, things: Iterable[AbstractAsyncContextManager[T]]) -> list[T]:
        """What entering them gives. If one cannot be entered, those before it are left."""
        async with AsyncExitStack() as exits:
            entered = [await exits.enter_async_context(each) for each in things]
            self._stack = exits.pop_all()
        return entered

    async def __aexit__(self, *error: Any) -> None:  # three, each of its own type
        await self._stack.__aexit__(*error)
