"""The pages of the documentation, and what is written in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str, language: str) -> list[str]:
    """The contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def commands(page: Path) -> list[str]:
    """The lines of a page's blocks of commands, without comments; a line `a && b` is two commands."""
    lines = "".join(blocks(page.read_text(), "bash")).splitlines()
    return [part.strip() for line in lines if line for part in re.split(r"\s{2,}#", line)[0].split("&&")]
