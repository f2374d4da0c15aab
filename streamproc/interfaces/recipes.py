"""Recipes: a component as its table in the pipeline file. Opening one returns what runs.

A recipe is a frozen value whose fields are the keys of its table; whatever else the house has
to know of a kind of component stands on it, so that everybody else loops over recipes. Methods are
called as no key will be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import ClassVar, Literal, Self

from msgspec import Struct

from streamproc.interfaces.calls import Enricher, Inner
from streamproc.interfaces.observers import Observer
from streamproc.interfaces.site import Layer, Site
from streamproc.interfaces.stage_scope import StageScope
from streamproc.types import CallResult, JsonValue, Record


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`shorthand` is the key that a value stands for which is no table: `cache = "1h"`.

    `expressions` are the keys that are JMESPath. `beside` are keys of the stage that are fields of
    it as well, and mean nothing without it. `manner` are those, of its table and beside it, that
    change how records are done and not what becomes of them: a resumed run may have others.
    """

    shorthand: ClassVar[str | None] = None
    expressions: ClassVar[tuple[str, ...]] = ()
    beside: ClassVar[tuple[str, ...]] = ()
    manner: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def contradictions(cls, stage: Mapping[str, object]) -> Iterable[str]:
        """What is wrong with the table of a stage although no single value is to blame.

        One text for each, `KEY: what`, with a key of the stage.
        """
        return ()

    def files_read(self) -> Iterable[tuple[str, str]]:
        """What each is, and its path: nothing may be written over it."""
        return ()

    def files_written(self) -> Iterable[tuple[str, str]]:
        """The same of those that may be nothing else."""
        return ()


class Policy(Recipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A layer around the calls of a stage.

    `level`: what it stands around. A `record`: all that is done for it at the stage, waits and
    fallbacks too. A `call`: what no cache had, with its retries. An `attempt`: a request that
    may be sent now. `start` is for what a start takes: such policies are no layers of their
    own but parts of `policies.admission`. `is_manner`: it changes how records are done and
    not what becomes of them, so a run that was begun without it can be resumed with it.
    `asks_again`: a record may be needed as it came, after it was handed to a function.
    `default_of`: the kinds of stages that have it when nothing is said.
    """

    level: ClassVar[Literal["record", "call", "start", "attempt"]] = "call"
    is_manner: ClassVar[bool] = True
    asks_again: ClassVar[bool] = False
    default_of: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of(cls, value: object) -> Policy | None:
        """The policy that `value` of the stage's table means."""
        return value if isinstance(value, cls) else cls() if value is True else None

    @property
    def value(self) -> JsonValue:
        """What stands in the stage's table for it: the inverse of `of`."""
        return self

    @property
    def limits_s(self) -> tuple[float, ...]:
        """Time limits that run by it."""
        return ()

    @property
    def has_answer(self) -> bool:
        """Whether it has one where the target has none, so that nobody waits for that."""
        return False

    @property
    def keeps_answers(self) -> bool:
        """Whether what a call answers is kept beyond the run: then it is worth waiting for."""
        return False

    def part_for(self, place: int, count: int) -> Self:
        """What worker `place` of `count` gets of it."""
        return self

    def unshareable(self, count: int) -> str | None:
        """Why `count` workers cannot share it, None if they can."""
        return None

    def shared(self) -> str | None:
        """How each worker has it, in words after "each worker has"; None if as it is written."""
        return None

    def opened(self, site: Site) -> AbstractAsyncContextManager[Layer]:
        """The layer, for one stage and one run: the policy itself, if it holds nothing."""
        return nullcontext(self)

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """See `Layer`."""
        raise NotImplementedError


class StageKind(Recipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a stage does with a record. `replaces`: its result is the record from then on.

    `takes_policies`: they stand around its calls; `what` it is called where one has none.
    `has_prefix`: `-e KIND:TEXT` means it. `connects`: each of its calls has an open connection.
    """

    replaces: ClassVar[bool] = False
    takes_policies: ClassVar[bool] = True
    has_prefix: ClassVar[bool] = True
    connects: ClassVar[bool] = False
    what: ClassVar[str] = ""

    @classmethod
    def of(cls, value: JsonValue) -> StageKind:
        """The kind that `value` of the stage's table means."""
        return value if isinstance(value, cls) else cls(**{str(cls.shorthand): value})

    @classmethod
    def default_name(cls, key: str, value: JsonValue) -> str:
        """What a stage without a name is called after, whose table says `key = value`."""
        return key

    @classmethod
    def default_into(cls, value: JsonValue) -> str:
        """Where its result goes then."""
        return "."

    @property
    def does_nothing(self) -> bool:
        """Whether records pass as they are, so that there is no such stage in a run."""
        return False

    @property
    def is_users(self) -> bool:
        """Whether code runs in it that is not ours."""
        return True

    @property
    def source(self) -> str:
        """Whom it asks, for people."""
        return "value"

    def unshareable(self) -> str | None:
        """Why worker processes cannot have it, None if they can."""
        return None

    def opened(self, name: str) -> Callable[[Record], CallResult]:
        """What is called with each record of the stage `name`, as a Python stage is.

        A plain or a coroutine function, or an object with such a `__call__`; one that is a
        context manager, async or not, is entered for the run.
        """
        raise NotImplementedError

    def enricher(self, scope: StageScope) -> Enricher:
        """What runs, with its policies around it. Raises `ConfigError`."""
        return scope.function(self.opened(scope.name), kind=self)


class ObserverKind(Recipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who hears of a run: the table `[observers.NAME]`.

    `follows`: its observer has `follow`, for which it is opened in each worker as well.
    """

    follows: ClassVar[bool] = False

    def opened(self) -> Observer:
        """The observer of one run; one that is a context manager, async or not, is entered."""
        raise NotImplementedError


def part_of(whole: int, place: int, count: int) -> int:
    """What worker `place` of `count` gets of a whole that is shared out evenly."""
    return whole // count + (place < whole % count)
