"""A plan with imbalance=F: another dataset in tables, other tasks wherever training images are read."""

from __future__ import annotations

import pytest

from benchmark.utils.errors import BenchmarkError
from helpers import planned

WORDS = ("ipcs=[1]", "architectures=[convnet2-w4]")


def test_all_tasks_are_others_and_none_without_a_long_tail() -> None:
    plain, tail = planned(*WORDS), planned(*WORDS, "imbalance=10")
    assert plain.by_identity.keys() == planned(*WORDS, "imbalance=1").by_identity.keys()
    assert plain.by_identity.keys().isdisjoint(tail.by_identity)
    assert {kind: len(tail.of_kind(kind)) for kind in ("prepare", "condense", "evaluate")} == {
        kind: len(plain.of_kind(kind)) for kind in ("prepare", "condense", "evaluate")
    }
    assert not any("imbalance" in str(task) for task in plain.tasks)
    assert all(task["spec"]["dataset"]["imbalance"] == 10 for task in tail.tasks)
    assert {task["display"]["dataset"] for task in tail.tasks} == {"digits-lt10"}
    assert {task["display"]["train_images"] for task in tail.tasks} < set(range(100, 1000))


def test_a_fitted_whitening_is_of_the_images_that_are_left() -> None:
    plain, tail = (
        planned(*WORDS, "methods=[mtt@zca:true]", *more).of_kind("whiten") for more in ([], ["imbalance=10"])
    )
    assert [task["spec"]["dataset"].get("imbalance") for task in (*plain, *tail)] == [None, 10]


@pytest.mark.parametrize(
    ("words", "unequal"),
    [
        (["method.dm.batch_real=5"], False),
        (["method.dm.batch_real=1000"], True),  # classes of the digits differ a little
        (["method.dm.batch_real=20", "imbalance=100"], True),
        (["methods=[herding]", "imbalance=100"], False),
    ],
)
def test_only_sets_whose_batches_are_unequal_say_so(words: list[str], unequal: bool) -> None:
    """Others have the identities of earlier versions, which cut all classes to the smallest."""
    plan = planned("methods=[dm]", "baselines=[]", *WORDS, *words)
    (task,) = plan.of_kind("condense")
    assert task["spec"].get("unequal_batches", False) is task["resolved"].get("unequal_batches", False) is unequal


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["ipcs=[20]", "imbalance=10"],
            "ipc 20 takes 20 training images of each class, but class 9 of digits-lt10 has",
        ),
        (
            ["methods=[dm@f4]", "imbalance=20"],
            "real images of each class (factor² times ipc), but class 9 of digits-lt20",
        ),
        (["imbalance=0.5"], "imbalance must be from 1 to"),
    ],
)
def test_what_a_class_is_too_small_for_names_the_class(words: list[str], said: str) -> None:
    with pytest.raises(BenchmarkError) as error:
        planned(*WORDS, "baselines=[]", *words)
    assert said in error.value.what and "\n" not in error.value.what
