"""All figures for which there is data, as PDF and PNG, with a list of them and of those that are not drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from matplotlib.figure import Figure

from results.aggregation.row_styles import RowStyles, styles_of_cells
from results.errors import ResultsError
from results.figures import anytime, dance_figure3, embedding, image_grids, losses, pareto, training_curves, tuning
from results.figures.sets import Scenario, StoredSet, analyses, stored_sets
from results.figures.style import COLUMN, font, title_and_facts, to_pdf, to_png, without_text
from results.formatting import grouped
from results.rendering import latex
from results.store.atomic_files import replace, writing
from results.store.store import Store
from results.types import Json

Drawer = Callable[[Sequence[Json]], Iterable[tuple[str, Figure]]]  # finished records of one analysis → its figures
INDEX, CAPTIONS = "figures.md", "captions.tex"
_TEXT_WIDTH = 5.5  # inches: wider figures are as wide as the text
_CAPTIONS_HEAD = r"""% Figures with captions. Needs \usepackage{graphicx}, and this folder beside the document:
%   \input{figures/captions}
"""
_ANALYZE = "no analysis of this kind is stored: python -m benchmark.analyze makes it"
_ABSENT = {  # kind of figure → why there is none
    "accuracy against seconds": "no evaluation with known seconds is finished yet",
    "anytime curves": "no analysis of this kind is stored: snapshots=N val_fraction=F in a run makes it",
    "training curves": _ANALYZE,
    "tuning": "no tuned row is stored: python -m benchmark.tune makes them",
    "losses": "no set with losses of its steps is finished yet",
    "synthetic sets": "no set is finished yet",
    "discrepancy": _ANALYZE,
    "interpolation": _ANALYZE,
    "expert": _ANALYZE,
    "embedding": _ANALYZE,
}


@dataclass(frozen=True)
class PlannedFigure:
    """A figure and the stem of its files. draw raises ResultsError if a set's file cannot be read."""

    kind: str  # one of _ABSENT, or the name of another package's analysis
    stem: str
    draw: Callable[[], Figure]


def write_figures(
    records: Sequence[Json],
    store: Store,
    folder: Path,
    cells: pd.DataFrame,
    drawers: Mapping[str, Drawer] = MappingProxyType({}),
    *,
    titles: bool = False,
    fonts: str = "sans",
) -> tuple[list[Path], list[str]]:
    """Draw all figures for which there is data into `folder`, which is made.

    records: of the store. cells: their `aggregation.cells`. drawers: of analyses of other packages, by name. titles:
    whether figures show their titles and facts, which captions.tex has for LaTeX. fonts: of `style.FONTS`. Returns the
    written paths, the index figures.md last, and a line on each figure that is not drawn. The index has both, with the
    facts of each figure. Figures of an earlier index are removed. Equal records and sets give equal bytes. Raises
    ResultsError if the folder cannot be written.
    """
    figures, missing = plan_figures(records, store, cells)
    for name, draw in drawers.items():
        drawn, not_drawn = _drawn(name, draw, records)
        figures, missing = figures + drawn, missing + not_drawn
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for stem in _listed(folder / INDEX):
            for suffix in (".pdf", ".png"):
                (folder / f"{stem}{suffix}").unlink(missing_ok=True)
    written: list[Path] = []
    entries: list[str] = []
    floats: list[str] = []
    for planned in figures:
        paths = [folder / f"{planned.stem}.pdf", folder / f"{planned.stem}.png"]
        with font(fonts):
            try:
                figure = planned.draw()
            except ResultsError as error:
                missing.append(f"{planned.stem}: {error.what} ({error.where})")
                continue
            entries += _entry(figure, paths)
            floats.append(_float(figure, planned.stem))
            figure = figure if titles else without_text(figure)
            for path, content in zip(paths, (to_pdf(figure), to_png(figure)), strict=True):
                replace(path, content)
        written += paths
    replace(folder / INDEX, _index(len(floats), entries, missing))
    replace(folder / CAPTIONS, "\n".join([_CAPTIONS_HEAD + latex.room_for(len(floats)), *floats]))
    return [*written, folder / CAPTIONS, folder / INDEX], missing


