"""What the pages say about settings is so: every example fits, every setting they name is there."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import msgspec
import pytest

from fireside.agent.settings import AgentSettings
from fireside.app.serving import ServerSettings
from fireside.assist.settings import AssistSettings
from fireside.cli.commands import run_command
from fireside.gateway.settings import GatewaySettings
from fireside.index.settings import IndexSettings
from fireside.records.settings import AuditSettings, RecordsSettings
from fireside.training import recipe
from fireside.training.recipe import STAGES

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md"]
# Where every figure stands beside the command that prints it.
MEASURED = ("benchmarks.md", "search.md", "edits.md")
# The page of other people's clients shows their settings; tests/clients uses each of them.
OTHERS = ("clients.md",)
EXAMPLES = [
    (page.name, block)
    for page in PAGES
    if page.name not in OTHERS
    for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.S)
]
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
    tables = tomllib.loads(example)
    if tables and set(tables) <= {*STAGES, "name", "about", "seed", "work"}:
        assert recipe.made(tables, page).stages  # of a recipe, then
        return
    file = tmp_path / "config.toml"
    file.write_text(example)
    assert run_command(["config", "validate", str(file)]) == 0, f"{page}: {capsys.readouterr().err}"


@pytest.mark.parametrize(("page", "key"), CHANGES)
def test_a_setting_that_is_named_is_there(page: str, key: str, capsys: pytest.CaptureFixture[str]):
    code, said = run_command(["config", "get", key]), capsys.readouterr()
    assert code == 0 or "is not set" in said.err, f"{page}: {said.err}"


def test_the_settings_named_in_passing_are_there(capsys: pytest.CaptureFixture[str]):
    named = {
        key
        for page in PAGES
        for key in re.findall(
            r"`((?:assist|gateway|privacy|server|records|audit)\.[a-z_]+)(?: = [^`]+)`", page.read_text()
        )
    }
    assert named
    for key in named:
        assert run_command(["config", "get", key]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "table",
    [
        AgentSettings,
        AssistSettings,
        GatewaySettings,
        IndexSettings,
        ServerSettings,
        RecordsSettings,
        AuditSettings,
    ],
)
def test_settings_are_told_with_their_defaults(table: type):
    page = (ROOT / "docs/configuration.md").read_text()
    prefix = table.__name__.removesuffix("Settings").lower()
    untold = []
    for name, value in msgspec.structs.asdict(table()).items():
        text = shown(value)
        if not re.search(rf"^\| `{prefix}\.{name}` \| `?{re.escape(text)}`? \|", page, re.MULTILINE):
            untold.append(f"{prefix}.{name} = {text}")
    assert untold == []


def shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value == "":
        return "empty"
    if value is None or value in ({}, ()):
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_floor_plan_names_every_module():
    plan = (ROOT / "docs/architecture.md").read_text().split("```")[1].split()
    modules = [path for path in (ROOT / "src/fireside").glob("*/*") if path.suffix == ".py" or path.is_dir()]
    names = {
        path: f"{path.name}/" if path.is_dir() else path.stem for path in modules if not path.name.startswith("__")
    }
    assert len(names) > 150
    unnamed = [str(path) for path, name in names.items() if not any(fnmatch(name, each) for each in plan)]
    assert unnamed == []


def test_a_figure_in_the_readme_stands_where_it_was_measured():
    measured = " ".join((ROOT / "docs" / page).read_text() for page in MEASURED)
    compared = (ROOT / "README.md").read_text().partition("## How good")[2]
    figures = re.findall(r"(?<![\w.])\d*\.\d+", compared)
    assert len(figures) >= 10
    assert [each for each in figures if not re.search(rf"(?<![\w.]){re.escape(each)}(?!\d)", measured)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_to_a_page_and_a_heading_that_are_there(page: Path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        place, _, heading = target.partition("#")
        other = page.parent / place if place else page
        if "://" not in target and not (other.exists() and (not heading or heading in headings(other))):
            broken.append(target)
    assert broken == []


def headings(page: Path) -> list[str]:
    """The anchors of a page, as the usual renderers make them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found]
