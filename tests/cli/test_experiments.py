"""The experiments commands, on a configuration of their own."""

import json
import os
import tomllib
from pathlib import Path

import pytest

from fireside.cli.commands import run_command
from fireside.config.paths import Paths

TRIAL = """
[models]
chat = "m"  # since ever

[gateway.experiments.trial]
alias = "chat"

[gateway.experiments.trial.arms]
old = { model = "m", weight = 3 }
new = { model = "n@gpu" }
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run one command line; returns its exit code, output and errors. ``config``: the user's file."""
    monkeypatch.setenv("FIRESIDE_HOME", str(tmp_path))
    config = Paths.from_environment(os.environ).config / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(TRIAL)

    class House:
        file = config

        def run(self, *words: str) -> tuple[int, str, str]:
            code = run_command(["experiments", *words])
            captured = capsys.readouterr()
            return code, captured.out, captured.err

        def settings(self) -> dict[str, object]:
            return tomllib.loads(config.read_text())

    return House()


def test_experiments_are_listed_and_shown(house):
    assert house.run() == (0, "trial: chat is old 75%, new 25%\n", "")
    assert house.run("list")[1] == house.run()[1]
    shown = house.run("show", "trial")[1]
    assert "n@gpu" in shown
    assert "sticky  key" in shown
    told = json.loads(house.run("show", "trial", "--json")[1])
    assert told["arms"][1] == {"arm": "new", "model": "n@gpu", "share": 0.25}
    assert json.loads(house.run("list", "--json")[1])["promoted"] == {}


def test_a_promotion_is_written_and_can_be_taken_back(house):
    code, out, _ = house.run("promote", "trial", "new")
    assert (code, out) == (0, f"chat is now n@gpu (in {house.file})\n")
    settings = house.settings()
    assert settings["models"] == {"chat": "n@gpu"}
    assert "trial" not in settings["gateway"].get("experiments", {})
    assert "# since ever" in house.file.read_text()
    assert "trial: decided for new" in house.run("list")[1]

    assert house.run("rollback", "trial") == (0, "chat is m again\n", "")
    assert house.settings()["models"] == {"chat": "m"}
    assert "no experiments" in house.run("list")[1]


def test_an_experiment_that_runs_can_be_ended_undecided(house):
    assert house.run("rollback", "trial") == (0, "chat is m again\n", "")
    assert house.settings()["models"] == {"chat": "m"}


def test_names_that_are_none_are_refused_with_what_there_is(house):
    code, _, err = house.run("promote", "trial", "newest")
    assert code != 0
    assert "it has old, new" in err
    for words in (("show", "other"), ("rollback", "other"), ("promote", "other", "new")):
        code, _, err = house.run(*words)
        assert code != 0
        assert "no experiment other" in err