def _listed(index: Path) -> list[str]:
    """The stems of the figures that an index lists; none without one."""
    try:
        return re.findall(r"\[PDF\]\(([A-Za-z0-9._@+-]+)\.pdf\)", index.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def _float(figure: Figure, stem: str) -> str:
    """A figure environment of LaTeX, with title and facts as the caption."""
    title, facts = title_and_facts(figure)
    caption = latex.escape(" ".join(f"{text[:1].upper()}{text[1:]}." for text in (title, *facts) if text))
    width = r"[width=\textwidth]" if figure.get_figwidth() > _TEXT_WIDTH else ""
    environment = "figure*" if figure.get_figwidth() > COLUMN else "figure"
    return "\n".join(
        [
            rf"\begin{{{environment}}}[tbp]",
            r"\centering",
            rf"\includegraphics{width}{{figures/{stem}.pdf}}",
            rf"\caption[{{{latex.escape(title)}}}]{{{caption}}}",
            rf"\label{{fig:{stem}}}",
            rf"\end{{{environment}}}",
            "",
        ]
    )


def _entry(figure: Figure, paths: Sequence[Path]) -> list[str]:
    title, facts = title_and_facts(figure)
    files = ", ".join(f"[{path.suffix[1:].upper()}]({path.name})" for path in paths)
    return [f"## {title}", "", f"![{title}]({paths[-1].name})", "", *(f"- {fact}" for fact in (files, *facts)), ""]


def _index(count: int, entries: Sequence[str], missing: Sequence[str]) -> str:
    head = [f"# {grouped(count)} figure{'s' if count != 1 else ''}", ""]
    head += [f"[{CAPTIONS}]({CAPTIONS}) has them with their captions for LaTeX.", ""]
    not_drawn = ["## Not drawn", "", *(f"- {line}" for line in missing), ""] if missing else []
    return "\n".join([*head, *entries, *not_drawn])


# --- which figures there are ------------------------------------------------------------------------------------------


class _FigurePlan:
    """Figures with unique stems, in the order in which they are added, and lines on what is missing."""

    def __init__(self) -> None:
        self.figures: list[PlannedFigure] = []
        self.missing: list[str] = []
        self._stems: set[str] = set()

    def add(self, kind: str, parts: Iterable[object], draw: Callable[[], Figure]) -> None:
        words = (re.sub(r"[^A-Za-z0-9._@+]+", "-", str(part)).strip("-.") for part in parts)
        base = stem = "-".join(filter(None, words))
        number = 1
        while stem.lower() in self._stems:  # some file systems ignore case
            stem = f"{base}-{(number := number + 1)}"
        self._stems.add(stem.lower())
        self.figures.append(PlannedFigure(kind, stem, draw))


def plan_figures(records: Sequence[Json], store: Store, cells: pd.DataFrame) -> tuple[list[PlannedFigure], list[str]]:
    """All figures for which there is data, by kind in the order of _ABSENT; and a line on each other figure or kind."""
    plan, sets = _FigurePlan(), stored_sets(records)
    trade_offs, plan.missing = pareto.trade_offs(cells)
    curves, missing = anytime.anytime_curves(records, sets)
    plan.missing += missing
    styles = _styles(cells, trade_offs, curves, sets)
    parts: tuple[str, ...]
    for trade_off in trade_offs:
        networks = trade_off.condense_architecture, trade_off.architecture
        withheld = f"validation{trade_off.val_fraction:g}" if trade_off.val_fraction else ""
        parts = ("trade", trade_off.dataset, *networks, trade_off.protocol, f"ipc{trade_off.ipc}", withheld)
        plan.add("accuracy against seconds", parts, partial(pareto.trade_off_figure, trade_off, styles))
    for curve in curves:
        parts = ("anytime", *_stem_parts(curve.scenario), curve.architecture, curve.protocol)
        plan.add("anytime curves", parts, partial(anytime.anytime_figure, curve, styles))
    trainings, missing = training_curves.training_curves(records, sets)
    plan.missing += missing
    for training in trainings:
        networks = training.condense_architecture, training.architecture
        parts = ("training-curves", training.dataset, *networks, training.protocol)
        plan.add("training curves", parts, partial(training_curves.training_figure, training, styles))
    for tuned in tuning.tuning_curves(cells):
        parts = ("tuning", tuned.dataset, tuned.condense_architecture)
        plan.add("tuning", parts, partial(tuning.tuning_figure, tuned, styles))
    for panels in losses.loss_panels(records, sets):
        plan.add("losses", ("losses", *_stem_parts(panels.scenario)), partial(losses.loss_figure, panels, store))
    for selection in image_grids.grid_selections(sets):
        parts = ("sets", *_stem_parts(selection.scenario), f"part{selection.part}" if selection.part else "")
        plan.add("synthetic sets", parts, partial(_grid_figure, selection, store))
    _plan_analyses(plan, records, sets, styles)
    kinds = {figure.kind for figure in plan.figures}
    absent = [f"{kind}: {reason}" for kind, reason in _ABSENT.items() if kind not in kinds]
    return plan.figures, plan.missing + absent


def _plan_analyses(
    plan: _FigurePlan, records: Sequence[Json], sets: Mapping[str, StoredSet], styles: RowStyles
) -> None:
    discrepancies, missing = dance_figure3.discrepancies(records, sets)
    plan.missing += missing
    for discrepancy in discrepancies:
        draw = partial(dance_figure3.discrepancy_figure, discrepancy, styles)
        plan.add("discrepancy", ("discrepancy", *_stem_parts(discrepancy.scenario)), draw)
    interpolations, missing = dance_figure3.interpolations(records)
    plan.missing += missing
    for interpolation in interpolations:
        draw = partial(dance_figure3.interpolation_figure, interpolation)
        plan.add("interpolation", ("interpolation", interpolation.dataset, interpolation.architecture), draw)
    experts, missing = dance_figure3.expert_accuracies(records, sets)
    plan.missing += missing
    for expert in experts:
        draw = partial(dance_figure3.expert_figure, expert, styles)
        plan.add("expert", ("expert", *_stem_parts(expert.scenario)), draw)
    embeddings, missing = embedding.embeddings(records, sets)
    plan.missing += missing
    for panels in embeddings:
        draw = partial(embedding.embedding_figure, panels)
        plan.add("embedding", ("embedding", *_stem_parts(panels.scenario)), draw)


def _drawn(name: str, draw: Drawer, records: Sequence[Json]) -> tuple[list[PlannedFigure], list[str]]:
    """The figures of another package's analysis, and a line if its code fails."""
    finished, missing = analyses(records, name)
    plan = _FigurePlan()
    try:
        for words, figure in draw(finished):
            plan.add(name, (name, words), lambda figure=figure: figure)  # type: ignore[misc]
    except Exception as error:  # noqa: BLE001 -- code of others must not keep the other figures from being drawn
        missing.append(f"{name}: {type(error).__name__}: {error}")
    return plan.figures, missing


def _stem_parts(scenario: Scenario) -> Iterator[str]:
    yield from (scenario.dataset, scenario.condense_architecture, f"ipc{scenario.ipc}")


def _grid_figure(selection: image_grids.GridSelection, store: Store) -> Figure:
    return image_grids.grid_figure(image_grids.read_grid(selection, store))


def _styles(
    cells: pd.DataFrame,
    trade_offs: Sequence[pareto.TradeOff],
    curves: Sequence[anytime.AnytimeCurves],
    sets: Mapping[str, StoredSet],
) -> RowStyles:
    """One style for each name in all figures: of rows, and of sets that were not evaluated."""
    names = [*(point.name for t in trade_offs for point in t.points), *(stored.name for stored in sets.values())]
    names += [name for t in tuning.tuning_curves(cells) for lines in t.panels.values() for name in lines]
    wholes = [point.name for t in trade_offs for point in t.wholes] + [c.whole.name for c in curves if c.whole]
    return styles_of_cells(cells, names, wholes)
