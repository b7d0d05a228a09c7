"""The border of a project."""

import os
from pathlib import Path

import pytest

from fireside.core.errors import Invalid, NotPermitted
from fireside.workspace.workspace import Workspace, find_root


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub/a.py").write_text("a = 1\n")
    (tmp_path / "outside.txt").write_text("secret\n")
    return Workspace(root)


def test_paths_inside_are_resolved_whether_they_exist_or_not(workspace):
    assert workspace.resolve("sub/a.py") == workspace.root / "sub/a.py"
    assert workspace.resolve("sub/../new.py") == workspace.root / "new.py"
    assert workspace.resolve(workspace.root / "sub") == workspace.root / "sub"
    assert workspace.relative(workspace.root / "sub/a.py") == "sub/a.py"


@pytest.mark.parametrize(
    "path", ["../outside.txt", "/etc/passwd", "sub/../../outside.txt", "out/outside.txt", "file-out"]
)
def test_paths_outside_are_refused_also_through_links(workspace, path):
    os.symlink(workspace.root.parent, workspace.root / "out")
    os.symlink(workspace.root.parent / "outside.txt", workspace.root / "file-out")
    with pytest.raises(NotPermitted):
        workspace.resolve(path)
    with pytest.raises(NotPermitted):
        workspace.read(path)


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5_000, "loop"])
def test_what_cannot_be_a_path_is_invalid(workspace, path):
    os.symlink("loop", workspace.root / "loop")
    with pytest.raises(Invalid):
        workspace.resolve(path)


def test_reading_gives_text_or_none(workspace):
    (workspace.root / "b.bin").write_bytes(b"\0\1")
    text = workspace.read("sub/a.py")
    assert text is not None
    assert text.text == "a = 1\n"
    assert workspace.read("b.bin") is None
    assert workspace.read("missing.py") is None


@pytest.mark.parametrize("root", ["missing", "file", "nul\0", "loop"])
def test_a_root_that_is_no_folder_is_invalid(tmp_path, root):
    (tmp_path / "file").write_text("")
    os.symlink("loop", tmp_path / "loop")
    with pytest.raises(Invalid):
        Workspace(tmp_path / root)


def test_the_root_is_found_upwards(tmp_path):
    (tmp_path / "a/b/c").mkdir(parents=True)
    assert find_root(tmp_path / "a/b/c") == tmp_path / "a/b/c"
    (tmp_path / ".git").write_text("gitdir: elsewhere\n")
    assert find_root(tmp_path / "a/b/c") == tmp_path
    (tmp_path / "a/.fireside.toml").write_text("")
    assert find_root(tmp_path / "a/b/c") == tmp_path / "a"
    (tmp_path / "a/b/c/file.py").write_text("")
    assert find_root(tmp_path / "a/b/c/file.py") == tmp_path / "a"


def test_files_come_by_path_with_their_sizes(workspace):
    (workspace.root / "z.py").write_text("12345")
    assert [(entry.path, entry.size) for entry in workspace.files()] == [("sub/a.py", 6), ("z.py", 5)]
