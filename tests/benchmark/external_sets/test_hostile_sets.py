"""Files of sets that were made to harm, or are only odd: each is read, or refused in one line."""

from __future__ import annotations

import json
import os
import random
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from benchmark.condensation.synthetic_set import save_set
from benchmark.external_sets import read
from benchmark.external_sets.convert import resolve_pixel_scale, set_digest
from benchmark.external_sets.real_selection import save_selection
from benchmark.utils.errors import BenchmarkError
from dataset_files import png, write_parquet
from external_set_files import dc_file, digits, subset
from methods.base import SyntheticSet
from results.errors import ResultsError

DIGITS = digits()
IMAGES, LABELS = subset(data=DIGITS)
CARD: dict[str, Any] = {"ipc": 2, "factor": 1, "training": {}, "made by": {}}


def convert(*paths: Path) -> str:
    """The digest of the first set in the files, as a plan has it."""
    external = read.read_external_set(list(paths), DIGITS)
    scale = resolve_pixel_scale(external, DIGITS, None, None)
    images, labels, soft = external.sets[0]
    return set_digest(scale.to_pixels(images), labels, soft)


def refused(*paths: Path) -> str:
    with pytest.raises(BenchmarkError) as caught:
        convert(*paths)
    assert all("\n" not in text for text in (caught.value.what, caught.value.where, caught.value.next))
    return f"{caught.value.what} | {caught.value.next}"


def saved(value: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tensors that are only just supported
        torch.save(value, path)
    return path


def own(path: Path, card: Any = None, text: str | None = None, **tensors: Tensor) -> Path:
    """A file as `save_set` writes it, with any card."""
    metadata = {"card": json.dumps(CARD | (card or {})) if text is None else text}
    safetensors.torch.save_file({"images": IMAGES, "labels": LABELS} | tensors, path, metadata=metadata)
    return path


# --- layouts of others ------------------------------------------------------------------------------------------------


def test_dicts_and_arrays_and_foreign_safetensors_are_sets_too(tmp_path: Path) -> None:
    expected = convert(saved([IMAGES, LABELS], tmp_path / "list.pt"))
    assert convert(saved({"images": IMAGES, "labels": LABELS}, tmp_path / "dict.pt")) == expected
    assert convert(saved({"data": IMAGES, "target": LABELS, "epoch": 3}, tmp_path / "data.pt")) == expected
    np.savez(tmp_path / "set.npz", images=IMAGES.numpy(), labels=LABELS.numpy())
    assert convert(tmp_path / "set.npz") == expected
    np.savez(tmp_path / "big.npz", images=IMAGES.numpy().astype(">f4"), labels=LABELS.numpy().astype(">i8"))
    assert convert(tmp_path / "big.npz") == expected
    np.save(tmp_path / "images.npy", IMAGES.numpy())
    np.save(tmp_path / "labels.npy", LABELS.numpy())
    assert convert(tmp_path / "images.npy", tmp_path / "labels.npy") == expected
    safetensors.torch.save_file({"images": IMAGES, "labels": LABELS}, tmp_path / "foreign.safetensors")
    assert convert(tmp_path / "foreign.safetensors") == expected


def test_one_hot_labels_are_hard_ones(tmp_path: Path) -> None:
    one_hot = torch.nn.functional.one_hot(LABELS, 10)
    expected = convert(saved([IMAGES, LABELS], tmp_path / "list.pt"))
    for labels in (one_hot, one_hot.float(), LABELS[:, None]):
        assert convert(saved([IMAGES, labels], tmp_path / "set.pt")) == expected
    soft = read.read_external_set([saved([IMAGES, one_hot * 0.9 + 0.01], tmp_path / "set.pt")], DIGITS).sets[0].soft
    torch.testing.assert_close(soft, (one_hot * 0.9 + 0.01).log())


def test_soft_labels_of_a_damaged_set_are_refused(tmp_path: Path) -> None:
    for soft in (torch.randn(19, 10), torch.randn(20, 9), torch.randn(20), torch.full((20, 10), torch.inf)):
        save_set(tmp_path / "set.safetensors", SyntheticSet(IMAGES, LABELS, 2, soft=soft))
        assert "its soft labels are no finite logits of 20 images and 10 classes" in refused(
            tmp_path / "set.safetensors"
        )


# --- what never ends, and what takes all memory -----------------------------------------------------------------------


def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    assert "pipe.pt is no regular file but a pipe" in refused(tmp_path / "pipe.pt")
    (tmp_path / "zero.pt").symlink_to("/dev/zero")
    assert "zero.pt is no regular file but a device" in refused(tmp_path / "zero.pt")
    folder = tmp_path / "store"
    folder.mkdir()
    os.mkfifo(folder / "record.json")
    assert "record.json is no regular file" in refused(own(folder / "synthetic.safetensors"))


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "set.pt").open("wb") as file:
        file.truncate(2**30 + 1)
    assert "set.pt has 1 GiB; at most 1 GiB are read" in refused(tmp_path / "set.pt")


