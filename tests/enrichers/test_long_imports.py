"""A program that was named as a stage never comes back from its import: the person is told."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from streamproc.enrichers import long_imports
from streamproc.enrichers.function import load


def test_a_long_import_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While it lasts, with the way out; one that is quick says nothing."""
    (tmp_path / "quick.py").write_text("def f(record): ...\n")
    load(f"{tmp_path}/quick.py:f")
    assert caplog.messages == []
    told = tmp_path / "told"
    monkeypatch.setattr(long_imports, "LONG_S", 0.01)
    monkeypatch.setattr(
        logging.getLogger("streamproc"), "filters", [lambda _: told.touch() or True]
    )
    (tmp_path / "long.py").write_text(
        f"import os, time\nwhile not os.path.exists({str(told)!r}): time.sleep(0.01)\n"
        "def f(record): ...\n"
    )
    load(f"{tmp_path}/long.py:f")
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path}/long.py:f: still importing it")
    assert "__name__" in said
