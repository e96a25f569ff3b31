"""Expert: what networks trained on the real images make of the synthetic ones, along the steps of condensing.

After the DANCE paper (arXiv:2406.01063), Figure 3c. Accuracy of each expert, in eval mode, on the decoded images of a
set against their own labels, without augmentation. Beside it stands the experts' accuracy on real images: those they
were trained on, as the paper's dashed line is too high for other ones, and the withheld ones where there are some.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmark.compute.engine import Compute
from benchmark.condensation.problem import TrainedExpert
from benchmark.datasets import Split
from benchmark.datasets.normalization import Normalizer
from benchmark.training.trainer import accuracy


def score_all(
    experts: Sequence[TrainedExpert], read: Callable[[], Split], compute: Compute, normalize: Normalizer
) -> list[float]:
    """The accuracy of each expert on the images that `read` gives."""
    split, found = read(), []
    for expert in experts:
        expert.interpolate(0.0)
        found.append(accuracy(expert.scratch, split, compute, normalize))
    return found
