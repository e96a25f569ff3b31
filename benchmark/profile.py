"""Where the time of a condensation step goes, and how far it is from the floor of this device. Writes nothing.

python -m benchmark.profile 'methods=[dance]' 'datasets=[cifar10]'
"""

from __future__ import annotations

from statistics import median

from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.table import Table

from benchmark import floor, profiling
from benchmark.cli import main
from benchmark.cli.progress import Reading, print_whole
from benchmark.compute.engine import Compute, choose_compute
from benchmark.compute.environment import device_name
from benchmark.config.compose import parse_profile
from benchmark.config.schema import ProfileConfig
from benchmark.datasets import Outline
from benchmark.floor import Peaks
from benchmark.measured import Used
from benchmark.planning import grid
from benchmark.profiling import Profile
from benchmark.utils.errors import BenchmarkError
from methods import registry

_CAPTION = """\
s / step: of the measured step of median length, each part without the parts inside it. GFLOP: of convolutions and
matrix products. GB at least: what these read and write once (inputs, weights, outputs), images drawn or augmented,
weights built, what the optimiser changes. Floor: the longer of GFLOP and GB at this device's peaks; of the whole step,
the sum of its parts'. Below 1: what stays in a cache beats a floor of memory, and a convolution may beat the matrix
product, as products with padding are counted."""


def profile(composed: DictConfig) -> int:
    """Carry out one composed configuration; returns the exit status."""
    config, console = parse_profile(composed), Console(soft_wrap=True)
    compute, _ = choose_compute(config.device, config.precision, config.threads, None, config.compile)
    tasks = to_profile(config, console)
    peaks = floor.measure(compute)
    for task, outline in tasks:
        with Reading(console) as reading:
            found = profiling.profile(task, outline, compute, config.steps, reading)
        resolved, label = task["resolved"], task["display"]
        title = f"{label['display_name']} on {label['dataset']} at ipc {resolved['ipc']}, {resolved['architecture']}"
        print_whole(console, table(title, found, peaks))
        for text in (*said(found, peaks, compute), *found.told):
            console.print(text, markup=False, highlight=False)
        console.print()
    console.print(_CAPTION.replace("\n", " "), markup=False, highlight=False)
    return main.DONE


def to_profile(config: ProfileConfig, console: Console) -> list[tuple[grid.Task, Outline]]:
    """The cells of the grid, each with its dataset. Raises the rooms' errors for what has no step, before any runs."""
    for text in config.methods:
        row = grid.parse_row(text)
        if registry.get(row.method).card.family == "coreset":
            raise BenchmarkError(
                f"{row.method} selects images at once: there is no step to profile",
                where=f"methods=[{text}]",
                next="name methods that learn their images",
            )
    with Reading(console) as reading:
        planned = grid.build(config.run_config(), reading)
    tasks = [(task, planned.outlines[task["display"]["dataset"]]) for task in planned.of_kind("condense")]
    for task, outline in tasks:
        profiling.require_supported(task, outline)
    return tasks


def table(title: str, found: Profile, peaks: Peaks) -> Table:
    """A row for each part, and the whole step."""
    shown = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("Part", "s / step", "%", "GFLOP", "GB at least", "Floor, s", "Times the floor"):
        shown.add_column(name, justify="left" if name == "Part" else "right", no_wrap=True)
    whole, floors = found.whole, {name: peaks.seconds(u.operations, u.moved) for name, u in found.parts.items()}
    last = list(found.parts)[-1]
    for name, used in found.parts.items():
        shown.add_row(name, *_cells(used, whole, floors[name]), end_section=name == last)
    shown.add_row("whole step", *_cells(whole, whole, sum(floors.values())))
    return shown


def _cells(used: Used, whole: Used, least: float) -> tuple[str, ...]:
    return (
        f"{used.seconds:.3g}",
        f"{100 * used.seconds / whole.seconds:.1f}",
        f"{used.operations / 1e9:.4g}" if used.operations else "–",
        f"{used.moved / 1e9:.3g}" if used.moved else "–",
        f"{least:.3g}" if least else "–",
        f"{used.seconds / least:.3g}" if least else "–",
    )


def said(found: Profile, peaks: Peaks, compute: Compute) -> list[str]:
    """The device's peaks, the steps, and what is compiled, in sentences."""
    where = f"{device_name(compute.device)}, {compute.threads} thread{'s' * (compute.threads != 1)}"
    return [
        f"peaks, measured: {peaks.operations / 1e9:,.1f} GFLOP/s in a large matrix product, "
        f"{peaks.moved / 1e9:,.1f} GB/s in a large copy ({where}, {compute.precision})",
        f"median step {median(found.steps):.4g} s of {len(found.steps)} measured "
        f"({min(found.steps):.4g} to {max(found.steps):.4g} s)",
        found.compiled,
    ]


if __name__ == "__main__":
    main.launch(profile, "profile")
