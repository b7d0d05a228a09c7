"""Several projects, one ranking."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from fireside.context.project import Project
from fireside.context.roots import Roots
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace

HARBOUR = {
    "berths.py": "def allocate_berth(ship, tide):\n    # choose a berth by the height of the tide\n    return ship\n",
    "tides.py": "class TideTable:\n    def height(self, hour):\n        return hour\n",
    "notes.py": "def run(x):\n    # a pilot boards the ship when the tide turns\n    return x\n",
}
SHOP = {
    "prices.py": "def total(basket):\n    # the height of the price\n    return sum(basket)\n",
    "tax.py": "def tax(price):\n    return price * 2\n",
    "ship.py": "def ship(parcel):\n    return parcel\n",
    "table.py": "class Table:\n    def height(self):\n        return 1\n",
}


def write(root: Path, files: Mapping[str, str]) -> Project:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    workspace = Workspace(root)
    return Project(workspace, Index.open(workspace, root.parent / f"{root.name}-index"))


@pytest.fixture
def roots(tmp_path: Path):
    made = Roots([write(tmp_path / "shop", SHOP), write(tmp_path / "harbour", HARBOUR)])
    made.update()
    yield made
    made.close()


@pytest.mark.parametrize(
    "query", ["when does a pilot board the ship", "pilot of the ship", "turn the ship with the tide"]
)
def test_a_project_that_has_nothing_on_the_subject_is_not_on_top(roots, query):
    shop, harbour = (project.search(query).hits[0].score for project in roots.projects)
    assert shop > harbour, "by itself each project is sure of its best answer: a shop ships parcels"
    result = roots.search(query)
    assert result.hits[0].hit.chunk.path == "notes.py"
    assert "shop" in {one.root for one in result.hits}
    assert result.roots[1].covered > 0.7 > 0.4 > result.roots[0].covered


def test_each_projects_own_order_stays(roots):
    query = "height of the tide table"
    merged = roots.search(query, limit=50).hits
    for project, name in zip(roots.projects, roots.names, strict=True):
        own = [hit.chunk for hit in project.search(query, limit=50).hits]
        assert [one.hit.chunk for one in merged if one.root == name] == own
    scores = [one.score for one in merged]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    "query", ["TideTable.height", "TideTable::height()", "tide_table.height", "allocate_berth", "allocateBerth"]
)
def test_a_name_finds_its_definition_first_in_whichever_project_it_is(roots, query):
    first = roots.search(query).hits[0]
    assert first.root == "harbour"
    assert any(reason.startswith("defines") for reason in first.hit.reasons)


def test_a_name_defined_in_both_finds_both_definitions_first(roots):
    hits = roots.search("height").hits
    assert {one.root for one in hits[:2]} == {"shop", "harbour"}
    assert all("defines" in one.hit.reasons[0] for one in hits[:2])


def test_filters_and_limit_hold_over_all(roots):
    assert [one.hit.chunk.path for one in roots.search("height", path="table.py").hits] == ["table.py"]
    assert len(roots.search("ship price height", limit=2).hits) == 2


def test_one_root_answers_as_its_project_does(tmp_path):
    roots = Roots([write(tmp_path / "harbour", HARBOUR)])
    roots.update()
    own = roots.projects[0].search("berth by tide")
    result = roots.search("berth by tide")
    assert [(one.hit, one.score) for one in result.hits] == [(hit, hit.score) for hit in own.hits]
    assert [(one.generation, one.pending) for one in result.roots] == [(1, 0)]
    roots.close()
    roots.close()


def test_a_root_given_twice_counts_once_and_one_inside_another_is_not_shown_twice(tmp_path):
    whole = write(tmp_path / "port", {f"sub/{path}": text for path, text in HARBOUR.items()})
    part = Project(
        Workspace(tmp_path / "port/sub"), Index.open(Workspace(tmp_path / "port/sub"), tmp_path / "sub-index")
    )
    again = Project(whole.workspace, whole.index)
    roots = Roots([whole, part, again])
    roots.update()
    assert roots.names == ["port", "sub"]
    places = [
        (one.folder / one.hit.chunk.path, one.hit.chunk.start_line) for one in roots.search("berth ship tide").hits
    ]
    assert len(places) == len(set(places)) > 1
    roots.close()


def test_roots_called_alike_are_told_apart(tmp_path):
    roots = Roots([write(tmp_path / "a/app", SHOP), write(tmp_path / "b/app", HARBOUR), write(tmp_path / "c", SHOP)])
    assert roots.names == ["a/app", "b/app", "c"]
    roots.close()


@pytest.mark.parametrize("query", ["", "   ", "?!,", "zzzzqqqq", "日本語", "caf\udce9"])
def test_questions_about_nothing_are_answered_with_nothing(roots, query):
    assert roots.search(query).hits == ()


def test_a_question_of_100_kB_is_answered(roots):
    assert roots.search("berth tide " * 9_000).hits[0].root == "harbour"


def test_every_root_tells_its_generation_and_what_is_pending(roots):
    (roots.projects[1].root / "new.py").write_text("def new_quay(): ...\n")
    roots.projects[1].update()
    assert [(one.root, one.generation, one.pending) for one in roots.search("quay").roots] == [
        ("shop", 1, 0),
        ("harbour", 2, 0),
    ]
