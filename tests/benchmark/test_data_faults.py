"""What people's files are like when something is wrong with them: told in one message, never passed over."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from benchmark.datasets import doctor, load, prepare
from benchmark.errors import BenchmarkError
from pictures import WNIDS, class_folders, noise, refused, small_card, tiny_folder


def picture(path: Path, kind: str = "png") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(4, 4, 3, seed=len(str(path)))).save(path, kind)


# --- class folders ----------------------------------------------------------------------------------------------------


def test_a_link_to_nowhere_drops_no_class(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs")
    for split in ("train", "test"):
        (folder / split / "cat").symlink_to(tmp_path / "gone")
    assert f"cat is a link to {tmp_path / 'gone'}, which is not there" in refused(folder, tmp_path)


def test_no_image_of_a_class_is_left_out_silently(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs")
    picture(folder / "train/ant/more.jfif", "jpeg")
    assert len(load(str(folder), tmp_path).train) == 5
    (folder / "train/ant/phone.heic").write_bytes(b"photo")
    (folder / "train/ant/Thumbs.db").write_bytes(b"thumbs")
    (told,) = [finding.what for finding in doctor.examine(str(folder), tmp_path) if "ignored" in finding.what]
    assert told.startswith("1 files") and told.endswith("train/ant/phone.heic")
    picture(folder / "train/bee/batch2/7.png")
    assert f"{folder / 'train/bee'} holds images, and more of them in batch2" in refused(folder, tmp_path)


def test_class_names_agree_whatever_system_wrote_them(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs")
    for split, form in (("train", "NFD"), ("test", "NFC")):
        picture(folder / split / unicodedata.normalize(form, "chloé") / "0.png")
        picture(folder / split / "__MACOSX/ant/0.png")
    assert load(str(folder), tmp_path).classes == ("ant", "bee", unicodedata.normalize("NFD", "chloé"))
    (folder / "test/bee").rename(folder / "test/Bee")
    assert "differ in upper and lower case" in refused(folder, tmp_path)


# --- damage is told in one message ------------------------------------------------------------------------------------


def test_a_data_root_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (root := tmp_path / "file").write_text("")
    for call in (load, prepare):
        with pytest.raises(BenchmarkError, match="file"):
            call("tinyimagenet", root)


def test_lists_that_are_not_text_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_card(monkeypatch, "tinyimagenet", 3, 2, classes=WNIDS)
    tiny_folder(tmp_path / "tiny-imagenet-200")
    labels = tmp_path / "tiny-imagenet-200/val/val_annotations.txt"
    labels.write_bytes(b"\xef\xbb\xbf" + labels.read_bytes())
    assert len(load("tinyimagenet", tmp_path / ".").test) == 6
    (tmp_path / "cache/tinyimagenet-v1.safetensors").unlink()
    labels.write_bytes(b"\xff\xfe\x00")
    assert "cannot read tinyimagenet" in refused("tinyimagenet", tmp_path)
    assert any("cannot read" in f.what for f in doctor.examine("tinyimagenet", tmp_path) if not f.ok)


@pytest.mark.parametrize(
    "text", ["Image,Label\na,b\n", "ImageId,PredictionString\nx,\n", "ImageId,PredictionString\nx\n"]
)
def test_a_damaged_list_of_kaggles_is_told_with_its_line(text: str, tmp_path: Path) -> None:
    from benchmark.datasets.ilsvrc import labels_of_validation

    (tmp_path / "LOC_val_solution.csv").write_text("\ufeff" + text)
    with pytest.raises(BenchmarkError, match=r"LOC_val_solution\.csv line 2"):
        labels_of_validation(tmp_path)


def test_like_must_be_a_name(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs")
    (folder / "dataset.yaml").write_text("like: [cifar10]\n")
    assert "no dataset" in refused(folder, tmp_path)
