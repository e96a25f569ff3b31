"""The scale of an external set's pixels, inferred from their statistics and those of the dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.config.schema import PIXEL_SCALES
from benchmark.datasets import Constants
from benchmark.utils.errors import BenchmarkError

RAW, NORMALIZED, BYTES, WHITENED = PIXEL_SCALES  # 0..1; (x - mean) / std; 0..255; ZCA

# Bounds on a set's pixels relative to the dataset's: learned sets are noisier than real images, DC's from noise have 1
# to 2.5 times their deviation; pixels read in the wrong scale are off by the deviation itself, 2.5 to 5 times.
_MAX_SHIFT = 1.0  # of a channel's mean, in deviations of the dataset
_MIN_RATIO, _MAX_RATIO = 0.5, 4.0  # of the deviation
_FAR = 0.1  # beyond 0..1: pixels learned without clamping leave it, but few by so much
_MAX_FAR = 0.25  # share of raw pixels that may lie so far outside
# Share of the variance that means over blocks keep, at most, in whitened images. On CIFAR-10: 0.66 in real images, 0.18
# with twice as much noise as image added, 0.11 in whitened ones, 0 in noise. Normalized noise (DC's start) differs from
# whitened images in its deviation alone, which is at least 1: sets that RFAD and DATM whitened have 0.59 to 0.77, real
# images 0.3. Images of so small a deviation are not normalized ones, and may keep a larger share.
_MAX_STRUCTURE, _MAX_STRUCTURE_IF_NARROW = 0.14, 0.35
_MIN_STD_IF_FLAT = 0.9  # of normalized values without structure


@dataclass(frozen=True)
class PixelScale:
    """How stored values become pixels. constants: those that normalized them, if they are. reason: for the user."""

    name: str
    reason: str
    constants: Constants | None = None

    def to_pixels(self, values: Tensor) -> Tensor:
        """Stored values (N, ch, H, W) to float32 pixels, 0..1 nominal; whitened ones are returned as they are."""
        if self.name == NORMALIZED:
            assert self.constants is not None
            mean, std = _columns(self.constants)
            return values.float() * std + mean
        return values.float() / 255 if self.name == BYTES else values.float()


def infer_pixel_scale(sets: Sequence[Tensor], constants: Constants, *, may_be_whitened: bool, where: str) -> PixelScale:
    """The pixel scale of values (N, ch, H, W), which is the same for all `sets`.

    `constants` are those that normalized them if they are normalized. Raises BenchmarkError if it is ambiguous.
    """
    values = sets[0].float() if len(sets) == 1 else torch.cat([images.float() for images in sets])
    stats = _PixelStatistics.of(values, constants)
    in_bytes = float(values.min()) >= 0 and float(values.max()) <= 255
    if not sets[0].is_floating_point() and in_bytes and stats.mean > 2:
        return PixelScale(BYTES, f"whole numbers in {stats.range}")
    if bool(((values >= -1e-3) & (values <= 1 + 1e-3)).all()) and stats.mean > 0.01:
        return PixelScale(RAW, f"all values in {stats.range}")
    checks: dict[str, Callable[[], bool]] = {
        RAW: stats.may_be_raw,
        BYTES: stats.may_be_bytes,
        NORMALIZED: stats.may_be_normalized,
    }
    if may_be_whitened:
        checks[WHITENED] = stats.may_be_whitened
    scales = [name for name, check in checks.items() if check()]
    if len(scales) != 1:
        fits = f"they might be {' or '.join(scales)}" if scales else "no scale fits"
        raise BenchmarkError(
            f"the pixel scale is ambiguous: {stats}; {fits}",
            where=where,
            next="set it: pixel_scale=raw (0..1), pixel_scale=normalized (with mean=[…] std=[…] if not the dataset's; "
            "0.5 and 0.5 for -1..1), pixel_scale=bytes (0..255) or pixel_scale=whitened (ZCA)",
        )
    return PixelScale(scales[0], str(stats), constants if scales[0] == NORMALIZED else None)


@dataclass(frozen=True)
class _PixelStatistics:
    """Statistics of a set's values.

    outside, far: shares outside 0..1, and by more than _FAR. structure: see `_structure`. channel_mean, channel_std:
    (ch,). constants: the dataset's, or those given for the set.
    """

    low: float
    high: float
    mean: float
    std: float
    outside: float
    far: float
    structure: float
    channel_mean: Tensor
    channel_std: Tensor
    constants: Constants

    @classmethod
    def of(cls, values: Tensor, constants: Constants) -> _PixelStatistics:
        """The statistics of values (N, ch, H, W)."""
        return cls(
            low=float(values.min()),
            high=float(values.max()),
            mean=float(values.mean()),
            std=float(values.std()),
            outside=float(((values < 0) | (values > 1)).float().mean()),
            far=float(((values < -_FAR) | (values > 1 + _FAR)).float().mean()),
            structure=_structure(values),
            channel_mean=values.mean((0, 2, 3)),
            channel_std=values.std((0, 2, 3)),
            constants=constants,
        )

    @property
    def range(self) -> str:
        return f"{self.low:.3g}..{self.high:.3g}"

    def __str__(self) -> str:
        return (
            f"values in {self.range}, mean {self.mean:.2f}, deviation {self.std:.2f}, "
            f"{100 * self.outside:.0f} % outside 0..1, {100 * self.structure:.0f} % of the variance in coarse blocks"
        )

    def may_be_raw(self) -> bool:
        return self._like_dataset(1.0) and self.far <= _MAX_FAR

    def may_be_bytes(self) -> bool:
        return self._like_dataset(1 / 255) and self.high > 20

    def may_be_normalized(self) -> bool:
        """Values (x - mean) / std have mean 0 and deviation 1, whatever those of the dataset."""
        beyond = self.low < -1.001 or self.high > 1.001  # else scaled to -1..1, by (x - 0.5) / 0.5
        shift = float(self.channel_mean.abs().max())
        narrow, wide = float(self.channel_std.min()), float(self.channel_std.max())
        similar = shift <= _MAX_SHIFT and narrow >= _MIN_RATIO and wide <= _MAX_RATIO
        not_whitened = self.structure > _MAX_STRUCTURE or self.std >= _MIN_STD_IF_FLAT
        return similar and beyond and not_whitened and self.outside > _MAX_FAR

    def may_be_whitened(self) -> bool:
        """Images without their correlations have mean 0, and no channel or block that stands out."""
        centered = bool((self.channel_mean.abs() <= 0.2 * self.channel_std).all())
        flat = self.structure <= (_MAX_STRUCTURE if self.std >= _MIN_RATIO else _MAX_STRUCTURE_IF_NARROW)
        return centered and flat and 0.1 <= self.std <= _MAX_RATIO and self.outside > _MAX_FAR

    def _like_dataset(self, scale: float) -> bool:
        """Whether the values times `scale` have about the dataset's mean and deviation in each channel."""
        mean, std = self.channel_mean * scale, self.channel_std * scale
        real_mean, real_std = (torch.tensor(values) for values in (self.constants.mean, self.constants.std))
        shift = float(((mean - real_mean) / real_std).abs().max())
        ratio = std / real_std
        return shift <= _MAX_SHIFT and float(ratio.min()) >= 0.25 and float(ratio.max()) <= 2.5


def _structure(values: Tensor) -> float:
    """Share of the variance that means over blocks (a quarter of the side) keep: 0 for noise, 1 for flat blocks."""
    block = max(2, values.shape[-1] // 4)
    if min(values.shape[-2:]) < block:
        return 1.0
    kept = float(F.avg_pool2d(values, block).var() / values.var().clamp_min(1e-12))
    noise = 1 / block**2  # the share that noise keeps
    return max(0.0, (kept - noise) / (1 - noise))


def _columns(constants: Constants) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (constants.mean, constants.std))
    return mean, std
