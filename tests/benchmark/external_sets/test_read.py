"""External sets: every format they come in, what is refused, and that no code in a file is run."""

from __future__ import annotations

import os
import pickle  # noqa: TID251 -- what an attacker writes
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from benchmark.condensation.synthetic_set import save_set
from benchmark.external_sets import read, safe_load
from benchmark.utils.errors import BenchmarkError
from external_set_files import dc_file, digits, normalized, subset
from methods.base import SyntheticSet


def read_set(*paths: Path) -> read.ExternalSet:
    return read.read_external_set(list(paths), digits())


# --- unpickling -------------------------------------------------------------------------------------------------------


class Trap:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def as_zip(value: Any, path: Path) -> None:
    torch.save(value, path)


def as_legacy(value: Any, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def as_pickle(value: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(value, protocol=2))


@pytest.mark.parametrize("write", [as_zip, as_legacy, as_pickle])
def test_a_malicious_file_is_refused_and_not_run(write: Callable[[Any, Path], None], tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "set.pt"
    write({"data": [[*subset()]], "more": Trap(mark)}, path)
    with pytest.raises(BenchmarkError) as caught:
        read_set(path)
    message = f"{caught.value.what} {caught.value.next}"
    assert "nothing in it was run" in message and "weights_only" not in message
    assert not mark.exists()
    if write is not as_pickle:  # the trap is one: the same file, loaded carelessly, runs it
        torch.load(path, weights_only=False)
        assert mark.exists()


@pytest.mark.parametrize("value", [torch.nn.Linear(2, 2), np.zeros(3, dtype=object), {1, 2}, Path("x")])
def test_other_objects_are_refused(value: Any, tmp_path: Path) -> None:
    as_zip({"data": value}, tmp_path / "set.pt")
    with pytest.raises(BenchmarkError):
        read_set(tmp_path / "set.pt")


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpy_scalars_of_every_numpy_are_read(module: str, tmp_path: Path) -> None:
    path = tmp_path / "set.pt"
    as_legacy({"data": [[*subset()]], "accs": [np.float64(0.25), np.float32(0.5)]}, path)
    ours = np.float64(0).__reduce__()[0].__module__
    content = path.read_bytes().replace(f"c{ours}\nscalar".encode(), f"c{module}\nscalar".encode())
    path.write_bytes(content)
    assert f"c{module}\nscalar".encode() in content
    assert safe_load.load(path)["accs"] == [0.25, 0.5]


@pytest.mark.parametrize("cut", [0, 1, 300, 700])
def test_a_damaged_file_is_refused_in_one_sentence(cut: int, tmp_path: Path) -> None:
    dc_file(tmp_path / "set.pt", [subset()])
    (tmp_path / "set.pt").write_bytes((tmp_path / "set.pt").read_bytes()[:cut])
    with pytest.raises(BenchmarkError) as caught:
        read_set(tmp_path / "set.pt")
    assert "torch.save" in caught.value.what and "\n" not in caught.value.what


# --- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
def test_every_experiment_of_dcs_file_is_read(legacy: bool, tmp_path: Path) -> None:
    sets = [subset(seed) for seed in range(3)]
    external = read_set(dc_file(tmp_path / "res.pt", sets, legacy=legacy))
    assert external.format == read.EXPERIMENTS and len(external.sets) == 3 and external.pixel_scale is None
    for (images, labels, _), (pixels, wanted) in zip(external.sets, sets, strict=True):
        assert torch.equal(images, normalized(pixels)) and torch.equal(labels, wanted)


def test_images_of_a_class_come_together_in_their_order(tmp_path: Path) -> None:
    images, labels = subset(ipc=3)
    mixed = torch.arange(30).view(10, 3).T.flatten()  # 0, 3, 6, …: class by class in turn
    torch.save([images[mixed], labels[mixed].to(torch.int32)], tmp_path / "data.pt")
    ((read_images, read_labels, _),) = read_set(tmp_path / "data.pt").sets
    assert torch.equal(read_images, images) and torch.equal(read_labels, labels)


def test_mtts_files_are_read_as_a_list_in_any_order_and_as_a_folder(tmp_path: Path) -> None:
    images, labels = subset()
    torch.save(torch.nn.Parameter(images), tmp_path / "images_best.pt")
    torch.save(labels.double(), tmp_path / "labels_best.pt")
    torch.save(images * 0, tmp_path / "images_100.pt")
    torch.save(labels, tmp_path / "labels_100.pt")
    best = tmp_path / "images_best.pt", tmp_path / "labels_best.pt"
    for paths in (best, best[::-1], [tmp_path]):
        external = read_set(*paths)
        assert external.format == read.PAIR and torch.equal(external.sets[0][0], images)
        assert torch.equal(external.sets[0][1], labels) and set(external.files) == set(best)
    for path in best:
        path.unlink()
    assert torch.equal(read_set(tmp_path).sets[0][0], images * 0)


def test_a_set_in_parts_is_put_together(tmp_path: Path) -> None:
    images, labels = subset()
    for part in range(2):
        torch.save(images[10 * part : 10 * part + 10], tmp_path / f"images_best_{part}.pt")
        torch.save(labels[10 * part : 10 * part + 10], tmp_path / f"labels_best_{part}.pt")
    assert torch.equal(read_set(tmp_path).sets[0][0], images)


def test_a_set_of_this_project_brings_its_factor_and_pixel_scale(tmp_path: Path) -> None:
    images, labels = subset()
    own = SyntheticSet(images * 3 - 1, labels, 2, factor=2, training={"lr": 0.1})
    save_set(tmp_path / "synthetic.safetensors", own)
    for path in (tmp_path, tmp_path / "synthetic.safetensors"):
        external = read_set(path)
        assert external.pixel_scale == "raw" and external.own
        assert external.own.factor == 2 and external.own.training == {"lr": 0.1}
        assert torch.equal(external.sets[0][0], images * 3 - 1)


@pytest.mark.parametrize(
    ("names", "order", "note"),
    [
        ([str(c) for c in range(10)], list(range(10)), False),
        ([f"class{c}" for c in range(5, 15)], list(range(10)), True),  # class10 after class9
        (["d", "b", "c", "a", "e", "f", "g", "h", "i", "j"], [3, 1, 2, 0, *range(4, 10)], True),
    ],
)
def test_class_folders_are_the_datasets_classes_or_in_order(
    names: list[str], order: list[int], note: bool, tmp_path: Path
) -> None:
    pixels = (subset(ipc=1)[0][:, 0] * 255).byte().numpy()
    for name, image in zip(names, pixels, strict=True):
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "1.png")
    external = read_set(tmp_path)
    assert external.pixel_scale == "bytes" and bool(external.notes) == note
    assert np.array_equal(external.sets[0][0][:, 0].numpy(), pixels[order])


def test_parquet_is_read_by_its_class_names(tmp_path: Path) -> None:
    folder = tmp_path / "pngs"
    folder.mkdir()
    pixels = (subset(ipc=1)[0][:, 0] * 255).byte().numpy()
    rows = []
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{index}.png")
        rows.append({"image": {"bytes": (folder / f"{index}.png").read_bytes()}, "label": 9 - index})
    names = [str(9 - label) for label in range(10)]
    info = f'{{"info": {{"features": {{"label": {{"_type": "ClassLabel", "names": {names!r}}}}}}}}}'.replace("'", '"')
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata({"huggingface": info}), tmp_path / "set.parquet")
    external = read_set(tmp_path / "set.parquet")
    assert external.format == "parquet" and np.array_equal(external.sets[0][0][:, 0].numpy(), pixels)


