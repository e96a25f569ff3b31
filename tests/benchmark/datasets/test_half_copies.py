"""Copies of built-in datasets that are incomplete or in the wrong place: each error says what is wrong."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark import data
from benchmark.datasets import doctor, load, prepare
from benchmark.datasets.base import ClassCounts, balanced
from benchmark.datasets.builtin import BUILTIN
from benchmark.datasets.readers import tiny_imagenet
from benchmark.utils.errors import BenchmarkError
from dataset_files import (
    SUBSET,
    WNIDS,
    ilsvrc_folder,
    jpeg,
    noise,
    refused,
    small_card,
    small_subset,
    tiny_folder,
    write_idx,
)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # every connection is refused at once
    monkeypatch.setenv("no_proxy", "")


def unprepared(name: str, root: Path) -> str:
    with pytest.raises(BenchmarkError) as caught:
        prepare(name, root)
    return f"{caught.value.what} | {caught.value.next}"


# --- ILSVRC-2012 ------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_to_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the real card: how many training images a class has is not known exactly."""
    small_subset(monkeypatch)
    monkeypatch.setitem(BUILTIN, "imagenette", replace(BUILTIN["imagenette"], train=ClassCounts((2,) * 3, (4,) * 3)))


def caches(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "cache").iterdir())


def test_a_copy_that_has_grown_is_decoded_again(tmp_path, two_to_four, capsys):
    ilsvrc_folder(tmp_path, "class folders")
    assert len(prepare("imagenette", tmp_path).train) == 6
    first = caches(tmp_path)
    (tmp_path / f"imagenet/train/{SUBSET[1]}/more.JPEG").write_bytes(jpeg(noise(130, 150, 3)))
    with pytest.raises(SystemExit) as ended:
        data.main(["prepare", "imagenette", f"data_root={tmp_path}"])
    output = capsys.readouterr().out
    assert not ended.value.code and "7 training and 6 test images" in output
    assert "7 of up to 12 training images: whether the copy is complete has not been verified" in output
    grown = load("imagenette", tmp_path, lambda *call: pytest.fail("decoded again"))
    assert grown.train.labels.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert len(caches(tmp_path)) == 1 and caches(tmp_path) != first
    findings = list(doctor.examine("imagenette", tmp_path))
    assert all(f.ok for f in findings) and any("7 of up to 12 training images" in f.what for f in findings)
    shutil.rmtree(tmp_path / "imagenet")
    again = load("imagenette", tmp_path, lambda *call: pytest.fail("decoded again"))
    assert again.fingerprint == grown.fingerprint, "the copy may be deleted once it is decoded"


@pytest.mark.parametrize("layout", ["kaggle", "devkit"])
def test_a_copy_is_counted_where_a_list_says_how_many(tmp_path, two_to_four, capsys, layout):
    """Two images of each class are listed; the card alone would let up to four pass."""
    ilsvrc_folder(tmp_path, layout)
    train = next((tmp_path / "imagenet").rglob("train"))
    with pytest.raises(SystemExit):
        data.main(["prepare", "imagenette", f"data_root={tmp_path}"])
    listed = next(path for name in ("train_cls.txt", "meta.mat") for path in (tmp_path / "imagenet").rglob(name))
    output = " ".join(capsys.readouterr().out.split())
    assert f"6 training images, as {listed} lists" in output and "verified" not in output
    assert any(f"as {listed} lists" in finding.what for finding in doctor.examine("imagenette", tmp_path))
    (train / SUBSET[1] / "more.JPEG").write_bytes(jpeg(noise(130, 150, 3)))
    shutil.rmtree(tmp_path / "cache")
    assert f"{train / SUBSET[1]} has 3 images where the original split has 2" in refused("imagenette", tmp_path)
    listed.write_bytes(listed.read_bytes()[:-30])
    assert str(listed) in refused("imagenette", tmp_path)


def test_what_older_versions_cached_is_read_or_made_again(tmp_path, two_to_four, monkeypatch):
    ilsvrc_folder(tmp_path, "class folders")
    card = BUILTIN["imagenette"]
    monkeypatch.setitem(BUILTIN, "imagenette", replace(card, train=balanced(2, 3)))
    old = load("imagenette", tmp_path)
    assert caches(tmp_path) == ["imagenette-v1.safetensors"]
    monkeypatch.setitem(BUILTIN, "imagenette", card)
    (tmp_path / "imagenet").rename(tmp_path / "away")
    assert load("imagenette", tmp_path, lambda *call: pytest.fail("decoded")).fingerprint == old.fingerprint
    (tmp_path / "away").rename(tmp_path / "imagenet")
    again = load("imagenette", tmp_path)
    assert again.fingerprint == old.fingerprint and "damaged" not in again.source and len(caches(tmp_path)) == 1


