"""``fireside index`` and ``fireside index eval`` as a user meets them."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fireside.cli.commands import run_command
from support.project import write_project


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = write_project(tmp_path / "port")
    monkeypatch.chdir(root)
    return root


def test_what_changes_is_read_as_it_changes_until_ctrl_c(port):
    command = [sys.executable, "-m", "fireside", "index", "--watch", "--json"]
    watcher = subprocess.Popen(command, cwd=port, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    guard = threading.Timer(30, watcher.kill)
    guard.start()
    assert watcher.stdout is not None
    assert watcher.stderr is not None
    with watcher, watcher.stdout, watcher.stderr:
        first = json.loads(watcher.stdout.readline())
        assert (first["added"], first["generation"]) == (4, 1)
        assert watcher.stderr.readline().startswith(f"watching {port}, ")
        (port / "harbour/pilots.py").write_text("def assign_pilot(): pass\n")
        second = json.loads(watcher.stdout.readline())
        assert (second["added"], second["files"], second["generation"]) == (1, 5, 2)
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(timeout=10) == 0
        assert watcher.stdout.read() == watcher.stderr.read() == ""
    guard.cancel()


def test_the_worth_of_every_signal_is_told(port, capsys):
    assert run_command(["index", "eval"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert lines[0].startswith("spans: 1 questions, made of documentation comments, over port; 4 files")
    assert lines[1].split()[:3] == ["signal", "ndcg10", "hit5"]
    assert lines[2].startswith("all")
    assert any(line.startswith("no effect on any of these questions: ") for line in lines)
    assert "words alone" in printed.out


def test_the_table_as_json_has_every_signal(port, capsys):
    assert run_command(["index", "eval", ".", "--json", "--strict"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["worse"] == {"spans": []}
    (table,) = found["tables"]
    assert {"all", "stem", "penalties: test", "words alone"} <= {row["name"] for row in table["rows"]}
    assert set(table["languages"]) == {"python"}
    assert table["rows"][0]["questions"] == 1


def test_measuring_leaves_no_index_behind(port, capsys):
    run_command(["index", "eval"])
    assert not list(Path(os.environ["FIRESIDE_HOME"]).rglob("index.db"))


def test_strict_fails_when_a_signal_makes_it_worse(port, capsys):
    # Each question is answered by code that shares its words; the file named for it only quotes one of them.
    lines = []
    for number, word in enumerate(["anchor", "ballast", "capstan", "davit", "ensign", "fender"]):
        (port / f"part_{number}.py").write_text(
            f"def act_{number}(load):\n    heave({word}, load)\n    return {word} * load\n"
        )
        (port / f"{word}.py").write_text(f"def other_{number}(load):\n    return {word} + 1\n")
        lines.append(json.dumps({"query": f"heave {word}", "targets": [{"path": f"part_{number}.py"}]}))
    (port / "queries.jsonl").write_text("\n".join(lines))
    assert run_command(["index", "eval", "--strict"]) == 1
    assert "makes queries worse: " in capsys.readouterr().out
    assert run_command(["index", "eval"]) == 0


def test_a_target_that_is_not_there_is_told_and_counts_as_missed(port, capsys):
    (port / "queries.jsonl").write_text(json.dumps({"query": "tide", "targets": [{"path": "sunk.py"}]}))
    assert run_command(["index", "eval"]) == 0
    assert "1 targets are not in the index and count as missed: sunk.py" in capsys.readouterr().err


def test_a_folder_called_eval_is_read_when_it_is_named_as_one(port, capsys):
    (port / "eval").mkdir()
    (port / "eval/score.py").write_text("def score(): pass\n")
    assert run_command(["index", "./eval"]) == 0
    assert "eval: 1 files" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["missing"], 1, "missing does not exist"),
        (["README.md"], 1, "is not a folder"),
        (["--set", "lines"], 2, "--set"),
        (["--set", "files"], 1, "no such set"),
        (["--repo", "other"], 1, "there are: port"),
        (["--checkouts", "missing"], 1, "missing does not exist"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(port, capsys, words, code, says):
    assert run_command(["index", "eval", *words]) == code
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.out == ""
    assert "Traceback" not in printed.err


def test_help_names_the_measuring(port, capsys):
    assert run_command(["index", "--help"]) == 0
    assert "fireside index eval DIR" in capsys.readouterr().out
    assert run_command(["index", "eval", "--help"]) == 0
    assert "--strict" in capsys.readouterr().out
