"""Where decoded images are kept: in data_root, in the folder that `cache=` names, or in the user's cache folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.datasets import load
from dataset_files import class_folders

# Root may write everything; without these capabilities it may what the modes of files say, as anybody.
AS_ANYBODY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
SMALL = ("methods=[dm]", "ipcs=[1]", "baselines=[]", "num_eval=1", "method.dm.iterations=2", "workers=2", "threads=1")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A folder with a dataset and a read-only data_root."""
    if AS_ANYBODY and not shutil.which("setpriv"):
        pytest.skip("as root it needs setpriv of util-linux")
    class_folders(tmp_path / "bugs", size=8)
    (tmp_path / "data").mkdir()
    return tmp_path


def call(folder: Path, command: str, *words: str) -> str:
    """The output of a command for which data_root is read-only and ~ is another folder than the user's."""
    (folder / "data").chmod(0o555)
    home = os.environ | {"HOME": str(folder / "home"), "XDG_CACHE_HOME": ""}
    words = (*AS_ANYBODY, sys.executable, "-m", f"benchmark.{command}", *words, f"data_root={folder / 'data'}")
    ended = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=home)
    (folder / "data").chmod(0o755)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def cached(folder: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in folder.rglob("*.safetensors"))


def test_a_read_only_data_root_has_a_folder_in_the_users_cache(folders: Path) -> None:
    printed = call(folders, "run", "datasets=[./bugs]", *SMALL, f"store={folders / 'out'}")
    (used,) = (folders / "home/.cache/condensation-benchmark").iterdir()
    note = f"data cannot be written: decoded images are kept in {used} (cache=PATH names another folder)"
    assert " ".join(printed.split()).count(note) == 1
    assert cached(folders / "home") == ["bugs"] and not list((folders / "data").iterdir())
    assert note in " ".join(call(folders, "data", "prepare", "./bugs").split())
    assert cached(folders / "home") == ["bugs"], "it is decoded once"


def test_images_that_are_decoded_in_a_read_only_data_root_are_read_from_it(folders: Path) -> None:
    load(str(folders / "bugs"), folders / "data")
    printed = call(folders, "data", "prepare", "./bugs")
    assert "cannot be written" not in printed and not (folders / "home").exists()


def test_a_cache_that_is_named_is_used_by_commands_and_their_tasks(folders: Path) -> None:
    printed = call(folders, "run", "datasets=[./bugs]", *SMALL, f"store={folders / 'out'}", "cache=here")
    assert cached(folders / "here") == ["bugs"] and not (folders / "home").exists()
    assert "cannot be written" not in printed
    tasks = [path.read_text() for path in (folders / "out").glob("*/*/task.json")]
    assert tasks and all(f'"cache": "{folders / "here"}"' in text for text in tasks)