def test_a_kill_while_unpacking_leaves_no_half_class(tmp_path, two_to_four, monkeypatch):
    ilsvrc_folder(tmp_path / "made", "devkit")
    made, base = tmp_path / "made/imagenet", tmp_path / "root/imagenet"
    base.mkdir(parents=True)
    with tarfile.open(base / "ILSVRC2012_img_train.tar", "w") as outer:
        for wnid in SUBSET:
            with tarfile.open(packed := tmp_path / f"{wnid}.tar", "w") as inner:
                inner.add(made / "train" / wnid, "", filter=lambda member: member if member.name else None)
                for path in sorted((made / "train" / wnid).iterdir()):
                    inner.add(path, path.name)
            outer.add(packed, packed.name)
    for name, content in (("ILSVRC2012_img_val.tar", made / "val"), ("ILSVRC2012_devkit_t12.tar.gz", made)):
        with tarfile.open(base / name, "w:gz" if name.endswith("gz") else "w") as archive:
            for path in sorted(content.glob("ILSVRC2012_*")):
                archive.add(path, path.name)
    whole = tarfile.TarFile.extractall

    def half(archive: tarfile.TarFile, path: Path, **options: object) -> None:
        if "n02102040" in str(path):
            archive.extract(archive.getmembers()[0], path, filter="data")
            raise KeyboardInterrupt
        whole(archive, path, **options)

    monkeypatch.setattr(tarfile.TarFile, "extractall", half)
    with pytest.raises(KeyboardInterrupt):
        prepare("imagenette", tmp_path / "root")
    monkeypatch.setattr(tarfile.TarFile, "extractall", whole)
    assert {path.name for path in (base / "train").glob("[!.]*")} == {SUBSET[0]}
    assert len(prepare("imagenette", tmp_path / "root").train) == 6
    assert sorted(path.name for path in (base / "train").iterdir()) == sorted(SUBSET)


def test_copies_in_the_wrong_place_are_refused(tmp_path, two_to_four):
    ilsvrc_folder(tmp_path, "class folders")
    inside = tmp_path / "imagenet"
    for call in (refused, unprepared):
        assert f"{inside} is a copy of ILSVRC-2012, not the folder it lies in" in call("imagenette", inside)
        assert f"set data_root={tmp_path}" in call("imagenette", inside)
    (inside / "val").rename(tmp_path / "val")
    for call in (refused, unprepared):
        assert f"{inside} holds train, but no val" in call("imagenette", tmp_path)
    assert any("holds train, but no val" in finding.what for finding in doctor.examine("imagenette", tmp_path))
    (tmp_path / "val").rename(inside / "val")
    inside.rename(tmp_path / "x")
    inside.mkdir()
    (tmp_path / "x").rename(inside / "x")
    for call in (refused, unprepared):
        assert f"{inside} holds the dataset one level too deep, in {inside / 'x'}" in call("imagenette", tmp_path)


def test_damaged_lists_of_labels_name_file_and_fault(tmp_path, two_to_four):
    ilsvrc_folder(tmp_path / "a", "kaggle")
    listed = tmp_path / "a/imagenet/LOC_val_solution.csv"
    whole = listed.read_text()
    for text, fault in (
        ("", "has labels of 0 images, not of 8"),
        (whole[: whole.rindex("\n")], "has labels of 7 images, not of 8"),
        (whole + "\nx", "line 10 has no image and label"),
    ):
        listed.write_text(text)
        assert f"{listed} {fault}" in refused("imagenette", tmp_path / "a")
    listed.write_bytes(b"\xff\xfeI\0")
    assert f"{listed} line 1" in refused("imagenette", tmp_path / "a")
    listed.write_bytes(b"\xef\xbb\xbf" + whole.replace("\n", "\r\n").encode())  # as Excel saves it
    assert len(load("imagenette", tmp_path / "a").test) == 6

    ilsvrc_folder(tmp_path / "b", "devkit")
    meta = tmp_path / "b/imagenet/ILSVRC2012_devkit_t12/data/meta.mat"
    truth = meta.with_name("ILSVRC2012_validation_ground_truth.txt")
    numbers = truth.read_text()
    for text, fault in ((numbers.replace("1", "77", 1), "class 77 is not in meta.mat"), (numbers + "1\n", "not of 8"),
                        ("one\n", "invalid literal")):  # fmt: skip
        truth.write_text(text)
        message = refused("imagenette", tmp_path / "b")
        assert str(truth) in message and fault in message
    truth.unlink()
    assert f"cannot read {truth}" in refused("imagenette", tmp_path / "b")
    for junk in (b"junk" * 100, b"", meta.read_bytes()[:200], meta.read_bytes()[:-300]):
        meta.write_bytes(junk)
        assert f"cannot read {meta}" in refused("imagenette", tmp_path / "b")


# --- TinyImageNet -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    small_card(monkeypatch, "tinyimagenet", 3, 2, classes=WNIDS)


