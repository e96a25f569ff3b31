"""Datasets: what is read is what was written, the same images are the same dataset, and errors are clear."""

import io
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from filelock import FileLock
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save

from benchmark.datasets import BUILTIN, Constants, Split, constants_of, load
from benchmark.datasets.base import channel_statistics
from benchmark.datasets.splits import hold_out
from benchmark.utils.errors import BenchmarkError
from dataset_files import class_folders, noise, parquet_folder, png, refused, write_parquet

REPOSITORY = Path(__file__).parents[3]
CIFAR10_JPEG = REPOSITORY.parent / "shared/data/cifar10-jpeg"


def test_digits_are_all_there_once_and_stratified(tmp_path):
    from sklearn.datasets import load_digits

    digits, bunch = load("digits", tmp_path), load_digits()
    both = torch.cat([digits.train.images, digits.test.images]).flatten(1).tolist()
    assert digits.image_shape == (1, 8, 8) and digits.num_classes == 10 and not digits.flip and digits.like is None
    assert digits.published_as == "digits" and digits.train.images.dtype == torch.uint8 == digits.test.images.dtype
    assert sorted(both) == sorted(np.rint(bunch.data * 255 / 16).astype(int).tolist())
    share = digits.test.labels.bincount() / torch.tensor(np.bincount(bunch.target))
    assert ((share - 0.2).abs() < 0.003).all()
    by_pixels = dict(zip(map(tuple, (bunch.data * 255 / 16).round().tolist()), bunch.target, strict=True))
    assert digits.test.labels.tolist() == [by_pixels[tuple(row)] for row in digits.test.images.flatten(1).tolist()]
    assert digits.fingerprint == "bd386b0c4ee72d835119a584cbce171dca633f32246ac604927f537af9ac369f"  # never changes
    computed = channel_statistics(digits.train.images)
    assert digits.constants == Constants((round(computed.mean[0], 4),), (round(computed.std[0], 4),))


