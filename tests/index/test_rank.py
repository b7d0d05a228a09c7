"""What is shown first: names before mentions, source before tests, this system before others; and every hit says why."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from fireside.index import paths
from fireside.index.chunks import Hit
from fireside.index.index import Index
from fireside.index.lexical import Words
from fireside.index.rank import Candidate, File, Ranker, Weights, choose
from fireside.index.search import MAX_COMPOUND, MAX_QUERY, compounds, identifiers, singular
from fireside.workspace.workspace import Workspace

Found = Callable[[str], list[Hit]]
FILLING = {
    f"misc/part_{number}.py": f"def step_{number}(value):\n    return value + {number}\n" for number in range(12)
}
READERS = {
    "io/json_reader.py": "class JsonReader:\n    def next(self):\n        return self.tokens.pop()\n",
    "io/reading.py": "def read_all(path):\n    # hands the json to a reader, and the reader's json to the caller\n"
    "    reader = open_reader(path)\n    json = reader.json\n    return json\n",
    "io/xml.py": "class XmlWriter:\n    def write(self, reader):\n        return reader.json()\n",
}
ROUTES = {
    "web/router.py": "class Router:\n    routes = []\n\n    def add(self, route):\n        self.routes.append(route)\n",
    "web/matching.py": "def match_path(router, path):\n"
    '    """Find the route of a Router for which a path matches, longest first."""\n'
    "    for route in sorted(router.routes, key=len):\n        if path.startswith(route.path):\n            return route\n",
    "web/app.py": "from web.router import Router\n\n\nclass App:\n    def __init__(self):\n        self.router = Router()\n",
}
NAMESAKES = {
    "a/queue.py": "class Queue:\n    def close(self):\n        self.items = None\n",
    "b/socket.py": "class Socket:\n    def close(self):\n        self.handle = None\n",
    "c/use.py": "def stop(queue, socket):\n    queue.close()\n    socket.close()\n    Queue.close(queue)\n",
    "d/names.py": "def read_lines(path):\n    return path\n",
    "e/names.py": "def readLines(path):\n    return path\n",
    "f/calls.py": "def all_of(paths):\n    # read lines of all, read_lines for each\n    return [read_lines(path) for path in paths]\n",
}
CHECKS = {
    "lib/runner.py": "def run_test(test):\n    # how a test is run: its fixtures first, then the test\n    return test.call()\n",
    "tests/test_runner.py": "def test_run_test():\n    # a test is run, its fixtures first\n    assert run_test(Test()) is None\n",
}
SYSTEMS = {
    f"core/{system}/watch.c": "int watch_folder(const char *path) {\n  return open_handle(path);\n}\n"
    for system in ("haiku", "here")
}


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Callable[[Mapping[str, str]], Found]]:
    """Asks a project of these files, by words alone."""
    opened: list[Index] = []

    def ask(files: Mapping[str, str]) -> Found:
        for path, text in (FILLING | dict(files)).items():
            (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "root" / path).write_text(text)
        opened.append(Index.open(Workspace(tmp_path / "root"), tmp_path / "index"))
        opened[-1].update()
        return lambda query: list(opened[-1].search(query).hits)

    yield ask
    for index in opened:
        index.close()


def order(hits: list[Hit]) -> list[str]:
    return [hit.chunk.path for hit in hits]


# --- names that words of a question make


@pytest.mark.parametrize("query", ["JSON reader", "json readers", "how does the JSON reader work", "the Json Readers?"])
def test_words_in_a_row_that_make_a_name_find_its_definition_first(found, query):
    hits = found(READERS)(query)
    assert hits[0].chunk.path == "io/json_reader.py"
    assert "defines JsonReader" in hits[0].reasons


def test_words_in_another_order_make_no_name(found):
    assert not any("defines JsonReader" in hit.reasons for hit in found(READERS)("reader of json"))


def test_two_to_four_words_make_names_in_singular_too():
    assert compounds("JSON readers") == {"jsonreaders", "jsonreader"}
    assert compounds("fast JSON reader") == {"fastjson", "jsonreader", "fastjsonreader"}
    assert max(map(len, compounds("aa bb cc dd ee"))) == 2 * MAX_COMPOUND
    assert compounds("reader") == frozenset()
    assert compounds("日本 語") == frozenset()


def test_names_neither_begin_nor_end_with_words_that_only_make_a_sentence():
    assert compounds("where is the parser") == frozenset()
    assert compounds("end of line") == {"endofline"}


@pytest.mark.parametrize(
    ("word", "one"), [("readers", "reader"), ("class", "class"), ("gas", "gas"), ("status", "statu"), ("s", "s")]
)
def test_a_plural_is_cut_without_a_dictionary(word, one):
    assert singular(word) == one


def test_only_the_beginning_of_a_long_question_makes_names():
    assert compounds("x" * MAX_QUERY + " json reader") == frozenset()


# --- names that are asked for


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("Foo.bar", ["Foo.bar"]),
        ("Foo::bar()", ["Foo.bar"]),
        ("Foo#bar", ["Foo.bar"]),
        ("parser", ["parser"]),
        ("what does parse_config do with Foo.bar and JsonReader?", ["parse_config", "Foo.bar", "JsonReader"]),
        ("how are things read", []),
        ("", []),
    ],
)
def test_names_are_told_from_words(query, names):
    assert identifiers(query) == names


@pytest.mark.parametrize(("query", "first"), [("Queue.close", "a/queue.py"), ("Socket.close", "b/socket.py")])
def test_a_qualified_name_comes_first_before_its_callers_and_namesakes(found, query, first):
    hits = found(NAMESAKES)(query)
    assert hits[0].chunk.path == first
    assert f"defines {query}" in hits[0].reasons


@pytest.mark.parametrize(("query", "first", "second"), [("read_lines", "d", "e"), ("readLines", "e", "d")])
def test_the_spelling_that_was_asked_for_comes_first_and_the_other_before_the_callers(found, query, first, second):
    ordered = order(found(NAMESAKES)(query))
    assert ordered[:3] == [f"{first}/names.py", f"{second}/names.py", "f/calls.py"]


def test_a_question_that_mentions_a_class_finds_the_function_it_asks_about(found):
    ordered = order(found(ROUTES)("which route of a Router matches a path, the longest first?"))
    assert ordered[0] == "web/matching.py"
    assert "web/router.py" in ordered[:3]


def test_the_class_itself_is_first_when_nothing_else_is_asked(found):
    hits = found(ROUTES)("Router")
    assert hits[0].chunk.path == "web/router.py"
    assert "defines Router" in hits[0].reasons


# --- what a path says of a file


@pytest.mark.parametrize("query", ["how does the runner call a test", "where does it run a test"])
def test_who_speaks_of_tests_does_not_mean_the_code_that_tests(found, query):
    assert order(found(CHECKS)(query))[0] == "lib/runner.py"


@pytest.mark.parametrize("query", ["tests for run_test", "unit test of the runner", "test that a test is run"])
def test_who_wants_tests_gets_them(found, query):
    hits = found(CHECKS)(query)
    scores = {hit.chunk.path: hit.score for hit in hits}
    silent = {hit.chunk.path: hit.score for hit in found(CHECKS)("runner run call")}
    assert scores["tests/test_runner.py"] / scores["lib/runner.py"] > 2 * (
        silent["tests/test_runner.py"] / silent["lib/runner.py"]
    )


def test_files_for_another_system_come_after_those_for_all(found):
    assert order(found(SYSTEMS)("watch a folder")) == ["core/here/watch.c", "core/haiku/watch.c"]


def test_who_names_the_system_gets_its_file_first(found):
    assert order(found(SYSTEMS)("watch a folder on haiku"))[0] == "core/haiku/watch.c"


@pytest.mark.parametrize(
    ("path", "foreign"),
    [
        ("src/haiku/fs.c", True),
        ("src/fs-os390.c", True),
        ("src/fs_plan9.go", True),
        ("src/beosity.c", False),
        ("src/quantum/nacly.py", False),
    ],
)
def test_another_system_is_told_by_a_whole_word_of_the_path(path, foreign):
    assert ("foreign" in paths.kinds(path)) is foreign


# --- the sum of it


def candidate(id: int, own: float = 0.0, **more: object) -> Candidate:
    return Candidate(id, more.pop("file", 1), id * 10, id * 10 + 9, more.pop("symbol", ""), own, **more)  # type: ignore[arg-type]


def ranked(candidates: list[Candidate], query: str = "anything", *kinds: str, **options: object) -> list[Candidate]:
    """All in one file that has no name, of these ``kinds``."""
    place = File("x.py", "python", frozenset(), frozenset(), kinds, "", 0.0)
    ranker = Ranker(query, {"anything": 1.0}, Words(), Weights())
    defined = options.pop("defined", {})
    ranker.score(candidates, {1: place}, defined, compounds={}, spelled=frozenset(), **options)  # type: ignore[arg-type]
    return candidates


def test_what_is_found_by_its_meaning_alone_has_a_score_and_says_so():
    (one,) = ranked([candidate(1, likeness=0.01)])
    assert one.score > 0
    assert one.reasons == ["its meaning"]


def test_what_is_found_by_words_says_its_meaning_only_when_that_is_near_the_best():
    far, near = ranked([candidate(1, 1.0, likeness=0.4), candidate(2, 1.0, likeness=0.9)])
    assert far.reasons == []
    assert near.reasons == ["its meaning"]
    assert near.score > far.score


def test_a_definition_that_is_asked_for_is_not_said_to_be_found_by_its_meaning():
    (one,) = ranked([candidate(1)], defined={1: ("Foo.bar", True)})
    assert one.reasons == ["defines Foo.bar"]


@pytest.mark.parametrize("kind", sorted(Weights().penalties))
def test_what_a_path_says_lowers_the_score_by_its_weight(kind):
    (plain,), (lowered,) = ranked([candidate(1, 1.0)]), ranked([candidate(1, 1.0)], "anything", kind)
    assert lowered.score == pytest.approx(plain.score * Weights().penalties[kind])


def test_each_further_chunk_of_a_file_counts_less():
    candidates = ranked([candidate(number, 1.0) for number in (1, 2, 3)])
    choose(candidates, 10, Weights(saturation=0.5))
    assert [one.score / candidates[0].score for one in candidates] == [1.0, 0.5, 0.25]


def test_neighbours_of_one_definition_are_joined_until_the_whole_is_long():
    candidates = [candidate(number, 1.0, symbol="load") for number in range(1, 8)]
    groups = choose(ranked(candidates), 10, Weights())
    assert sorted(one.id for group in groups for one in group) == list(range(1, 8))
    assert all(group[-1].end_line - group[0].start_line < Weights().joined_lines for group in groups)
    assert all([one.id for one in group] == sorted(one.id for one in group) for group in groups)
    assert max(len(group) for group in groups) == 4


def test_chunks_of_different_definitions_or_of_none_stay_apart():
    candidates = [candidate(1, 1.0, symbol="a"), candidate(2, 1.0, symbol="b"), candidate(3, 1.0), candidate(4, 1.0)]
    assert [len(group) for group in choose(ranked(candidates), 10, Weights())] == [1, 1, 1, 1]


def test_nothing_to_choose_from_is_nothing():
    assert choose([], 10, Weights()) == []
    ranked([])
