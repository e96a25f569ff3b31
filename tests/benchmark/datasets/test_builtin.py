"""Built-in datasets: their cards, files in torchvision's formats, downloading and repairing them."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.datasets import download as fetching
from benchmark.datasets import load, outline, prepare
from benchmark.datasets.builtin import BUILTIN, name_of
from benchmark.datasets.download import PublishedFile, download
from benchmark.datasets.readers import torchvision_files
from benchmark.utils.errors import BenchmarkError
from dataset_files import (
    Site,
    noise,
    refused,
    serving,
    small_card,
    write_idx,
)
from results.published.compare import constants


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


# --- the cards --------------------------------------------------------------------------------------------------------


def test_the_constants_of_papers_are_those_of_the_cards() -> None:
    for name, (mean, std) in constants().items():
        card = BUILTIN["imagenette" if name == "imagenet" else name]
        assert (card.constants.mean, card.constants.std) == (mean, std)


def test_cards_hold_the_published_facts() -> None:
    images = {"digits": (1438, 359), "mnist": (60_000, 10_000), "fashionmnist": (60_000, 10_000),
              "svhn": (73_257, 26_032), "cifar10": (50_000, 10_000), "cifar100": (50_000, 10_000),
              "tinyimagenet": (100_000, 10_000)}  # fmt: skip
    subsets = ["imagenette", "imagewoof", "imagefruit", "imagemeow", "imagesquawk", "imageyellow"]
    assert list(BUILTIN) == [*images, *subsets]
    assert {name: (BUILTIN[name].train.total, BUILTIN[name].test.total) for name in images} == images
    classes = {name: card.num_classes for name, card in BUILTIN.items()}
    assert classes == {name: {"cifar100": 100, "tinyimagenet": 200}.get(name, 10) for name in BUILTIN}
    sizes = {name: card.image_shape for name, card in BUILTIN.items()}
    expected = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "fashionmnist": (1, 28, 28), "tinyimagenet": (3, 64, 64)}
    assert sizes == {name: expected.get(name, (3, 128, 128) if name in subsets else (3, 32, 32)) for name in BUILTIN}
    for name, card in BUILTIN.items():
        assert len(set(card.classes)) == card.num_classes == len(card.train.most) == len(card.test.most)
        assert card.image_shape[0] == len(card.constants.mean) == len(card.constants.std) and card.constants_source, (
            name
        )
        assert card.train.exact == (name not in subsets) and card.test.exact
    for name in ("tinyimagenet", *subsets):
        assert BUILTIN[name].constants.mean == (0.485, 0.456, 0.406) and BUILTIN[name].constants.std == (
            0.229,
            0.224,
            0.225,
        )
        assert name_of(name) == (name if name == "tinyimagenet" else f"{name}@ilsvrc")
    assert list(BUILTIN["tinyimagenet"].classes) == sorted(BUILTIN["tinyimagenet"].classes)
    # METHODS.md, section 17: place 0 and 9 of each list
    ends = {
        "imagenette": "n01440764 n03888257",
        "imagewoof": "n02096294 n02105641",
        "imagefruit": "n07753275 n07760859",
        "imagemeow": "n02123045 n02127052",
        "imagesquawk": "n01806143 n01819313",
        "imageyellow": "n02206856 n01531178",
    }
    assert {name: f"{BUILTIN[name].classes[0]} {BUILTIN[name].classes[9]}" for name in subsets} == ends


def test_a_split_is_part_of_the_name(tmp_path: Path) -> None:
    assert "only imagenette@ilsvrc, the papers' split, is known" in refused("imagenette@fastai-v2", tmp_path)
    assert "no split 'x' of cifar10" in refused("cifar10@x", tmp_path)
    woof = outline("imagewoof@ilsvrc", tmp_path)
    assert (woof.name, woof.published_as, woof.seen, woof.title) == (
        "imagewoof@ilsvrc",
        "imagewoof",
        False,
        "ImageWoof",
    )
    assert not list(tmp_path.iterdir())


# --- through torchvision ----------------------------------------------------------------------------------------------


def fashion_files(root: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    raw, images, labels = root / "FashionMNIST/raw", noise(20, 28, 28), np.arange(20, dtype=np.uint8) % 10
    for part in ("train", "t10k"):
        write_idx(raw / f"{part}-images-idx3-ubyte", images if part == "train" else images[::-1])
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels if part == "train" else labels[::-1])
    return raw, images, labels


def test_fashionmnist_from_its_own_files(tmp_path, monkeypatch):
    small_card(monkeypatch, "fashionmnist", 2, 2)
    raw, images, labels = fashion_files(tmp_path)
    clothes = load("fashionmnist", tmp_path)
    assert torch.equal(clothes.train.images, torch.tensor(images[:, None])) and clothes.classes[9] == "Ankle boot"
    assert clothes.test.labels.tolist() == labels[::-1].tolist() and clothes.flip
    for path in raw.iterdir():
        path.unlink()
    again = load("fashionmnist", tmp_path)  # the decoded images are all that is needed
    assert again.fingerprint == clothes.fingerprint and torch.equal(again.test.images, clothes.test.images)


def recompressed(files: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of FashionMNIST as gzip files in `folder`, other than the published ones; their content is known."""
    folder.mkdir(parents=True)
    for path in files.iterdir():
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), compresslevel=1))
    known = {"FashionMNIST": {path.name: md5(path.read_bytes()) for path in files.iterdir()}}
    monkeypatch.setattr(torchvision_files, "_UNPACKED_MD5", known)


