"""The command line itself: what it knows, and how an error is drawn."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from fireside import __version__
from fireside.cli import commands
from fireside.cli.commands import COMMANDS, cli, run_command
from fireside.cli.door import read_project, run
from fireside.cli.main import main


def test_every_command_in_the_table_is_there_and_explains_itself():
    for name in COMMANDS:
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        assert command.help


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    assert run_command(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("name", ["edit", "models", "config"])
def test_a_command_that_needs_another_shows_which_there_are(name: str, capsys: pytest.CaptureFixture[str]):
    assert run_command([name]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "\nCommands:\n  " in shown.err


@pytest.mark.parametrize("words", [["--version"], ["-V"]])
def test_the_version_is_told(words: list[str], capsys: pytest.CaptureFixture[str]):
    main(words)
    assert capsys.readouterr().out == f"fireside {__version__}\n"


def test_a_misspelt_command_names_the_closest(capsys: pytest.CaptureFixture[str]):
    assert run_command(["compleet", "x"]) == 2
    assert "Did you mean complete" in capsys.readouterr().err


def test_a_question_without_a_command_is_told_how_to_ask(capsys: pytest.CaptureFixture[str]):
    assert run_command(["why", "is", "it", "so?"]) == 2
    assert 'fireside ask "why is it so?"' in capsys.readouterr().err


def test_an_unknown_option_is_a_usage_error_that_names_the_help(capsys: pytest.CaptureFixture[str]):
    assert run_command(["search", "--nonsense", "x"]) == 2
    shown = capsys.readouterr().err
    assert "--nonsense" in shown
    assert "fireside search --help" in shown


@pytest.mark.parametrize("words", [["search", "erase"], ["map"], ["index"]])
def test_a_setting_for_this_run_counts_where_no_model_is_asked_too(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert run_command(["--set", "index.nonsense=1", *words]) == 1
    assert "index.nonsense" in capsys.readouterr().err


def test_set_takes_a_key_and_a_value(capsys: pytest.CaptureFixture[str]):
    assert run_command(["--set", "agent.excerpts", "config", "show"]) == 2
    assert "KEY=VALUE" in capsys.readouterr().err


def test_an_unexpected_fault_is_one_line_and_debug_shows_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a fault\nover two lines")

    monkeypatch.setattr(commands.cli, "main", broken)
    assert run_command(["doctor"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: unexpected ZeroDivisionError: a fault over two lines\n")
    assert "--debug" in shown
    with pytest.raises(ZeroDivisionError):
        run_command(["doctor", "--debug"])


def test_ctrl_c_ends_with_its_own_code(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands.cli, "main", interrupted)
    assert run_command(["doctor"]) == 130
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed_for(shell: str, capsys: pytest.CaptureFixture[str]):
    assert run_command(["completion", shell]) == 0
    assert "_FIRESIDE_COMPLETE" in capsys.readouterr().out


def test_a_shell_without_completion_is_told_which_have_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert run_command(["completion"]) == 1
    assert "fireside completion bash" in capsys.readouterr().err


COMMAND = (sys.executable, "-m", "fireside.cli.main")


@pytest.mark.parametrize("words", [["completion", "bash"], ["--help"], ["--version"], ["config", "show"]])
def test_a_reader_that_has_gone_is_no_fault(words: list[str], tmp_path: Path):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, *words], stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["completion", "bash"], ["--help"], ["--version"]])
def test_a_full_disk_under_the_output_is_said_in_one_line(words: list[str], tmp_path: Path):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].endswith(b"the disk is full, or what the output goes to")


def test_what_the_output_cannot_show_becomes_a_question_mark(monkeypatch: pytest.MonkeyPatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert run_command(["--help"]) == 0
    print("\u00b7")
    out.flush()
    assert out.buffer.getvalue().endswith(b"?\n")  # type: ignore[attr-defined]


def test_ctrl_c_before_the_commands_are_loaded_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    class Stopping:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "fireside.cli.commands":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "fireside.cli.commands")
    monkeypatch.setattr(sys, "meta_path", [Stopping(), *sys.meta_path])
    with pytest.raises(SystemExit) as leaving:
        main(["doctor"])
    assert leaving.value.code == 130
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.parametrize("words", [["ask", "what"], ["config", "show"], ["search", "x"], ["doctor"]])
def test_a_root_that_is_no_folder_is_refused_before_anything_is_read(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "a.py"
    file.write_text("x = 1\n")
    assert run_command(["--root", str(file), *words]) == 1
    assert capsys.readouterr().err == f"error: {file} is not a folder\n  try: name the project's folder\n"


def test_an_error_is_one_line_whatever_was_typed(capsys: pytest.CaptureFixture[str]):
    commands.draw_error(commands.FiresideError("there is no model a\nb", remedy="fireside models list"))
    assert capsys.readouterr().err == "error: there is no model a b\n  try: fireside models list\n"


def test_ctrl_c_while_reading_the_project_stops_at_once_inside_an_event_loop():
    class Slow:
        def update(self, _: object) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("Ctrl-C was only noted")

    async def work() -> None:
        read_project(Slow())  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        run(work())


@pytest.mark.parametrize("variable", ["NO_COLOR=1", "TERM=dumb"])
@pytest.mark.parametrize("words", ["nonsense", "doctor --root", "completion", "--root /nowhere-at-all search x"])
def test_no_colour_reaches_a_terminal_that_wants_none(variable: str, words: str, tmp_path: Path):
    name, _, value = variable.partition("=")
    environ = {**os.environ, "SHELL": "/bin/tcsh", name: value}
    shown, code = pexpect.run(
        f"{sys.executable} -m fireside.cli.main {words}",
        cwd=str(tmp_path),
        env=environ,  # type: ignore[arg-type]
        withexitstatus=True,
    )
    assert code != 0
    assert b"error: " in shown
    assert b"\x1b[" not in shown
