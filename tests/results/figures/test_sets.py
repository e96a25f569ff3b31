"""Grids of sets from files as the benchmark writes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.condensation.synthetic_set import save_set
from figure_records import constant_images, store_set
from methods.base import SyntheticSet
from results.errors import ResultsError
from results.figures.image_grids import grid_figure, grid_selections, montage, read_grid, read_set
from results.figures.sets import stored_sets
from results.figures.style import title_and_facts
from results.store.store import Store


def grid_of(store, records):
    (selection,) = grid_selections(stored_sets(records))
    return read_grid(selection, store)


def test_what_the_benchmark_writes_is_read(tmp_path):
    images = torch.rand(4, 3, 5, 6)
    save_set(tmp_path / "synthetic.safetensors", SyntheticSet(images, torch.tensor([0, 0, 1, 1]), ipc=2, factor=2))
    stored = read_set(tmp_path / "synthetic.safetensors")
    assert stored.factor == 2 and stored.labels.tolist() == [0, 0, 1, 1]
    assert np.array_equal(stored.images, images.numpy())


def test_rows_are_classes_and_methods_are_side_by_side_before_and_after(tmp_path, make_condensed):
    store, dm, dance = Store(tmp_path), make_condensed("dm", ipc=2), make_condensed("dance", ipc=2)
    labels = [1, 0, 1, 0]  # in any order
    store_set(store, dm, constant_images([0.1, 0.2, 0.3, 0.4]), labels)
    store_set(store, dance, constant_images([0.5, 0.6, 1.7, -0.8]), labels)
    store_set(store, dance, constant_images([0.9, 0.0, 0.9, 0.0]), labels, "snapshots/0.safetensors")
    grid = grid_of(store, [dm, dance])
    assert [panel.heading for panel in grid.panels] == ["DANCE\nbefore", "DANCE\nafter", "DM\nafter"]
    pixels = [panel.images[:, :, 0, 0, 0].round(3).tolist() for panel in grid.panels]
    assert pixels[2] == [[pytest.approx(0.2), pytest.approx(0.4)], [pytest.approx(0.1), pytest.approx(0.3)]]
    assert pixels[1] == [[pytest.approx(0.6), 0.0], [pytest.approx(0.5), 1.0]]  # clamped
    assert pixels[0] == [[0.0, 0.0], [pytest.approx(0.9), pytest.approx(0.9)]]
    figure = grid_figure(grid)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["0", "1"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == [panel.heading for panel in grid.panels]
    title, facts = title_and_facts(figure)
    assert title == "Synthetic sets: cifar10, ipc 2"
    assert "no snapshot of the images before condensing: DM" in facts
    assert "pixels outside 0..1 are clamped for display (DANCE 50 %)" in facts
    assert "images as they are stored, seed 0" in facts


def test_images_are_enlarged_by_a_whole_factor_and_never_smoothed(tmp_path, make_condensed):
    images = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
    store, condensed = Store(tmp_path), make_condensed("dm", ipc=1)
    store_set(store, condensed, images, [0, 1])
    grid = grid_of(store, [condensed])
    pixels, centres = montage(grid.panels[0].images)
    assert pixels.shape[2] == 3 and pixels.shape[1] == 48
    assert np.array_equal(pixels[:48:6, ::6], images[0].transpose(1, 2, 0))
    assert np.array_equal(pixels[-48::6, ::6], images[1].transpose(1, 2, 0))
    assert centres[0] == 23.5 and (pixels[48] == 1).all()
    (picture,) = grid_figure(grid).axes[0].get_images()
    across, _ = montage(grid.panels[0].images.swapaxes(0, 1))  # one image per class: classes are across
    assert picture.get_interpolation() == "nearest" and np.array_equal(picture.get_array(), across)


def test_tiles_are_shown_as_stored_and_a_fact_says_so(tmp_path, make_condensed):
    store, condensed = Store(tmp_path), make_condensed("dm@f2", ipc=1)
    condensed["result"]["factor"] = 2
    store_set(store, condensed, constant_images([0.1, 0.2]), [0, 1])
    grid = grid_of(store, [condensed])
    assert "DM@f2: each image has 2 × 2 tiles, not decoded" in grid.facts
    assert grid.panels[0].images.shape == (2, 1, 4, 4, 1)


def test_a_selection_has_no_before(tmp_path, make_condensed):
    store, condensed = Store(tmp_path), make_condensed("random", ipc=1)
    store_set(store, condensed, constant_images([0.1, 0.2]), [0, 1])
    store_set(store, condensed, constant_images([0.1, 0.2]), [0, 1], "snapshots/0.safetensors")
    grid = grid_of(store, [condensed])
    assert [panel.heading for panel in grid.panels] == ["RANDOM\nselected"]
    assert not any("snapshot" in fact for fact in grid.facts)


def test_the_first_seed_ten_classes_and_a_few_images_of_each_are_shown(tmp_path, make_condensed):
    store, records = Store(tmp_path), [make_condensed("dm", seed, ipc=50) for seed in (1, 0)]
    for condensed in records:
        labels = np.repeat(np.arange(12), 50)
        store_set(store, condensed, constant_images(labels / 12 + condensed["resolved"]["seed"] / 100), labels.tolist())
    grid = grid_of(store, records)
    (panel,) = grid.panels
    assert grid.classes == tuple(range(10)) and panel.images.shape[:2] == (10, 30)
    assert panel.images[3, 0, 0, 0, 0] == pytest.approx(3 / 12)
    assert {"the first 30 of each class", "the first 10 of 12 classes"} <= set(grid.facts)


def test_a_class_with_fewer_images_leaves_its_places_white(tmp_path, make_condensed):
    store, condensed = Store(tmp_path), make_condensed("dm", ipc=2)
    store_set(store, condensed, constant_images([0.1, 0.2, 0.3]), [0, 1, 1])
    pixels, _ = montage(grid_of(store, [condensed]).panels[0].images)
    assert (pixels[:48, 51:] == 1).all() and (pixels[-48:, 51:] < 0.5).all()


@pytest.mark.parametrize(("ipc", "rows", "parts"), [(10, 4, [4]), (10, 5, [2, 3]), (10, 6, [3, 3]), (1, 6, [6])])
def test_many_methods_go_into_several_figures_and_none_is_alone(make_condensed, ipc, rows, parts):
    names = ("dm", "idm", "dance", "idc", "dc", "random")[:rows]
    selections = grid_selections(stored_sets([make_condensed(row, ipc=ipc) for row in names]))
    assert [len(selection.sets) for selection in selections] == parts
    assert [selection.part for selection in selections] == ([0] if len(parts) == 1 else [1, 2])


def test_at_one_image_per_class_the_classes_are_across_with_their_names(tmp_path, make_condensed):
    store, records = Store(tmp_path), [make_condensed(row, ipc=1) for row in ("dm", "dance")]
    for condensed in records:
        condensed["result"]["classes"] = ["plane", "car", "bird"]
        store_set(store, condensed, constant_images([0.1, 0.2, 0.3]), [0, 1, 2])
    grid = grid_of(store, records)
    (axes,) = grid_figure(grid).axes
    assert grid.names == ("plane", "car", "bird")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["plane", "car", "bird"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["DANCE, after", "DM, after"]
    (picture,) = axes.get_images()
    assert np.asarray(picture.get_array())[0, [0, 60, -1], 0].tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_sets_made_elsewhere_are_shown_with_those_condensed_here(make_condensed):
    here, other = make_condensed("dm"), make_condensed("dance", resolved={"digest": "0"})
    other |= {"kind": "import", "display": {**other["display"], "source": "cifar10.pt"}}
    del other["resolved"]["architecture"]
    (selection,) = grid_selections(stored_sets([here, other]))
    assert [(condensed.name, condensed.kind) for condensed in selection.sets] == [
        ("DM", "condense"),
        ("DANCE", "import"),
    ]
    (alone,) = grid_selections(stored_sets([other]))
    assert [condensed.name for condensed in alone.sets] == ["DANCE"]


@pytest.mark.parametrize("harm", ["missing", "damaged", "shape"])
def test_a_set_that_cannot_be_read_is_left_out_and_named(tmp_path, make_condensed, harm):
    store, dm, dance = Store(tmp_path), make_condensed("dm", ipc=1), make_condensed("dance", ipc=1)
    store_set(store, dm, constant_images([0.1, 0.2]), [0, 1])
    path = store_set(store, dance, constant_images([0.1, 0.2], (5, 4, 4) if harm == "shape" else (1, 4, 4)), [0, 1])
    if harm == "missing":
        path.unlink()
    elif harm == "damaged":
        path.write_bytes(path.read_bytes()[:40])
    grid = grid_of(store, [dm, dance])
    assert [panel.heading for panel in grid.panels] == ["DM\nafter"]
    assert any(fact.startswith("not shown, DANCE: ") for fact in grid.facts)
    with pytest.raises(ResultsError, match="DANCE"):
        grid_of(store, [dance])
