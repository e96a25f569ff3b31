"""The scores of DD-Ranking from accuracies in [0, 1].

arXiv:2505.13300; NUS-HPC-AI-Lab/DD-Ranking@b8b0966, whose code passes percents to the exponential, which expects
fractions. Each function raises ResultsError for an accuracy outside [0, 1].
"""

from __future__ import annotations

import math

from results.errors import ResultsError

WEIGHT = 0.5  # of IOR against HLR (w), and of the improvement with augmentation against the one without (γ)


def hard_label_recovery(whole: float, synthetic: float) -> float:
    """HLR, hard-label recovery: accuracy of the whole set minus that of the synthetic set. Lower is better."""
    return _fraction(whole) - _fraction(synthetic)


def improvement_over_random(synthetic: float, random: float) -> float:
    """IOR, improvement over random: accuracy of the set minus that of as many random images. Higher is better."""
    return _fraction(synthetic) - _fraction(random)


def label_position(whole: float, random: float, synthetic: float) -> float:
    """α = w·IOR − (1 − w)·HLR with w = 0.5, in [−1, 1]; it equals synthetic − (whole + random) / 2."""
    return WEIGHT * improvement_over_random(synthetic, random) - (1 - WEIGHT) * hard_label_recovery(whole, synthetic)


def augmentation_position(random: float, random_plain: float, synthetic: float, synthetic_plain: float) -> float:
    """β = γ·IOR with augmentation + (1 − γ)·IOR without, γ = 0.5, in [−1, 1]."""
    improvement, improvement_plain = (
        improvement_over_random(synthetic, random),
        improvement_over_random(synthetic_plain, random_plain),
    )
    return WEIGHT * improvement + (1 - WEIGHT) * improvement_plain


def scaled(position: float) -> float:
    """LRS of α, ARS of β: (e^x − e⁻¹) / (e − e⁻¹), in [0, 1], and 0.26894 at x = 0."""
    return (math.exp(position) - math.exp(-1)) / (math.e - math.exp(-1))


def _fraction(accuracy: float) -> float:
    if not 0 <= accuracy <= 1:
        raise ResultsError(
            f"an accuracy must be a fraction from 0 to 1, got {accuracy:g}", next="divide percents by 100"
        )
    return accuracy
