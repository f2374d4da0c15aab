"""The versions that are promised, and those that development runs with."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")


def test_the_lock_has_what_is_required() -> None:
    """Each dependency, in a version that its range allows."""
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["encodings"]]
    for requirement in map(Requirement, wanted):
        assert locked()[requirement.name] in requirement.specifier


def test_the_lock_is_complete_and_has_hashes() -> None:
    """Of every file that may be installed, and it says nowhere where that comes from."""
    entries = [entry for entry in re.split(r"\n(?=\S)", LOCK) if not entry.startswith("#")]
    assert all(re.search(r" --hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert len(entries) == len(locked())
    assert "://" not in LOCK
    for requirement in map(Requirement, PROJECT["optional-dependencies"]["dev"]):
        assert requirement.name in {*locked(), "streamproc"}


def locked() -> dict[str, str]:
    """Versions by name."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", LOCK, re.MULTILINE))


def test_every_aiohttp_that_is_allowed_counts_headers() -> None:
    """The client passes `max_headers`, which 3.12 does not know; 3.14 is what it was tried with."""
    required = {each.name: each.specifier for each in map(Requirement, PROJECT["dependencies"])}
    allowed = required["aiohttp"]
    assert Version("3.14") in allowed
    assert not any(Version(old) in allowed for old in ("3.10.11", "3.11.18", "3.12.15"))
