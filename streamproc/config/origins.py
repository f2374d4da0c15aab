"""Strings that know where they come from: `${VAR}` from the environment, a SPEC from a folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from streamproc.secrets import hide
from streamproc.types import JsonValue

_VARIABLE = r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}"
_CREDENTIALS = r"http\.(auth|headers)\."  # where to send nothing is a mistake


def expand(
    value: object, variables: Mapping[str, str], path: str, problems: list[str]
) -> JsonValue:
    """`${VAR}` in every string value of `value`; what is put in is not looked at again."""
    if isinstance(value, dict):
        return {k: expand(v, variables, join(path, k), problems) for k, v in value.items()}
    if isinstance(value, list):
        return [expand(v, variables, f"{path}[{i}]", problems) for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    used = {}
    for name in re.findall(_VARIABLE, value):
        if name not in variables:
            problems.append(f"{path}: the environment variable {name} is not set")
        elif not variables[name] and re.search(_CREDENTIALS, path):
            problems.append(f"{path}: the environment variable {name} is empty: set it")
        else:
            hide(variables[name])
        used[name] = variables.get(name, "")
    if not used:
        return value
    filled = _Filled(value, used)
    return _Located(filled, value.folder) if isinstance(value, _Located) else filled


class _Filled(str):
    """A value from the environment; shown in errors as it was written, for it may be a secret."""

    written: str
    variables: dict[str, str]

    def __new__(cls, written: str, variables: dict[str, str]) -> _Filled:
        self = super().__new__(cls, re.sub(_VARIABLE, lambda match: variables[match[1]], written))
        self.written = written
        self.variables = variables
        return self

    def __getnewargs__(self) -> Any:  # typeshed has a tuple of one str, as of a plain one
        """What makes it again in a worker."""
        return self.written, self.variables

    def __repr__(self) -> str:
        return repr(self.written)


class _Located(str):
    """A SPEC of a pipeline file, which means what lies beside that file, in `folder`."""

    folder: str

    def __new__(cls, spec: str, folder: str) -> _Located:
        self = super().__new__(cls, spec)
        self.folder = folder
        return self

    def __getnewargs__(self) -> Any:  # as above
        """What makes it again in a worker."""
        return str(self), self.folder


def locate(value: object, folder: str) -> JsonValue:
    """`value` with every `python = SPEC` as one of `folder`."""
    if isinstance(value, list):
        return [locate(each, folder) for each in value]
    if not isinstance(value, dict):
        return value
    inner = {key: locate(value[key], folder) for key in ("stage", "all", "fallback", "on")
             if key in value}  # fmt: skip
    spec = value.get("python")
    return value | inner | ({"python": _Located(spec, folder)} if isinstance(spec, str) else {})


def join(path: str, key: str) -> str:
    """The place of a member of `path`."""
    return f"{path}.{key}" if path else key
