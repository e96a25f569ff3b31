"""Pointers of git-lfs and web pages under the names of data: they are recognized by content, with the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.datasets import doctor
from benchmark.datasets.download import PublishedFile, download
from benchmark.external_sets.read import read_external_set
from benchmark.utils.errors import BenchmarkError
from dataset_files import (
    WNIDS,
    class_folders,
    noise,
    parquet_folder,
    png,
    refused,
    serving,
    small_card,
    tiny_folder,
    write_idx,
    write_parquet,
)
from external_set_files import digits

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0123456789abcdef" * 4 + b"\nsize 12345\n"
PAGES = (
    b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>",
    b"\xef\xbb\xbf\n <!-- a note -->\n<HTML lang='en'>" + b" " * 3000,
    b'<?xml version="1.0" encoding="UTF-8"?>\n<!doctype html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">',
)
REMEDIES = [
    (POINTER, "a pointer of git-lfs", "git lfs pull"),
    *((p, "a web page (HTML)", "download") for p in PAGES),
]


def in_class_folders(folder: Path, content: bytes) -> None:
    (class_folders(folder) / "train/ant/0.png").write_bytes(content)


def as_parquet(folder: Path, content: bytes) -> None:
    (parquet_folder(folder)[0] / "test.parquet").write_bytes(content)


def in_parquet(folder: Path, content: bytes) -> None:
    images = [png(pixels) for pixels in noise(3, 6, 5, 3)]
    write_parquet(parquet_folder(folder)[0] / "test.parquet", [*images[:2], content], [0, 1, 2])


def as_description(folder: Path, content: bytes) -> None:
    (class_folders(folder) / "dataset.yaml").write_bytes(content)


@pytest.mark.parametrize(("content", "what", "cure"), REMEDIES)
@pytest.mark.parametrize("write", [in_class_folders, as_parquet, in_parquet, as_description])
def test_in_a_folder(
    write: Callable[[Path, bytes], None], content: bytes, what: str, cure: str, tmp_path: Path
) -> None:
    write(tmp_path / "bugs", content)
    message = refused(tmp_path / "bugs", tmp_path)
    assert what in message and cure in message.partition(" | ")[2] and "\n" not in message
    findings = [finding for finding in doctor.examine(str(tmp_path / "bugs"), tmp_path) if not finding.ok]
    assert any(what in finding.what for finding in findings)


@pytest.mark.parametrize(("content", "what", "cure"), REMEDIES[:2])
def test_in_the_files_of_a_built_in_dataset(
    content: bytes, what: str, cure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_card(monkeypatch, "tinyimagenet", 3, 2, classes=WNIDS)
    tiny_folder(tmp_path / "tiny-imagenet-200")
    (tmp_path / "tiny-imagenet-200/val/val_annotations.txt").write_bytes(content)
    message = refused("tinyimagenet", tmp_path)
    assert what in message and cure in message
    raw = tmp_path / "FashionMNIST/raw"
    names = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    for name in names:
        write_idx(raw / name, noise(10, 28, 28) if "images" in name else noise(10) % 10)
    for name in (names[0], f"{names[0]}.gz"):
        (raw / names[0]).unlink(missing_ok=True)
        (raw / name).write_bytes(content)
        message = refused("fashionmnist", tmp_path)
        assert f"{name} is {what}" in message and cure in message
        assert any(what in finding.what for finding in doctor.examine("fashionmnist", tmp_path) if not finding.ok)


@pytest.mark.parametrize(("content", "what", "cure"), REMEDIES)
@pytest.mark.parametrize("name", ["data.pt", "data.npz", "synthetic.safetensors", "data.parquet", "0"])
def test_as_a_set(name: str, content: bytes, what: str, cure: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "0":  # class folders
        for label in range(10):
            (path / str(label)).mkdir(parents=True)
            (path / str(label) / "0.png").write_bytes(png(noise(8, 8)))
        (path / "7/0.png").write_bytes(content)
    else:
        path.write_bytes(content)
    with pytest.raises(BenchmarkError) as caught:
        read_external_set([path], digits())
    assert what in caught.value.what and cure in caught.value.next


def test_a_server_that_answers_with_a_page(tmp_path: Path) -> None:
    with serving() as site:
        site.files["/data.tgz"] = PAGES[0]
        file = PublishedFile(tmp_path / "data.tgz", "0" * 32, (f"{site.url}/data.tgz",))
        with pytest.raises(BenchmarkError, match=r"does not send the published file, but one that is a web page"):
            download(file)
    assert not file.path.exists()
