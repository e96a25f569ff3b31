"""Curve: accuracy on the withheld images against the seconds that condensing had taken: an 'anytime' curve.

Every point stands on fresh networks, trained on the set as it was at that step, with the seeds that evaluations have;
the last one is what the evaluation of the finished set finds on its withheld images. The whole training set has a
curve of another kind: its networks are scored along their own training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Point = dict[str, Any]  # step; seconds, charged up to there; accuracies, one a network


def of_snapshots(snapshots: Sequence[Mapping[str, Any]], scores: Sequence[float], networks: int) -> list[Point]:
    """Points from the scores of all networks of the first snapshot, then of the second, …"""
    return [
        {
            "step": one["step"],
            "seconds": one["seconds"],
            "accuracies": list(scores[place * networks : (place + 1) * networks]),
        }
        for place, one in enumerate(snapshots)
    ]


def of_trainings(untrained: Sequence[float], looks: Sequence[Mapping[str, Any]], steps_each: int) -> list[Point]:
    """Points along the training of networks, one after the other.

    untrained: accuracies before the first step. looks: accuracy at steps counted through all trainings, with the
    seconds charged since the first one began. A point's seconds are the mean over networks of those since its own.
    """
    begun = {1: 0.0}  # seconds when the training at a place, counted from 1, began
    found: dict[int, list[Mapping[str, Any]]] = {}
    seconds: dict[int, list[float]] = {}
    for look in sorted(looks, key=lambda look: look["step"]):
        place, step = -(-look["step"] // steps_each), (look["step"] - 1) % steps_each + 1
        found.setdefault(step, []).append(look)
        seconds.setdefault(step, []).append(look["seconds"] - begun[place])
        if step == steps_each:
            begun[place + 1] = look["seconds"]
    first: Point = {"step": 0, "seconds": 0.0, "accuracies": list(untrained)}
    return [first] + [
        {
            "step": step,
            "seconds": sum(seconds[step]) / len(seconds[step]),
            "accuracies": [look["accuracy"] for look in found[step]],
        }
        for step in sorted(found)
    ]
