"""Seconds of a step: what is charged, and when their median has settled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import cycle, islice

import pytest

from benchmark.estimation import step_timing
from benchmark.estimation.step_timing import SETTLE_LEAST, SETTLE_STEPS, time_steps
from benchmark.execution.work import IndependentSteps
from helpers import CPU


def timed(
    monkeypatch: pytest.MonkeyPatch, seconds: Iterator[float], steps: int = 1000, settle: bool = True, period: int = 1
):
    """`time_steps` of a work whose steps take these seconds, and how many steps it did."""
    work = IndependentSteps([lambda: None] * steps)

    def charged(work: IndependentSteps, compute: object, count: int) -> float:
        for _ in range(count):
            work.step()
        return sum(islice(seconds, count)) / count

    monkeypatch.setattr(step_timing, "_charged", charged)
    return time_steps(work, CPU, settle=settle, period=period), len(work.results)


def test_equal_steps_settle_at_once(monkeypatch) -> None:
    step, done = timed(monkeypatch, cycle([0.2]))
    assert (step.median, step.uncertainty, step.settled, done) == (0.2, 0.0, True, 1 + SETTLE_LEAST)


def test_a_few_disturbed_steps_do_not_count(monkeypatch) -> None:
    step, done = timed(monkeypatch, cycle([0.2, 0.2, 0.2, 0.2, 5.0]))
    assert step.median == 0.2 and step.settled and SETTLE_LEAST < done < SETTLE_STEPS


def test_a_busy_machine_does_not_settle_and_the_interval_says_so(monkeypatch) -> None:
    step, done = timed(monkeypatch, cycle([0.1, 0.2]))
    assert not step.settled and (step.low, step.high) == (0.1, 0.2) and done == 1 + SETTLE_STEPS


def test_probing_ends_in_time(monkeypatch) -> None:
    monkeypatch.setattr(step_timing, "SETTLE_SECONDS", 0.0)
    step, done = timed(monkeypatch, cycle([9.0]))
    assert done == 2 and step.median == 9.0 and not step.settled


def test_all_steps_are_all_that_can_be_known(monkeypatch) -> None:
    step, done = timed(monkeypatch, iter([0.3, 0.1, 0.2]), steps=3)
    assert step.settled and done == 3 and step.median == pytest.approx(0.15)


def test_an_estimate_takes_fewer_steps(monkeypatch) -> None:
    assert timed(monkeypatch, cycle([9.0]), settle=False)[1] == 1
    assert timed(monkeypatch, cycle([0.2]), settle=False)[1] == 1 + step_timing.LEAST_STEPS
    assert timed(monkeypatch, cycle([0.01]), settle=False)[1] == 1 + step_timing.MOST_STEPS


def test_steps_whose_cost_repeats_are_timed_as_whole_periods(monkeypatch) -> None:
    costs = cycle([9.0, 0.0, 0.0])
    assert timed(monkeypatch, costs, period=3, settle=False)[0].median == 3.0
    step, done = timed(monkeypatch, cycle([9.0, 0.0, 0.0]), period=3)
    assert (step.median, step.uncertainty, done) == (3.0, 0.0, 3 * (1 + SETTLE_LEAST))
    step, done = timed(monkeypatch, cycle([9.0, 0.0, 0.0]), period=3, steps=2)
    assert (step.median, step.settled, done) == (4.5, True, 2)


def test_a_step_is_not_charged_for_waiting_on_a_cpu() -> None:
    step = time_steps(IndependentSteps([lambda: time.sleep(0.05)] * 3), CPU)
    assert step.median < 0.025
