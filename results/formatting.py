"""Numbers as texts. Fractions become percent here only."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any


def grouped(value: float) -> str:
    """12345 → "12,345"."""
    return f"{value:,.0f}"


def short(value: float) -> str:
    """Ratios and percentages with three significant digits, from 1000 on as integers: "0.02", "10", "1,234"."""
    return f"{value:.3g}" if value < 1000 else grouped(value)


def value_range(values: Sequence[float], form: Callable[[float], str] = short) -> str:
    """From the smallest to the largest value: "3–5", or "5" if both are printed alike."""
    return "–".join(dict.fromkeys(form(end) for end in (min(values), max(values))))


def images_per_class(ipc: float) -> str:
    """10 → "10"; inf, the whole training set → "all"."""
    return "all" if math.isinf(ipc) else f"{ipc:.0f}"


def percent(fraction: float) -> str:
    """0.489 → "48.9"."""
    return f"{100 * fraction:.1f}"


def whole_percent(fraction: float) -> str:
    """0.489 → "49"."""
    return f"{100 * fraction:.0f}"


def difference(fraction: float) -> str:
    """Percentage points with a sign: "+0.4", "−1.2", "0.0"."""
    text = f"{100 * fraction:+.1f}".replace("-", "−")
    return text[1:] if text[1:] == "0.0" else text


def count(value: Any) -> str:
    """A count with commas, "–" when it is NA."""
    return "–" if _is_na(value) else grouped(value)


def seconds(value: float) -> str:
    """ "–" when unknown, "0", "<0.1", "5.2", and from ten on whole seconds: "1,234"."""
    if math.isnan(value):
        return "–"
    if value < 10:
        return "0" if value == 0 else "<0.1" if value < 0.1 else f"{value:.1f}"
    return grouped(value)


def duration(value: float) -> str:
    """Seconds in a unit of time: "0.3 s", "45 s", "5.2 min", "3.4 h", "1,234 h"; "–" when unknown."""
    if math.isnan(value):
        return "–"
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if value >= length:
            number = value / length
            return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.1f} {unit}"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def size(value: Any) -> str:
    """Bytes in units of 1024: "840 B", "12.5 KiB", "1.25 GiB"; "–" when NA."""
    if _is_na(value):
        return "–"
    number, units = float(value), ["B", "KiB", "MiB", "GiB", "TiB"]
    while number >= 999.5 and len(units) > 1:
        number, units = number / 1024, units[1:]
    return f"{number:.3g} {units[0]}"


def _is_na(value: Any) -> bool:
    if isinstance(value, int | float):
        return math.isnan(value)
    import pandas as pd  # commands that print nothing of a frame do without it

    return bool(pd.isna(value))


def hydra_quoted(text: str) -> str:
    """A text in quotes for the grammar of Hydra's command line, where it stands for itself.

    Backslashes are doubled before a quote, before `${` and at the end; they are literal elsewhere.
    """
    text = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)
    return '"' + re.sub(r'(\\*)("|\Z)', lambda match: match[1] * 2 + (r"\"" if match[2] else ""), text) + '"'


def printable(text: str) -> str:
    """A text in which control characters and marks of direction are escapes, as "\\x1b[31m"; lines stay lines."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp"):
        return character
    return character.encode("unicode_escape").decode("ascii")
