"""Generators for tests: images, datasets in their real formats, and a web server."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmark.datasets import load
from benchmark.datasets.base import balanced
from benchmark.datasets.builtin import BUILTIN
from benchmark.datasets.readers import imagenet_labels
from benchmark.utils.errors import BenchmarkError


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    Image.fromarray(pixels).save(out := io.BytesIO(), "png")
    return out.getvalue()


def jpeg(pixels: np.ndarray) -> bytes:
    Image.fromarray(pixels).save(out := io.BytesIO(), "jpeg", quality=90)
    return out.getvalue()


def decoded(data: bytes) -> np.ndarray:
    """(3, H, W), as Pillow decodes it."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)


def write_parquet(path: Path, images: list, labels: list, label: str = "label", names: list[str] | None = None):
    path.parent.mkdir(parents=True, exist_ok=True)
    structs = [None if image is None else {"bytes": image, "path": None} for image in images]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({"img": pa.array(structs, kind), label: pa.array(labels, pa.int64())})
    if names:
        features = {label: {"_type": "ClassLabel", "names": names}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)


def parquet_folder(folder: Path, **options: object) -> tuple[Path, np.ndarray]:
    """Three classes of 6x5 images, six to train and three to test; the nine images (N, 6, 5, 3) in that order."""
    pixels = noise(9, 6, 5, 3)
    write_parquet(folder / "train.parquet", [png(p) for p in pixels[:6]], [0, 1, 2, 2, 1, 0], **options)
    write_parquet(folder / "test.parquet", [png(p) for p in pixels[6:]], [2, 0, 1], **options)
    return folder, pixels


def class_folders(folder: Path, test: str = "test", each: int = 2, size: int = 4) -> Path:
    """Classes `ant` and `bee`, `each` images to train and one to test."""
    for number, (split, label) in enumerate([("train", "bee"), ("train", "ant"), (test, "bee"), (test, "ant")]):
        (folder / split / label).mkdir(parents=True)
        for index, pixels in enumerate(noise(each if split == "train" else 1, size, size, 3, seed=number)):
            (folder / split / label / f"{index}.png").write_bytes(png(pixels))
    return folder


def refused(entry: object, root: Path) -> str:
    """All three parts of the error with which `entry` is refused."""
    with pytest.raises(BenchmarkError) as caught:
        load(str(entry), root)
    return " | ".join((caught.value.what, caught.value.where, caught.value.next))


# --- built-in datasets in small ---------------------------------------------------------------------------------------


def small_card(monkeypatch: pytest.MonkeyPatch, name: str, train: int, test: int, **changes: object) -> None:
    """Replace a built-in dataset's card: `train` and `test` images of each class, no pinned fingerprint."""
    card = BUILTIN[name]
    classes = len(changes.get("classes", card.classes))  # type: ignore[arg-type]
    small = replace(card, train=balanced(train, classes), test=balanced(test, classes), fingerprint=None, **changes)
    monkeypatch.setitem(BUILTIN, name, small)


