"""``fireside eval``: what is asked, what is drawn, and that bad input gets words and no traceback."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from fireside.cli.door import Door, enter
from fireside.cli.evals import eval_command
from fireside.core.errors import FiresideError
from fireside.evals.report import Report, read
from fireside.evals.report import write as write_report

Evaluate = Callable[..., Result]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    lines = "".join(f"value_{number} = compute(value_{number - 1}, {number})\n" for number in range(1, 140))
    (folder / "values.py").write_text(lines)
    return folder


@pytest.fixture
def evaluate(code: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Run ``fireside eval`` in a project where no engine has a model."""
    monkeypatch.chdir(code)
    enter(Door(root=code, flags={"engines.ollama.url": "http://127.0.0.1:9"}))

    def go(*words: object, columns: int = 120) -> Result:
        monkeypatch.setenv("COLUMNS", str(columns))
        result = CliRunner().invoke(eval_command, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, FiresideError | SystemExit):
            raise result.exception
        return result

    return go


def test_without_a_model_copying_is_measured_and_the_results_are_kept(evaluate: Evaluate, tmp_path: Path) -> None:
    result = evaluate("fim-line", "--cases", 10, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "copy" in result.stdout
    assert "n=10" in result.stdout
    (kept,) = read(tmp_path / "out")
    assert (kept.suite, len(kept.outcomes), kept.seed) == ("fim-line", 10, 7)


def test_no_suite_named_means_the_usual_ones_that_can_be_measured(evaluate: Evaluate, tmp_path: Path) -> None:
    evaluate("--cases", 5, "--out", tmp_path / "out")
    assert [kept.suite for kept in read(tmp_path / "out")] == ["fim-line", "fim-syntax"]


def test_results_go_to_a_folder_of_their_own_unless_one_is_named(evaluate: Evaluate, own_home: Path) -> None:
    evaluate("fim-line", "--cases", 3)
    assert len(list(own_home.rglob("results.html"))) == 1


def test_json_is_what_the_file_holds(evaluate: Evaluate, tmp_path: Path) -> None:
    result = evaluate("fim-line", "--cases", 3, "--json", "--out", tmp_path / "out")
    told = msgspec.json.decode(result.stdout.encode(), type=Report)
    assert told.results == read(tmp_path / "out")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_it_is_legible_in_a_terminal_of_any_width(evaluate: Evaluate, tmp_path: Path, columns: int) -> None:
    result = evaluate("fim-line", "--cases", 3, "--out", tmp_path / "out", columns=columns)
    table = [line for line in result.stdout.splitlines() if "n=" in line]
    assert table
    assert all(len(line) <= max(columns, 72) for line in table)


def test_a_model_that_is_named_is_asked(evaluate: Evaluate, code: Path, tmp_path: Path) -> None:
    flags = {"engines.actor.kind": "scripted", "engines.actor.says": '{"findings": []}'}
    enter(Door(root=code, flags=flags))
    result = evaluate("review", "--model", "script@actor", "--cases", 0, "--parallel", 4, "--out", tmp_path / "out")
    assert result.exit_code == 0
    (kept,) = read(tmp_path / "out")
    figures = {score.name: (score.value, score.n) for score in kept.scores}
    assert (figures["found"], figures["false alarm"], figures["valid"]) == ((0.0, 36), (0.0, 36), (100.0, 72))
    assert kept.model == "script@actor"


def test_the_list_names_every_suite(evaluate: Evaluate) -> None:
    lines = evaluate("list").stdout.splitlines()
    assert {line.split()[0] for line in lines} >= {"fim-line", "fim-syntax", "edits", "tools", "review", "latency"}


def test_what_was_kept_is_shown_and_compared(evaluate: Evaluate, tmp_path: Path) -> None:
    for name in ("one", "two"):
        evaluate("fim-line", "--cases", 10, "--out", tmp_path / name)
    assert "copy" in evaluate("show", tmp_path / "one").stdout
    compared = json.loads(evaluate("compare", tmp_path / "one", tmp_path / "two", "--json").stdout)
    assert compared[0]["suite"] == "fim-line"


def test_results_over_different_cases_are_not_compared(evaluate: Evaluate, tmp_path: Path) -> None:
    evaluate("fim-line", "--cases", 10, "--out", tmp_path / "one")
    evaluate("fim-line", "--cases", 10, "--seed", 8, "--out", tmp_path / "two")
    result = evaluate("compare", tmp_path / "one", tmp_path / "two")
    assert isinstance(result.exception, FiresideError)
    assert "different cases" in result.exception.message


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("fim-lime",), "no suite 'fim-lime'"),
        (("latency",), "no model"),
        (("fim-line", "--from", "/no/such/folder"), "does not exist"),
        (("fim-line", "--file", "none.gguf"), "no model file"),
        (("fim-line", "--adapter", "a.gguf"), "--adapter needs"),
        (("fim-line", "--file", "a.gguf", "--url", "http://127.0.0.1:9"), "two models"),
        (("fim-line", "--ray", "local"), "--ray needs --url"),
        (("show", "nothing.json"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_remedy(evaluate: Evaluate, words: tuple[str, ...], told: str) -> None:
    result = evaluate(*words)
    assert isinstance(result.exception, FiresideError)
    assert told in result.exception.message
    assert result.exception.remedy


def test_a_stopped_run_shows_what_is_done_and_says_that_it_was_stopped(evaluate: Evaluate, tmp_path: Path) -> None:
    evaluate("fim-line", "--cases", 10, "--out", tmp_path / "out")
    (kept,) = read(tmp_path / "out")
    half = msgspec.structs.replace(kept, outcomes=kept.outcomes[:4], stopped=True)
    write_report([half], tmp_path / "half")
    assert "4 cases, stopped" in evaluate("show", tmp_path / "half").stdout
