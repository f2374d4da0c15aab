"""Python stages: functions, coroutine functions, classes with a lifecycle."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Literal, Self

from streamproc.enrichers.imports import add_folder, free_name, import_named
from streamproc.enrichers.long_imports import told_if_long
from streamproc.enrichers.markers import marks
from streamproc.enrichers.signature import check_takes_record, with_options, without_yield
from streamproc.enrichers.threads import Threads
from streamproc.errors import ConfigError, Interrupted, Unfinished, described
from streamproc.interfaces import StageKind
from streamproc.nearest import closest, nearest_file
from streamproc.policies.batch import Batching
from streamproc.types import CallResult, Function
from streamproc.units import Seconds


class FunctionEnricher:
    """Calls user code. Entering it enters an object that is a context manager, async or not."""

    def __init__(
        self,
        target: Function,
        threads: int,
        options: Mapping[str, object] | None = None,
        recipe: StageKind | None = None,
    ) -> None:
        """`target`: a callable, or a class, which is created here.

        `threads` are for code that blocks, which without any is called as it is. `options` are
        keyword arguments of it; `recipe` is what made it. Raises `ConfigError` for code that
        cannot be called so.
        """
        wishes = marks(target)
        self.options = dict(options or {})
        self.recipe = recipe
        self._target: Any = with_options(target, self.options)
        if inspect.isclass(target):
            self._target = _created(target, self.options)
            check_takes_record(self._target)
        self.replaces = wishes.replaces if recipe is None else recipe.replaces
        self._callable = without_yield(self._target, may_yield=self.replaces)
        is_coroutine = _is_coroutine(self._callable)
        is_blocking = wishes.blocking and not is_coroutine
        self._threads = Threads(threads) if is_blocking and threads else None
        self.call: Callable[[Any], Any] = self._in_thread if self._threads else self._callable
        self.batch = (
            Batching(size=wishes.batch, wait=Seconds(wishes.wait_s)) if wishes.batch else None
        )
        self.mode: Literal["inline", "awaited"] = (
            "awaited" if is_coroutine or self._threads else "inline"
        )

    async def __aenter__(self) -> Self:
        is_async = hasattr(self._target, "__aenter__")
        if is_async or hasattr(self._target, "__enter__"):
            try:
                entered = await self._target.__aenter__() if is_async else self._target.__enter__()
            except BaseException as error:
                raise _blamed(f"{_name(self._target)} could not be entered", error) from error
            if callable(entered) and entered is not self._target and self._threads is None:
                self.call = entered
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._threads is not None:
            self._threads.close()
        is_async = hasattr(self._target, "__aexit__")
        if is_async or hasattr(self._target, "__exit__"):
            try:
                if is_async:
                    await self._target.__aexit__(kind, error, traceback)
                else:
                    self._target.__exit__(kind, error, traceback)
            except BaseException as raised:
                raise _blamed(f"{_name(self._target)} could not be left", raised) from raised

    @property
    def target(self) -> Function:
        """What is called."""
        called: Function = self._target
        return called

    async def _in_thread(self, argument: object) -> CallResult:
        assert self._threads is not None
        return await self._threads.call(self._callable, argument)


def load(spec: str) -> Function:
    """What `pkg.module:name` or `path/file.py:name` names. Raises `ConfigError`.

    Where `spec.folder` is set, it comes from a pipeline file in that folder, and is found there.
    """
    where, _, name = spec.rpartition(":")
    if not where or not name:
        raise ConfigError(f"{spec}: expected module:function or file.py:function")
    folder: str | None = getattr(spec, "folder", None)
    found: object
    if where.endswith(".py"):
        found = _load_file(spec, Path(folder or "", where))
    else:
        found = _load_module(spec, where, folder)
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{spec}: {where} has no {name!r}{_nearest(part, dir(found))}")
        found = getattr(found, part)
    if not callable(found):
        raise ConfigError(f"{spec}: {name} is {type(found).__name__}, not a function")
    return found


def file_of(spec: str) -> Path:
    """The file in which `load` has found it. Raises OSError for a module without one."""
    where = spec.rpartition(":")[0]
    if where.endswith(".py"):
        return Path(getattr(spec, "folder", None) or "", where)
    file = getattr(sys.modules[where], "__file__", None)
    if file is None:
        raise FileNotFoundError(where)
    return Path(file)


_files: dict[str, ModuleType] = {}
"""Modules of stage files, by path: two stages of one file share what it keeps."""


def _load_file(spec: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{spec}: no such file: {path}{nearest_file(str(path))}")
    file = str(path.resolve())
    if file in _files:
        return _files[file]
    imported = sys.modules.get(path.stem)
    if imported is not None and getattr(imported, "__file__", None) == file:
        return imported
    name = free_name(path.stem)
    file_spec = importlib.util.spec_from_file_location(name, file)
    if file_spec is None or (loader := file_spec.loader) is None:
        raise ConfigError(f"{spec}: {path}: expected a Python file, *.py")
    module = importlib.util.module_from_spec(file_spec)
    add_folder(Path(file).parent)  # its neighbours are importable, as if it were run
    sys.modules[name] = module  # dataclasses and pickle look their module up
    try:
        _execute(spec, lambda: loader.exec_module(module))
    except ConfigError:
        del sys.modules[name]
        raise
    _files[file] = module
    return module


def _load_module(spec: str, name: str, folder: str | None) -> ModuleType:
    try:
        _execute(spec, lambda: import_named(name, folder))
    except ConfigError as error:
        cause = error.__cause__
        if not isinstance(cause, ModuleNotFoundError) or not _is_in(name, cause.name):
            raise  # of one that it imports
        near = _nearest_module(name, folder) if name.isidentifier() else ""
        raise ConfigError(
            f"{spec}: expected module:function or file.py:function, there is no module "
            f"{cause.name!r}{near}"
        ) from error
    return sys.modules[name]


def _is_in(name: str, package: str | None) -> bool:
    return f"{name}.".startswith(f"{package}.")


def _nearest_module(name: str, folder: str | None) -> str:
    """Which of those beside it, or of Python's own, may be meant."""
    beside = [each.stem for each in Path(folder or "").glob("*.py")]
    return _nearest(name, [*beside, *sys.stdlib_module_names])


