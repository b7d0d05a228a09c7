"""``fireside grep``, ``map``, ``symbol``, ``refs`` and ``related`` as a user meets them."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fireside.cli.commands import run_command

FILES = {
    "dock/winch.py": (
        '"""Winches pull lines."""\n\n\nclass Winch:\n    def pull(self, line, force=1):\n        """Pull a line."""\n'
        "        return line * force\n\n    def pull_all(self, lines):\n        return [self.pull(line) for line in lines]  # pull each\n"
    ),
    "dock/mooring.py": (
        "from dock.winch import Winch\n\n\ndef moor(winch, ropes):\n    for rope in ropes:\n        winch.pull(rope)\n"
        "        rope.pull(1)\n"
        f"    very_long = '{'x' * 300}', winch.pull(0)\n"
    ),
    "dock/notes.lua": "-- pull here\nreturn pull(1)\n",
    "tests/test_winch.py": "from dock.winch import Winch\n\n\ndef test_pull():\n    assert Winch().pull(2) == 2\n",
    "README.md": "# Dock\n\nTo pull is to moor.\n",
}


@pytest.fixture
def dock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "dock"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "dock/photo.bin2").write_bytes(b"\0\1")
    (root / ".git").mkdir()
    monkeypatch.chdir(root)
    return root


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, object]:
    assert run_command([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def drawn(root: Path, columns: int, *words: str) -> list[str]:
    """The lines a terminal of that width shows, without colours."""
    leader, follower = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "fireside", *words],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color"},
        cwd=root,
    )
    os.close(follower)
    out = b""
    try:
        while chunk := os.read(leader, 65536):
            out += chunk
    except OSError:
        pass
    os.close(leader)
    assert done.wait(timeout=20) == 0
    assert b"\x1b[" in out
    return re.sub(r"\x1b\[[0-9;]*m|\r", "", out.decode()).split("\n")


def test_grep_prints_places_as_grep_does(dock, capsys):
    assert run_command(["grep", "rope)"]) == 0
    assert capsys.readouterr().out == "dock/mooring.py:6:        winch.pull(rope)\n"
    assert run_command(["grep", "-e", r"^\s+for \w+ in", "-C", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "dock/mooring.py-4-def moor(winch, ropes):",
        "dock/mooring.py:5:    for rope in ropes:",
        "dock/mooring.py-6-        winch.pull(rope)",
    ]


def test_grep_marks_gaps_and_shows_no_line_twice(dock, capsys):
    assert run_command(["grep", "pull", "--path", "winch.py", "-C", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "--" in lines
    shown = [line for line in lines if line != "--"]
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        (("pull", "--lang", "lua"), {"dock/notes.lua"}),
        (("pull", "--tests"), {"tests/test_winch.py"}),
        (("PULL", "-i", "--path", "*.md"), {"README.md"}),
        (("pull", "-w", "--no-tests", "--lang", "py"), {"dock/winch.py", "dock/mooring.py"}),
    ],
)
def test_grep_filters(dock, capsys, words, paths):
    found = answer(capsys, "grep", *words)
    assert {one["path"] for one in found["matches"]} == paths


def test_grep_as_json_tells_where_in_the_line(dock, capsys):
    found = answer(capsys, "grep", "rope)")
    assert list(found) == ["pattern", "matches", "more", "files", "skipped"]
    (one,) = found["matches"]
    assert (one["line"], one["end_line"], one["text"], one["spans"]) == (6, 6, "        winch.pull(rope)", [[19, 24]])
    assert answer(capsys, "grep", "pull", "--limit", "1")["more"] is True
    assert answer(capsys, "grep", "caf\udce9", code=1)["pattern"] == "caf?"


def test_grep_reads_the_disk_and_makes_no_index(dock, capsys):
    (dock / "dock/new.py").write_text("pelican = 1\n")
    assert run_command(["grep", "pelican"]) == 0
    assert not list(Path(os.environ["FIRESIDE_HOME"]).rglob("looked_ns"))


def test_the_map_is_a_page_and_focuses(dock, capsys):
    assert run_command(["map"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "dock: 5 files (python 3, lua 1, markdown 1)\n\ndock/winch.py  Winches pull lines\n  class Winch\n"
    )
    found = answer(capsys, "map", "dock/mooring.py", "--tokens", "200")
    assert list(found) == ["text", "files", "left_out", "tokens", "generation", "pending"]
    assert (found["files"][0], found["generation"], found["pending"]) == ("dock/mooring.py", 1, 0)
    assert found["tokens"] <= 200


def test_paths_are_taken_from_where_one_stands(dock, capsys, monkeypatch):
    monkeypatch.chdir(dock / "dock")
    assert answer(capsys, "map", "mooring.py")["files"][0] == "dock/mooring.py"
    assert answer(capsys, "related", "winch.py:5")["place"]["path"] == "dock/winch.py"
    assert answer(capsys, "related", "dock/winch.py:5")["place"]["path"] == "dock/winch.py"


def test_a_symbol_tells_place_kind_signature_and_doc(dock, capsys):
    assert run_command(["symbol", "winch.Pull"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "dock/winch.py:5  method Winch.pull",
        "  def pull(self, line, force=1)",
        "  Pull a line.",
    ]
    found = answer(capsys, "symbol", "Winch.pull_all", "--body")
    assert (found["generation"], found["pending"], found["nearest"]) == (1, 0, [])
    assert found["symbols"][0]["body"].startswith("    def pull_all(self, lines):\n        return")


def test_a_symbol_that_is_nowhere_exits_with_1_and_names_the_nearest(dock, capsys):
    assert run_command(["symbol", "pul_all"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "did you mean pull_all, pull?" in printed.err
    assert answer(capsys, "symbol", "Winch.pol", code=1)["nearest"] == ["Winch.pull", "Winch.pull_all"]
    assert run_command(["symbol", "qqqq"]) == 1
    assert capsys.readouterr().err == "nothing is called qqqq\n"


def test_refs_say_what_happens_where_and_what_is_not_known(dock, capsys):
    assert run_command(["refs", "Winch.pull", "--no-color"]) == 2
    capsys.readouterr()
    assert run_command(["refs", "Winch.pull"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == "dock/winch.py:5:9: definition [Winch.pull]  def pull(self, line, force=1):"
    assert "dock/mooring.py:6:15: call [moor]  winch.pull(rope)" in lines
    assert "dock/mooring.py:7:14: call? [moor]  rope.pull(1)" in lines
    assert "1 places marked ?" in printed.err


def test_refs_leave_out_what_is_only_spoken_of_unless_asked(dock, capsys):
    assert run_command(["refs", "pull"]) == 0
    printed = capsys.readouterr()
    assert "README.md" not in printed.out
    assert "not shown: 2 in comments, 1 in strings, 1 in prose and settings (--all)" in printed.err
    assert run_command(["refs", "pull", "--all"]) == 0
    assert "README.md:3:4: text  To pull is to moor." in capsys.readouterr().out


def test_refs_as_json(dock, capsys):
    found = answer(capsys, "refs", "Winch")
    assert list(found) == [
        "name",
        "definitions",
        "uses",
        "left_out",
        "gone",
        "notes",
        "nearest",
        "generation",
        "pending",
    ]
    assert [(one["path"], one["line"], one["kind"]) for one in found["uses"]] == [
        ("dock/winch.py", 4, "definition"),
        ("dock/mooring.py", 1, "import"),
        ("tests/test_winch.py", 1, "import"),
        ("tests/test_winch.py", 5, "call"),
    ]
    assert answer(capsys, "refs", "Wnch", code=1)["nearest"] == ["Winch"]
    assert answer(capsys, "refs", "pull", "--limit", "1")["left_out"] > 3


def test_related_code_shares_rare_words_and_is_elsewhere(dock, capsys):
    for number in range(8):
        (dock / f"dock/buoy{number}.py").write_text(f"def buoy{number}(x):\n    return x\n")
    (dock / "dock/capstan.py").write_text("def haul(line, force=1):\n    return line * force\n")
    assert run_command(["related", "dock/winch.py:7"]) == 0
    assert "dock/capstan.py:1-2  haul  " in capsys.readouterr().out
    found = answer(capsys, "related", "dock/winch.py:7")
    assert found["generation"] == 1
    assert found["place"]["start_line"] == 1
    assert ("dock/winch.py", 1) not in [(hit["path"], hit["start_line"]) for hit in found["results"]]


@pytest.mark.parametrize(("columns", "command"), [(30, "refs"), (100, "grep")])
def test_a_terminal_gets_files_as_headings_and_no_line_too_wide(dock, columns, command):
    lines = drawn(dock, columns, command, "pull")
    assert "dock/mooring.py" in lines
    assert max(len(line) for line in lines) <= columns
    assert any("pull(0)" in line for line in lines), "what is pointed at is seen, however long its line"


def test_a_terminal_gets_the_source_in_colour(dock):
    lines = drawn(dock, 80, "symbol", "pull_all", "--body")
    assert lines[0] == "dock/winch.py:9  method Winch.pull_all"
    assert any("9     def pull_all(self, lines):" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["grep"], 2, "PATTERN"),
        (["grep", ""], 1, "empty"),
        (["grep", "-e", "[a-z"], 1, "at character 5"),
        (["grep", "zzzz"], 1, "nothing found in 6 files"),
        (["grep", "x" * 250_000], 1, "250,000 characters"),
        (["grep", "x", "--root", "missing"], 1, "missing does not exist"),
        (["map", "nowhere/at/all"], 1, "nowhere/at/all"),
        (["map", ".."], 1, "outside"),
        (["map", "x" * 10_000], 1, "not a path"),
        (["map", "--tokens", "3"], 2, "--tokens"),
        (["symbol", " "], 2, "which name?"),
        (["symbol", "x" * 100_000], 1, "nothing is called xxx"),
        (["symbol", "日本語"], 1, "nothing is called"),
        (["refs", ""], 2, "which name?"),
        (["refs", "two words"], 1, "used nowhere"),
        (["refs", "x" * 100_000], 1, "used nowhere"),
        (["refs", "caf\udce9"], 1, "used nowhere"),
        (["related", "dock/winch.py"], 2, "PATH:LINE"),
        (["related", "dock/winch.py:x"], 2, "PATH:LINE"),
        (["related", "dock/winch.py:0"], 1, "has 10 lines"),
        (["related", "dock/winch.py:11"], 1, "has 10 lines"),
        (["related", "dock/none.py:1"], 1, "no such file"),
        (["related", "dock/photo.bin2:1"], 1, "binary"),
        (["related", "../x:1"], 1, "outside"),
        (["related", "dock:1"], 1, "not a regular file"),
        (["related", "x" * 100_000 + ":1"], 1, "not a path"),
        (["related", "a\x00b:1"], 1, "not a path"),
    ],
)
def test_what_cannot_work_is_one_clear_line(dock, capsys, words, code, says):
    assert run_command(words) == code
    printed = capsys.readouterr()
    assert says in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert len(printed.err) < 600


def test_a_file_that_is_not_read_has_nothing_related(dock, capsys):
    (dock / ".gitignore").write_text("hidden.py\n")
    (dock / "hidden.py").write_text("x = 1\n")
    assert run_command(["related", "hidden.py:1"]) == 1
    assert "not in the index" in capsys.readouterr().err
