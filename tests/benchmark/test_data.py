"""`python -m benchmark.data`: what it lists and prepares, and what the doctor finds in files and single images."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark import data
from benchmark.cli import main
from benchmark.datasets import doctor, load
from benchmark.datasets.base import Finding
from benchmark.datasets.builtin import BUILTIN, name_of
from dataset_files import (
    WNIDS,
    class_folders,
    noise,
    parquet_folder,
    png,
    small_card,
    tiny_folder,
    write_idx,
    write_parquet,
)

REPOSITORY = Path(__file__).parents[2]


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "benchmark.data", *words], cwd=folder, capture_output=True, text=True,
                          timeout=120, check=False, env=os.environ | {"COLUMNS": "60"})  # fmt: skip


def here(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The command in this process: status, and what was printed."""
    with pytest.raises(SystemExit) as ended:
        data.main(words)
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out + output.err


def bad(findings: list[Finding]) -> list[str]:
    return [finding.what for finding in findings if not finding.ok]


def test_list_shows_every_builtin_dataset_whole(tmp_path: Path) -> None:
    done = call(tmp_path, "list")
    assert done.returncode == 0 and done.stderr == "" and not list(tmp_path.iterdir())
    lines = done.stdout.splitlines()
    for key in BUILTIN:
        (line,) = [line for line in lines if f" {name_of(key)} " in line]
        assert BUILTIN[key].constants_source in line and "…" not in line
    assert "no; download 163 MiB" in done.stdout and "request it at image-net.org" in done.stdout


def test_list_says_below_the_table_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny-imagenet-200/train").mkdir(parents=True)
    status, text = here(capsys, "list", f"data_root={tmp_path}")
    lines = text.splitlines()
    (row,) = [line for line in lines if line.startswith("  tinyimagenet ")]
    (below,) = [line for line in lines if line.startswith("tinyimagenet: ")]
    assert status == 0 and row.rstrip().endswith("see below") and "tinyimagenet is not complete" in below
    assert any(line.startswith("  imageyellow@ilsvrc ") for line in lines), "the others are listed all the same"


def test_names_that_are_no_text_are_printed_escaped(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs")
    for split in ("train", "test"):
        (folder / split / "ant").rename(folder / split / os.fsdecode(b"caf\xe9"))
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "benchmark.data", "doctor", "bugs"], cwd=tmp_path, capture_output=True,
                          check=False, env=environment)  # fmt: skip
    assert done.returncode == 0 and b"2 classes: bee, caf\\udce9" in done.stdout, done.stderr
    script = "from benchmark.cli import main; main.launch(lambda config: print('4\xd74'), 'report')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=REPOSITORY, check=False,
                          env=environment)  # fmt: skip
    assert b"4\\xd74" in done.stdout, done.stderr


