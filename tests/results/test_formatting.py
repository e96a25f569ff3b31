"""How numbers are printed."""

from __future__ import annotations

import math

from results.formatting import duration


def test_durations_have_a_unit_of_their_size() -> None:
    texts = [duration(seconds) for seconds in (math.nan, 0.31, 45.2, 312, 12_240, 4_000_000)]
    assert texts == ["–", "0.3 s", "45 s", "5.2 min", "3.4 h", "1,111 h"]