def test_what_is_wrong_with_the_files_is_said_before_a_download_is_tried(tmp_path, small_tiny, offline):
    tiny_folder(folder := tmp_path / "tiny-imagenet-200")
    labels = folder / "val/val_annotations.txt"
    whole = labels.read_text()
    labels.write_text(whole[: len(whole) // 2])
    message = unprepared("tinyimagenet", tmp_path)
    assert message.startswith("tinyimagenet is not complete: ") and "cannot be downloaded" in message
    labels.unlink()
    assert unprepared("tinyimagenet", tmp_path).startswith(f"tinyimagenet is not complete: there is neither {labels}")
    folder.rename(tmp_path / "x")
    folder.mkdir()
    (tmp_path / "x").rename(folder / "tiny-imagenet-200")
    message = unprepared("tinyimagenet", tmp_path)
    assert "one level too deep" in message and "download" not in message


def test_validation_images_sorted_by_hand_with_the_empty_folder_left(tmp_path, small_tiny):
    tiny_folder(tmp_path / "a/tiny-imagenet-200")
    mark = load("tinyimagenet", tmp_path / "a").fingerprint
    tiny_folder(folder := tmp_path / "b/tiny-imagenet-200")
    for line in (folder / "val/val_annotations.txt").read_text().splitlines():
        name, wnid = line.split("\t")[:2]
        (folder / "val" / wnid).mkdir(exist_ok=True)
        (folder / "val/images" / name).rename(folder / "val" / wnid / name)
    assert load("tinyimagenet", tmp_path / "b").fingerprint == mark


def test_truncated_files_are_repaired_from_the_zip(tmp_path, small_tiny, monkeypatch):
    tiny_folder(folder := tmp_path / "tiny-imagenet-200")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
    (tmp_path / "tiny-imagenet-200.zip").write_bytes(packed.getvalue())
    monkeypatch.setattr(tiny_imagenet, "MD5", hashlib.md5(packed.getvalue()).hexdigest())
    (folder / "words.txt").unlink()  # of no use to us
    picture = folder / "val/images/val_2.JPEG"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:100])
    assert "cannot decode val/images/val_2.JPEG" in refused("tinyimagenet", tmp_path)
    assert len(prepare("tinyimagenet", tmp_path).test) == 6 and picture.read_bytes() == whole
    assert not (folder / "words.txt").exists(), "only what is damaged is touched"


def zipped(folder: Path, **options: int) -> Path:
    """The zip of a folder beside it, with another comment than any other zip."""
    path = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w", **options) as archive:  # type: ignore[call-overload]
        archive.comment = b"compressed anew"
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_zip_of_tinyimagenet_that_was_compressed_anew_is_taken(tmp_path, small_tiny, offline, method):
    tiny_folder(folder := tmp_path / "a/tiny-imagenet-200")
    mark = load("tinyimagenet", tmp_path / "a").fingerprint
    archive = zipped(folder, compression=method)
    (tmp_path / "b").mkdir()
    archive.rename(tmp_path / "b" / archive.name)
    assert load("tinyimagenet", tmp_path / "b").fingerprint == mark
    (finding, *_) = doctor.examine("tinyimagenet", tmp_path / "b")
    assert finding.ok and "not the published file (another md5), but holds all of its files" in finding.what


@pytest.mark.parametrize("kind", ["a bit", "half", "an image less", "inflated", "no annotations"])
def test_a_zip_of_tinyimagenet_that_is_not_whole_is_not_taken(tmp_path, small_tiny, offline, monkeypatch, kind):
    tiny_folder(folder := tmp_path / "tiny-imagenet-200")
    if kind == "an image less":
        next(folder.glob("train/*/images/*")).unlink()
    if kind == "no annotations":
        (folder / "val/val_annotations.txt").unlink()
    if kind == "inflated":
        monkeypatch.setattr(tiny_imagenet, "_MAX_UNPACKED", 1000)
    archive = zipped(folder)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    if kind in ("a bit", "half"):
        archive.write_bytes(bytes(content) if kind == "a bit" else bytes(content[: len(content) // 2]))
    shutil.rmtree(folder)
    message = unprepared("tinyimagenet", tmp_path)
    assert "tiny-imagenet-200.zip is damaged (another md5) and cannot be downloaded" in message
    assert not folder.exists()


# --- through torchvision ----------------------------------------------------------------------------------------------


def test_files_of_mnist_that_are_damaged_or_elsewhere(tmp_path, offline):
    raw = tmp_path / "MNIST/raw"
    for part in ("train", "t10k"):
        write_idx(raw / f"{part}-images-idx3-ubyte", noise(5, 28, 28))
        write_idx(raw / f"{part}-labels-idx1-ubyte", noise(5))
    message = unprepared("mnist", tmp_path)
    assert message.startswith(f"{raw / 'train-images-idx3-ubyte'} is damaged (another md5); and ")
    for path in list(raw.iterdir()):
        path.rename(raw.parent / path.name)
    message = unprepared("mnist", tmp_path)
    assert f"lies in {raw.parent}, but is expected in {raw}" in message and "download" not in message
