"""List what a store and the caches take on the disk, and delete what is named; no record or final set is touched.

python -m benchmark.clean store=outputs 'delete=[checkpoints,attempts]'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.cli import main
from benchmark.cli.progress import open_console
from benchmark.config.compose import parse_as
from benchmark.config.schema import CleanConfig


def clean(composed: Mapping[str, Any]) -> int:
    """List, and delete; returns the exit status (1 if something that was named is left)."""
    from benchmark.cli.disk_space import show_and_delete  # loads torch, which --help does without

    config = parse_as(CleanConfig, composed)
    return main.DONE if show_and_delete(config, open_console()) else main.SOME_FAILED


if __name__ == "__main__":
    main.launch(clean, "clean")
