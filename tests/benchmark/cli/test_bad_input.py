"""What goes wrong is told once, in words: mistyped requests, damaged files, a full disk; and what is told works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchmark.cli import main
from benchmark.report import report
from benchmark.run import run

TINY = ("ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1", "workers=1", "threads=1", "baselines=[]",
        "methods=[dm]", "method.dm.iterations=2", "protocols=[quick]")  # fmt: skip

Command = Callable[..., tuple[int, str, str]]  # words of the command line to (status, stdout, stderr)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`python -m benchmark.run WORDS` (or report) as the command line gives it, in this process, in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def launch(*words: str, name: str = "run") -> tuple[int, str, str]:
        rooted = [f"data_root={tmp_path / 'data'}"] if name == "run" else []
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *rooted, *words])
        with pytest.raises(SystemExit) as ended:
            main.launch(run if name == "run" else report, name)
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return launch


def check_message(err: str, *words: str) -> None:
    lines = err.strip().splitlines()
    assert lines and lines[0].startswith("error: ") and len(lines) <= 3, err
    assert all(line.startswith(("  where: ", "  next:  ")) for line in lines[1:]), err
    for word in words:
        assert word in err


WRONG = {
    "method": (["methods=[dnace]"], ["'dnace'", "Did you mean 'dance'?", "random"]),
    "factor of a method": (["methods=[dm@2]"], ["dm@f2"]),
    "variant": (["variants=[dmm]"], ["'dm'"]),
    "dataset": (["datasets=[digit]"], ["Did you mean 'digits'?", "cifar100", "path of a folder"]),
    "folder": (["datasets=[./nothing/there]"], ["nothing/there", "no folder"]),
    "architecture": (["architectures=[convnt3]"], ["convnt3"]),
    "evaluation architecture": (["eval_architectures=[vgg12]"], ["'vgg12'", "Did you mean 'vgg11'?", "convnetDEPTH"]),
    "too small": (["eval_architectures=[convnet2,lenet]"], ["lenet", "16×16", "auto"]),
    "too deep": (["architectures=[convnet9]"], ["convnet9", "convnet3"]),
    "protocol": (["protocols=[danse]"], ["Did you mean 'dance'?", "native"]),
    "baseline": (["baselines=[randm]"], ["Did you mean 'random'?"]),
    "setting": (["num_evl=1"], ["Did you mean 'num_eval'?"]),
    "setting of a method": (["method.dm.iteration=3"], ["Did you mean 'iterations'?", "method.dm.iteration"]),
    "methods in the singular": (["method=[dm]"], ["'method' holds settings", "methods=[NAME"]),
    "type": (["num_eval=two"], ["num_eval", "int", "two"]),
    "no list": (["methods={dm:1}"], ["{dm:1}"]),
    "type in a list": (["ipcs=[ten]"], ["ipcs", "int"]),
    "type in a method": (["method.dm.iterations=two"], ["method.dm.iterations", "two"]),
    "null in a method": (["method.dm.iterations=null"], ["method.dm.iterations"]),
    "word of a method": (["method.dm.init=nose"], ["init", "noise"]),
    "number of a method": (["method.dm.momentum=1"], ["momentum", "less than 1"]),
    "method without a setting": (["method.dm=3"], ["method.dm"]),
    "ipc 0": (["ipcs=[1,0]"], ["ipcs must be from 1 to 1,000,000, got 0"]),
    "ipc too large": (["ipcs=[140]", "methods=[dm]", "method.dm.init=noise"], ["ipc 140", "139"]),
    "mosaic too large": (["methods=[dm@f2]", "ipcs=[35]"], ["140", "139", "factor"]),
    "factor": (["methods=[dm]", "method.dm.init=noise", "method.dm.factor=9"], ["factor 9", "8×8", "1, 2, 3, 4, 8"]),
    "tiles without a pixel": (["methods=[dm@f5]"], ["factor 5 does not fit digits", "dm@f5"]),
    "empty": (["seeds=[]"], ["seeds"]),
    "list in a list": (["seeds=[[]]"], ["seeds", "one value"]),
    "large seed": (["seeds=[1000000000000000000000]"], ["seeds must be from 0 to 4,294,967,295"]),
    "negative seed": (["expert_seed=-1"], ["expert_seed must be from 0"]),
    "large ipc": (["ipcs=[1000000000000000000000]"], ["ipcs must be from 1 to 1,000,000"]),
    "networks": (["num_eval=1000000000000000000000"], ["num_eval must be from 1 to 10,000"]),
    "no fraction": (["val_fraction=nan"], ["val_fraction must be in [0, 1), got nan"]),
    "endless budget": (["budget_seconds=1e300"], ["budget_seconds must be in (0, 1e+09]"]),
    "no budget": (["budget_seconds=nan"], ["budget_seconds must be in (0, 1e+09], got nan"]),
    "endless checkpoints": (["checkpoint_seconds=inf"], ["checkpoint_seconds must be in (0, 1e+09], got inf"]),
    "large number of a method": (["method.dm.lr_img=1e300"], ["method.dm.lr_img", "at most 10,000,000, got 1e+300"]),
    "endless method": (["method.dm.iterations=1000000000000000000000"], ["method.dm.iterations", "at most"]),
    "no number of a method": (["methods=[dm@lr_img:nan]"], ["lr_img", "finite number"]),
    "endless ceiling": (["baselines=[whole]", "method.whole.epochs=99999999999"], ["method.whole.epochs"]),
    "nowhere": (["store=''"], ["store must be a name, got ''"]),
    "nobody": (["data_root='~nobody-of-this-name/data'"], ["data_root", "is not a path"]),
    "twice": (["seeds=[1,1]"], ["seeds", "twice"]),
    "nothing": (["methods=[]", "baselines=[]"], ["nothing to run"]),
    "fraction": (["iterations_fraction=0"], ["fraction"]),
    "validation": (["val_fraction=1"], ["val_fraction"]),
    "validation too small": (["val_fraction=0.001"], ["val_fraction", "none"]),
    "best of no snapshots": (["best_on_test=true"], ["best_on_test scores snapshots", "snapshots=20"]),
    "no points": (["snapshots=0", "val_fraction=0.1"], ["snapshots must be from 1 to 10,000, got 0"]),
    "precision": (["precision=fp8"], ["fp8", "bf16"]),
    "retry": (["retry=fail"], ["Did you mean 'failed'?"]),
    "threads": (["threads=0"], ["threads"]),
    "very many threads": (["threads=100000"], ["threads must be from 1 to"]),
    "workers": (["workers=-1"], ["workers must be from 1 to 1,024"]),
    "very many workers": (["workers=1000000"], ["workers must be from 1 to 1,024"]),
    "device": (["device=gpu"], ["gpu", "cuda"]),
    "preset": (["preset=papr"], ["papr", "paper, quick"]),
    "brackets": (["methods=[dm"], ["[dm", "quote"]),
    "nothing to learn": (["methods=[dance]", "method.dance.alignment=off", "method.dance.calibration=off"],
                         ["alignment=off", "calibration=off"]),
    "settings for nobody": (["methods=[dm]", "method.dance.iterations=5"], ["'dance'", "methods=[…,dance]"]),
    "augmentation": (["method.dm.augment=dsa:colour"], ["colour"]),
    "no name": (["=1"], ["=1"]),
    "no preset": (["preset=null"], ["preset"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_told_once_and_leaves_nothing(name: str, command: Command) -> None:
    words, told = WRONG[name]
    status, out, err = command("dry_run=true", *words)  # dry, so that a request taken for right ends soon
    assert status == 2 and out == ""
    check_message(err, *told)
    assert not list(Path.cwd().iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_cuda_where_there_is_none(command: Command) -> None:
    status, _, err = command("device=cuda")
    assert status == 2 and not list(Path.cwd().iterdir())
    check_message(err, "CUDA", "device=cpu")


@pytest.mark.parametrize("words", [["methods=[dnace]"], ["methods=[dm"], ["datasets=[./nothing]"], ["num_eval=two"]])
def test_a_wrong_request_in_a_process_of_its_own(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmark.run", *words], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2 and done.stdout == ""
    check_message(done.stderr)
    assert not list(tmp_path.iterdir())


def test_a_store_that_cannot_be_one(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    status, out, err = command(*TINY, f"store={tmp_path / 'file'}")
    assert status in (1, 2) and "Traceback" not in out + err
    assert "cannot write" in out + err and str(tmp_path / "file") in out + err
    assert (tmp_path / "file").read_text() == "mine"
    status, _, err = command(f"store={tmp_path / 'absent'}", name="report")
    assert status == 2
    check_message(err, "absent")


# --- damaged files ----------------------------------------------------------------------------------------------------


def records(out: Path) -> set[str]:
    return {f"{path.parts[-3]} {path.parts[-2].split('@')[0]} {path.parts[-2].split('seed')[1][0]}"
            for path in out.glob("*/*/record.json") if json.loads(path.read_text())}  # fmt: skip


@pytest.fixture
def condensed(command: Command, tmp_path: Path) -> Path:
    """A store with two finished sets of DM, not evaluated yet."""
    status, _, err = command(*TINY, "seeds=[0,1]", f"store={tmp_path / 'out'}")
    assert status == 0, err
    for path in (tmp_path / "out").glob("evaluate/*/*"):
        path.unlink()
    for path in (tmp_path / "out").glob("evaluate/*"):
        path.rmdir()
    return tmp_path / "out"


def test_a_damaged_set_fails_its_evaluation_alone(condensed: Path, command: Command) -> None:
    again = (*TINY, "seeds=[0,1]", f"store={condensed}")
    (path,) = condensed.glob("condense/*seed0*/synthetic.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])

    status, out, err = command(*again)
    assert status == 1 and "Traceback" not in err + out
    assert "synthetic.safetensors was changed or damaged" in out and "evaluate dm@iterations:2-digits-ipc1" in out
    (attempt,) = condensed.glob("evaluate/*seed0*/attempts/*.json")
    assert json.loads(attempt.read_text())["status"] == "interrupted"
    assert records(condensed) == {"condense dm 0", "condense dm 1", "evaluate dm 1"}

    path.write_bytes(whole)
    status, out, err = command(*again)
    assert status == 0, out + err
    assert "evaluate dm 0" in records(condensed)


def test_a_damaged_set_is_made_anew_as_its_message_advises(condensed: Path, command: Command) -> None:
    again = (*TINY, "seeds=[0,1]", f"store={condensed}")
    (path,) = condensed.glob("condense/*seed0*/synthetic.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    _, out, _ = command(*again)
    assert str(path.parent) in out and "move its folder away" in out
    path.parent.rename(condensed.parent / "away")
    status, out, err = command(*again)
    assert status == 0, out + err
    assert path.read_bytes() == whole


def test_a_damaged_checkpoint_costs_time_and_nothing_else(condensed: Path, command: Command) -> None:
    again = (*TINY, "seeds=[0,1]", f"store={condensed}")
    (folder,) = condensed.glob("condense/*seed0*")
    whole = (folder / "synthetic.safetensors").read_bytes()
    for name in ("record.json", "synthetic.safetensors"):
        (folder / name).unlink()
    (folder / "checkpoint.safetensors").write_bytes(b"half a checkpoint")
    status, out, err = command(*again)
    assert status == 0 and "Traceback" not in out + err, out + err
    assert "checkpoint.safetensors is damaged" in (folder / "log.txt").read_text()
    assert (folder / "synthetic.safetensors").read_bytes() == whole and len(records(condensed)) == 4
    assert not (folder / "checkpoint.safetensors").exists()


def test_an_unreadable_record_is_named_and_its_cure_works(condensed: Path, command: Command) -> None:
    again = (*TINY, "seeds=[0,1]", f"store={condensed}")
    assert command(*again)[0] == 0
    (path,) = condensed.glob("evaluate/*seed0*/record.json")
    whole = json.loads(path.read_text())
    path.write_text('{"schema": 1, "ki')
    status, _, err = command(f"store={condensed}", name="report")
    assert status == 1, "the other records are still reported"
    check_message(err, "record.json is not JSON", str(path))
    status, out, err = command(*again)
    assert status in (1, 2) and "Traceback" not in out + err
    assert "record.json is not JSON" in out + err and str(path) in out + err
    path.unlink()
    assert command(*again)[0] == 0
    assert json.loads(path.read_text())["result"]["accuracies"] == whole["result"]["accuracies"]


# --- a full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_store_that_cannot_be_written_is_said_once(small_disk: Path, command: Command, workers: int) -> None:
    (small_disk / "out").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    status, out, err = command(*TINY, "ipcs=[1,2]", f"workers={workers}", f"store={small_disk / 'out'}")
    assert status == 1 and "Traceback" not in out + err
    assert len(re.findall(r"^failed: ", out, re.M)) == 1 and "Read-only file system" in out, out
    assert "choose a folder that can be written: store=PATH" in out


def test_a_full_disk_is_said_and_the_same_command_goes_on(small_disk: Path, command: Command) -> None:
    again = (*TINY, "ipcs=[10]", f"store={small_disk / 'out'}")  # a set of 7 pages: at times only the small files fit
    filler = small_disk / "filler"
    told = set()
    for free in range(13):  # pages left: it fills at another place each time
        filler.write_bytes(b"")
        with filler.open("wb") as file:
            space = os.statvfs(small_disk)
            file.write(bytes(max(0, (space.f_bavail - free)) * space.f_bsize))
        status, out, err = command(*again)
        assert "Traceback" not in out + err, f"with {free} pages left\n{out}{err}"
        for path in small_disk.glob("out/*/*/record.json"):
            assert json.loads(path.read_text())["status"] == "ok"
        if status == 0:
            break
        told.add(status)
        assert "No space left" in out + err or "disk is full" in out + err, f"with {free} pages left\n{out}{err}"
    assert told and told <= {1, 2}
    filler.unlink()
    status, out, err = command(*again)
    assert status == 0, out + err
    assert not [path for path in small_disk.rglob(".*") if path.is_file()], "half-written files stay behind"
