"""YAML of users read as plain keys and values: short, shallow, without aliases and tags, each key once."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 2**16  # of a file, which a person writes by hand
MAX_DEPTH = 10  # of lists and dicts in one another

_TEXT, _WHOLE_NUMBER = "tag:yaml.org,2002:str", "tag:yaml.org,2002:int"
_TYPES = (_TEXT, _WHOLE_NUMBER, "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null")


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys of a file with their values: text, whole numbers, true, false, null, lists and dicts; {} if it is empty.

    What YAML 1.1 would turn into another value than the one written (1:30, 0123, 1.50, 2026-11-30) stays text.
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
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{place}{getattr(error, 'problem', None) or 'it is not YAML'}") from error
    if values is not None and not isinstance(values, dict):
        raise ValueError(f"it must hold keys and values, got {type(values).__name__}")
    return values or {}


class _PlainLoader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise _refused("anchors and aliases (& and *) are not read: write the value itself", event)
        if getattr(event, "tag", None) is not None:
            raise _refused("tags (!) are not read", event)
        opens = isinstance(event, yaml.CollectionStartEvent)
        self.depth += opens
        if self.depth > MAX_DEPTH:
            raise _refused(f"lists and dicts are nested more than {MAX_DEPTH} deep", event)
        node = super().compose_node(parent, index)
        self.depth -= opens
        return node

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        as_written = tag in _TYPES and (tag != _WHOLE_NUMBER or re.fullmatch("0|-?[1-9][0-9]*", value))
        return tag if as_written or kind is not yaml.ScalarNode else _TEXT

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key, _ in node.value:
            if key.tag != _TEXT:
                raise _refused("a key must be text", key)
            if key.value in keys:
                raise _refused(f"the key {key.value[:40]!r} is there twice", key)
            keys.add(key.value)
        return super().construct_mapping(node, deep)


def _refused(problem: str, at: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)