def test_unknown_names_and_paths_that_do_not_exist(tmp_path):
    assert constants_of("cifar10") == Constants((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    assert constants_of("cifar100") == Constants((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762))
    assert {name for name, card in BUILTIN.items() if not card.flip} == {"digits", "mnist", "svhn"}
    message = refused("cifar11", tmp_path)
    assert "'cifar10'" in message and "known: cifar10" in message and "./cifar11" in message
    with pytest.raises(BenchmarkError, match="Did you mean 'cifar100'"):
        constants_of("cifar1000")
    assert f"there is no folder {tmp_path / 'gone/away'}" in refused(tmp_path / "gone/away", tmp_path)
    folder, _ = parquet_folder(tmp_path / "set")
    assert f"give the folder it lies in: {folder}" in refused(folder / "train.parquet", tmp_path)


def test_parquet_is_read_exactly_and_cached(tmp_path):
    folder, pixels = parquet_folder(tmp_path / "mine", names=["x", "y", "z"])
    calls: list[tuple[str, int, int]] = []
    first = load(str(folder), tmp_path, lambda *call: calls.append(call))
    assert first.name == "mine" and first.classes == ("x", "y", "z") and first.flip and first.published_as == "mine"
    assert torch.equal(first.train.images, torch.tensor(pixels[:6]).permute(0, 3, 1, 2))
    assert torch.equal(first.test.images, torch.tensor(pixels[6:]).permute(0, 3, 1, 2))
    assert first.train.labels.tolist() == [0, 1, 2, 2, 1, 0] and first.test.labels.tolist() == [2, 0, 1]
    assert calls == [("decoding train", 6, 6), ("decoding test", 3, 3)]
    mean, std = (f(pixels[:6].reshape(-1, 3) / 255, axis=0) for f in (np.mean, np.std))
    assert first.constants.mean == pytest.approx(mean) and first.constants.std == pytest.approx(std)
    again = load(str(folder), tmp_path, lambda *call: pytest.fail("decoded again"))
    assert torch.equal(again.train.images, first.train.images) and torch.equal(again.test.labels, first.test.labels)
    assert (again.fingerprint, again.classes, again.source) == (first.fingerprint, first.classes, first.source)


def test_fingerprint_sees_pixels_labels_and_names_but_neither_folder_nor_shards(tmp_path):
    folder, pixels = parquet_folder(tmp_path / "whole")
    images, data = [png(p) for p in pixels], tmp_path / "parts" / "data"
    marks = [load(str(folder), tmp_path).fingerprint]
    write_parquet(data / "train-00000-of-00002.parquet", images[:2], [0, 1])
    write_parquet(data / "train-00001-of-00002.parquet", images[2:6], [2, 2, 1, 0])
    write_parquet(data / "test-00000-of-00001.parquet", images[6:], [2, 0, 1])
    assert load(str(data.parent), tmp_path).fingerprint == marks[0]
    (data / "train-00001-of-00002.parquet").unlink()
    assert "1 files where their names count 2" in refused(data.parent, tmp_path)
    marks.append(load(str(parquet_folder(tmp_path / "named", names=["a", "b", "c"])[0]), tmp_path).fingerprint)
    for labels in ([2, 0, 1], [2, 1, 0]):  # one pixel is changed, then two labels: the cache notices
        write_parquet(folder / "test.parquet", [*images[6:8], png(pixels[8] ^ (np.arange(3) == 1))], labels)
        marks.append(load(str(folder), tmp_path).fingerprint)
    assert len(set(marks)) == 4


@pytest.mark.parametrize("test", ["test", "val"])
def test_class_folders_in_the_order_of_names(tmp_path, test):
    folder = class_folders(tmp_path / "bugs", test)
    (folder / "train/ant/notes.txt").write_text("not an image")
    (folder / "train/.ipynb_checkpoints").mkdir()
    bugs = load(str(folder), tmp_path)
    paths = [folder / "train" / name for name in ("ant/0.png", "ant/1.png", "bee/0.png", "bee/1.png")]
    expected = np.stack([np.asarray(Image.open(path)) for path in paths])
    assert torch.equal(bugs.train.images, torch.tensor(expected).permute(0, 3, 1, 2))
    assert bugs.classes == ("ant", "bee") and bugs.train.labels.tolist() == [0, 0, 1, 1] and len(bugs.test) == 2


def test_modes_become_gray_or_rgb(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.datasets.readers.decoding._BATCH", 1)
    gray = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
    deep, folder = gray.astype(np.uint16) * 257 + 100, class_folders(tmp_path / "modes")  # 16 bit, nearest to `gray`
    Image.fromarray(gray).save(folder / "train/ant/0.png")
    Image.fromarray(deep).save(folder / "train/ant/1.png")
    Image.fromarray(np.dstack([gray, 0 * gray + 255]), "LA").save(folder / "train/bee/0.png")
    Image.fromarray(gray > 100).save(folder / "train/bee/1.png")
    Image.fromarray(np.dstack([gray, 0 * gray]), "LA").save(folder / "test/ant/0.png")
    Image.fromarray(gray).save(folder / "test/bee/0.png")
    modes = load(str(folder), tmp_path)
    assert modes.image_shape == (1, 4, 4) and all(np.array_equal(image, [gray]) for image in modes.train.images[:3])
    assert np.array_equal(modes.train.images[3, 0], (gray > 100) * 255) and (modes.test.images[0] == 255).all()
    color = np.dstack([gray, gray // 2, 255 - gray])
    Image.fromarray(np.dstack([color, np.where(gray < 64, 0, 255).astype(np.uint8)])).save(folder / "test/ant/0.png")
    Image.fromarray(color).quantize(16).save(folder / "train/bee/0.png")
    Image.fromarray(np.dstack([color, 0 * gray]), "CMYK").save(folder / "train/ant/1.png", "jpeg", quality=100)
    modes = load(str(folder), tmp_path)
    assert modes.image_shape == (3, 4, 4) and np.array_equal(modes.train.images[0], np.stack([gray] * 3))
    assert np.abs(modes.train.images[2].numpy().astype(int) - color.transpose(2, 0, 1)).max() <= 8  # the palette
    assert np.abs(modes.train.images[1].numpy().astype(int) - (255 - color.transpose(2, 0, 1))).mean() < 30
    assert np.array_equal(modes.test.images[0], np.where(gray < 64, 255, color.transpose(2, 0, 1)))


def test_description_names_likes_and_flips(tmp_path):
    folder, yaml = class_folders(tmp_path / "bugs", size=8), tmp_path / "bugs/dataset.yaml"
    yaml.write_text("name: insects\nflip: false\n")
    plain = load(str(folder), tmp_path)
    assert (plain.name, plain.like, plain.flip, plain.published_as) == ("insects", None, False, "insects")
    yaml.write_text("like: cifar10\n")
    assert "2 classes of 3x8x8 images, but cifar10 has 10 classes of 3x32x32" in refused(folder, tmp_path)
    for text, expected in (
        ("likes: cifar10", "Did you mean 'like'"),
        ("like: cifar11", "no dataset 'cifar11'"),
        ("flip: sometimes", "flip must be true or false"),
        ("name: cifar10", "belongs to a built-in dataset"),
        ("name: a/b", "cannot be part of a file name"),
        ("name: [", "dataset.yaml cannot be read: line 1, column 8"),
        ("- name", "must hold keys and values, got list"),
    ):
        yaml.write_text(text)
        assert expected in refused(folder, tmp_path)
    for split in ("train", "test"):
        write_parquet(tmp_path / f"svhn/{split}.parquet", [png(p) for p in noise(10, 32, 32, 3)], list(range(10)))
    folder, yaml = tmp_path / "svhn", tmp_path / "svhn/dataset.yaml"
    assert load(str(folder), tmp_path).name == "svhn-folder"  # not the name whose published numbers would apply
    yaml.write_text("name: mine\nlike: svhn\n")
    mine = load(str(folder), tmp_path)
    assert (mine.name, mine.published_as, mine.flip, mine.constants) == ("mine", "svhn", False, constants_of("svhn"))
    yaml.write_text("like: svhn\nflip: true\n")
    assert load(str(folder), tmp_path).flip


def test_images_that_cannot_be_used_are_named(tmp_path):
    folder, pixels = parquet_folder(tmp_path / "rows")
    good = [png(p) for p in pixels[:6]]
    for bad, expected in {
        good[4][:60]: "cannot decode train.parquet row 4",
        b"text": "train.parquet row 4: not an image",
        None: "train.parquet row 4 holds no image bytes",
        png(noise(7, 5, 3)): "5x6 pixels in train.parquet row 0, 5x7 in train.parquet row 4",
    }.items():
        write_parquet(folder / "train.parquet", [*good[:4], bad, good[5]], [0, 1, 2, 2, 1, 0])
        assert expected in refused(folder, tmp_path)
    files = class_folders(tmp_path / "files")
    (files / "test/bee/0.png").write_bytes(png(noise(5, 4, 3)))
    assert "4x4 pixels in train/ant/0.png, 4x5 in test/bee/0.png" in refused(files, tmp_path)
    (files / "train/bee/1.png").write_bytes(b"")
    assert "cannot decode train/bee/1.png" in refused(files, tmp_path)
    assert not (tmp_path / "cache").exists()


def test_labels_that_do_not_fit(tmp_path):
    folder, pixels = parquet_folder(tmp_path / "labels")
    good = [png(p) for p in pixels[:6]]
    for labels, expected in {
        (0, 1, 2, 2, -1, 0): "label is -1 for image 4, outside 0..2",
        (0, 1, 3, 3, 1, 0): "train.parquet has no image of class 2",
        (0, 1, 3, 2, 1, 0): "test.parquet has no image of class 3",
        (0, 1, None, 2, 1, 0): "train.parquet row 2 has no label",
    }.items():
        write_parquet(folder / "train.parquet", good, list(labels))
        assert expected in refused(folder, tmp_path)
    table = pq.read_table(folder / "test.parquet").select(["img"])
    for split in ("train", "test"):
        huge = table.append_column("label", pa.array([2, 2**63 + 5, 1], pa.uint64()))
        pq.write_table(huge, folder / f"{split}.parquet")
    assert f"train.parquet row 1: label is {2**63 + 5}, far too large" in refused(folder, tmp_path)
    parquet_folder(folder)
    write_parquet(folder / "train.parquet", good, [0, 1, 3, 2, 1, 0], names=["a", "b", "c"])
    assert "label is 3 for image 2, outside 0..2" in refused(folder, tmp_path)
    write_parquet(folder / "train.parquet", [], [])
    assert "train.parquet holds no images" in refused(folder, tmp_path)


def test_columns_are_found_or_listed(tmp_path):
    folder, _ = parquet_folder(tmp_path / "cifar", label="fine_label")
    assert load(str(folder), tmp_path).num_classes == 3
    for split, count in (("train", 6), ("test", 3)):
        table = pq.read_table(folder / f"{split}.parquet").append_column("coarse_label", pa.array([0] * count))
        pq.write_table(table, folder / f"{split}.parquet")
    assert load(str(folder), tmp_path).train.labels.tolist() == [0, 1, 2, 2, 1, 0]
    pq.write_table(pq.read_table(folder / "train.parquet").rename_columns(["img", "a", "b"]), folder / "train.parquet")
    assert "img (struct), a (int64), b (int64)" in refused(folder, tmp_path)
    pq.write_table(pa.table({"label": [0, 1]}), folder / "train.parquet")
    assert "train.parquet has no column of encoded images |" in refused(folder, tmp_path)
    (folder / "train.parquet").write_bytes((folder / "test.parquet").read_bytes()[:-20])
    assert "cannot read train.parquet" in refused(folder, tmp_path)


def test_layouts_that_are_wrong(tmp_path):
    bugs = class_folders(tmp_path / "here/bugs")
    assert f"perhaps {bugs}" in refused(bugs.parent, tmp_path)
    assert f"give the folder above it: {bugs}" in refused(bugs / "train", tmp_path)
    (bugs / "train/ant").rename(bugs / "train/cat")
    assert f"cat is only in {bugs / 'train'}; ant is only in {bugs / 'test'}" in refused(bugs, tmp_path)
    (bugs / "train/cat/0.png").rename(bugs / "0.png")
    (bugs / "train/cat/1.png").unlink()
    assert f"class folder {bugs / 'train/cat'} holds no images" in refused(bugs, tmp_path)
    (bugs / "train/cat/images").mkdir()
    assert "holds folders (images) instead of images" in refused(bugs, tmp_path)
    (bugs / "0.png").rename(bugs / "train/0.png")
    assert "0.png lies directly in" in refused(bugs, tmp_path)
    (bugs / "train").rename(tmp_path / "train-away")
    assert "has no train folder beside it" in refused(bugs, tmp_path)
    assert "not divided into train and test" in refused((bugs / "test").rename(bugs / "all"), tmp_path)
    parquet_folder(bugs)[0].joinpath("train").mkdir()
    assert "holds both train.parquet and a train folder" in refused(bugs, tmp_path)
    assert "holds no dataset" in refused(tmp_path / "train-away/cat/images", tmp_path)


def test_a_damaged_cache_is_decoded_again_and_noted(tmp_path):
    folder, _ = parquet_folder(tmp_path / "mine")
    mark = load(str(folder), tmp_path).fingerprint
    (cache,) = (tmp_path / "cache").iterdir()
    whole = cache.read_bytes()
    flipped = whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:]
    for damaged in (whole[:-7], flipped, b"", save({"a": np.zeros(3)})):
        cache.write_bytes(damaged)
        again = load(str(folder), tmp_path)
        assert again.fingerprint == mark and "damaged and have been decoded again" in again.source
        assert list((tmp_path / "cache").iterdir()) == [cache] and load_file(cache)["train.labels"].shape == (6,)
        assert "decoded again" not in load(str(folder), tmp_path).source


def test_a_cache_is_verified_once_in_a_process(tmp_path, monkeypatch):
    folder, _ = parquet_folder(tmp_path / "mine")
    first = load(str(folder), tmp_path)
    monkeypatch.setattr("benchmark.datasets.cache.fingerprint", lambda decoded: pytest.fail("verified again"))
    again = load(str(folder), tmp_path)
    assert again.fingerprint == first.fingerprint and again.train.images is first.train.images


def test_no_room_for_the_cache(tmp_path):
    folder = class_folders(tmp_path / "large", each=20, size=64)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # bytes a file may have: writing fails half-way
    try:
        message = refused(folder, tmp_path / "root")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "cannot write the decoded images" in message and "cache=PATH" in message
    assert list((tmp_path / "root/cache").iterdir()) == []


def test_a_kill_while_writing_leaves_no_cache(tmp_path):
    folder, _ = parquet_folder(tmp_path / "mine")
    script = f"""import os, pathlib
from benchmark.datasets import cache, load
whole = cache.save_file
def half(tensors, path, metadata):
    whole(tensors, path, metadata)
    os.truncate(path, 300)
    os.kill(os.getpid(), 9)
cache.save_file = half
load({str(folder)!r}, pathlib.Path({str(tmp_path)!r}))"""
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=False).returncode == -9
    (left,) = (tmp_path / "cache").iterdir()
    assert [path.stat().st_size for path in left.glob("*.safetensors")] == [300]
    alive = tmp_path / "cache/.writing-alive"
    alive.mkdir()
    with FileLock(alive / "lock"):  # as if another process were writing there
        assert "decoded again" not in load(str(folder), tmp_path).source
    assert not left.exists() and (alive / "lock").exists(), "what the killed process left is deleted, and nothing else"
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_caches_of_earlier_states_are_deleted(tmp_path):
    folder, pixels = parquet_folder(tmp_path / "mine")
    other, _ = parquet_folder(tmp_path / "elsewhere/mine")
    old, kept = load(str(folder), tmp_path), load(str(other), tmp_path)
    before = set((tmp_path / "cache").iterdir())
    write_parquet(folder / "test.parquet", [png(p) for p in pixels[:3]], [0, 1, 2])
    new = load(str(folder), tmp_path)
    after = set((tmp_path / "cache").iterdir())
    assert len(before) == len(after) == 2 and len(before & after) == 1, "one state, and the other folder's"
    assert torch.equal(old.train.images, new.train.images), "images that were mapped remain"
    assert kept.fingerprint == load(str(other), tmp_path, lambda *call: pytest.fail("decoded again")).fingerprint


def test_caches_written_before_they_named_their_owner_are_read(tmp_path):
    folder, _ = parquet_folder(tmp_path / "mine")
    mark = load(str(folder), tmp_path).fingerprint
    (cache,) = (tmp_path / "cache").iterdir()
    with safe_open(cache, framework="np") as file:
        card, tensors = json.loads(file.metadata()["card"]), load_file(cache)
    assert card.pop("owner") == str(folder)
    cache.write_bytes(save(tensors, metadata={"card": json.dumps(card)}))
    again = load(str(folder), tmp_path, lambda *call: pytest.fail("decoded again"))
    assert again.fingerprint == mark and "damaged" not in again.source


def test_hold_out_is_stratified_disjoint_and_repeatable():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [50, 100, 30]))
    split = Split(torch.arange(180, dtype=torch.uint8).reshape(-1, 1, 1, 1), torch.tensor(labels))
    kept, withheld = hold_out(split, 0.2, "abc")
    assert withheld.labels.bincount().tolist() == [10, 20, 6] and kept.labels.bincount().tolist() == [40, 80, 24]
    pixels = [part.images.flatten().tolist() for part in (kept, withheld)]
    assert sorted(pixels[0] + pixels[1]) == list(range(180)) and pixels[0] == sorted(pixels[0])
    assert torch.equal(kept.labels, split.labels[kept.images.flatten().long()])
    assert torch.equal(hold_out(split, 0.2, "abc")[1].images, withheld.images)
    assert not torch.equal(hold_out(split, 0.2, "abd")[1].images, withheld.images)
    nothing = hold_out(split, 0, "abc")
    assert torch.equal(nothing[0].images, split.images) and nothing[1].images.shape == (0, 1, 1, 1)
    for fraction, message in ((0.01, "none of the"), (0.99, "all of the"), (1.0, "below 1"), (-0.1, "at least 0")):
        with pytest.raises(BenchmarkError, match=message):
            hold_out(split, fraction, "abc")


@pytest.mark.skipif(not CIFAR10_JPEG.is_dir(), reason=f"{CIFAR10_JPEG} is not here")
def test_real_jpegs_in_the_layout_of_hugging_face(tmp_path):
    for split in ("train", "test"):
        pq.write_table(pq.read_table(CIFAR10_JPEG / "test.parquet").slice(0, 1100), tmp_path / f"{split}.parquet")
    (tmp_path / "dataset.yaml").write_text((CIFAR10_JPEG / "dataset.yaml").read_text())
    real, rows = load(str(tmp_path), tmp_path / "root"), pq.read_table(tmp_path / "test.parquet").to_pylist()
    expected = np.stack([np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")) for row in rows])
    assert np.array_equal(real.train.images.permute(0, 2, 3, 1), expected)
    assert real.test.labels.tolist() == [row["label"] for row in rows] and real.classes[1] == "automobile"
    assert (real.name, real.published_as, real.constants) == ("cifar10-jpeg", "cifar10", constants_of("cifar10"))
