"""Which plug-ins of other packages took part in a task. Recorded with its result, never part of its identity."""

from __future__ import annotations

from typing import Any

from benchmark import networks
from benchmark.datasets import builtin
from benchmark.execution.runtime import Task
from benchmark.training import protocols
from methods.plug_ins import PlugInGroup, package_of

ANALYSES = PlugInGroup("analyses", ())  # as benchmark.analyses has it, which stands above this package


def plug_ins_of(task: Task) -> dict[str, Any]:
    """`plug_ins` of a record's environment, {} without any. A method is in the record's `code` instead."""
    resolved = task["resolved"]
    protocol = resolved.get("protocol", {}).get("name", "").removeprefix("native:").partition("@")[0]
    used = (
        (builtin.PLUG_INS, task["requested"].get("dataset", "").partition("@")[0]),
        (networks.PLUG_INS, resolved.get("architecture", "").partition("-")[0]),
        (protocols.PLUG_INS, protocol),
        (ANALYSES, resolved.get("analysis", "")),
    )
    listed = [
        f"{group.kind} {name} of {package_of(point)}" for group, name in used if (point := group.points().get(name))
    ]
    return {"plug_ins": listed} if listed else {}