# --- what is no set ---------------------------------------------------------------------------------------------------


def save(value: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.save(value, folder / "set.pt")
        return folder / "set.pt"

    return write


def empty(folder: Path) -> Path:
    return folder


def kip(folder: Path) -> Path:
    np.savez(folder / "set.npz", images=np.zeros((10, 8, 8, 1)), labels=np.zeros((10, 10)))
    return folder / "set.npz"


IMAGES, LABELS = subset()


def test_soft_labels_of_tiles_follow_their_images(tmp_path: Path) -> None:
    """Sorted by class, like the images, within each tile."""
    mixed = torch.arange(20).flip(0)
    soft = torch.randn(4, 20, 10)
    save_set(tmp_path / "set.safetensors", SyntheticSet(IMAGES[mixed], LABELS[mixed], 2, 2, soft=soft.flatten(0, 1)))
    (found,) = read_set(tmp_path / "set.safetensors").sets
    order = torch.argsort(LABELS[mixed], stable=True)
    torch.testing.assert_close(found.images, IMAGES[mixed][order])
    torch.testing.assert_close(found.soft, soft[:, order].flatten(0, 1))


@pytest.mark.parametrize(
    ("write", "what"),
    [
        (lambda folder: folder / "missing.pt", "there is no file"),
        (empty, "is empty"),
        (kip, "its images are 8x8x1"),
        (save({"state_dict": {"a": IMAGES}}), "a dict with 'state_dict': a dict with 'a': a tensor of 20x1x8x8"),
        (save({"data": []}), "a dict with 'data': a list of 0"),
        (save(IMAGES), "one tensor only, a tensor of 20x1x8x8 (float32)"),
        (save([IMAGES[:, :, :4], LABELS]), "its images are 1x4x8, those of digits 1x8x8"),
        (save([IMAGES.permute(0, 2, 3, 1), LABELS]), "its images are 8x8x1"),
        (save([IMAGES, LABELS + 1]), "its labels go from 1 to 10"),
        (save([IMAGES[:18], LABELS[:18]]), "images of 9 classes, digits has 10"),
        (save([IMAGES[:19], LABELS]), "19 images and 20 labels"),
        (save([IMAGES, 0.8 * torch.eye(10)[LABELS] + 0.01]), "but those of image 0 sum to 0.9"),
        (save([IMAGES, torch.rand(20, 9)]), "its labels are of shape 20x9; digits has 10 classes"),
        (save([IMAGES, torch.full((20, 10), torch.nan)]), "its soft labels hold values that are not finite"),
        (save([IMAGES, LABELS + 0.5]), "no whole numbers"),
        (save([torch.where(IMAGES > 0.9, torch.nan, IMAGES), LABELS]), "not finite"),
    ],
)
def test_what_is_no_set_is_refused_in_one_message(write: Callable[[Path], Path], what: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError) as caught:
        read_set(write(tmp_path))
    assert what in caught.value.what and "\n" not in caught.value.what and caught.value.where and caught.value.next


def test_the_trap_of_this_file_is_a_real_one(tmp_path: Path) -> None:
    operations = [name.name for name, _, _ in pickletools.genops(pickle.dumps(Trap(tmp_path), protocol=2))]
    assert "GLOBAL" in operations and "REDUCE" in operations