def test_what_inflates_is_not_inflated(tmp_path: Path) -> None:
    one = saved([IMAGES, LABELS], tmp_path / "set.pt")
    with zipfile.ZipFile(one, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("set/data/2", "w") as file:
        for _ in range(1100):
            file.write(bytes(1_000_000))
    assert "set.pt inflates to 1.0" in refused(one)
    repeated = torch.zeros(1).expand(10**7, 1, 8, 8), torch.zeros(1, dtype=torch.uint8).expand(10**7)
    assert "its images have 2.38 GiB as float32" in refused(saved(list(repeated), tmp_path / "repeated.pt"))
    assert "its images have" in refused(*(saved(t, tmp_path / f"{t.ndim}.pt") for t in repeated))
    pair = (IMAGES, LABELS)
    assert "it holds 1,001 sets; at most 1,000 are read" in refused(saved([pair] * 1001, tmp_path / "many.pt"))


def test_only_the_images_of_class_folders_are_hashed(tmp_path: Path) -> None:
    for index in range(10):
        (tmp_path / f"set/{index}").mkdir(parents=True)
        (tmp_path / f"set/{index}/0.png").write_bytes(png((IMAGES[2 * index, 0] * 255).byte().numpy()))
    before = read.read_external_set([tmp_path / "set"], DIGITS).digests
    os.mkfifo(tmp_path / "set/0/pipe")
    (tmp_path / "set/log.txt").symlink_to("/dev/zero")
    (tmp_path / "set/again").mkdir()
    (tmp_path / "set/again").rmdir()
    assert read.read_external_set([tmp_path / "set"], DIGITS).digests == before


# --- tensors and cards ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda i, t: (i.to(torch.float8_e4m3fn), t), "images of type float8_e4m3fn cannot be read"),
        (lambda i, t: (i.to(torch.complex64), t), "images of type complex64"),
        (lambda i, t: (i.to("meta"), t), "images without values"),
        (lambda i, t: (i.to_sparse(), t), "images that are not dense"),
        (lambda i, t: (i, t.to("meta")), "labels without values"),
        (lambda i, t: (i, t.to_sparse()), "labels that are not dense"),
        (lambda i, t: (i, t.to(torch.float8_e4m3fn)), "labels of type float8_e4m3fn"),
        (lambda i, t: (i, t[0]), "its labels are of shape one number"),
    ],
)
def test_tensors_of_odd_kinds_are_refused(change: Callable[..., Any], expected: str, tmp_path: Path) -> None:
    assert expected in refused(saved(list(change(IMAGES, LABELS)), tmp_path / "set.pt"))


def test_archives_with_a_damaged_directory_are_refused(tmp_path: Path) -> None:
    content = saved([IMAGES, LABELS], tmp_path / "set.pt").read_bytes()
    entry = content.rfind(b"PK\1\2")
    (tmp_path / "set.pt").write_bytes(content[: entry + 4] + b"\xff" * 20 + content[entry + 24 :])
    assert "set.pt was not written by torch.save or numpy, or it is damaged" in refused(tmp_path / "set.pt")
    names = bytearray(content.replace(b"set/", b"\xffet/"))
    for at in range(len(names)):
        if names[at : at + 4] in (b"PK\1\2", b"PK\3\4"):
            names[at + (9 if names[at + 2] == 1 else 7)] |= 8  # the names are UTF-8, it says
    (tmp_path / "set.pt").write_bytes(names)
    assert "set.pt was not written by torch.save or numpy, or it is damaged" in refused(tmp_path / "set.pt")


