"""``fireside edit apply`` as a user, and a program, meets it."""

import io
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from fireside.cli.commands import run_command
from support.edit_cases.case import block, listing, write_edit

GOOD = f"src/app.py\n```python\n{block('    return 1', '    return 2')}```\n"


@pytest.fixture
def yard(tmp_path: Path) -> Path:
    root = tmp_path / "yard"
    (root / "src").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "src/app.py").write_bytes(b"\xef\xbb\xbfdef f():\r\n    return 1\r\n")
    (root / "src/app.py").chmod(0o750)
    (root / "notes.md").write_text("# Notes\n")
    return root


class Pipe(io.TextIOWrapper):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")


@pytest.fixture
def apply(yard: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def run(answer: str | bytes, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", Pipe(answer.encode() if isinstance(answer, str) else answer))
        code = run_command(["edit", "apply", "--root", str(yard), *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_an_edit_is_written_and_can_be_taken_back(apply, yard, capsys):
    code, out, _ = apply(GOOD)
    assert (code, out.splitlines()) == (0, ["edited  src/app.py", "to take it back: fireside undo"])
    assert (yard / "src/app.py").read_bytes() == b"\xef\xbb\xbfdef f():\r\n    return 2\r\n"
    assert stat.S_IMODE((yard / "src/app.py").stat().st_mode) == 0o750
    assert run_command(["undo", "--root", str(yard)]) == 0
    assert (yard / "src/app.py").read_bytes() == b"\xef\xbb\xbfdef f():\r\n    return 1\r\n"


def test_json_says_what_was_applied(apply):
    code, out, _ = apply(GOOD, "--json", "--format", "search_replace")
    assert (code, json.loads(out)) == (0, {"applied": [{"path": "src/app.py", "action": "edited"}], "refused": []})


def test_every_kind_of_change_in_one_step(apply, yard):
    patch = (
        "*** Begin Patch\n*** Add File: lib/new.py\n+n = 1\n*** Delete File: notes.md\n*** Update File: src/app.py\n"
        "*** Move to: src/main.py\n@@\n-    return 1\n+    return 3\n*** End Patch\n"
    )
    code, out, _ = apply(patch, "--json")
    assert code == 0
    assert json.loads(out)["applied"] == [
        {"path": "lib/new.py", "action": "created"},
        {"path": "notes.md", "action": "deleted"},
        {"path": "src/main.py", "action": "renamed"},
    ]
    assert not (yard / "src/app.py").exists()
    assert (yard / "src/main.py").read_bytes() == b"\xef\xbb\xbfdef f():\r\n    return 3\r\n"
    assert stat.S_IMODE((yard / "src/main.py").stat().st_mode) == 0o750
    assert run_command(["undo", "--root", str(yard)]) == 0
    assert sorted(path.name for path in yard.rglob("*") if path.is_file()) == ["app.py", "notes.md"]


def test_one_refusal_keeps_everything_as_it_was(apply, yard):
    before = {path: path.read_bytes() for path in yard.rglob("*") if path.is_file()}
    code, out, _ = apply(f"{GOOD}\nnotes.md\n{block('# Nodes of the thing', 'x')}", "--json")
    said = json.loads(out)
    assert (code, said["applied"]) == (1, [])
    assert [list(one) for one in said["refused"]] == [["path", "reason", "nearest"]]
    assert said["refused"][0]["path"] == "notes.md"
    assert said["refused"][0]["reason"].startswith("not_found: ")
    assert {path: path.read_bytes() for path in yard.rglob("*") if path.is_file()} == before


def test_a_refusal_shows_the_nearest_lines(apply):
    code, out, err = apply(GOOD.replace("return 1", "return 11"))
    assert (code, out) == (1, "")
    assert err.splitlines()[0] == "nothing was changed:"
    assert "src/app.py: not_found:" in err
    assert "2:     return 1" in err


def test_a_dry_run_shows_a_diff_and_writes_nothing(apply, yard):
    before = (yard / "src/app.py").read_bytes()
    code, out, _ = apply(GOOD, "--dry-run")
    assert code == 0
    assert "-    return 1\n+    return 2\n" in out
    assert "would be edited  src/app.py" in out
    assert (yard / "src/app.py").read_bytes() == before


@pytest.mark.parametrize("format", ["search_replace", "udiff", "apply_patch", "edit_tool"])
@pytest.mark.parametrize(
    "place",
    ["../outside.py", "away/outside.py", "leaf.py", ".git/hooks/pre-commit", "inside/hook", ".env", "private/x.py"],
)
def test_nothing_is_written_where_nobody_may_write(apply, yard, tmp_path, format, place):
    outside = tmp_path / "outside.py"
    outside.write_text("x = 1\n")
    (yard / "away").symlink_to(tmp_path)
    (yard / "leaf.py").symlink_to(outside)
    (yard / ".git/hooks").mkdir()
    (yard / ".git/hooks/pre-commit").write_text("x = 1\n")
    (yard / ".git/hooks/hook").write_text("x = 1\n")
    (yard / "inside").symlink_to(".git/hooks")
    (yard / ".env").write_text("x = 1\n")
    (yard / ".firesideignore").write_text("private/\n")
    (yard / "private").mkdir()
    (yard / "private/x.py").write_text("x = 1\n")
    (yard / "src/outside.py").write_text("x = 1\n")
    before = {path: path.read_bytes() for path in (*yard.rglob("*"), outside) if path.is_file()}
    code, out, _ = apply(write_edit(format, place, "x = 1", "x = 2"), "--format", format, "--json")
    assert code == 1
    assert json.loads(out)["refused"][0]["reason"].partition(":")[0] in ("outside_root", "protected")
    assert {path: path.read_bytes() for path in (*yard.rglob("*"), outside) if path.is_file()} == before


def test_a_link_within_the_project_is_written_through(apply, yard):
    (yard / "link.py").symlink_to("src/app.py")
    assert apply(GOOD.replace("src/app.py", "link.py"))[0] == 0
    assert (yard / "link.py").is_symlink()
    assert b"return 2" in (yard / "src/app.py").read_bytes()


def test_an_absolute_name_within_the_project_is_understood(apply, yard):
    assert apply(GOOD.replace("src/app.py", str(yard.resolve() / "src/app.py")))[0] == 0
    assert b"return 2" in (yard / "src/app.py").read_bytes()


def test_files_that_searching_leaves_out_by_default_can_be_edited(apply, yard):
    (yard / "data.csv").write_text("a,b\n1,2\n")
    assert apply(f"data.csv\n{block('1,2', '1,3')}")[0] == 0
    assert (yard / "data.csv").read_text() == "a,b\n1,3\n"


def test_a_definition_is_rewritten_by_its_name_in_any_language(apply, yard):
    (yard / "a.go").write_text("package a\n\nfunc One() int {\n\treturn 1\n}\n\nfunc Two() int {\n\treturn 2\n}\n")
    answer = "a.go::Two\n```go\nfunc Two() int {\n    return 3\n}\n```\n"
    assert apply(answer, "--format", "function")[0] == 0
    assert (yard / "a.go").read_text().endswith("func Two() int {\n\treturn 3\n}\n")


def test_a_whole_file_is_found_by_its_base_name(apply, yard):
    assert apply(listing("app.py", "def f():\n    return 9\n"))[0] == 0
    assert (yard / "src/app.py").read_bytes() == b"\xef\xbb\xbfdef f():\r\n    return 9\r\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "malformed"),
        (b" \n", "malformed"),
        (b"\0\1\2", "malformed"),
        (b"caf\xe9", "malformed"),
        (b"x" * 10_000_001, "too_large"),
    ],
    ids=["empty", "blank", "binary", "latin-1", "huge"],
)
def test_what_is_no_answer_is_refused(apply, data, reason):
    code, out, _ = apply(data, "--json")
    assert code == 1
    assert json.loads(out)["refused"][0]["reason"].startswith(f"{reason}: ")
    code, out, err = apply(data)
    assert (code, out) == (1, "")
    assert reason in err


def test_an_unknown_format_is_told(apply):
    code, _, err = apply(GOOD, "--format", "magic")
    assert code == 2
    assert "search_replace" in err


def test_a_root_that_is_no_folder_is_told(apply, yard, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Pipe(GOOD.encode()))
    assert run_command(["edit", "apply", "--root", str(yard / "ghost")]) == 1
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_file_that_is_read_only_stays(apply, yard):
    (yard / "src/app.py").chmod(0o440)
    code, out, _ = apply(GOOD, "--json")
    assert code == 1
    assert json.loads(out)["refused"][0]["reason"].startswith("read_only: ")


def test_a_file_that_changed_since_it_was_read_stays(yard):
    from fireside.app.checkpoints import open_checkpoints
    from fireside.core.errors import Invalid
    from fireside.workspace.edits.landing import carry_out, plan_answer

    with open_checkpoints(yard) as checkpoints:
        plan = plan_answer(checkpoints.workspace, GOOD)
        (yard / "src/app.py").write_text("def f():\n    return 5\n")
        with pytest.raises(Invalid) as caught:
            carry_out(plan, checkpoints)
    assert caught.value.context["reason"] == "changed_since_read"
    assert (yard / "src/app.py").read_text() == "def f():\n    return 5\n"
