"""Questions, names, filters: what comes first and why."""

import time
from itertools import pairwise
from pathlib import Path

import pytest

from fireside.index.chunks import Hit
from fireside.index.index import Index
from fireside.index.paths import kinds, matches
from fireside.workspace.workspace import Workspace

LONG = "".join(f"    step_{number} = prepare_cargo(step={number})\n" for number in range(30))
PORT = {
    "port/harbour_master.py": "class HarbourMaster:\n    def assign_berth(self, ship):\n        return self.free[0]\n",
    "port/berths.py": "def assign(ship):\n    # the harbour master calls this\n    return ship\n",
    "port/cargo.py": f"def load_cargo(ship):\n{LONG}    return ship\n",
    "port/Tide.go": "package port\n\nfunc (t *Tide) Height() int { return 1 }\n",
    "tests/test_harbour_master.py": "def test_assign_berth():\n    assert HarbourMaster().assign_berth('ship')\n",
    "vendor/harbour/master.py": "def assign_berth(ship): return ship\n",
    "docs/harbour.md": "# Harbour\n\nThe harbour master assigns a berth to each ship.\n",
}


@pytest.fixture
def port(tmp_path: Path):
    root = tmp_path / "port"
    for path, text in PORT.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    index = Index.open(Workspace(root), tmp_path / "port-index")
    index.update()
    yield index
    index.close()


def first(index: Index, query: str, **filters: object) -> Hit:
    return index.search(query, **filters).hits[0]


@pytest.mark.parametrize(
    "query",
    [
        "assign_berth",
        "HarbourMaster.assign_berth",
        "assignBerth",
        "HarbourMaster::assign_berth()",
        "where is assign_berth defined",
    ],
)
def test_a_name_finds_its_definition_first_and_says_so(port, query):
    hit = first(port, query, path="port")
    assert (hit.chunk.path, hit.chunk.symbol) == ("port/harbour_master.py", "HarbourMaster")
    assert "defines HarbourMaster.assign_berth" in hit.reasons


def test_a_qualified_name_tells_namesakes_apart(port):
    assert first(port, "HarbourMaster.assign_berth").chunk.path == "port/harbour_master.py"
    assert first(port, "Tide.Height").chunk.path == "port/Tide.go"
    assert [symbol.qualified for symbol in port.symbols("HarbourMaster.assign_berth")] == ["HarbourMaster.assign_berth"]
    assert len(port.symbols("assign_berth")) == 2


def test_a_question_finds_the_file_named_for_it_before_tests_vendored_code_and_prose(port):
    ordered = [hit.chunk.path for hit in port.search("how does the harbour master assign a berth to a ship?").hits]
    assert ordered[0] == "port/harbour_master.py"
    assert set(ordered[1:]) >= {"tests/test_harbour_master.py", "vendor/harbour/master.py", "docs/harbour.md"}


def test_tests_come_first_when_the_query_asks_for_them(port):
    assert first(port, "test for assigning a berth").chunk.path == "tests/test_harbour_master.py"


def test_a_hit_tells_which_words_it_has(port):
    assert any(
        reason.startswith("words: ") and "ship" in reason for reason in first(port, "loading a ship with cargo").reasons
    )


def test_neighbouring_chunks_of_one_definition_are_one_hit(port):
    hits = [hit.chunk for hit in port.search("prepare cargo step").hits if hit.chunk.path == "port/cargo.py"]
    source = PORT["port/cargo.py"].split("\n")
    for chunk in hits:
        assert chunk.text == "\n".join(source[chunk.start_line - 1 : chunk.end_line])
    for one, other in pairwise(hits):
        assert one.end_line < other.start_line or other.end_line < one.start_line
    assert max(chunk.end_line - chunk.start_line for chunk in hits) > 25


@pytest.mark.parametrize(
    ("filters", "paths"),
    [
        ({"language": "go"}, {"port/Tide.go"}),
        ({"language": "markdown"}, {"docs/harbour.md"}),
        ({"path": "tests"}, {"tests/test_harbour_master.py"}),
        ({"path": "*.md"}, {"docs/harbour.md"}),
        ({"path": "vendor/**"}, {"vendor/harbour/master.py"}),
        ({"tests": True}, {"tests/test_harbour_master.py"}),
        ({"language": "cobol"}, set()),
    ],
)
def test_filters_leave_only_what_they_name(port, filters, paths):
    found = {hit.chunk.path for hit in port.search("harbour master assign berth ship tide height", **filters).hits}
    assert found == paths


def test_no_tests_means_none(port):
    assert not any("test" in hit.chunk.path for hit in port.search("assign berth", tests=False).hits)


def test_the_limit_is_kept(port):
    assert len(port.search("ship", limit=2).hits) == 2
    assert port.search("ship", limit=0).hits == ()


@pytest.mark.parametrize("query", ["", "   ", "?!,", "zzzzqqqq", "\x00", "日本語", "🚢", "caf\udce9"])
def test_queries_that_find_nothing_are_answered_with_nothing(port, query):
    assert port.search(query).hits == ()
    assert port.symbols(query) == []


@pytest.mark.parametrize("query", ["berth " * 17_000, "a" * 100_000, "a.b" * 33_000, "_" * 100_000, "aB" * 50_000])
def test_a_100_kB_query_is_answered_soon(port, query):
    began = time.monotonic()
    port.search(query)
    assert time.monotonic() - began < 5


def test_scores_fall_and_no_line_is_shown_twice(port):
    hits = port.search("harbour ship berth cargo").hits
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    lines = [(hit.chunk.path, line) for hit in hits for line in range(hit.chunk.start_line, hit.chunk.end_line + 1)]
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("src/app.py", ()),
        ("src/contest.py", ()),
        ("src/latest/app.py", ()),
        ("tests/app.py", ("test",)),
        ("src/app_test.go", ("test",)),
        ("src/app.spec.ts", ("test",)),
        ("src/FooTest.java", ("test",)),
        ("src/Latest.java", ()),
        ("vendor/x.go", ("vendored",)),
        ("types/x.d.ts", ("generated",)),
        ("examples/x.py", ("aside",)),
        ("README.md", ("document",)),
    ],
)
def test_a_path_tells_what_a_file_is(path, expected):
    assert kinds(path) == expected


@pytest.mark.parametrize(
    ("path", "glob", "fits"),
    [
        ("src/a/b.py", "src", True),
        ("src/a/b.py", "./src/", True),
        ("src/a/b.py", "a", True),
        ("src/a/b.py", "b.py", True),
        ("src/a/b.py", "*.py", True),
        ("src/a/b.py", "src/**/*.py", True),
        ("src/a/b.py", "lib", False),
        ("src/a/b.py", "rc", False),
    ],
)
def test_a_glob_names_a_path_a_name_or_a_folder(path, glob, fits):
    assert matches(path, glob) is fits
