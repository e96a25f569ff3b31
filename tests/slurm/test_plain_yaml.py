"""YAML that was made to harm is refused in one line, without showing what a file holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slurm import plain_yaml
from slurm.cluster import load
from slurm.errors import SlurmError

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))

REFUSED = [
    (LAUGHS, "anchors and aliases"),
    ("name: &n [*n]", "anchors and aliases"),
    ("[" * 20_000, "nested more than 10 deep"),
    ("{a: " * 10_000, "nested more than 10 deep"),
    ("cpus: 1\ncpus: 2", "the key 'cpus' is there twice"),
    ("extra: {nice: 1, nice: 2}", "the key 'nice' is there twice"),
    ("extra: {<<: {nice: 1}, ? [a] : b}", "a key must be text"),
    ("extra: {1: 2}", "line 1, column 9: a key must be text"),
    ("- secret", "it must hold keys and values, got list"),
    ("secret text", "it must hold keys and values, got str"),
    ("a: [", "line 1, column 5"),
    ("a: \t- b: }", "line 1"),
    ("#" * 70_000, "it has 70,000 bytes; at most 65,536"),
    ("cpus: " + "9" * 5000, "4300 digits"),
    ("cpus: !!python/object/apply:os.system [true]", "line 1, column 7: tags (!) are not read"),
    *((f"cpus: !!{tag}", "tags (!) are not read") for tag in ("timestamp secret", "bool secret", "int ''", "set {a}")),
]


@pytest.mark.parametrize(("text", "expected"), REFUSED)
def test_odd_yaml_is_refused_in_one_line(text: str, expected: str, tmp_path: Path) -> None:
    (path := tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=r".") as caught:
        plain_yaml.read_yaml(path)
    assert expected in str(caught.value) and "\n" not in str(caught.value) and "secret" not in str(caught.value)
    with pytest.raises(SlurmError) as refused:
        load(str(path))
    assert expected in refused.value.what


def test_pipes_devices_and_links_to_files_of_others_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "zero.yaml"):
        with pytest.raises(ValueError, match="no regular file"):
            plain_yaml.read_yaml(tmp_path / name)
    (tmp_path / "mine.yaml").write_text("cpus: 2")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "mine.yaml")
    assert plain_yaml.read_yaml(tmp_path / "link.yaml") == {"cpus": 2}
    if os.geteuid() == 0:
        os.chown(tmp_path / "mine.yaml", 1, -1)
        with pytest.raises(ValueError, match="a file of another owner"):
            plain_yaml.read_yaml(tmp_path / "link.yaml")


def test_what_yaml_would_turn_into_other_values_stays_text(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("a: 1:30\nb: 0123\nc: 2026-99-99\n<<: =\nd: [7, -7, 0, yes, ~]")
    expected = {"a": "1:30", "b": "0123", "c": "2026-99-99", "<<": "=", "d": [7, -7, 0, True, None]}
    assert plain_yaml.read_yaml(tmp_path / "mine.yaml") == expected


def test_an_empty_file_has_no_keys(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("# nothing\n")
    assert plain_yaml.read_yaml(tmp_path / "mine.yaml") == {}
