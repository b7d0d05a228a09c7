"""``fireside index`` and ``fireside search`` as a user meets them."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fireside.cli.commands import run_command
from fireside.cli.progress import progress_bar
from fireside.index.chunks import Progress

LONG = "".join(f"    moor_line_{number} = winch.pull(line={number}, force='{'x' * 90}')\n" for number in range(30))


def everything(leader: int) -> bytes:
    """What was written to a terminal whose other side is closed."""
    out = b""
    try:
        while chunk := os.read(leader, 65536):
            out += chunk
    except OSError:
        pass
    os.close(leader)
    return out


@pytest.fixture
def dock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "dock"
    (root / "dock").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "dock/mooring.py").write_text(
        f"class Winch:\n    def release(self):\n        return 'free'\n\n\ndef moor(winch):\n{LONG}"
    )
    (root / "dock/notes.lua").write_text("return 'a pelican'\n")
    (root / "dock/photo.dat2").write_bytes(b"\0\1")
    monkeypatch.chdir(root)
    return root


def test_the_first_search_builds_the_index_and_answers(dock, capsys):
    assert run_command(["search", "release", "the", "winch", "--json"]) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert list(answer) == ["query", "results", "generation", "pending", "note"]
    assert (answer["query"], answer["generation"], answer["pending"]) == ("release the winch", 1, 0)
    hit = answer["results"][0]
    assert list(hit) == ["path", "start_line", "end_line", "score", "symbol", "text", "reasons"]
    assert (hit["path"], hit["start_line"]) == ("dock/mooring.py", 1)
    assert hit["text"].startswith("class Winch:")


def test_a_pipe_gets_plain_places_and_text(dock, capsys):
    assert run_command(["search", "Winch.release", "--limit", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("dock/mooring.py:1-3  Winch\nclass Winch:\n")
    assert "\x1b" not in out


@pytest.mark.parametrize("columns", [30, 100])
def test_a_terminal_gets_a_clickable_place_the_symbol_and_no_line_too_wide(dock, columns):
    leader, follower = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "fireside", "search", "moor the winch", "--limit", "2"],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color"},
        cwd=dock,
    )
    os.close(follower)
    out = everything(leader)
    assert done.communicate(timeout=20)[1] == b""
    assert done.returncode == 0
    assert b"\x1b[" in out
    lines = re.sub(r"\x1b\[[0-9;]*m|\r", "", out.decode()).split("\n")
    assert "dock/mooring.py:6  moor" in lines
    assert max(len(line) for line in lines) <= columns


def test_nothing_found_is_no_error(dock, capsys):
    assert run_command(["search", "zzzz"]) == 0
    assert "nothing found in 2 files" in capsys.readouterr().out
    assert run_command(["search", "zzzz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"] == []
    assert run_command(["search", "winch", "--lang", "cobol"]) == 0
    assert "no file here is cobol; there are lua, python" in capsys.readouterr().out


def test_filters_reach_the_index(dock, capsys):
    assert run_command(["search", "a pelican winch", "--json", "--lang", "lua"]) == 0
    assert [hit["path"] for hit in json.loads(capsys.readouterr().out)["results"]] == ["dock/notes.lua"]
    assert run_command(["search", "a pelican winch", "--json", "--path", "*.py", "--limit", "1"]) == 0
    assert [hit["path"] for hit in json.loads(capsys.readouterr().out)["results"]] == ["dock/mooring.py"]
    assert run_command(["search", "winch", "--json", "--tests"]) == 0
    assert json.loads(capsys.readouterr().out)["results"] == []


def test_a_query_of_100_kB_is_answered(dock, capsys):
    assert run_command(["search", "winch " * 17_000, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"]


@pytest.fixture
def shop(dock: Path) -> Path:
    root = dock.parent / "shop"
    root.mkdir()
    (root / "winch.py").write_text("def winch(price):\n    return price\n")
    return root


def test_several_roots_are_one_answer_and_each_hit_says_where_it_is_from(dock, shop, capsys):
    words = ["search", "release the winch", "--root", str(dock), "--root", str(shop)]
    assert run_command([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == ["query", "results", "generation", "pending", "note", "roots"]
    assert (answer["results"][0]["root"], answer["results"][0]["path"]) == ("dock", "dock/mooring.py")
    assert {hit["root"] for hit in answer["results"]} == {"dock", "shop"}
    assert [(one["root"], one["folder"], one["generation"], one["pending"]) for one in answer["roots"]] == [
        ("dock", str(dock), 1, 0),
        ("shop", str(shop), 1, 0),
    ]
    assert run_command([*words, "--limit", "1"]) == 0
    assert capsys.readouterr().out.startswith("[dock] dock/mooring.py:1-3  Winch\n")
    assert run_command(["search", "winch(price)", "--root", str(dock), "--root", str(shop), "--limit", "1"]) == 0
    assert capsys.readouterr().out.startswith("[shop] winch.py:1-2  winch\n")


def test_a_definition_comes_first_whichever_root_it_is_in(dock, shop, capsys):
    assert run_command(["search", "Winch.release", "--json", "--root", str(shop), "--root", str(dock)]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["root"] == "dock"


def test_one_of_several_roots_that_is_missing_is_said(dock, capsys):
    assert run_command(["search", "winch", "--root", str(dock), "--root", "missing"]) == 1
    assert "missing does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["search", ""], 2, "search what?"),
        (["search", "   "], 2, "search what?"),
        (["search"], 2, "search what?"),
        (["search", "x", "--root", "missing"], 1, "missing does not exist"),
        (["search", "x", "--root", "dock/mooring.py"], 1, "is not a folder"),
        (["search", "x", "--limit", "0"], 2, "--limit"),
        (["search", "x", "--limit", "many"], 2, "--limit"),
        (["index", "missing"], 1, "missing does not exist"),
    ],
)
def test_what_cannot_work_is_one_clear_line(dock, capsys, words, code, says):
    assert run_command(words) == code
    printed = capsys.readouterr()
    assert says in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_the_report_says_what_was_read_and_what_was_not(dock, capsys):
    assert run_command(["index"]) == 0
    out = capsys.readouterr().out
    assert "2 files" in out
    assert "2 new" not in out.splitlines()[1]
    for part in ("3 new", "python 1", "lua 1", "1 binary", "generation 1", "want of a grammar"):
        assert part in out
    assert run_command(["index"]) == 0
    assert "nothing has changed" in capsys.readouterr().out


def test_the_report_as_json(dock, capsys):
    assert run_command(["index", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["files"], first["fell_back"], first["skipped"]) == (2, {"lua": 1}, {"binary": 1})
    assert run_command(["index", "--json", "--rebuild"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["added"], again["generation"]) == (3, 2)


def test_an_index_that_was_thrown_away_is_mentioned(dock, capsys):
    run_command(["index"])
    database = next(Path(os.environ["FIRESIDE_HOME"]).rglob("index.db"))
    database.write_bytes(b"no database " * 1_000)
    capsys.readouterr()
    assert run_command(["search", "winch"]) == 0
    printed = capsys.readouterr()
    assert "damaged" in printed.err
    assert "dock/mooring.py" in printed.out


def test_progress_is_drawn_on_a_terminal_only(capsys):
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal, progress_bar(terminal) as progress:
        progress(Progress(1, 2, "dock/mooring.py"))
    assert b"reading" in everything(leader)
    with progress_bar() as progress:
        progress(Progress(1, 2, "dock/mooring.py"))
    assert capsys.readouterr().err == ""