def write_idx(path: Path, values: np.ndarray) -> None:
    """The format of MNIST's files: magic number, sides, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = b"".join(side.to_bytes(4, "big") for side in values.shape)
    path.write_bytes((0x0800 + values.ndim).to_bytes(4, "big") + sides + values.tobytes())


WNIDS = ("n01443537", "n02124075", "n04067472")  # of TinyImageNet, sorted


def tiny_folder(folder: Path, train: int = 3, test: int = 2) -> dict[str, dict[str, bytes]]:
    """tiny-imagenet-200 as its zip unpacks, of three classes; {"train/WNID" or "val": {file: bytes}}."""
    made: dict[str, dict[str, bytes]] = {}
    for c, wnid in enumerate(WNIDS):
        (images := folder / "train" / wnid / "images").mkdir(parents=True)
        (images.parent / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t63\t63\n")
        files = {f"{wnid}_{i}.JPEG": jpeg(noise(64, 64, 3, seed=10 * c + i)) for i in range(train)}
        if c == 0:  # one of them is grey, as some of the real ones are
            files[f"{wnid}_0.JPEG"] = jpeg(noise(64, 64, seed=99))
        made[f"train/{wnid}"] = files
    order = [WNIDS[k % len(WNIDS)] for k in (2, 0, 1)] * test  # not sorted by class
    made["val"] = {f"val_{i}.JPEG": jpeg(noise(64, 64, 3, seed=500 + i)) for i in range(len(order))}
    (folder / "val/images").mkdir(parents=True)
    lines = [f"val_{i}.JPEG\t{wnid}\t0\t32\t44\t62" for i, wnid in enumerate(order)]
    (folder / "val/val_annotations.txt").write_text("\n".join(lines) + "\n")
    (folder / "wnids.txt").write_text("\n".join(reversed(WNIDS)) + "\n")
    (folder / "words.txt").write_text("".join(f"{wnid}\ta thing\n" for wnid in WNIDS))
    for place, files in made.items():
        for name, data in files.items():
            (folder / place / "images" / name).write_bytes(data)
    return made


# --- ILSVRC-2012 ------------------------------------------------------------------------------------------------------

SUBSET = ("n01440764", "n02102040", "n02979186")


def ilsvrc_train(folder: Path) -> dict[str, list[bytes]]:
    """Class folders of pictures of many sizes; one class more than the subset needs."""
    made: dict[str, list[bytes]] = {}
    for c, wnid in enumerate((*SUBSET, "n09999999")):
        (folder / wnid).mkdir(parents=True)
        made[wnid] = [jpeg(noise(150 + 40 * i, 260 - 30 * c, 3, seed=10 * c + i)) for i in range(2)]
        for i, data in enumerate(made[wnid]):
            (folder / wnid / f"{wnid}_{i}.JPEG").write_bytes(data)
    return made


def validation_pictures() -> tuple[dict[str, bytes], dict[str, str]]:
    """{file: bytes} and {file: WNID} of eight validation images, two of a class, mixed."""
    labels = {f"ILSVRC2012_val_{k:08d}.JPEG": ("n09999999", *reversed(SUBSET))[k % 4] for k in range(1, 9)}
    return {name: jpeg(noise(140, 200 + k, 3, seed=70 + k)) for k, name in enumerate(labels)}, labels


def by_torchvision(data: bytes) -> np.ndarray:
    from PIL import Image
    from torchvision import transforms

    cut = transforms.Compose([transforms.Resize(128), transforms.CenterCrop(128)])
    return np.asarray(cut(Image.open(io.BytesIO(data)).convert("RGB"))).transpose(2, 0, 1)


def devkit(folder: Path, labels: dict[str, str]) -> None:
    """The development kit's tables, as scipy reads them: leaves first, then an inner node of WordNet."""
    from scipy.io import savemat

    (folder / "ILSVRC2012_devkit_t12/data").mkdir(parents=True)
    wnids = sorted(set(labels.values()))
    kind = [(name, "O") for name in ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "num_train_images")]
    leaves = [(k, wnid, "a thing", "", 0, 2) for k, wnid in enumerate(wnids, start=1)]
    rows = [*leaves, (1001, "n00001740", "entity", "", 9, 0)]
    savemat(folder / "ILSVRC2012_devkit_t12/data/meta.mat", {"synsets": np.array(rows, dtype=kind)})
    truth = "".join(f"{wnids.index(labels[name]) + 1}\n" for name in sorted(labels))
    (folder / "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt").write_text(truth)


def ilsvrc_folder(root: Path, layout: str) -> dict[str, list[bytes]]:
    """A copy of ILSVRC-2012 as people have it; its training pictures by class."""
    base = root / "imagenet"
    inner = base / "ILSVRC/Data/CLS-LOC" if layout == "kaggle" else base
    made = ilsvrc_train(inner / "train")
    pictures, labels = validation_pictures()
    for name, data in pictures.items():
        target = inner / "val" / (labels[name] if layout == "class folders" else "")
        target.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)
    if layout == "kaggle":
        rows = [f"{Path(name).stem},{wnid} 85 1 499 272 {wnid} 3 4 5 6 " for name, wnid in reversed(labels.items())]
        (base / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *rows]))
        (listed := base / "ILSVRC/ImageSets/CLS-LOC/train_cls.txt").parent.mkdir(parents=True)
        files = [f"{wnid}/{wnid}_{i}" for wnid, pictures in made.items() for i in range(len(pictures))]
        listed.write_text("".join(f"{file} {place}\n" for place, file in enumerate(files, start=1)))
    if layout == "devkit":
        devkit(base, labels)
    return made


def small_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let imagenette have three classes of two images in each split."""
    small_card(monkeypatch, "imagenette", 2, 2, classes=SUBSET)
    monkeypatch.setattr(imagenet_labels, "VALIDATION", len(validation_pictures()[0]))
    monkeypatch.setattr(imagenet_labels, "TRAINING", 8)


# --- a web server -----------------------------------------------------------------------------------------------------


class Site:
    """Files served on loopback. cut: bytes after which each response breaks off. requests: path and Range of each."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: int | None = None
        self.ranges = True
        self.requests: list[tuple[str, str | None]] = []
        self.url = ""


@contextmanager
def serving() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested = self.headers.get("Range")
            site.requests.append((self.path, requested))
            data = site.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            start = int(requested.removeprefix("bytes=").rstrip("-")) if requested and site.ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            self.wfile.write(data[start:][: site.cut])

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
