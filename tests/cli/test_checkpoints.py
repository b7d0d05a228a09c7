"""``fireside checkpoints``, ``undo``, ``redo`` and ``restore`` as a user meets them."""

import json
import os
import re
from pathlib import Path

import pytest

from fireside.app.checkpoints import open_checkpoints
from fireside.cli.commands import run_command
from fireside.core.errors import Invalid
from support.project import fireside


@pytest.fixture
def dock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "dock"
    (root / "src").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "a.py").write_bytes(b"a = 1\r\n")
    (root / "src/b.py").write_bytes(b"b = 1")
    monkeypatch.chdir(root)
    return root


def change(root: Path, label: str, **files: bytes) -> None:
    with open_checkpoints(root) as checkpoints, checkpoints.change(label):
        for name, data in files.items():
            (root / name).write_bytes(data)


def test_undo_and_redo_say_what_they_did_file_by_file(dock, capsys):
    change(dock, "edit a.py", **{"a.py": b"a = 2\r\n", "src/new.py": b""})
    assert run_command(["undo", "--dry-run"]) == 0
    assert (dock / "a.py").read_bytes() == b"a = 2\r\n"
    assert capsys.readouterr().out.splitlines() == ["would undo: edit a.py", "  changed a.py", "  deleted src/new.py"]
    assert run_command(["undo"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == ["undone: edit a.py", "  changed a.py", "  deleted src/new.py"]
    assert "fireside redo" in out[3]
    assert (dock / "a.py").read_bytes() == b"a = 1\r\n"
    assert not (dock / "src/new.py").exists()
    assert run_command(["redo"]) == 0
    assert capsys.readouterr().out.splitlines() == ["redone: edit a.py", "  changed a.py", "  created src/new.py"]


def test_the_example_of_the_documents_runs_as_it_stands(dock):
    page = (Path(__file__).resolve().parents[2] / "docs/checkpoints.md").read_text()
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(example, {})
    assert not (dock / "app.py").exists()
    assert run_command(["redo"]) == 0
    assert (dock / "app.py").read_bytes() == b"print(1)\n"


@pytest.mark.parametrize("word", ["undo", "redo"])
def test_nothing_to_take_back_is_one_line_and_exit_code_1(dock, capsys, word):
    assert run_command([word]) == 1
    assert capsys.readouterr().err.startswith(f"error: there is nothing to {word}")


def test_a_file_changed_since_needs_force(dock, capsys):
    change(dock, "edit", **{"a.py": b"a = 2"})
    (dock / "a.py").write_bytes(b"mine")
    assert run_command(["undo"]) == 1
    err = capsys.readouterr().err
    assert "a.py has changed since 'edit'" in err
    assert "fireside undo --force" in err
    assert run_command(["undo", "--force"]) == 0
    assert (dock / "a.py").read_bytes() == b"a = 1\r\n"
    assert run_command(["redo"]) == 0
    assert (dock / "a.py").read_bytes() == b"mine"


def test_the_list_shows_what_one_can_go_back_to(dock, capsys):
    assert run_command(["checkpoints"]) == 0
    assert "no checkpoints" in capsys.readouterr().out
    for number in range(3):
        change(dock, f"edit {number}", **{"a.py": b"%d" % number})
    assert run_command(["checkpoints", "--limit", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"4  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  1 file changed    edit 2", lines[0])
    assert lines[2] == "and 2 older: fireside checkpoints --limit 4"
    assert run_command(["checkpoints", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["checkpoints"]
    assert [one["label"] for one in found] == ["edit 2", "edit 1", "edit 0", "before: edit 0"]
    assert found[-1].keys() == {"id", "when", "label", "kind", "files", "changed"}
    assert (found[-1]["files"], found[-1]["changed"]) == (2, 0)


def test_restore_goes_back_to_any_of_them_also_for_some_files_only(dock, capsys, monkeypatch):
    change(dock, "edit", **{"a.py": b"2", "src/b.py": b"2", "src/c.py": b"2"})
    assert run_command(["restore", "1", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "label": "before: edit",
        "files": [
            {"path": "a.py", "action": "changed"},
            {"path": "src/b.py", "action": "changed"},
            {"path": "src/c.py", "action": "deleted"},
        ],
        "left": [],
        "checkpoint": None,
    }
    monkeypatch.chdir(dock / "src")
    assert run_command(["restore", "1", "b.py"]) == 0
    assert ((dock / "src/b.py").read_bytes(), (dock / "a.py").read_bytes()) == (b"b = 1", b"2")
    assert run_command(["restore", "1", "..", "--json"]) == 0
    assert (dock / "a.py").read_bytes() == b"a = 1\r\n"
    assert not (dock / "src/c.py").exists()
    capsys.readouterr()
    assert run_command(["restore", "1"]) == 0
    assert "nothing to change" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code"), [(["77"], 1), (["x"], 2), ([], 2), (["0"], 2), (["1", "nope"], 1), (["1", "../../etc"], 1)]
)
def test_what_cannot_be_restored_is_said_in_a_line(dock, capsys, words, code):
    change(dock, "edit", **{"a.py": b"2"})
    assert run_command(["restore", *words]) == code
    assert capsys.readouterr().err.startswith("error: ")
    assert (dock / "a.py").read_bytes() == b"2"


def test_names_that_move_the_cursor_or_are_no_utf8_are_printed_harmlessly(dock):
    name = os.fsdecode(b"\x1b[2J\xe9\n.py")
    change(dock, f"edit {name}", **{name: b"1"})
    done = fireside("undo", cwd=dock)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == 3
    assert fireside("redo", "--json", cwd=dock).returncode == 0
    assert (dock / name).exists()


def test_a_home_folder_nobody_named_is_not_kept(tmp_path, monkeypatch, own_home):
    monkeypatch.chdir(own_home)
    with pytest.raises(Invalid, match="is not a project"):
        open_checkpoints(None)
    with open_checkpoints(own_home) as checkpoints:
        assert checkpoints.workspace.root == own_home


def test_two_checkouts_never_share_their_states(tmp_path):
    folders = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with open_checkpoints(tmp_path / name) as checkpoints:
            folders.add(checkpoints.folder)
    assert len(folders) == 2
