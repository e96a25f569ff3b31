"""YAML of users read as plain keys and values: short, shallow, without aliases, each key once."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 2**16  # of a file, which a person writes by hand
MAX_DEPTH = 10  # of lists and dicts in one another


def read_yaml(path: Path) -> dict[Any, Any]:
    """The keys and values of a file; {} if it is empty.

    Raises ValueError in one line, or OSError. No message shows more of a file than its keys, and none of those if the
    file is a link to one of another owner.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValueError("it is no regular file")
    if path.is_symlink() and path.lstat().st_uid != state.st_uid:
        raise ValueError("it is a link to a file of another owner")
    if state.st_size > MAX_BYTES:
        raise ValueError(f"it has {state.st_size:,} bytes; at most {MAX_BYTES:,} are read")
    text = path.read_text(encoding="utf-8")
    try:
        _check_shape(text)
        node = yaml.compose(text, yaml.SafeLoader)
        _check_keys(node)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{place}{getattr(error, 'problem', None) or 'it is not YAML'}") from error
    if values is not None and not isinstance(values, dict):
        raise ValueError(f"it must hold keys and values, got {type(values).__name__}")
    return values or {}


def _check_shape(text: str) -> None:
    """Raise ValueError for aliases and anchors, and for lists and dicts too deep in one another."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if getattr(event, "anchor", None) is not None:
            raise ValueError("anchors and aliases (& and *) are not read: write the value itself")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"lists and dicts are nested more than {MAX_DEPTH} deep")


def _check_keys(node: yaml.Node | None) -> None:
    """Raise ValueError for a key that is no plain text or number, or is there twice."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        if any(not isinstance(key, str) for key in keys):
            raise ValueError("a key must be text")
        if twice := next((key for number, key in enumerate(keys) if key in keys[:number]), None):
            raise ValueError(f"the key {twice[:40]!r} is there twice")
    for child in getattr(node, "value", ()):
        for part in child if isinstance(child, tuple) else (child,):
            if isinstance(part, yaml.Node):
                _check_keys(part)
