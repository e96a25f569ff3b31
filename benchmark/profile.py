"""Show where the time of a condensation step goes, by phase, with torch.profiler.

python -m benchmark.profile 'methods=[dance]' 'datasets=[cifar10]' trace=dance.json
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from benchmark.cli import main
from benchmark.cli.progress import LoadingProgress, open_console, print_uncut
from benchmark.config.compose import parse_profile

if TYPE_CHECKING:
    from benchmark.estimation.step_profile import Profile

CAPTION = """\
A phase excludes the phases inside it. Its ms are its share of a step that runs without the profiler. \
new network: building one, or interpolating an expert. train networks: their gradients. \
real pass, synthetic pass: forward and backward. optimizer step: of images and of networks. \
other: decoding images, reading losses, Python."""


def profile(composed: Mapping[str, Any]) -> int:
    """Carry out one composed configuration; returns the exit status."""
    from benchmark.compute.engine import choose_compute  # these load torch, which --help does without
    from benchmark.estimation.step_profile import profile_task, profiled_tasks, trace_files

    config, console = parse_profile(composed), open_console()
    compute, _ = choose_compute(config.device, config.precision, config.threads, None, config.compile)
    with LoadingProgress(console) as progress:
        tasks = profiled_tasks(config, progress)
    traces = trace_files(config.trace, len(tasks))
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler prints when it starts and stops
    compute.activate()
    for (task, outline), trace in zip(tasks, traces, strict=True):
        with LoadingProgress(console) as progress:
            found, lines = profile_task(task, outline, compute, config.steps, progress)
        if trace:
            found.profiler.export_chrome_trace(str(trace))
            lines.append(f"The trace is in {trace}. Open it at ui.perfetto.dev or chrome://tracing.")
        display, resolved = task["display"], task["resolved"]
        title = (
            f"{display['display_name']} on {display['dataset']} at ipc {resolved['ipc']}, {resolved['architecture']}"
        )
        print_uncut(console, table(title, found))
        console.print("\n".join([*lines, ""]), markup=False, highlight=False)
    console.print(CAPTION, markup=False, highlight=False)
    return main.DONE


def table(title: str, found: Profile) -> Table:
    """A row for each phase, and the whole step."""
    shown = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", show_footer=True)
    shown.add_column("Phase", "step")
    shown.add_column("ms / step", f"{1000 * found.seconds:,.2f}", justify="right")
    shown.add_column("%", "100.0", justify="right")
    shown.add_column("Calls / step", justify="right")
    for phase, (share, calls) in found.phases.items():
        count = "" if phase == "other" else f"{calls:,.4g}"
        shown.add_row(phase, f"{1000 * share * found.seconds:,.2f}", f"{100 * share:.1f}", count)
    return shown


if __name__ == "__main__":
    main.launch(profile, "profile")
