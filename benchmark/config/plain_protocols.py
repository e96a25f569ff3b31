"""The protocols that `robustness_scores=true` adds, and what it requires. Nothing here loads torch."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.utils.errors import BenchmarkError

NEEDED = ("random", "whole")  # the baselines between which a score places a set


def add_plain_protocols(protocols: Sequence[str]) -> list[str]:
    """Each shared protocol followed by its plain variant, without augmentation and mixing: "dsa", "dsa@plain".

    A `native` protocol gets none, as rows under it have no protocol in common. The whole set is not evaluated under the
    plain variants: the augmentation-robust score compares sets with random ones only.
    """
    found: dict[str, None] = {}
    for name in protocols:
        found |= {name: None} | ({} if is_native(name) or name.endswith("@plain") else {f"{name}@plain": None})
    return list(found)


def check(protocols: Sequence[str], baselines: Sequence[str]) -> None:
    """Raise BenchmarkError if no score can be computed from these."""
    if missing := [name for name in NEEDED if name not in baselines]:
        raise BenchmarkError(
            f"scores need the baseline{'s' * (len(missing) > 1)} {' and '.join(missing)}",
            where=f"robustness_scores=true baselines=[{','.join(baselines)}]",
            next=f"baselines=[{','.join(NEEDED)}], as by default, or robustness_scores=false",
        )
    if all(map(is_native, protocols)):
        raise BenchmarkError(
            "scores need a protocol that all sets share; native is each method's own",
            where=f"robustness_scores=true protocols=[{','.join(protocols)}]",
            next="add one: protocols=[native,dsa]",
        )


def is_native(name: str) -> bool:
    """Whether a protocol is each method's own; variants such as native@steps are, too."""
    return name.partition("@")[0] == "native"
