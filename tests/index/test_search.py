"""Questions, names, filters: what comes first and why."""

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fireside.index.chunks import Hit
from fireside.index.embed import Embedding
from fireside.index.embedder import Embedder
from fireside.index.index import Index
from fireside.index.paths import kinds, matches
from fireside.index.rank import Weights
from fireside.index.related import related
from fireside.index.static import StaticEmbedder, load
from fireside.index.store import Store
from fireside.index.vectors_numpy import NumpyVectors
from fireside.workspace.workspace import Workspace
from support.embedders import HashingEmbedder

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


# --- by meaning


ROWS = {
    "store/rows.py": 'def delete_row(table, number):\n    """Delete one row."""\n    del table[number]\n',
    "app/auth.py": "def authenticate(user, password):\n"
    '    """Check the credentials of a user."""\n    return hash(password) == user.digest\n',
    "app/colour.py": "def mix(red, blue):\n    return (red + blue) / 2\n",
    "app/net.py": 'def connect(host, port):\n    """Open a socket to a server."""\n    return create_connection((host, port))\n',
}


@pytest.fixture(scope="module")
def shipped() -> StaticEmbedder:
    return load()


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Callable[[Mapping[str, str], Embedder], Index]]:
    opened: list[Index] = []

    def open_one(files: Mapping[str, str], embedder: Embedder) -> Index:
        for path, text in files.items():
            (tmp_path / "asked" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "asked" / path).write_text(text)
        opened.append(Index.open(Workspace(tmp_path / "asked"), tmp_path / "asked-index", Embedding(embedder)))
        opened[-1].update(most_vectors=None)
        return opened[-1]

    yield open_one
    for index in opened:
        index.close()


def found_in(index: Index, query: str, **filters: object) -> list[str]:
    return [hit.chunk.path for hit in index.search(query, **filters).hits]


@pytest.mark.parametrize(
    ("query", "path"), [("remove", "store/rows.py"), ("remove a record", "store/rows.py"), ("login", "app/auth.py")]
)
def test_a_synonym_is_found_by_its_meaning_and_says_so(asked, shipped, query, path):
    hit = first(asked(ROWS, shipped), query)
    assert hit.chunk.path == path
    assert hit.reasons == ("its meaning",)
    assert hit.score > 0


@pytest.mark.parametrize(
    "query", ["boil an egg", "weather in Paris tomorrow", "recipe for onion soup", "zzqx vrrb", "日本語"]
)
def test_on_another_subject_nothing_is_found(asked, shipped, query):
    assert asked(ROWS, shipped).search(query).hits == ()


def test_words_that_the_embedder_does_not_know_are_found_as_words(asked, shipped):
    index = asked(ROWS | {"x.py": "def zzqxvrrb():\n    return 1\n"}, shipped)
    hit = first(index, "zzqxvrrb")
    assert hit.chunk.path == "x.py"
    assert "its meaning" not in hit.reasons


@pytest.mark.parametrize("query", ["remove " * 14_000, "r" * 100_000, "remove" + " " * 100_000, "\x00remove\x00"])
def test_whatever_is_asked_is_answered_with_vectors_too(asked, shipped, query):
    began = time.process_time()
    asked(ROWS, shipped).search(query)
    assert time.process_time() - began < 2


def pointing() -> HashingEmbedder:
    """One to which a teapot is a kettle."""
    embedder = HashingEmbedder(cheap=True, floor=0.35, width=256)
    embedder.same["teapot"] = "kettle"
    return embedder


KETTLES = {
    **{f"shop/kettle_{number:03}.py": f"kettle = {number}\n" for number in range(110)},
    "tests/test_tea.py": "assert kettle\n",
    "cellar/tea.go": "package kettle\n",
    "cellar/tea.py": "copper = kettle\n",
}


@pytest.mark.parametrize(
    ("filters", "paths"),
    [
        ({"language": "go"}, ["cellar/tea.go"]),
        ({"path": "cellar/*.py"}, ["cellar/tea.py"]),
        ({"path": "cellar", "language": "python"}, ["cellar/tea.py"]),
        ({"tests": True}, ["tests/test_tea.py"]),
        ({"language": "cobol"}, []),
    ],
)
def test_filters_hold_for_hits_by_meaning_however_many_others_are_nearer(asked, filters, paths):
    index = asked(KETTLES, pointing())
    assert found_in(index, "teapot", **filters) == paths
    for path in found_in(index, "teapot", limit=200, tests=False):
        assert not path.startswith("tests/")


def test_vectors_of_chunks_that_are_gone_crowd_nothing_out(asked, tmp_path):
    asked(KETTLES, pointing()).close()
    store = Store.open(tmp_path / "asked-index")
    assert isinstance(store, Store)
    rows = np.stack([pointing().query("teapot")] * 200)
    with store.transaction():
        NumpyVectors(store, rows.shape[1]).add(np.arange(5_000, 5_200), rows)
    store.close()
    assert found_in(asked({}, pointing()), "teapot", path="cellar/*.py") == ["cellar/tea.py"]
    assert len(found_in(asked({}, pointing()), "teapot", limit=200)) == Weights().similar


def test_with_vectors_that_say_nothing_search_goes_by_words(asked):
    class Silent(HashingEmbedder):
        def _vector(self, text: str) -> "NDArray[np.float32]":
            return np.zeros(self.dimensions, np.float32)

    index = asked(PORT, Silent(cheap=True))
    hit = first(index, "assign_berth")
    assert hit.chunk.path == "port/harbour_master.py"
    assert not any("its meaning" in one.reasons for one in index.search("ship berth").hits)
    assert index.search("teapot").hits == ()
    assert index.similar("port/berths.py", 1) == {}


def test_a_name_is_found_first_with_vectors_too(asked, shipped):
    index = asked(PORT, shipped)
    for query in ("assign_berth", "HarbourMaster.assign_berth", "where is assign_berth defined"):
        hit = first(index, query, path="port")
        assert (hit.chunk.path, "defines HarbourMaster.assign_berth" in hit.reasons) == ("port/harbour_master.py", True)


# --- like a given place


def test_code_like_a_place_is_found_by_its_meaning_and_unlike_code_is_not(asked):
    index = asked({"a.py": "kettle\n", "b.py": "teapot\n", "c.py": "saucer\n"}, pointing())
    chunk, hits = related(index, "a.py", 1) or (None, ())
    assert chunk is not None
    assert [(hit.chunk.path, hit.reasons) for hit in hits] == [("b.py", ("alike in meaning",))]
    assert 0 < hits[0].score <= 1


def test_what_is_like_a_place_between_two_definitions_is_like_what_follows(asked):
    saucers, kettles = ("\n".join([f"def {name}():", *[f"    {name}()"] * 80, ""]) for name in ("saucer", "kettle"))
    files = {"a.py": f"{saucers}{chr(10) * 20}{kettles}", "b.py": "teapot\n", "c.py": "cup\n"}
    embedder = pointing()
    embedder.same["cup"] = "saucer"
    chunk, hits = related(asked(files, embedder), "a.py", 90) or (None, ())
    assert chunk is not None
    assert (chunk.symbol, chunk.start_line > 90) == ("kettle", True)
    assert {hit.chunk.path for hit in hits if hit.reasons == ("alike in meaning",)} == {"b.py"}


# --- what paths say


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
