"""The command line itself: what it knows, and how an error is drawn."""

import pytest

from fireside import __version__
from fireside.cli import commands
from fireside.cli.commands import COMMANDS, cli, run_command
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


@pytest.mark.parametrize("words", [["--version"], ["-V"]])
def test_the_version_is_told(words: list[str], capsys: pytest.CaptureFixture[str]):
    main(words)
    assert capsys.readouterr().out == f"fireside {__version__}\n"


def test_a_misspelt_command_names_the_closest(capsys: pytest.CaptureFixture[str]):
    assert run_command(["serach", "x"]) == 2
    assert "Did you mean search?" in capsys.readouterr().err


def test_a_question_without_a_command_is_told_how_to_ask(capsys: pytest.CaptureFixture[str]):
    assert run_command(["why", "is", "it", "so?"]) == 2
    assert 'fireside ask "why is it so?"' in capsys.readouterr().err


def test_an_unknown_option_is_a_usage_error_that_names_the_help(capsys: pytest.CaptureFixture[str]):
    assert run_command(["search", "--nonsense", "x"]) == 2
    shown = capsys.readouterr().err
    assert "--nonsense" in shown
    assert "fireside search --help" in shown


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
