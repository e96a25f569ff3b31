"""All figures for which there is data, as PDF and PNG, with a list of them and of those that could not be drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from results.aggregation.cells import cells
from results.errors import ResultsError
from results.figures import anytime, dance_figure3, embedding, image_grids, pareto
from results.figures.sets import MadeSet, Place, made_sets
from results.figures.style import Looks, looks_of, to_pdf, to_png, words_of
from results.formatting import grouped
from results.store.atomic_files import replace, writing
from results.store.store import Store
from results.types import Json

INDEX = "figures.md"
_ANALYSE = "python -m benchmark.analyze makes it"
_ABSENT = {  # kinds of figures, and what to do where there is none of one
    "accuracy against seconds": "no evaluation with known seconds is finished yet",
    "anytime curves": "no analysis of this kind is stored: snapshots=N val_fraction=F in a run makes it",
    "synthetic sets": "no set is finished yet",
    "discrepancy": f"no analysis of this kind is stored: {_ANALYSE}",
    "interpolation": f"no analysis of this kind is stored: {_ANALYSE}",
    "expert": f"no analysis of this kind is stored: {_ANALYSE}",
    "embedding": f"no analysis of this kind is stored: {_ANALYSE}",
}


@dataclass(frozen=True)
class Drawing:
    """A figure to be drawn. stem: of its files. draw raises ResultsError where a set's file cannot be read."""

    kind: str  # one of _ABSENT
    stem: str
    draw: Callable[[], Figure]


def write_figures(
    records: Sequence[Json],
    store: Store,
    folder: Path,
    say: Callable[[str], None] = lambda line: None,
    known: pd.DataFrame | None = None,
) -> list[Path]:
    """Draw everything there is data for into `folder`, which is made; returns what was written, the index last.

    records: as `store.records()` gives them; known: their `aggregate.cells`, where the caller has them. A figure that
    cannot be drawn is a line to `say` and in figures.md, which also lists the others with their circumstances. Equal
    records and sets give equal bytes. Raises ResultsError when the folder cannot be written.
    """
    wanted, missing = drawings(records, store, cells(records) if known is None else known)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    listed: list[str] = []
    for drawing in wanted:
        try:
            figure = drawing.draw()
        except ResultsError as error:
            missing.append(f"{drawing.stem}: {error.what} ({error.where})")
            continue
        paths = [folder / f"{drawing.stem}.pdf", folder / f"{drawing.stem}.png"]
        for path, content in zip(paths, (to_pdf(figure), to_png(figure)), strict=True):
            replace(path, content)
        written += paths
        listed += _entry(figure, paths)
    for line in missing:
        say(f"no figure: {line}")
    replace(folder / INDEX, _index(len(written) // 2, listed, missing))
    return [*written, folder / INDEX]


def _entry(figure: Figure, paths: Sequence[Path]) -> list[str]:
    title, facts = words_of(figure)
    files = ", ".join(f"[{path.suffix[1:].upper()}]({path.name})" for path in paths)
    return [f"## {title}", "", f"![{title}]({paths[-1].name})", "", *(f"- {fact}" for fact in (files, *facts)), ""]


def _index(count: int, listed: Sequence[str], missing: Sequence[str]) -> str:
    head = [f"# {grouped(count)} figure{'s' if count != 1 else ''}", ""]
    last = ["## Not drawn", "", *(f"- {line}" for line in missing), ""] if missing else []
    return "\n".join([*head, *listed, *last])


# --- what there is to draw --------------------------------------------------------------------------------------------


class _Plan:
    """Drawings in the order in which they are added, no two of one stem, and lines on what is missing."""

    def __init__(self) -> None:
        self.drawings: list[Drawing] = []
        self.missing: list[str] = []
        self._stems: set[str] = set()

    def add(self, kind: str, parts: Iterable[object], draw: Callable[[], Figure]) -> None:
        words = (re.sub(r"[^A-Za-z0-9._@+]+", "-", str(part)).strip("-.") for part in parts)
        first = stem = "-".join(filter(None, words))
        number = 1
        while stem.lower() in self._stems:  # some file systems do not tell cases apart
            stem = f"{first}-{(number := number + 1)}"
        self._stems.add(stem.lower())
        self.drawings.append(Drawing(kind, stem, draw))


def drawings(records: Sequence[Json], store: Store, known: pd.DataFrame) -> tuple[list[Drawing], list[str]]:
    """All figures there is data for, in the order of _ABSENT, and a line for each other one, or for a kind of them."""
    plan, sets = _Plan(), made_sets(records)
    traded, plan.missing = pareto.trades(known)
    timed, untimed = anytime.anytimes(records, sets)
    plan.missing += untimed
    looks = _looks(traded, timed, sets)
    for t in traded:
        where = (
            t.dataset,
            t.condense_architecture,
            t.architecture,
            t.protocol,
            f"ipc{t.ipc}",
            _withheld(t.val_fraction),
        )
        plan.add("accuracy against seconds", ("trade", *where), partial(pareto.trade_figure, t, looks))
    for c in timed:
        draw = partial(anytime.anytime_figure, c, looks)
        plan.add("anytime curves", ("anytime", *_of(c.place), c.architecture, c.protocol), draw)
    for shown in image_grids.to_show(sets):
        parts = ("sets", *_of(shown.place), f"part{shown.part}" if shown.part else "")
        plan.add("synthetic sets", parts, partial(_grid, shown, store))
    _analyses(plan, records, sets, looks)
    kinds = {drawing.kind for drawing in plan.drawings}
    absent = [f"{kind}: {reason}" for kind, reason in _ABSENT.items() if kind not in kinds]
    return plan.drawings, plan.missing + absent


def _analyses(plan: _Plan, records: Sequence[Json], sets: Mapping[str, MadeSet], looks: Looks) -> None:
    distances, lacking = dance_figure3.discrepancies(records, sets)
    for d in distances:
        draw = partial(dance_figure3.discrepancy_figure, d, looks)
        plan.add("discrepancy", ("discrepancy", *_of(d.place)), draw)
    plan.missing += lacking
    interpolate, lacking = dance_figure3.interpolations(records)
    for i in interpolate:
        draw = partial(dance_figure3.interpolation_figure, i)
        plan.add("interpolation", ("interpolation", i.dataset, i.architecture), draw)
    plan.missing += lacking
    scored, lacking = dance_figure3.experts(records, sets)
    for e in scored:
        plan.add("expert", ("expert", *_of(e.place)), partial(dance_figure3.expert_figure, e, looks))
    plan.missing += lacking
    clouds, lacking = embedding.embeddings(records, sets)
    for cloud in clouds:
        plan.add("embedding", ("embedding", *_of(cloud.place)), partial(embedding.embedding_figure, cloud))
    plan.missing += lacking


def _of(place: Place) -> Iterator[str]:
    yield from (place.dataset, place.condense_architecture, f"ipc{place.ipc}")


def _withheld(share: float) -> str:
    return f"validation{share:g}" if share else ""


def _grid(shown: image_grids.Shown, store: Store) -> Figure:
    return image_grids.grid_figure(image_grids.read_grid(shown, store))


def _looks(traded: Sequence[pareto.Trade], timed: Sequence[anytime.Anytime], sets: Mapping[str, MadeSet]) -> Looks:
    """One look for each name in all figures; the most used names come first, as the first looks differ the most."""
    names = [*(point.name for t in traded for point in t.points), *(made.name for made in sets.values())]
    wholes = [whole.name for t in traded for whole in t.wholes] + [c.whole.name for c in timed if c.whole]
    return looks_of(names, wholes)
