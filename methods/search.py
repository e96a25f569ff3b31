"""Search spaces: which settings of a method tuning varies, and how the settings of each trial are drawn.

A method declares its space in its settings file, under `search`, beside the settings of its presets:

    search:
      lr_img: {times: [0.1, 10], source: "README: 1 or 10"}

- `times: [LOW, HIGH]`: log-uniform, from LOW to HIGH times the value that the method has here without tuning
- `loguniform: [LOW, HIGH]`, `uniform: [LOW, HIGH]`: of the value itself
- `choice: [VALUE, …]`: all equally likely

Whole numbers are rounded. `search: {}` says that there is nothing to tune.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from methods import registry
from methods.base import Settings
from methods.errors import MethodError

_DIGITS = 3  # significant, of a drawn number: a command line with it repeats the trial
_LAYOUT = "NAME: {times: [LOW, HIGH], source: TEXT}, or loguniform, uniform or choice in place of times"


@dataclass(frozen=True)
class Dimension:
    """How one setting is drawn. kind: times, loguniform, uniform, choice; values: its ends, or the choices."""

    setting: str
    kind: str
    values: tuple[Any, ...]
    source: str

    @property
    def text(self) -> str:
        """ "0.1 to 10 times its value", "from 0 to 0.9", "one of a, b"."""
        if self.kind == "choice":
            return f"one of {', '.join(map(str, self.values))}"
        low, high = (f"{end:g}" for end in self.values)
        scale = ", on a log scale" if self.kind == "loguniform" else ""
        return f"{low} to {high} times its value" if self.kind == "times" else f"from {low} to {high}{scale}"

    def contains(self, default: Any) -> bool:
        """Whether the value that a setting has without tuning could be drawn."""
        if self.kind == "choice":
            return default in self.values
        low, high = self._ends(default)
        return bool(low <= default <= high)

    def value(self, share: float, default: Any) -> Any:
        """The value at a share in [0, 1) of the distribution. default: that of the setting without tuning."""
        if self.kind == "choice":
            return self.values[int(share * len(self.values))]
        low, high = self._ends(default)
        drawn = low + share * (high - low) if self.kind == "uniform" else low * (high / low) ** share
        if isinstance(default, int):
            return max(1, round(drawn))
        return min(max(float(f"{drawn:.{_DIGITS}g}"), low), high)

    def _ends(self, default: float) -> tuple[float, float]:
        scale = default if self.kind == "times" else 1.0
        return scale * self.values[0], scale * self.values[1]


def space(name: str) -> tuple[Dimension, ...]:
    """The search space of a method, () if it has nothing to tune or declares none.

    Raises MethodError for a name that is no setting of the method, and for a malformed entry.
    """
    path, section = registry.search_section(name)
    if not isinstance(section, Mapping):
        raise MethodError("a search space is malformed", where=f"{path}, search", next=_LAYOUT)
    known = registry.load(name).Config.names()
    for setting in section:
        if setting not in known:
            raise registry.unknown("setting", str(setting), known, where=f"{path}, search")
    return tuple(_dimension(str(setting), entry, f"{path}, search.{setting}") for setting, entry in section.items())


def draw(name: str, config: Settings, seed: int, trial: int, fixed: Collection[str] = ()) -> dict[str, Any]:
    """The settings of one trial that replace those of `config`; {} for trial 0, which is the method as it is.

    fixed: settings that are not varied. What is drawn depends on the method, the seed, the number of the trial and the
    setting's name alone, so that more trials, other methods or a setting added to the space move nothing.
    """
    if trial == 0:
        return {}
    drawn = (dimension for dimension in space(name) if dimension.setting not in fixed)
    return {d.setting: d.value(_share(name, seed, trial, d.setting), getattr(config, d.setting)) for d in drawn}


def _share(name: str, seed: int, trial: int, setting: str) -> float:
    """In [0, 1), from the hash of these four; the text never changes."""
    text = f"search|{name}|{seed}|{trial}|{setting}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


# --- reading ----------------------------------------------------------------------------------------------------------


def _dimension(setting: str, entry: Any, where: str) -> Dimension:
    malformed = partial(MethodError, where=where, next=_LAYOUT)
    kinds = [kind for kind in _KINDS if isinstance(entry, Mapping) and kind in entry]
    if len(kinds) != 1 or set(entry) != {kinds[0], "source"} or not str(entry["source"]).strip():
        raise malformed("a search space needs one distribution and a source for each setting")
    values = entry[kinds[0]]
    if not isinstance(values, list) or not _KINDS[kinds[0]](values):
        raise malformed(f"{kinds[0]}={values} is no distribution")
    return Dimension(setting, kinds[0], tuple(values), str(entry["source"]))


def _are_ends(values: list[Any], least: float) -> bool:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)]
    return len(numbers) == len(values) == 2 and least <= numbers[0] < numbers[1]


_KINDS: Mapping[str, Callable[[list[Any]], bool]] = {
    "times": partial(_are_ends, least=math.ulp(0)),
    "loguniform": partial(_are_ends, least=math.ulp(0)),
    "uniform": partial(_are_ends, least=-math.inf),
    "choice": lambda values: len(values) > 1,
}
