"""Files with something wrong: each fault is reported in one message, never passed over."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from benchmark.datasets import doctor, load, outline, prepare
from benchmark.utils.errors import BenchmarkError
from dataset_files import WNIDS, class_folders, noise, refused, small_card, tiny_folder


def picture(path: Path, kind: str = "png") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(4, 4, 3, seed=len(str(path)))).save(path, kind)


# --- class folders ----------------------------------------------------------------------------------------------------


def test_a_link_to_nowhere_drops_no_class(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs")
    for split in ("train", "test"):
        (folder / split / "cat").symlink_to(tmp_path / "gone")
    assert f"cat is a link to {tmp_path / 'gone'}, which does not exist" in refused(folder, tmp_path)


def test_no_image_of_a_class_is_left_out_silently(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs")
    picture(folder / "train/ant/more.jfif", "jpeg")
    assert len(load(str(folder), tmp_path).train) == 5
    (folder / "train/ant/phone.heic").write_bytes(b"photo")
    (folder / "train/ant/Thumbs.db").write_bytes(b"thumbs")
    (ignored,) = [finding.what for finding in doctor.examine(str(folder), tmp_path) if "ignored" in finding.what]
    assert ignored.startswith("1 files") and ignored.endswith("train/ant/phone.heic")
    picture(folder / "train/bee/batch2/day1/7.png")
    assert f"{folder / 'train/bee'} holds images, and more of them in batch2" in refused(folder, tmp_path)


def test_image_errors_give_the_path(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs")
    Image.fromarray(noise(6, 4, 3)).save(folder / "train/bee/1.png")
    assert f"| {folder / 'train/bee/1.png'} |" in refused(folder, tmp_path), "another size"
    (folder / "train/bee/1.png").unlink()
    (folder / "train/bee/1.png").symlink_to(tmp_path / "gone.png")
    message = refused(folder, tmp_path)
    assert f"'{folder / 'train/bee/1.png'}'" in message and "a link to nothing" in message


def test_class_names_agree_whatever_system_wrote_them(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs")
    for split, form in (("train", "NFD"), ("test", "NFC")):
        picture(folder / split / unicodedata.normalize(form, "chloé") / "0.png")
        picture(folder / split / "__MACOSX/ant/0.png")
    assert load(str(folder), tmp_path).classes == ("ant", "bee", unicodedata.normalize("NFD", "chloé"))
    (folder / "test/bee").rename(folder / "test/Bee")
    assert "differ in upper and lower case" in refused(folder, tmp_path)


# --- damage is reported in one message --------------------------------------------------------------------------------


def test_a_data_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (root := tmp_path / "file").write_text("")
    for call in (load, prepare):
        with pytest.raises(BenchmarkError, match="file"):
            call("tinyimagenet", root)


def test_lists_that_are_not_text_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_card(monkeypatch, "tinyimagenet", 3, 2, classes=WNIDS)
    tiny_folder(tmp_path / "tiny-imagenet-200")
    labels = tmp_path / "tiny-imagenet-200/val/val_annotations.txt"
    labels.write_bytes(b"\xef\xbb\xbf" + labels.read_bytes())
    assert len(load("tinyimagenet", tmp_path / ".").test) == 6
    (tmp_path / "cache/tinyimagenet-v1.safetensors").unlink()
    labels.write_bytes(b"\xff\xfe\x00")
    assert f"cannot read {labels}" in refused("tinyimagenet", tmp_path)
    assert any(f"cannot read {labels}" in f.what for f in doctor.examine("tinyimagenet", tmp_path) if not f.ok)


@pytest.mark.parametrize(
    "text", ["Image,Label\na,b\n", "ImageId,PredictionString\nx,\n", "ImageId,PredictionString\nx\n"]
)
def test_a_damaged_list_of_kaggles_is_reported_with_its_line(text: str, tmp_path: Path) -> None:
    from benchmark.datasets.readers.imagenet_labels import validation_labels

    (tmp_path / "LOC_val_solution.csv").write_text("\ufeff" + text)
    with pytest.raises(BenchmarkError, match=r"LOC_val_solution\.csv line 2"):
        validation_labels(tmp_path)


def test_like_must_be_a_name(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs")
    (folder / "dataset.yaml").write_text("like: [cifar10]\n")
    assert "no dataset" in refused(folder, tmp_path)
    (folder / "dataset.yaml").write_text("like: imagenette@ilsvrc\n")  # as tables print it
    assert "bugs has 2 classes" in refused(folder, tmp_path) and "imagenette has 10 classes" in refused(
        folder, tmp_path
    )


@pytest.mark.parametrize("name", ["cifar10@x", "new\nline", "a" * 61, "imagenette@ilsvrc"])
def test_the_folder_name_is_used_only_if_it_is_a_valid_name(name: str, tmp_path: Path) -> None:
    folder = class_folders(tmp_path / name)
    assert "`name` in its dataset.yaml takes precedence" in refused(folder, tmp_path)
    (folder / "dataset.yaml").write_text("name: bugs\n")
    assert load(str(folder), tmp_path).name == "bugs"


def test_invalid_paths_are_refused(tmp_path: Path) -> None:
    for entry in (f"{tmp_path}/{'x' * 300}", "~nobody-of-this-name/x", "./a\0b"):
        assert entry in refused(entry, tmp_path)
    for call in (load, prepare, outline, lambda *arguments: list(doctor.examine(*arguments))):
        with pytest.raises(BenchmarkError, match="'~nobody-of-this-name/x' is not a path"):
            call("mnist", Path("~nobody-of-this-name/x"))


def test_tinyimagenet_as_a_folder_is_recognised(tmp_path: Path) -> None:
    tiny_folder(tmp_path / "tiny-imagenet-200")
    assert f"use tinyimagenet with data_root={tmp_path}" in refused(tmp_path / "tiny-imagenet-200", tmp_path)
    tiny_folder(tmp_path / "tiny")
    assert f"rename or link it to {tmp_path / 'tiny-imagenet-200'}" in refused(tmp_path / "tiny", tmp_path)


_CALLS = """
import sys
from benchmark import data
for words in sys.argv[1:]:
    try:
        data.main(words.split("|"))
    except SystemExit as ended:
        print("status", ended.code, flush=True)
