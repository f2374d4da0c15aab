"""The file of a report: when it is there, who may read it, and what no record can do to it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from streamproc.errors import CreateError, OutputError
from streamproc.telemetry.report import Report


def test_it_is_there_when_it_was_written(tmp_path: Path) -> None:
    """Whether it can be is known before; nothing that is not whole stands in its place."""
    path = tmp_path / "report.html"
    report = Report(str(path))
    assert not path.exists()
    report.write({})
    assert path.stat().st_mode & 0o777 == 0o600


def test_that_of_an_earlier_run_stays_until_then(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("of before" * 100_000)
    report = Report(str(path))
    assert path.read_text().startswith("of before")
    report.write({})
    assert "of before" not in path.read_text()


def test_no_text_of_a_record_ends_its_script(tmp_path: Path) -> None:
    """What is told comes back as it was."""
    path = tmp_path / "report.html"
    told = {"last": "</script><script>alert(1)</script><!--"}
    Report(str(path)).write(told)
    html = path.read_text()
    assert "alert(1)</script>" not in html
    assert told in [json.loads(each) for each in re.findall(r'\{"last":.*?\}', html)]


@pytest.mark.parametrize("name", ["no/report.html", "pipe"])
def test_what_cannot_be_written_is_known_before(tmp_path: Path, name: str) -> None:
    """Also a named pipe that nobody reads."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CreateError, match="report: cannot create"):
        Report(str(tmp_path / name))


def test_a_folder_that_is_gone_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    report = Report(str(folder / "report.html"))
    folder.rmdir()
    with pytest.raises(OutputError, match="No such file"):
        report.write({})