def test_sigterm_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    class_folders(tmp_path / "bugs")
    script = """import os, signal
from benchmark import data
from benchmark.datasets import cache
def killed(tensors, path, metadata):
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGTERM)
cache.save_file = killed
data.main(["prepare", "bugs"])"""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env=environment)  # fmt: skip
    assert done.returncode == 143 and "Traceback" not in done.stderr, done.stderr
    assert list((tmp_path / "data/cache").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare"], "prepare what?"),
        (["list", "digits"], "list takes no name"),
        (["mend", "digits"], "'mend'"),
        ([], "action"),
        (["doctor", "cifar11"], "Did you mean 'cifar10'?"),
        (["doctor", "./nothing"], "there is no folder"),
        (["prepare", "imagenette@fastai-v2"], "only imagenette@ilsvrc"),
        (["prepare", "digits", "dataroot=x"], "'dataroot=x' is no setting; known: data_root, cache"),
        (["list", "data_root=~nobody-of-this-name/x"], "is not a path"),
    ],
)
def test_wrong_requests_end_in_2_and_one_message(words: list[str], message: str, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    status, text = here(capsys, *words)
    assert status == main.WRONG_REQUEST and message in text and "Traceback" not in text
    assert not list(tmp_path.iterdir())


def test_prepare_and_doctor_a_folder(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs", each=3, size=8)
    done = call(tmp_path, "prepare", "bugs", "digits", "data_root=here")
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    assert "bugs: ready" in done.stdout and "digits: ready" in done.stdout and "(ours)" in done.stdout
    assert load(str(folder), tmp_path / "here").fingerprint in done.stdout
    assert len(list((tmp_path / "here/cache").iterdir())) == 1 and not (tmp_path / "data").exists()
    done = call(tmp_path, "doctor", "bugs", "data_root=here")
    assert done.returncode == 0 and "2 classes: ant, bee" in done.stdout
    assert "test: 1 (ant) to 1 a class: few" in done.stdout and "no test image is a training image" in done.stdout
    (folder / "train/bee/1.png").write_bytes(b"half")
    done = call(tmp_path, "doctor", "bugs")
    assert done.returncode == 1 and "bad  cannot decode train/bee/1.png: not an image" in done.stdout
    assert f"replace or remove {folder / 'train/bee/1.png'}" in done.stdout


def test_every_unreadable_image_is_named(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "many", each=600, size=4)
    broken = [folder / "train" / name for name in ("ant/0.png", "ant/599.png", "bee/77.png")] + [
        folder / "test/bee/0.png"
    ]
    for path in broken:
        path.write_bytes(path.read_bytes()[:50])
    problems = bad(list(doctor.examine(str(folder), tmp_path)))
    assert len(problems) == 4
    for path, text in zip(broken, problems, strict=True):
        assert str(path.relative_to(folder)) in text
    for path in (folder / "train/bee").iterdir():
        path.write_bytes(b"")
    problems = bad(list(doctor.examine(str(folder), tmp_path)))
    assert len(problems) == 21 and problems[-1] == "and 583 more images that cannot be decoded"


def test_unreadable_rows_of_a_parquet_file_are_named(tmp_path: Path) -> None:
    folder, pixels = parquet_folder(tmp_path / "rows")
    images = [png(p) for p in pixels[:6]]
    write_parquet(folder / "train.parquet", [*images[:2], b"x", images[3], b"y", images[5]], [0, 1, 2, 2, 1, 0])
    problems = bad(list(doctor.examine(str(folder), tmp_path)))
    assert [text.partition(":")[0] for text in problems] == [
        "cannot decode train.parquet row 2", "cannot decode train.parquet row 4"
    ]  # fmt: skip
    write_parquet(folder / "train.parquet", [*images[:2], None, *images[3:]], [0, 1, 2, 2, 1, 0])
    assert bad(list(doctor.examine(str(folder), tmp_path))) == ["train.parquet row 2 holds no image bytes"]


def test_mixed_sizes_are_reported_and_can_be_resized(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos", size=40)
    Image.fromarray(noise(60, 48, 3)).save(folder / "train/ant/1.png")
    (finding,) = [f for f in doctor.examine(str(folder), tmp_path) if not f.ok]
    assert "48x60 in train/ant/1.png" in finding.what and "size: PIXELS" in finding.next
    (folder / "dataset.yaml").write_text("size: 32\n")
    photos = load(str(folder), tmp_path)
    assert photos.image_shape == (3, 32, 32)
    shrunk = Image.fromarray(noise(60, 48, 3)).resize((32, 40), Image.Resampling.BILINEAR).crop((0, 4, 32, 36))
    assert np.array_equal(photos.train.images[1], np.asarray(shrunk).transpose(2, 0, 1))
    (folder / "dataset.yaml").write_text("size: 16\n")
    assert load(str(folder), tmp_path).image_shape == (3, 16, 16), "another size is not taken from the cache"
    for wrong in ("0", "large", "true", "5000"):
        (folder / "dataset.yaml").write_text(f"size: {wrong}\n")
        assert "size must be 4 to 1024 pixels" in bad(list(doctor.examine(str(folder), tmp_path)))[0]


def test_test_images_among_the_training_images_are_found(tmp_path: Path) -> None:
    folder, pixels = parquet_folder(tmp_path / "leaky")
    write_parquet(folder / "test.parquet", [png(p) for p in (pixels[6], pixels[0], pixels[1])], [2, 0, 1])
    assert bad(list(doctor.examine(str(folder), tmp_path))) == ["2 test images are training images too, pixel by pixel"]


def test_doctor_of_builtin_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_card(monkeypatch, "fashionmnist", 2, 2)
    raw = tmp_path / "FashionMNIST/raw"
    for part in ("train", "t10k"):
        write_idx(raw / f"{part}-images-idx3-ubyte", noise(20, 28, 28))
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(20, dtype=np.uint8) % 10)
    findings = list(doctor.examine("fashionmnist", tmp_path))
    assert [text.rpartition("/")[2] for text in bad(findings)] == [
        f"{name} is damaged (another md5)" for name in
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    ]  # fmt: skip
    assert all("prepare fashionmnist" in finding.next for finding in findings if not finding.ok)
    load("fashionmnist", tmp_path)
    write_idx(raw / "train-images-idx3-ubyte", noise(20, 28, 28, seed=1))
    assert "the decoded images are not those of the files" in bad(list(doctor.examine("fashionmnist", tmp_path)))
    cache = tmp_path / "cache/fashionmnist-v1.safetensors"
    cache.write_bytes(cache.read_bytes()[:-5])
    assert f"decoded images in {cache}: damaged" in bad(list(doctor.examine("fashionmnist", tmp_path)))


def test_doctor_of_tinyimagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_card(monkeypatch, "tinyimagenet", 3, 2, classes=WNIDS)
    assert "are not in" in bad(list(doctor.examine("tinyimagenet", tmp_path)))[0]
    tiny_folder(folder := tmp_path / "tiny-imagenet-200")
    whole = list(doctor.examine("tinyimagenet", tmp_path))
    assert bad(whole) == [] and any("9 training and 6 test images, 3 classes in their order" in f.what for f in whole)
    (tmp_path / "tiny-imagenet-200.zip").write_bytes(b"half")
    (folder / f"train/{WNIDS[2]}/images/{WNIDS[2]}_1.JPEG").write_bytes(b"")
    (folder / "val/images/val_3.JPEG").write_bytes(b"")
    problems = bad(list(doctor.examine("tinyimagenet", tmp_path)))
    assert "tiny-imagenet-200.zip is damaged" in problems[0] and len(problems) == 3
    assert f"train/{WNIDS[2]}/images/{WNIDS[2]}_1.JPEG" in problems[1] and "val/images/val_3.JPEG" in problems[2]


def test_another_fingerprint_than_the_pinned_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILTIN, "digits", replace(BUILTIN["digits"], fingerprint="0" * 64))
    assert bad(list(doctor.examine("digits", tmp_path))) == [f"their fingerprint is bd386b0c4ee72d83…, not {'0' * 16}…"]
    monkeypatch.setitem(BUILTIN, "digits", replace(BUILTIN["digits"], fingerprint="0" * 64, lossy=True))
    findings = list(doctor.examine("digits", tmp_path))
    assert bad(findings) == [] and any("another JPEG decoder than libjpeg-turbo" in f.what for f in findings)
