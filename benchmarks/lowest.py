"""Print each dependency pinned to its lower bound: `python lowest.py pyproject.toml`.

`make test-lowest` installs these, so that a bound which is promised is one that was tried.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

BOUND = re.compile(
    r"(?P<name>[\w.-]+(\[[\w,. -]+\])?)\s*>=\s*(?P<version>[^,;\s]+)[^;]*(?P<marker>;.*)?"
)


def pinned(requirement: str) -> str:
    """`name>=1.2,<3; marker` as `name==1.2; marker`. Raises ValueError without a bound."""
    found = BOUND.fullmatch(requirement.strip())
    if found is None:
        raise ValueError(f"{requirement}: no lower bound")
    return f"{found['name']}=={found['version']}{found['marker'] or ''}"


def main(path: str) -> None:
    """Print the pins of the dependencies, and what the tests themselves need."""
    project = tomllib.loads(Path(path).read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for requirement in (
        *project["dependencies"],
        *extras["encodings"],
        *extras["kafka"],
        *extras["otel"],
    ):
        print(pinned(requirement))
    for requirement in extras["dev"]:
        if requirement.startswith(("pytest", "hypothesis")):
            print(requirement)


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "pyproject.toml")
    except ValueError as problem:
        sys.exit(str(problem))