def _execute(spec: str, run: Callable[[], object]) -> None:
    try:
        with told_if_long(spec):
            run()
    except (Exception, SystemExit) as error:
        raise _blamed(spec, error) from error


def _created(kind: Function, options: Mapping[str, object]) -> object:
    try:
        return kind(**options)
    except BaseException as error:
        given = f"with {', '.join(options)}" if options else "without arguments"
        raise _blamed(f"{_name(kind)} could not be created {given}", error) from error


def _blamed(what: str, error: BaseException) -> ConfigError:
    """Whatever user code raises, SystemExit too: a run that it ended would look like a good one.

    Raises `error` again if it was Ctrl-C, or ends the run.
    """
    if isinstance(error, Interrupted | Unfinished) or _is_ctrl_c(error) or _is_abort(error):
        raise error
    return ConfigError(f"{what}: {described(error)}{_innermost(error)}")


def _is_ctrl_c(error: BaseException) -> bool:
    """In the command it raises none."""
    is_raised = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, KeyboardInterrupt) and is_raised


def _is_abort(error: BaseException) -> bool:
    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # there is no loop yet
        return False
    return task is not None and task.cancelling() > 0


def _innermost(error: BaseException) -> str:
    """Where in user code the import failed: the last frame outside the import system."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith("<") and file != __file__ and "importlib" not in file:
            place = f" ({file}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _is_coroutine(target: object) -> bool:
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(
        getattr(target, "__call__", None)  # noqa: B004 - it is inspected, not tested for
    )


def _name(target: object) -> str:
    return str(getattr(target, "__name__", type(target).__name__))


def _nearest(name: str, known: list[str]) -> str:
    match = closest(name, known)
    return f", did you mean {match!r}?" if match else ""
