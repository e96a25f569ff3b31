"""What the page says of one cell."""

from __future__ import annotations

from typing import Any

import pytest

from results.page.details import _recipe


@pytest.mark.parametrize(
    ("from_set", "rates", "shown"),
    [(False, [0.02, 0.02], 0.02), (True, [0.3, 0.1], [0.1, 0.3]), (True, [None, 0.1], [0.1]), (True, [None], 0.02)],
)
def test_the_learning_rates_shown_are_those_that_were_used(
    from_set: bool, rates: list[float | None], shown: float | list[float]
) -> None:
    protocol = {"name": "dsa@lr", "lr": 0.02, "lr_from_set": from_set}
    records: list[dict[str, Any]] = [
        {"resolved": {"protocol": protocol}, "result": {} if lr is None else {"lr": lr}} for lr in rates
    ]
    assert _recipe(records) == protocol | {"lr": shown}
