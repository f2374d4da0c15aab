"""Where modules of user code are found, and nobody else's.

Their folders stand on `sys.path` after the standard library and before what is installed,
but only an import that user code makes looks into them. streamproc's own imports, and those
of the packages that it uses, do not: a file that happens to lie in such a folder is never
executed because of its name.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from types import FrameType, ModuleType

log = logging.getLogger("streamproc")

_HERE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_STDLIB = os.path.dirname(os.__file__)

RESERVED = frozenset({
    "OpenSSL", "aiodns", "aiofiles", "aiohappyeyeballs", "aiohttp", "aiosignal", "attr", "attrs",
    "brotli", "brotlicffi", "certifi", "chardet", "charset_normalizer", "click",
    "confluent_kafka", "cryptography", "dns", "doublemetaphone", "email_validator", "filelock",
    "frozenlist", "httptools", "idna", "jmespath", "msgspec", "multidict", "orjson",
    "phonenumbers", "probableparsing", "probablepeople", "prometheus_client", "propcache",
    "pycountry", "pycrfsuite",
    "requests", "requests_file", "rphonenumbers", "simplejson", "streamproc", "tldextract",
    "tomlkit", "typing_extensions", "urllib3", "usaddress", "uvloop", "yarl", "zstandard",
})  # fmt: skip
"""Packages that streamproc needs or tries, and what these need or try.

There is one module of a name in a process: for these it is the one that is installed, whoever
asks for it first.
"""

_folders: list[str] = []  # those that were put on the path here, in their order
_named: set[str] = set()  # packages that stages name, wherever they are installed
_importing: list[str] = []  # what a stage names and is being imported now
_is_command = False


class _Paths(PathFinder):
    """Takes the place of `PathFinder`: who imports decides where is looked."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if path is not None:
            return PathFinder.find_spec(fullname, path, target)  # type: ignore[arg-type]  # theirs
        is_theirs = fullname in _importing or _is_user_code(sys._getframe(1))
        if is_theirs and fullname not in RESERVED:
            return PathFinder.find_spec(fullname, None, target)
        if is_theirs:
            _warn_of_shadow(fullname)
        others = [each for each in sys.path if each not in _folders]
        return PathFinder.find_spec(fullname, others, target)


def add_folder(folder: str | os.PathLike[str]) -> None:
    """Let user code import what is in `folder`, for as long as the process lives.

    Does nothing under `python -P` and PYTHONSAFEPATH, which forbid just that, and for a folder
    that somebody else has put on the path.
    """
    name = os.path.realpath(folder)
    if sys.flags.safe_path or name in sys.path:
        return
    before = {_STDLIB, os.path.join(_STDLIB, "lib-dynload"), *_folders}
    places = [k for k, each in enumerate(sys.path) if each in before]
    sys.path.insert(max(places, default=-1) + 1, name)
    _guard([*_folders, name])


def look_in_working_directory() -> None:
    """For modules that the command line names: `-e pkg.module:function`."""
    global _is_command  # noqa: PLW0603 - of a process there is one, as of its working directory
    _is_command = True


def for_workers() -> tuple[list[str], list[str]]:
    """What `adopt` needs in another process."""
    return sys.path, _folders


def adopt(path: list[str], folders: list[str]) -> None:
    """Find modules where the process that called `for_workers` finds them."""
    sys.path[:] = path
    if folders:
        _guard(folders)


def import_named(name: str, folder: str | None) -> ModuleType:
    """The module that a stage names, in `folder` or wherever modules are."""
    from importlib import import_module

    if folder is None and _is_command:
        with suppress(FileNotFoundError):  # somebody deleted it
            folder = os.getcwd()
    if folder is not None:
        add_folder(folder)
    top = name.partition(".")[0]
    if top not in RESERVED:
        _named.add(top)
    _importing.append(top)
    try:
        return import_module(name)
    finally:
        _importing.pop()


def free_name(stem: str) -> str:
    """A name for the module of a file: its own, where no other module has or needs it."""
    if stem in sys.stdlib_module_names or stem in RESERVED or stem in sys.modules:
        stem = f"{stem}_of_stage"
    name, count = stem, 1
    while name in sys.modules:
        count += 1
        name = f"{stem}_{count}"
    return name


def _guard(folders: list[str]) -> None:
    _folders[:] = folders
    if _Paths in sys.meta_path:
        return
    if PathFinder in sys.meta_path:
        sys.meta_path[sys.meta_path.index(PathFinder)] = _Paths
    else:
        sys.meta_path.append(_Paths)


def _is_user_code(frame: FrameType | None) -> bool:
    """Whether user code imports: itself, or through a library that it calls."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_HERE):
            if file != __file__:
                return False
        elif _owner(file) in _folders or _package(frame) in _named:
            return True
        frame = frame.f_back
    return False


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _owner(file: str) -> str:
    """The folder of the path that `file` is in; the inner one, if one is in another."""
    inside = [each for each in sys.path if each and file.startswith(each.rstrip(os.sep) + os.sep)]
    return max(inside, key=len, default="")


def _warn_of_shadow(name: str) -> None:
    for folder in _folders:
        file = os.path.join(folder, f"{name}.py")
        if os.path.isfile(file) or os.path.isfile(os.path.join(folder, name, "__init__.py")):
            log.warning(
                "%s is not imported: streamproc uses a package named %s; rename yours, or name "
                "the file in the stage (-e %s.py:function)", file, name, name,
            )  # fmt: skip
