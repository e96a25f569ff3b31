"""What `robustness_scores=true` asks for besides. Names of protocols and controls only: nothing here loads torch."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.utils.errors import BenchmarkError

NEEDED = ("random", "whole")  # the controls between which a score places a set


def with_plain(protocols: Sequence[str]) -> list[str]:
    """Each shared protocol followed by its plain variant, without augmentation and mixing: "dsa", "dsa@plain".

    `native` protocols stay alone: sets that each stand on a protocol of their own have no score in common. The whole
    set is not among them: the score that is about augmentation compares sets with random ones alone.
    """
    found: dict[str, None] = {}
    for name in protocols:
        found |= {name: None} | ({} if is_native(name) or name.endswith("@plain") else {f"{name}@plain": None})
    return list(found)


def check(protocols: Sequence[str], controls: Sequence[str]) -> None:
    """Raise BenchmarkError where no score could come of these."""
    if missing := [name for name in NEEDED if name not in controls]:
        raise BenchmarkError(
            f"scores need the control{'s' * (len(missing) > 1)} {' and '.join(missing)}",
            where=f"robustness_scores=true baselines=[{','.join(controls)}]",
            next=f"baselines=[{','.join(NEEDED)}], as by default, or robustness_scores=false",
        )
    if all(map(is_native, protocols)):
        raise BenchmarkError(
            "scores need a protocol that all sets share; native is each method's own",
            where=f"robustness_scores=true protocols=[{','.join(protocols)}]",
            next="add one: protocols=[native,dsa]",
        )


def is_native(name: str) -> bool:
    """Whether a protocol is each method's own, with whatever variant."""
    return name.partition("@")[0] == "native"
