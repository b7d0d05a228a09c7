"""What stands beside the code: locked requirements, one version, documents that name only what exists."""

import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

import fireside
from support.source import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
FOLDERS = ("src", "tests", "docs", "benchmarks", "requirements", ".ci")
# Written in two pieces, so that this file does not find itself.
MACHINE = re.compile(r"(?<![\w.$}~*])/(?:" + "|".join(("work", "root", "home")) + r")/[\w.]|/opt/(?:py" "pi|whe" "els)")
COMMAND = re.compile(r"(?:^|[`$(|])\s*fireside((?:[ ]+[a-z][a-z-]*)+)", re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_and_hashed(lock):
    entries = re.split(r"\n(?=\S)", _uncommented(lock.read_text()))
    loose = [entry.splitlines()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry]
    assert entries
    assert loose == []


@pytest.mark.parametrize("file", sorted((ROOT / "requirements").iterdir()), ids=lambda file: file.name)
def test_no_requirement_names_a_download_address(file):
    text = file.read_text()
    assert (
        re.findall(r"\w+://|--(?:extra-)?index-url(?!\s+--)|--trusted-host\s+\S+|--find-links\s+\S+|@ \S+:", text) == []
    )


def test_locks_agree_with_each_other():
    """Tests and extras are installed over the base, so a package named twice must be the same version twice."""
    pins: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", lock.read_text(), re.MULTILINE):
            pins.setdefault(name.lower(), set()).add(version)
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}


def test_every_dependency_is_in_the_base_lock():
    locked = set(re.findall(r"^([a-z0-9_.-]+)==", (ROOT / "requirements/base.txt").read_text(), re.MULTILINE))
    named = [re.split(r"[<>=\[ ]", entry)[0].lower().replace("_", "-") for entry in _project()["dependencies"]]
    assert [name for name in named if name not in locked] == []


def test_the_base_lock_holds_no_torch():
    assert not re.search(
        r"^(torch|transformers|nvidia-.*)==", (ROOT / "requirements/base.txt").read_text(), re.MULTILINE
    )


def test_the_version_is_the_same_everywhere():
    assert _project()["version"] == fireside.__version__


def test_no_file_holds_a_path_of_one_machine():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in _files()
        for number, line in enumerate(_text(path).splitlines(), start=1)
        if MACHINE.search(line)
    ]
    assert found == []


def test_every_entry_point_exists():
    targets = [*_project()["scripts"].values(), *_project()["entry-points"]["fireside.engines"].values()]
    missing = []
    for target in targets:
        module, _, name = target.partition(":")
        if not hasattr(import_module(module), name):
            missing.append(target)
    assert missing == []


def test_documents_name_only_commands_that_exist():
    from fireside.cli.commands import cli

    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    unknown = [
        f"{page.relative_to(ROOT)}: fireside{words}"
        for page in pages
        for words in COMMAND.findall(page.read_text(encoding="utf-8"))
        if not _exists(cli, words.split())
    ]
    assert unknown == []


def _exists(command: click.Command, words: list[str]) -> bool:
    """Whether the first word is a command, and the second too where the first is a group; the rest are arguments."""
    if not isinstance(command, click.Group) or not words:
        return True
    child = command.get_command(click.Context(command), words[0])
    return child is not None and _exists(child, words[1:])


def _project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _uncommented(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def _files() -> Iterator[Path]:
    yield from (path for path in ROOT.iterdir() if path.is_file())
    for folder in FOLDERS:
        yield from (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""
