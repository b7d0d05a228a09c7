"""A conversation in a real terminal (a pseudo-terminal): prompt, answer, Ctrl-C, leaving."""

import os
import sys
from pathlib import Path

import pexpect
import pytest

from support.project import scripted


def chat(cwd: Path, *flags: str, columns: int = 80) -> "pexpect.spawn[str]":
    return pexpect.spawn(
        sys.executable,
        ["-m", "fireside", *flags, "chat"],
        cwd=str(cwd),
        env={**os.environ, "OLLAMA_HOST": "127.0.0.1:9", "TERM": "xterm-256color"},
        dimensions=(40, columns),
        encoding="utf-8",
        timeout=20,
    )


def leave(child: "pexpect.spawn[str]") -> None:
    child.send("/quit\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_question_is_answered_and_quit_leaves(harbour: Path):
    child = chat(harbour, *scripted("The berth is **chosen** by length."))
    child.expect("›")
    child.send("how is a berth chosen?\r")
    child.expect("by length")
    child.expect("looked at")
    leave(child)


def test_help_and_an_unknown_command_show_what_there_is(harbour: Path):
    child = chat(harbour)
    child.expect("›")
    child.send("/nonsense\r")
    child.expect("there is no /nonsense")
    child.expect("/model")
    leave(child)


def test_ctrl_c_stops_the_answer_and_keeps_the_conversation(harbour: Path, tmp_path: Path):
    script = tmp_path / "script.json"
    script.write_text(
        '[{"when": "slow", "text": "begun and then a very long answer", "pace": 0.4}, {"text": "second answer"}]'
    )
    child = chat(
        harbour, "--set", "engines.s.kind=scripted", "--set", f"engines.s.script={script}", "--set", "models.chat=@s"
    )
    child.expect("›")
    child.send("be slow\r")
    child.expect("begun")
    child.sendintr()
    child.expect("what was said is kept")
    child.expect("›")
    child.send("again\r")
    child.expect("second answer")
    leave(child)


@pytest.mark.parametrize("columns", [20, 200])
def test_any_width_of_terminal_is_drawn(harbour: Path, columns: int):
    child = chat(harbour, *scripted("Words that wrap."), columns=columns)
    child.expect("›")
    child.send("hello\r")
    child.expect("wrap")
    leave(child)


def test_ctrl_d_leaves(harbour: Path):
    child = chat(harbour)
    child.expect("›")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_download_from_outside_is_asked_about_and_a_no_leaves_nothing(harbour: Path, own_home: Path):
    child = pexpect.spawn(
        sys.executable,
        ["-m", "fireside", "models", "pull", "http://203.0.113.7:9/model.gguf"],
        cwd=str(harbour),
        env=dict(os.environ),
        encoding="utf-8",
        timeout=20,
    )
    child.expect("this once")
    child.send("n\r")
    child.expect("privacy.allow_hosts")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
    assert not list(own_home.rglob("egress.jsonl"))