"""
# Root may read and write everything; without these capabilities it may what its files' modes say, as anybody.
_AS_ANYBODY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.mark.skipif(bool(_AS_ANYBODY) and not shutil.which("setpriv"), reason="as root it needs setpriv of util-linux")
def test_what_may_not_be_read_or_written_ends_in_one_message(tmp_path: Path) -> None:
    base = tmp_path
    folder = class_folders(base / "bugs")
    for place in ("closed", "readonly"):
        (base / place).mkdir()
    tiny_folder(base / "readonly/tiny-imagenet-200")
    hidden = [folder / "train/ant", base / "closed", base / "readonly/tiny-imagenet-200/val/val_annotations.txt"]
    rights = {path: path.stat().st_mode for path in (base / "readonly", *hidden)}
    (base / "readonly").chmod(0o555)
    for path in hidden:
        path.chmod(0)
    calls = [f"prepare|{folder}|data_root={base}/none", f"doctor|{folder}", f"prepare|{base}/closed/x/y", *(
             f"{action}|data_root={base}/{place}" for place in ("closed", "readonly") for action in
             ("list", "prepare|mnist", "prepare|imagenette", "doctor|tinyimagenet"))]  # fmt: skip
    try:
        done = subprocess.run(
            [*_AS_ANYBODY, sys.executable, "-c", _CALLS, *calls], capture_output=True, text=True, check=False
        )
    finally:
        for path, mode in rights.items():
            path.chmod(mode)
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    statuses = [line for line in done.stdout.splitlines() if line.startswith("status")]
    assert statuses == [f"status {code}" for code in (2, 1, 2, 0, 2, 2, 1, 0, 2, 2, 1)]
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 6 and f"cannot read {folder}" in errors[0] and "closed/x/y" in errors[1]
    assert f"cannot be put into {base}/readonly/MNIST/raw" in errors[4]
