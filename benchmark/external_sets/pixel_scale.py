"""In which units a stranger's pixels are: told by their statistics beside the dataset's, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.datasets import Constants
from benchmark.utils.errors import BenchmarkError

RAW, BYTES, NORMALIZED, WHITENED = "raw", "bytes", "normalized", "whitened"
UNITS = (RAW, NORMALIZED, BYTES, WHITENED)

# Bounds on what a set's pixels may look like beside the dataset's: learned sets are noisier than real images, DC's from
# noise has 1 to 2.5 times their deviation; pixels read in wrong units are off by the deviation itself, 2.5 to 5 times.
_SHIFT = 1.0  # of a channel's mean, in deviations of the dataset
_NARROW, _WIDE = 0.5, 4.0  # of the deviation, as a ratio
_FAR = 0.1  # beyond 0..1: pixels learned without clamping stray, but few so far
_STRAY = 0.25  # share of raw pixels that may lie so far out
# Share of the variance that means over blocks keep, at most, in whitened images. On CIFAR-10: 0.66 in real images, 0.18
# with twice as much noise as image on top, 0.11 in whitened ones, 0 in noise. Noise in normalised units (DC's start) is
# told from whitened images by its deviation alone, which is 1 and not 0.3; in between nobody can tell. Images that vary
# so little are not normalised ones, and need be less flat.
_FLAT, _FLAT_OF_NARROW = 0.14, 0.35


@dataclass(frozen=True)
class Units:
    """What was found. `constants`: those that normalised it, where it is normalised. `reason` is for a person."""

    name: str
    reason: str
    constants: Constants | None = None

    def pixels(self, values: Tensor) -> Tensor:
        """Stored values (N, ch, H, W) to float32 pixels, 0..1 nominal; whitened ones stay as they are."""
        if self.name == NORMALIZED:
            assert self.constants is not None
            mean, std = _columns(self.constants)
            return values.float() * std + mean
        return values.float() / 255 if self.name == BYTES else values.float()


def tell(sets: Sequence[Tensor], constants: Constants, *, white: bool, where: str) -> Units:
    """The units of (N, ch, H, W) values, equal for all `sets`. `white`: may whitened ones be expected at all?

    `constants` are what normalised them if they are normalised. Raises BenchmarkError where statistics do not tell.
    """
    values = torch.cat([images.float() for images in sets])
    seen = _Seen.of(values, constants)
    if not sets[0].is_floating_point() and float(values.min()) >= 0 and float(values.max()) <= 255 and seen.mean > 2:
        return Units(BYTES, f"whole numbers in {seen.range}")
    checks: dict[str, Callable[[], bool]] = {RAW: seen.raw, BYTES: seen.bytes, NORMALIZED: seen.normalized}
    if white:
        checks[WHITENED] = seen.whitened
    if bool(((values >= -1e-3) & (values <= 1 + 1e-3)).all()) and seen.mean > 0.01:
        return Units(RAW, f"all values in {seen.range}")
    found = [name for name, holds in checks.items() if holds()]
    if len(found) != 1:
        might = f"they might be {' or '.join(found)}" if found else "they look like none of them"
        raise BenchmarkError(
            f"the pixels' units cannot be told: {seen}; {might}",
            where=where,
            next="say it: pixel_scale=raw (0..1), pixel_scale=normalised (mean=[…] std=[…] if not the dataset's; 0.5 and 0.5 for "
            "-1..1), pixel_scale=bytes (0..255) or pixel_scale=whitened (ZCA)",
        )
    return Units(found[0], str(seen), constants if found[0] == NORMALIZED else None)


@dataclass(frozen=True)
class _Seen:
    """Statistics of a set's values. shift, ratio: of the mean and deviation read as raw, and as normalised, pixels."""

    low: float
    high: float
    mean: float
    deviation: float
    outside: float
    stray: float
    structure: float
    values: tuple[Tensor, Tensor]  # mean and deviation of each channel
    constants: Constants

    @classmethod
    def of(cls, values: Tensor, constants: Constants) -> _Seen:
        outside = (values < 0) | (values > 1)
        stray = (values < -_FAR) | (values > 1 + _FAR)
        each = values.mean((0, 2, 3)), values.std((0, 2, 3))
        return cls(
            float(values.min()), float(values.max()), float(values.mean()), float(values.std()),
            float(outside.float().mean()), float(stray.float().mean()), _structure(values), each, constants,
        )  # fmt: skip

    @property
    def range(self) -> str:
        return f"{self.low:.3g}..{self.high:.3g}"

    def __str__(self) -> str:
        return (
            f"values in {self.range}, mean {self.mean:.2f}, deviation {self.deviation:.2f}, "
            f"{100 * self.outside:.0f} % outside 0..1, {100 * self.structure:.0f} % of the variance in coarse blocks"
        )

    def raw(self) -> bool:
        return self._like(1.0, 0.0) and self.stray <= _STRAY

    def bytes(self) -> bool:
        return self._like(1 / 255, 0.0) and self.high > 20

    def normalized(self) -> bool:
        """Values (x - mean) / std have mean 0 and deviation 1, wherever the dataset's own lie."""
        mean, deviation = self.values
        narrow, wide = float(deviation.min()), float(deviation.max())
        beyond = self.low < -1.001 or self.high > 1.001  # else scaled to -1..1, by (x - 0.5) / 0.5
        alike = float(mean.abs().max()) <= _SHIFT and narrow >= _NARROW and wide <= _WIDE
        return alike and beyond and self.outside > _STRAY

    def whitened(self) -> bool:
        """Mean 0, no channel or block standing out: what is left of images without their correlations."""
        mean, deviation = self.values
        centred = bool((mean.abs() <= 0.2 * deviation).all())
        flat = self.structure <= (_FLAT if self.deviation >= _NARROW else _FLAT_OF_NARROW)
        return centred and flat and 0.1 <= self.deviation <= _WIDE and self.outside > _STRAY

    def _like(self, scale: float, shift: float) -> bool:
        mean, deviation = (values * scale for values in self.values)
        real_mean, real_std = (torch.tensor(values) for values in (self.constants.mean, self.constants.std))
        off = float(((mean + shift - real_mean) / real_std).abs().max())
        ratio = deviation / real_std
        return off <= _SHIFT and float(ratio.min()) >= 0.25 and float(ratio.max()) <= 2.5


def _structure(values: Tensor) -> float:
    """Share of the variance that means over blocks (a quarter of the side) keep: 0 for noise, 1 for flat blocks."""
    block = max(2, values.shape[-1] // 4)
    if min(values.shape[-2:]) < block:
        return 1.0
    kept = float(F.avg_pool2d(values, block).var() / values.var().clamp_min(1e-12))
    chance = 1 / block**2  # what noise keeps
    return max(0.0, (kept - chance) / (1 - chance))


def _columns(constants: Constants) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (constants.mean, constants.std))
    return mean, std