def test_gzip_files_are_read_however_they_were_compressed(tmp_path, monkeypatch):
    small_card(monkeypatch, "fashionmnist", 2, 2)
    monkeypatch.setattr(torchvision_files, "SYSTEM_FOLDERS", {"fashionmnist": tmp_path / "system"})
    files, images, labels = fashion_files(tmp_path / "made")
    recompressed(files, tmp_path / "system", monkeypatch)
    (raw := tmp_path / "linked/FashionMNIST/raw").mkdir(parents=True)
    for path in (tmp_path / "system").iterdir():
        (raw / path.name).symlink_to(path)
    shutil.copytree(tmp_path / "system", tmp_path / "copied/FashionMNIST/raw")
    (tmp_path / "copied/FashionMNIST/raw/t10k-labels-idx1-ubyte.gz").unlink()  # the system's is used
    original = load("fashionmnist", tmp_path / "made")
    for root in ("nothing", "linked", "copied"):
        clothes = load("fashionmnist", tmp_path / root)
        assert clothes.fingerprint == original.fingerprint
        assert torch.equal(clothes.test.images, torch.tensor(images[::-1].copy()[:, None]))
        assert clothes.train.labels.tolist() == labels.tolist()
        assert [path.name for path in (tmp_path / root).iterdir() if path.name != "FashionMNIST"] == ["cache"]
        assert all(finding.ok for finding in torchvision_files.examine("fashionmnist", tmp_path / root))
    assert len(list(raw.iterdir())) == 4, "nothing was unpacked there"