@pytest.mark.parametrize(
    "card",
    [
        *({"factor": value} for value in (0, None, True, 2.0, "2", 10**30)),
        *({"ipc": value} for value in (7, 0, "x", None)),
        *({"made by": value} for value in ([1], "x", {"resolved": 3}, {"resolved": {"dataset": 5}})),
        *({"training": value} for value in ({"lr": 1e9}, {"lr": "x"}, {"momentum": 1}, {"space": 3}, [])),
    ],
)
def test_cards_are_not_believed(card: dict[str, Any], tmp_path: Path) -> None:
    assert "card" in (message := refused(own(tmp_path / "set.safetensors", card))) or "learning rate" in message


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"ipc": ' + "9" * 5000 + "}", "[1]", "\udcff"[:0] + "{", '{"a":' * 2000]
)
def test_cards_that_are_no_json_objects_are_refused(text: str, tmp_path: Path) -> None:
    message = refused(own(tmp_path / "set.safetensors", text=text))
    assert "set.safetensors is damaged" in message and message.endswith("download or copy it again")


def test_a_number_is_no_set(tmp_path: Path) -> None:
    path = own(tmp_path / "set.safetensors", images=torch.tensor(1.0), labels=torch.tensor(1))
    assert "its images are of shape one number" in refused(path)


@pytest.mark.parametrize(
    ("card", "indices"),
    [
        ({"factor": 20_000}, torch.zeros(10, 1)),
        ({"factor": 0}, torch.zeros(10, 1)),
        ({"downsample": "x"}, torch.zeros(10, 1)),
        ({}, torch.full((10, 1), 99_999)),
        ({}, torch.zeros(10, 100_000)),
        ({"ipc": 100_000_000}, torch.zeros(10, 1)),
    ],
)
def test_selections_are_not_believed(card: dict[str, Any], indices: Tensor, tmp_path: Path) -> None:
    whole = CARD | {"ipc": 1, "fingerprint": DIGITS.fingerprint, "downsample": "area"} | card
    tensors = {"indices": indices.int(), "labels": torch.arange(10)}
    safetensors.torch.save_file(tensors, tmp_path / "set.safetensors", metadata={"card": json.dumps(whole)})
    assert "card" in refused(tmp_path / "set.safetensors")


# --- any damage -------------------------------------------------------------------------------------------------------


def formats(folder: Path) -> list[Path]:
    """A small sound file of each format that sets come in."""
    one = SyntheticSet(IMAGES, LABELS, 2, 1, {"lr": 0.01}, {"resolved": {"method": "dm", "dataset": {}}})
    save_set(folder / "own.safetensors", one)
    save_selection(folder / "selection.safetensors", one, DIGITS, "area")
    dc_file(folder / "zip.pt", [(IMAGES, LABELS)] * 2)
    dc_file(folder / "legacy.pt", [(IMAGES, LABELS)], legacy=True)
    np.savez_compressed(folder / "set.npz", images=IMAGES.numpy(), labels=LABELS.numpy())
    pictures = [png((image[0] * 255).byte().numpy()) for image in IMAGES]
    write_parquet(folder / "set.parquet", pictures, LABELS.tolist(), names=[str(name) for name in range(10)])
    return sorted(folder.iterdir())


def damaged(content: bytes, generator: random.Random) -> bytes:
    """A few bits flipped, a part cut out or doubled, a number replaced, or two parts swapped."""
    data, at = bytearray(content), generator.randrange(len(content))
    size = generator.choice((1, 2, 4, 8, 64, 512))
    match generator.randrange(6):
        case 0:
            for _ in range(generator.randint(1, 8)):
                data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        case 1:
            del data[at:]
        case 2:
            del data[at : at + size]
        case 3:
            data[at:at] = data[at : at + size]
        case 4:
            data[at : at + size] = generator.choice((b"\0", b"\xff", b"\x7f", b"9")) * len(data[at : at + size])
        case 5:
            other = generator.randrange(len(data))
            data[at : at + size], data[other : other + size] = data[other : other + size], data[at : at + size]
    return bytes(data)


def test_2000_damaged_files_are_sets_or_refused(tmp_path: Path) -> None:
    (sound := tmp_path / "sound").mkdir()
    generator, files = random.Random(0), [(path, path.read_bytes()) for path in formats(sound)]
    assert all(convert(path) for path, _ in files)
    read_all = 0
    for number in range(2000):
        path, content = files[number % len(files)]
        target = tmp_path / path.name
        target.write_bytes(damaged(content, generator))
        try:
            read_all += bool(convert(target))
        except (BenchmarkError, ResultsError) as error:
            assert error.what and "\n" not in error.what, (path.name, number)
    assert 0 < read_all < 2000
