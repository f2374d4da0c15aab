"""A short form of the disturbances in `make torture`."""

from __future__ import annotations

import pytest
from disturbances import play


@pytest.mark.parametrize("seed", [2, 3])
def test_a_mix_of_disturbances(seed: int) -> None:
    """Output, dead letters and the final account are those of an undisturbed run."""
    play(seed)
