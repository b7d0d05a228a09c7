"""What the pages say about settings is so: every example fits, every setting they name is there."""

import re
from pathlib import Path

import pytest

from fireside.cli.commands import run_command

PAGES = [*sorted(Path(__file__).parents[2].glob("docs/*.md")), Path(__file__).parents[2] / "README.md"]
EXAMPLES = [(page.name, block) for page in PAGES for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.S)]
CHANGES = [
    (page.name, key)
    for page in PAGES
    for key in re.findall(r"fireside config (?:set|unset|get) ([a-z_.]+)", page.read_text())
]


def test_there_are_examples():
    assert len(EXAMPLES) >= 7
    assert len(CHANGES) >= 5


@pytest.mark.parametrize(("page", "example"), EXAMPLES)
def test_an_example_of_settings_fits(page: str, example: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "config.toml"
    file.write_text(example)
    assert run_command(["config", "validate", str(file)]) == 0, f"{page}: {capsys.readouterr().err}"


@pytest.mark.parametrize(("page", "key"), CHANGES)
def test_a_setting_that_is_named_is_there(page: str, key: str, capsys: pytest.CaptureFixture[str]):
    code, said = run_command(["config", "get", key]), capsys.readouterr()
    assert code == 0 or "is not set" in said.err, f"{page}: {said.err}"


def test_the_settings_named_in_passing_are_there(capsys: pytest.CaptureFixture[str]):
    named = {
        key for page in PAGES for key in re.findall(r"`((?:gateway|privacy)\.[a-z_]+)(?: = [^`]+)`", page.read_text())
    }
    assert named
    for key in named:
        assert run_command(["config", "get", key]) == 0, capsys.readouterr().err
