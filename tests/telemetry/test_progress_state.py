"""The line of progress: what matters most is seen on a narrow terminal, too."""

from __future__ import annotations

import pytest

from streamproc.telemetry.progress_state import ProgressState, line_of
from streamproc.waits import Wait

COLUMNS = 80
CIRCUIT = Wait("circuit_open", "https://api.example.com", 64, 12.0, "500", 10)


def state(wait: Wait | None) -> ProgressState:
    return ProgressState(
        records=1_234_567, share=0.2, seconds=3725.0, records_per_second=1234.0, left_s=9.0,
        failed=3, in_flight=64, behind=None, oldest_s=4.0, held_by=wait, stages=[],
    )  # fmt: skip


def test_why_a_run_stands_still_is_not_cut_off() -> None:
    seen = line_of(state(CIRCUIT))[: COLUMNS - 1]
    assert "waiting for the circuit of api.example.com (500 × 10, 12 s left)" in seen
    assert "to go" not in line_of(state(CIRCUIT))


@pytest.mark.parametrize("wait", [None, Wait("reader")])
def test_a_run_that_goes_on_begins_with_how_far_it_is(wait: Wait | None) -> None:
    assert line_of(state(wait)).startswith("1,234,567 records (20%) in 1:02:05, 1,234/s")
