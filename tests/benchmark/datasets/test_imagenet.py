"""TinyImageNet and the ImageNet subsets, from small trees in the layouts that people have, whole and damaged."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.datasets import load, prepare
from benchmark.datasets.imagenet_classes import SUBSETS, TINY_IMAGENET, readable
from benchmark.datasets.readers import tiny_imagenet
from benchmark.utils.errors import BenchmarkError
from dataset_files import (
    SUBSET,
    WNIDS,
    by_torchvision,
    decoded,
    ilsvrc_folder,
    refused,
    serving,
    small_card,
    small_subset,
    tiny_folder,
    validation_pictures,
)

# --- TinyImageNet -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    small_card(monkeypatch, "tinyimagenet", 3, 2, classes=WNIDS)


def test_tinyimagenet_is_labelled_by_its_list(tmp_path, small_tiny):
    made = tiny_folder(tmp_path / "tiny-imagenet-200")
    tiny_set = load("tinyimagenet", tmp_path)
    assert tiny_set.classes == WNIDS and tiny_set.image_shape == (3, 64, 64)
    expected = [decoded(made[f"train/{wnid}"][f"{wnid}_{i}.JPEG"]) for wnid in WNIDS for i in range(3)]
    assert np.array_equal(tiny_set.train.images, np.stack(expected))
    assert tiny_set.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    # val_annotations.txt goes round the classes 2, 0, 1
    order = ["val_1.JPEG", "val_4.JPEG", "val_2.JPEG", "val_5.JPEG", "val_0.JPEG", "val_3.JPEG"]
    assert np.array_equal(tiny_set.test.images, np.stack([decoded(made["val"][name]) for name in order]))
    assert tiny_set.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    grey = tiny_set.train.images[0]
    assert torch.equal(grey[0], grey[1]) and torch.equal(grey[1], grey[2])


@pytest.mark.parametrize("inner", ["", "images"])
def test_validation_images_in_class_folders_are_the_same_dataset(tmp_path, small_tiny, inner):
    made = tiny_folder(tmp_path / "a/tiny-imagenet-200")
    mark = load("tinyimagenet", tmp_path / "a").fingerprint
    folder = tmp_path / "b/tinyimagenet"
    tiny_folder(folder)
    for line in (folder / "val/val_annotations.txt").read_text().splitlines():
        name, wnid = line.split("\t")[:2]
        (folder / "val" / wnid / inner).mkdir(parents=True, exist_ok=True)
        (folder / "val/images" / name).rename(folder / "val" / wnid / inner / name)
    (folder / "val/val_annotations.txt").unlink()
    (folder / "val/images").rmdir()
    assert load("tinyimagenet", tmp_path / "b").fingerprint == mark and made


def test_an_incomplete_tinyimagenet_is_refused(tmp_path, small_tiny):
    folder = tmp_path / "tiny-imagenet-200"
    tiny_folder(folder)
    wnid = WNIDS[1]
    picture = folder / f"train/{wnid}/images/{wnid}_2.JPEG"
    data = picture.read_bytes()
    picture.unlink()
    assert f"{wnid} has 2 images of 3" in refused("tinyimagenet", tmp_path)
    picture.write_bytes(data[: len(data) // 2])
    assert f"cannot decode train/{wnid}/images/{wnid}_2.JPEG" in refused("tinyimagenet", tmp_path)
    picture.write_bytes(data)
    lines = (folder / "val/val_annotations.txt").read_text()
    for changed, expected in (
        (lines.replace(f"val_4.JPEG\t{WNIDS[0]}", "val_4.JPEG\tn000001"), "gives val_4.JPEG the unknown class n000001"),
        (lines.replace("val_4.JPEG", "val_9.JPEG"), "val_9.JPEG is missing, which val_annotations.txt lists"),
        (lines.replace(f"val_4.JPEG\t{WNIDS[0]}", f"val_4.JPEG\t{WNIDS[1]}"), f"{WNIDS[0]} has 1 images of 2"),
        ("val_0.JPEG\n", "line 1 has no label"),
    ):  # fmt: skip
        (folder / "val/val_annotations.txt").write_text(changed)
        assert expected in refused("tinyimagenet", tmp_path)
    (folder / "val/val_annotations.txt").unlink()
    message = refused("tinyimagenet", tmp_path)
    assert "neither" in message and "prepare tinyimagenet downloads and unpacks" in message
    (folder / f"train/{wnid}").rename(tmp_path / "elsewhere")
    assert f"there is no class folder {folder / 'train' / wnid}" in refused("tinyimagenet", tmp_path)
    folder.rename(tmp_path / "other")
    (tmp_path / "tinyimagenet").mkdir()
    (tmp_path / "other").rename(tmp_path / "tinyimagenet/tiny-imagenet-200")
    assert "one level too deep" in refused("tinyimagenet", tmp_path)
    assert not (tmp_path / "cache").exists()


def test_the_zip_is_downloaded_and_replaces_what_is_missing(tmp_path, small_tiny, monkeypatch):
    tiny_folder(tmp_path / "made/tiny-imagenet-200")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted((tmp_path / "made").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "made"))
    monkeypatch.setattr(tiny_imagenet, "MD5", hashlib.md5(packed.getvalue()).hexdigest())
    root, labels = tmp_path / "root", []
    with serving() as site:
        site.files["/tiny.zip"] = packed.getvalue()
        monkeypatch.setattr(tiny_imagenet, "URL", f"{site.url}/tiny.zip")
        tiny = prepare("tinyimagenet", root, lambda *call: labels.append(call[0]))
    assert len(tiny.train) == 9 and labels[0].startswith("downloading") and "unpacking tiny-imagenet-200.zip" in labels
    (root / "cache/tinyimagenet-v1.safetensors").unlink()
    (root / f"tiny-imagenet-200/train/{WNIDS[0]}/images/{WNIDS[0]}_1.JPEG").unlink()
    assert "has 2 images of 3" in refused("tinyimagenet", root)
    assert prepare("tinyimagenet", root).fingerprint == tiny.fingerprint  # out of the zip that is there


# --- the ImageNet subsets ---------------------------------------------------------------------------------------------


@pytest.fixture
def small_nette(monkeypatch: pytest.MonkeyPatch) -> None:
    small_subset(monkeypatch)


@pytest.mark.parametrize("layout", ["class folders", "kaggle", "devkit"])
def test_a_subset_is_cut_out_of_every_layout(tmp_path, small_nette, layout):
    made = ilsvrc_folder(tmp_path, layout)
    nette = load("imagenette", tmp_path)
    assert (nette.name, nette.published_as, nette.classes) == ("imagenette@ilsvrc", "imagenette", SUBSET)
    expected = np.stack([by_torchvision(data) for wnid in SUBSET for data in made[wnid]])
    assert np.array_equal(nette.train.images, expected) and nette.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    pictures, labels = validation_pictures()
    expected = np.stack([by_torchvision(pictures[n]) for wnid in SUBSET for n in sorted(labels) if labels[n] == wnid])
    assert np.array_equal(nette.test.images, expected) and nette.test.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_the_archives_are_unpacked_as_far_as_needed(tmp_path, small_nette):
    ilsvrc_folder(tmp_path / "made", "devkit")
    made, base = tmp_path / "made/imagenet", tmp_path / "root/imagenet"
    base.mkdir(parents=True)
    with tarfile.open(base / "ILSVRC2012_img_train.tar", "w") as outer:
        for folder in sorted((made / "train").iterdir()):
            with tarfile.open(packed := tmp_path / f"{folder.name}.tar", "w") as inner:
                for path in sorted(folder.iterdir()):
                    inner.add(path, path.name)
            outer.add(packed, packed.name)
    with tarfile.open(base / "ILSVRC2012_img_val.tar", "w") as archive:
        for path in sorted((made / "val").iterdir()):
            archive.add(path, path.name)
    assert "not ILSVRC2012_devkit_t12.tar.gz" in refused("imagenette", tmp_path / "root")
    with tarfile.open(base / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        archive.add(made / "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12")
    nette = prepare("imagenette", tmp_path / "root")
    assert nette.fingerprint == load("imagenette", tmp_path / "made").fingerprint
    assert {path.name for path in (base / "train").iterdir()} == set(SUBSET)
    whole = (base / "ILSVRC2012_img_train.tar").read_bytes()
    (base / "ILSVRC2012_img_train.tar").write_bytes(whole[: len(whole) // 3])
    for path in sorted((tmp_path / "root").rglob("n02979186/*")):
        path.unlink()
    (tmp_path / "root/cache/imagenette-v1.safetensors").unlink()
    with pytest.raises(BenchmarkError, match=r"cannot unpack .*ILSVRC2012_img_train\.tar"):
        prepare("imagenette", tmp_path / "root")


def test_copies_that_are_not_the_original_split_are_refused(tmp_path, small_nette, monkeypatch):
    message = refused("imagenette", tmp_path)
    assert f"no copy in {tmp_path / 'imagenet'}" in message and "image-net.org" in message
    ilsvrc_folder(tmp_path, "class folders")
    extra = tmp_path / f"imagenet/val/{SUBSET[0]}/more.JPEG"
    extra.write_bytes(b"")
    assert "has 3 images where the original split has 2: perhaps another split, as fast.ai's" in refused(
        "imagenette", tmp_path
    )
    extra.unlink()
    (tmp_path / f"imagenet/train/{SUBSET[2]}").rename(tmp_path / "gone")
    assert f"no class folder {tmp_path / 'imagenet/train' / SUBSET[2]}" in refused("imagenette", tmp_path)
    (tmp_path / "flat").mkdir()
    ilsvrc_folder(tmp_path / "flat", "no list")
    assert "no list gives their labels" in refused("imagenette", tmp_path / "flat")


def test_a_large_dataset_is_mapped_not_loaded(tmp_path):
    """Loading and using a dataset of 128-pixel images must not bring its pixels into a process's own memory."""
    script = f"""
import re, json, numpy as np, torch
from pathlib import Path
from dataclasses import replace
from benchmark.datasets import load
from benchmark.datasets.base import DecodedSplits, balanced, to_split
from benchmark.datasets.cache import builtin_cache_file, load_or_decode
from benchmark.datasets.builtin import BUILTIN
from benchmark.condensation.problem import DeviceImages
from benchmark.utils import seeding
root = Path({str(tmp_path)!r})
BUILTIN["imagenette"] = replace(BUILTIN["imagenette"], train=balanced(150, 10), test=balanced(50, 10))
def own_mib():
    return int(re.search(r"RssAnon:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
def decode():
    draw = np.random.default_rng(0)
    parts = [to_split(draw.integers(0, 256, (n, 3, 128, 128), dtype=np.uint8), np.arange(n) % 10) for n in (1500, 500)]
    return DecodedSplits(*parts, BUILTIN["imagenette"].classes, "made")
load_or_decode(builtin_cache_file(root, "imagenette"), "made", decode)
before = own_mib()
data = load("imagenette", root)
real = DeviceImages(data.train, 10, torch.device("cpu"))
batch = real.sample(8, seeding.generator("test"))
print(json.dumps([own_mib() - before, batch.nbytes / 2**20, data.train.images.nbytes / 2**20]))
"""
    here = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=here, capture_output=True, text=True, check=True)
    grown, batch, pixels = json.loads(done.stdout)
    assert pixels > 70 and 15 <= batch < 16  # MiB
    assert grown < batch + 12, f"{grown:.0f} MiB more for a batch of {batch:.0f}"


def test_every_class_has_a_name_of_its_own_and_ids_without_one_stay() -> None:
    names = {name: readable(classes) for name, classes in (SUBSETS | {"tinyimagenet": TINY_IMAGENET}).items()}
    assert names["imagenette"][:3] == ["tench", "English springer", "cassette player"]
    assert [names["tinyimagenet"][n] for n in (0, 5, 145, 199)] == [
        "goldfish",
        "boa constrictor",
        "school bus",
        "acorn",
    ]
    for name, words in names.items():
        assert len(set(words)) == len(words) and not set(words) & {*SUBSETS.get(name, TINY_IMAGENET)}
        assert all(word == " ".join(word.split()) for word in words)
    assert readable(["n09999999", "cat"]) == ["n09999999", "cat"]