def test_damaged_gzip_files_are_named_and_repaired_from_an_intact_copy(tmp_path, monkeypatch):
    small_card(monkeypatch, "fashionmnist", 2, 2)
    monkeypatch.setattr(torchvision_files, "SYSTEM_FOLDERS", {"fashionmnist": tmp_path / "system"})
    files, images, _ = fashion_files(tmp_path / "made")
    recompressed(files, tmp_path / "system", monkeypatch)
    root, raw = tmp_path / "root", tmp_path / "root/FashionMNIST/raw"
    shutil.copytree(tmp_path / "system", raw)
    packed = raw / "train-images-idx3-ubyte.gz"
    whole, content = packed.read_bytes(), (files / packed.stem).read_bytes()
    pixel = gzip.compress(content[:-1] + bytes([content[-1] ^ 1]))  # readable, and no published file
    for damage in (whole[: len(whole) // 2], b"no gzip file", b"", gzip.compress(b"other"), gzip.compress(b""), pixel):
        packed.write_bytes(damage)
        message = refused("fashionmnist", root)
        assert f"{packed} is damaged" in message and "prepare fashionmnist" in message and not (root / "cache").exists()
        damaged = [finding for finding in torchvision_files.examine("fashionmnist", root) if not finding.ok]
        assert [finding.what for finding in damaged] == [f"{packed} is damaged (another md5)"]
    assert torch.equal(prepare("fashionmnist", root).train.images, torch.tensor(images[:, None]))
    assert not list(raw.glob("*.part"))


DEBIAN = torchvision_files.SYSTEM_FOLDERS["fashionmnist"]


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_debians_fashionmnist_is_the_published_one(tmp_path: Path) -> None:
    assert load("fashionmnist", tmp_path).fingerprint == BUILTIN["fashionmnist"].fingerprint


def test_damaged_files_are_reported_and_not_cached(tmp_path, monkeypatch):
    small_card(monkeypatch, "fashionmnist", 2, 2)
    raw, images, _ = fashion_files(tmp_path)
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0\0\x14half")
    message = refused("fashionmnist", tmp_path)
    assert f"in {tmp_path} are damaged" in message and "prepare fashionmnist" in message
    write_idx(raw / "t10k-images-idx3-ubyte", images[:5])
    assert "damaged" in refused("fashionmnist", tmp_path)
    write_idx(raw / "t10k-images-idx3-ubyte", images)
    small_card(monkeypatch, "fashionmnist", 3, 2)
    message = refused("fashionmnist", tmp_path)
    assert "20 train images, expected 30: T-shirt/top has 2, and 9 more classes are off" in message
    assert "doctor fashionmnist" in message and not (tmp_path / "cache").exists()


def cifar_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """20 images (N, 3, 32, 32) in CIFAR-10's format; torchvision gets their md5 sums."""
    from torchvision.datasets import CIFAR10

    (folder := root / "cifar-10-batches-py").mkdir(parents=True)
    pixels = noise(20, 3, 32, 32)
    for name, part in (("data_batch_1", slice(10)), ("test_batch", slice(10, 20))):
        pd.to_pickle({"data": pixels[part].reshape(10, -1), "labels": list(range(10))}, folder / name)
    pd.to_pickle({"label_names": list(BUILTIN["cifar10"].classes)}, folder / "batches.meta")
    sums = {path.name: md5(path.read_bytes()) for path in folder.iterdir()}
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return pixels


def test_cifar_files_are_read_channels_first(tmp_path, monkeypatch):
    small_card(monkeypatch, "cifar10", 1, 1)
    pixels = cifar_files(tmp_path, monkeypatch)
    cifar = load("cifar10", tmp_path)
    assert torch.equal(cifar.train.images, torch.tensor(pixels[:10])) and cifar.train.images.is_contiguous()
    assert torch.equal(cifar.test.images, torch.tensor(pixels[10:])) and cifar.classes[3] == "cat"


def test_an_archive_of_cifar_is_unpacked_however_it_was_compressed(tmp_path, monkeypatch):
    small_card(monkeypatch, "cifar10", 1, 1)
    pixels = cifar_files(tmp_path / "made", monkeypatch)
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(tmp_path / "made/cifar-10-batches-py", "cifar-10-batches-py")
        archive.add(tmp_path / "made", "more", recursive=False)
    assert torch.equal(load("cifar10", tmp_path).train.images, torch.tensor(pixels[:10]))
    assert not (tmp_path / "more").exists()


def test_svhn_zero_is_class_zero(tmp_path, monkeypatch):
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    small_card(monkeypatch, "svhn", 1, 1)
    pixels, labels = noise(10, 3, 32, 32), np.array([10, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    (tmp_path / "svhn").mkdir()
    for part in ("train", "test"):
        savemat(tmp_path / f"svhn/{part}_32x32.mat", {"X": pixels.transpose(2, 3, 1, 0), "y": labels[:, None]})
        monkeypatch.setitem(SVHN.split_list, part, ["", f"{part}_32x32.mat", None])  # None: any md5
    numbers = load("svhn", tmp_path)
    assert numbers.train.labels.tolist() == [*range(10)] and torch.equal(numbers.train.images, torch.tensor(pixels))


def test_offline_says_where_to_put_the_files(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # every connection is refused at once
    monkeypatch.setenv("no_proxy", "")
    archive, message = tmp_path / "cifar-10-python.tar.gz", refused("cifar10", tmp_path)
    assert f"{archive} cannot be downloaded" in message and f"copy it to {archive}" in message
    assert "datasets=[PATH]" in message
    archive.write_bytes(b"half a download")
    assert f"{archive} is damaged" in refused("cifar10", tmp_path)
    assert f"copy it to {tmp_path / 'MNIST/raw/train-images-idx3-ubyte.gz'}" in refused("mnist", tmp_path)
    assert f"copy it to {tmp_path / 'tiny-imagenet-200.zip'}" in refused("tinyimagenet", tmp_path)


# --- fetching ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as server:
        yield server


def test_an_interrupted_download_is_resumed(tmp_path, site):
    data, calls = noise(3_000_000).tobytes(), []
    site.files["/big"], site.cut = data, 2_000_000
    file = PublishedFile(tmp_path / "in/big", md5(data), (f"{site.url}/big",))
    with pytest.raises(BenchmarkError, match=r"/big: the connection broke off; run the same command again to resume"):
        download(file)
    assert not file.path.exists() and (tmp_path / "in/big.part").stat().st_size == 2_000_000
    site.cut = None
    download(file, lambda *call: calls.append(call))
    assert file.path.read_bytes() == data and site.requests == [("/big", None), ("/big", "bytes=2000000-")]
    assert calls[-1] == ("downloading big, MiB", 2, 2) and not (tmp_path / "in/big.part").exists()
    download(file)
    assert len(site.requests) == 2, "an intact file is not requested again"


def test_a_server_that_cannot_resume_and_one_that_sends_something_else(tmp_path, site):
    data = noise(100_000).tobytes()
    site.files |= {"/other": b"something else", "/right": data}
    site.ranges = False
    file = PublishedFile(tmp_path / "file", md5(data), (f"{site.url}/gone", f"{site.url}/other", f"{site.url}/right"))
    (tmp_path / "file.part").write_bytes(data[:500])
    download(file)  # the second URL spoils what was there; the third has it
    assert file.path.read_bytes() == data
    with pytest.raises(BenchmarkError, match=r"/gone: HTTP Error 404.*; .*/other: the server does not send"):
        download(PublishedFile(tmp_path / "again", md5(data), file.urls[:2]))
    assert not list(tmp_path.glob("again*.part")), "a wrong file is not resumed"


def test_a_silent_server_times_out(tmp_path, monkeypatch):
    import socket

    monkeypatch.setattr(fetching, "TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        file = PublishedFile(tmp_path / "file", "0" * 32, (f"http://127.0.0.1:{deaf.getsockname()[1]}/file",))
        with pytest.raises(BenchmarkError, match="timed out"):
            download(file)


def test_prepare_downloads_unpacks_and_repairs(tmp_path, monkeypatch, site):
    from torchvision.datasets import CIFAR10, FashionMNIST

    small_card(monkeypatch, "cifar10", 1, 1)
    pixels = cifar_files(tmp_path / "made", monkeypatch)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(tmp_path / "made/cifar-10-batches-py", "cifar-10-batches-py")
    site.files["/cifar.tar.gz"] = packed.getvalue()
    monkeypatch.setattr(CIFAR10, "url", f"{site.url}/cifar.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(packed.getvalue()))
    root = tmp_path / "root"
    assert torch.equal(load("cifar10", root).train.images, torch.tensor(pixels[:10]))  # a run fetches too
    (root / "cache/cifar10-v1.safetensors").unlink()
    (root / "cifar-10-batches-py/test_batch").write_bytes(b"damaged")
    assert "damaged" in refused("cifar10", root)
    assert torch.equal(prepare("cifar10", root).test.images, torch.tensor(pixels[10:])) and len(site.requests) == 1

    small_card(monkeypatch, "fashionmnist", 2, 2)
    raw, images, _ = fashion_files(tmp_path / "made")
    plain = {path.name: path.read_bytes() for path in raw.iterdir()}
    site.files |= {f"/f/{name}.gz": gzip.compress(data) for name, data in plain.items()}
    monkeypatch.setattr(FashionMNIST, "mirrors", [f"{site.url}/nowhere/", f"{site.url}/f/"])
    sums = [(f"{name}.gz", md5(site.files[f"/f/{name}.gz"])) for name in plain]
    monkeypatch.setattr(FashionMNIST, "resources", sums)
    known = {"FashionMNIST": {name: md5(data) for name, data in plain.items()}}
    monkeypatch.setattr(torchvision_files, "_UNPACKED_MD5", known)
    monkeypatch.setattr(torchvision_files, "SYSTEM_FOLDERS", {})
    assert torch.equal(prepare("fashionmnist", root).train.images, torch.tensor(images[:, None]))
    assert {path.name for path in (root / "FashionMNIST/raw").glob("*ubyte")} == set(plain)
