"""Entry points by which other packages join: listed from their metadata alone, imported when they are first used.

A package names what it adds in its pyproject.toml, and states the version of this project whose interface it follows:

    [project]
    dependencies = ["condensation-benchmark ~= 0.1.0"]

    [project.entry-points."condensation_benchmark.methods"]
    mine = "their_package.mine:MyMethod"

The interface changes with the first two numbers of this project's version, so `~= 0.1.0` means any 0.1.x. A package
whose requirement the installed version does not meet is refused when one of its entry points is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

from methods.errors import MethodError

OWN_PACKAGE = "condensation-benchmark"  # the distribution of this project
KINDS = {  # of what a package can add, by the last word of its entry-point group
    "methods": "method",
    "datasets": "dataset",
    "protocols": "protocol",
    "architectures": "architecture",
    "analyses": "analysis",
    "tables": "table",
}


@dataclass(frozen=True)
class PlugInGroup:
    """The plug-ins of one kind, with errors of the class `error`. group: one of KINDS. taken: names of this project."""

    group: str
    taken: Collection[str]
    error: Callable[..., Exception] = MethodError

    @property
    def kind(self) -> str:
        return KINDS[self.group]

    @property
    def full_name(self) -> str:
        """The name of the entry-point group."""
        return f"condensation_benchmark.{self.group}"

    def points(self) -> dict[str, EntryPoint]:
        """The entry points by name. Raises an error if two packages give one name, or one takes a name of ours."""
        points: dict[str, EntryPoint] = {}
        search_path = tuple((path, stamp(Path(path))) for path in sys.path)
        for point in _entry_points(entry_points, self.full_name, search_path):
            other = points.setdefault(point.name, point)
            if point.name in self.taken or other.value != point.value:
                owners = OWN_PACKAGE if point.name in self.taken else f"{package_of(other)} ({other.value})"
                raise self.error(
                    f"two {self.group} are called '{point.name}': "
                    f"of {owners} and of {package_of(point)} ({point.value})",
                    where=f"entry-point group {self.full_name}",
                    next="rename one, or uninstall its package",
                )
        return points

    def load(self, name: str) -> Any:
        """What the plug-in of this name refers to, imported. Raises an error if it has another interface or fails."""
        point = self.points()[name]
        self.check_interface(point)
        try:
            return point.load()
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise self.wrong(name, f"does not import: {reason}") from error

    def wrong(self, name: str, what: str, next: str = "") -> Exception:
        """The error for a plug-in, which it returns: `what` completes the sentence that its name begins."""
        point = self.points()[name]
        return self.error(f"{self.kind} '{name}' {what}", where=f"{point.value} of {package_of(point)}", next=next)

    def check_interface(self, point: EntryPoint) -> None:
        """Raise an error if the plug-in's package requires another version of this project than is installed."""
        from packaging.requirements import Requirement  # not needed where there are no plug-ins

        try:
            installed = version(OWN_PACKAGE)
        except PackageNotFoundError:  # a checkout that is not installed
            return
        for text in (point.dist.requires if point.dist else None) or ():
            requirement = Requirement(text)
            ours = requirement.name.lower().replace("_", "-") == OWN_PACKAGE
            meant = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if ours and meant and not requirement.specifier.contains(installed, prereleases=True):
                raise self.error(
                    f"{self.kind} '{point.name}' is for {OWN_PACKAGE}{requirement.specifier}, this is {installed}",
                    where=f"{point.value} of {package_of(point)}",
                    next="install a version of its package for this one",
                )


@lru_cache(maxsize=2 * len(KINDS))
def _entry_points(
    find: Callable[..., Iterable[EntryPoint]], group: str, search_path: tuple[tuple[str, object], ...]
) -> tuple[EntryPoint, ...]:
    """The entry points of a group, as `find` returns them.

    Cached, since `find` reads the metadata of every installed package and a large plan calls this thousands of times.
    A package that is installed or removed changes a folder of `search_path`, and with it the key of the cache.
    """
    return tuple(find(group=group))


def stamp(path: Path) -> tuple[int, int] | None:
    """Changes when a file is written, or a folder gains or loses an entry; None if there is no such path."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def package_of(point: EntryPoint) -> str:
    """The package of a plug-in with its version, such as "their-package 1.0"."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
