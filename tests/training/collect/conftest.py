"""Repositories made with git, and a stage that runs on them."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fireside.training.collect.settings import CollectSettings
from fireside.training.collect.stage import Collect
from fireside.training.rows import Row, read
from fireside.training.stages import Desk, Manifest, perform

MODULE = '''"""Sums of {name}."""


def total_{name}(values, start=0):
    """Add up the values of {name}, beginning at start."""
    result = start
    for value in values:
        result += value * {number}
    return result


class Counter{number}:
    """Counts how often each {name} has been seen."""

    def __init__(self):
        self.seen = {{}}

    def add_{name}(self, key):
        self.seen[key] = self.seen.get(key, 0) + {number}
        return self.seen[key]
'''


Run = Callable[..., str]


def run_git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def git() -> Run:
    """git(folder, *arguments): what the command writes."""
    return run_git


@pytest.fixture
def commit(git: Run) -> Callable[[Path, str], None]:
    """commit(folder, message): everything that is there."""

    def make(folder: Path, message: str) -> None:
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", message)

    return make


@pytest.fixture
def repository(tmp_path: Path, git: Run, commit: Callable[[Path, str], None]) -> Path:
    """Three modules, one of them changed twice; a test, a licence, and what nobody may read."""
    folder = tmp_path / "ships"
    (folder / "src").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for number, name in enumerate(("apples", "boats", "clouds"), 3):
        (folder / f"src/{name}.py").write_text(MODULE.format(name=name, number=number))
    (folder / "LICENSE").write_text(Path(__file__).parents[3].joinpath("LICENSE").read_text())
    (folder / ".gitignore").write_text("built/\n")
    commit(folder, "Begin")
    boats = folder / "src/boats.py"
    boats.write_text(boats.read_text().replace("result = start\n", "result = start or 0\n"))
    commit(folder, "Count from nothing when no start is given\n\nSigned-off-by: Ada <ada@example.org>")
    boats.write_text(boats.read_text().replace("    return result\n", "    return round(result, 2)\n"))
    commit(folder, "Round the total to cents")
    return folder


@pytest.fixture
def collected(tmp_path: Path) -> Callable[..., tuple[Manifest, list[Row]]]:
    """Run the stage: its manifest and its rows."""

    def run(work: str = "work", **settings: Any) -> tuple[Manifest, list[Row]]:
        desk = Desk(tmp_path / work, "collect", smoke=settings.pop("smoke", False))
        desk.work.mkdir(exist_ok=True)
        stage = Collect(CollectSettings(**{"workers": 1, **settings}))
        manifest, _ = perform(stage, desk)
        return manifest, list(read(desk.folder / "shards"))

    return run
