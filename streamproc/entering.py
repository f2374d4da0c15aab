"""What a class is entered and left by that does nothing else then."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, Self


class Entered:
    """Holds nothing: entering it gives itself."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Nothing is to be closed."""


class Stacked:
    """Leaves all that its `_stack` was given while it was entered."""

    _stack: AsyncExitStack

    async def __aexit__(self, *error: Any) -> None:  # three, each of its own type
        await self._stack.__aexit__(*error)
