"""What people's files are like when something is wrong with them: told in one message, never passed over."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
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
