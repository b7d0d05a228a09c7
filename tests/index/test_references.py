"""Uses of a name: found, told apart, narrowed; and what is like a place."""

from pathlib import Path

import pytest

from fireside.index import references
from fireside.index.index import Index
from fireside.index.occurrences import occurrences
from fireside.index.outline import outlines, summary
from fireside.index.reading import chunk_at, frequencies
from fireside.index.related import related
from fireside.workspace.workspace import Workspace

FILES = {
    "port/crane.py": (
        '"""Cranes: tall ones. They lift."""\n\n\nclass Crane:\n    def lift(self, load):\n        """Lift a load."""\n'
        "        return load\n\n"
        "    def lift_all(self, loads):\n        return [self.lift(load) for load in loads]  # lift each\n"
    ),
    "port/ferry.py": "class Ferry:\n    def lift(self):\n        return self.lift()\n\n    def ramp_down(self):\n        return 1\n",
    "port/work.py": (
        "import re\n\nfrom port.crane import Crane\n\nLINE = re.compile('x')\n\n\ndef work(crane, other):\n    crane.lift(1)\n"
        "    other.lift(2)\n    hook = Crane()\n    hook.lift(3)\n    LINE.lift\n    re.lift\n    'x'.lift\n    Ferry().lift()\n"
        "    lift = 'lift'\n"
        "    other.ramp_down()\n"
    ),
    "port/Dock.java": "class Dock {\n  void moor() { unmoor(); this.unmoor(); }\n  void unmoor() {}\n}\n",
    "port/save.rb": "def save\n  save!\n  save\nend\n",
    "tests/test_crane.py": "from port.crane import Crane\n\n\ndef test_lift():\n    assert Crane().lift(1)\n",
    "README.md": "# Port\n\nCrane.lift lifts; lift is a word.\n",
    "port.toml": "lift = 1\n",
}


@pytest.fixture
def port(tmp_path: Path):
    root = tmp_path / "port"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    index = Index.open(Workspace(root), tmp_path / "index")
    index.update()
    yield index
    index.close()


def told(found: references.References) -> list[tuple[str, int, str, bool]]:
    return [(one.path, one.line, one.kind, one.sure) for one in found.found]


def test_a_name_is_found_in_exactly_its_spelling_and_as_a_whole(port):
    lines = {(one.path, one.line) for one in references.find(port, "lift").found}
    assert ("port/crane.py", 9) not in lines
    assert ("port/crane.py", 6) not in lines
    assert ("port/crane.py", 10) in lines
    assert references.find(port, "LIFT").found == ()
    assert [one.line for one in references.find(port, "save").found] == [1, 3]


def test_places_say_what_happens_there_in_which_definition(port):
    found = [one for one in references.find(port, "lift").found if one.path == "port/crane.py"]
    assert [(one.line, one.column, one.kind, one.symbol, one.receiver) for one in found] == [
        (5, 9, "definition", "Crane.lift", ""),
        (10, 22, "call", "Crane.lift_all", "self"),
        (1, 28, "string", "", ""),
        (10, 55, "comment", "Crane.lift_all", ""),
    ]
    assert found[0].text == "    def lift(self, load):"


def test_source_comes_before_tests_and_uses_before_what_is_only_spoken_of(port):
    kinds = [(one.path, one.kind) for one in references.find(port, "lift").found]
    spoken = [kind in ("comment", "string", "text") for _, kind in kinds]
    assert spoken == sorted(spoken)
    uses = [path for path, kind in kinds if kind not in ("comment", "string", "text")]
    assert uses[-1] == "tests/test_crane.py"
    assert {path for path, kind in kinds if kind == "text"} == {"README.md", "port.toml"}


def test_a_class_narrows_to_what_may_be_its_method_and_says_what_is_not_known(port):
    found = references.find(port, "Crane.lift")
    assert [one.qualified for one in found.definitions] == ["Crane.lift"]
    assert told(found) == [
        ("port/crane.py", 5, "definition", True),
        ("port/crane.py", 10, "call", True),
        ("port/work.py", 9, "call", True),
        ("port/work.py", 12, "call", True),
        ("tests/test_crane.py", 5, "call", True),
        ("port/work.py", 10, "call", False),
        ("README.md", 3, "text", True),
    ]


def test_a_telling_name_that_nothing_else_bears_needs_no_receiver(port):
    assert [
        (line, sure) for path, line, _, sure in told(references.find(port, "Ferry.ramp_down")) if path == "port/work.py"
    ] == [(18, True)]


def test_a_method_called_by_its_bare_name_counts_where_the_language_does_so(port):
    assert [(line, kind) for _, line, kind, _ in told(references.find(port, "Dock.unmoor"))] == [
        (2, "call"),
        (2, "call"),
        (3, "definition"),
    ]


def test_the_limit_keeps_sure_uses_and_counts_the_rest(port):
    found = references.find(port, "lift", limit=3)
    assert len(found.found) == 3
    assert found.left_out > 3
    assert all(one.kind not in ("comment", "string", "text") for one in found.found)


def test_files_that_have_gone_are_named_and_left_out(port):
    (port.workspace.root / "port/work.py").unlink()
    found = references.find(port, "Crane")
    assert found.gone == ("port/work.py",)
    assert "port/work.py" not in {one.path for one in found.found}
    assert found.generation == 1


@pytest.mark.parametrize(
    "name",
    ["", "   ", "two words", "zzz", "x" * 100_000, "日本語", "🚢", "caf\udce9", ".", "(", "a" * 200, "$", "\x00"],
)
def test_names_that_are_nowhere_are_answered_with_nothing(port, name):
    assert references.find(port, name).found == ()


def test_a_name_that_is_no_word_is_still_looked_for(tmp_path):
    (tmp_path / "t.py").write_text("for _ in range(3):\n    print(_)\n")
    index = Index.open(Workspace(tmp_path), tmp_path / ".git" / "index")
    index.update()
    assert [one.line for one in references.find(index, "_").found] == [1, 2]
    index.close()


@pytest.mark.parametrize(
    ("name", "near"),
    [("lfit", "lift"), ("Crne", "Crane"), ("ramp", "ramp_down"), ("rampDwn", "ramp_down"),
     ("Crane.lifted", "Crane.lift"), ("ferry.rampdn", "Ferry.ramp_down")],
)  # fmt: skip
def test_nearest_names_are_those_that_hold_it_or_are_spelled_like_it(port, name, near):
    assert near in references.nearest(port, name)


@pytest.mark.parametrize("name", ["", "qqqqqq", "x" * 100_000, "日本語", "\udce9"])
def test_nothing_is_near_what_is_like_nothing(port, name):
    assert references.nearest(port, name) == []


SNIPPETS = {
    "python": [
        ("import run", "import"),
        ("from run import x", "import"),
        ("def run(): pass", "definition"),
        ("class run: pass", "definition"),
        ("run = 1", "definition"),
        ("x = run", "use"),
        ("a.run(1)", "call"),
        ("f(run=1)", "use"),
        ("'run'", "string"),
        ("f'{run}'", "use"),
        ("# run", "comment"),
    ],
    "typescript": [
        ("import { run } from 'x'", "import"),
        ("const x = require('run')", "import"),
        ("const run = () => 1", "definition"),
        ("class A { run() {} }", "definition"),
        ("interface run {}", "definition"),
        ("new run()", "call"),
        ("run<string>(1)", "call"),
        ("`a ${run()}`", "call"),
        ("`run`", "string"),
        ("let x: run", "use"),
        ("// run", "comment"),
    ],
    "go": [
        ("func (c *C) run() {}", "definition"),
        ("type run struct {}", "definition"),
        ("func f() { c.run() }", "call"),
        ('import "run"', "import"),
        ("func f() { x := &run{} }", "use"),
    ],
    "rust": [
        ("fn run() {}", "definition"),
        ("use a::run;", "import"),
        ("fn f() { A::run::<u8>(1) }", "call"),
        ("fn f() { run!() }", "call"),
        ("struct run;", "definition"),
    ],
    "java": [
        ("class A { void run() {} }", "definition"),
        ("class A { void f() { x.run(); } }", "call"),
        ("class A { Object f() { return new run(); } }", "call"),
        ("import a.run;", "import"),
        ("class A extends run {}", "use"),
    ],
    "c": [
        ("int run(void) { return 0; }", "definition"),
        ("int run(void);", "definition"),
        ("struct run { int a; };", "definition"),
        ("struct run *p;", "use"),
        ("int f(void) { return run(); }", "call"),
        ("#define run 1", "definition"),
        ("/* run */", "comment"),
    ],
    "ruby": [
        ("def run; end", "definition"),
        ("self.run(1)", "call"),
        ("require 'run'", "import"),
        ('"a #{run}"', "use"),
    ],
    "php": [
        ("<?php function run() {}", "definition"),
        ("<?php $a->run();", "call"),
        ("<?php new run();", "call"),
    ],
    "csharp": [("class A { void run() {} }", "definition"), ("class A { void f() { x.run(); } }", "call")],
    "bash": [("run() { :; }", "definition"), ("run now", "call"), ('echo "$run"', "use"), ("# run", "comment")],
    "lua": [
        ("local function run() end", "definition"),
        ("M.run(1)", "call"),
        ("-- run", "comment"),
        ("x = 'run'", "string"),
        ("local r = require('run')", "import"),
        ("x = run", "use"),
    ],
    "markdown": [("# run", "text")],
    "toml": [("run = 1", "text")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("language", "line", "kind"), [(language, *one) for language, several in SNIPPETS.items() for one in several]
)
def test_syntax_tells_what_a_name_does(language, line, kind):
    assert [one.kind for one in occurrences("run", line + "\n", language)] == [kind]


def test_a_dollar_is_part_of_a_name_only_where_it_is():
    assert list(occurrences("run", "$run", "javascript")) == []
    assert len(list(occurrences("run", "echo $run", "bash"))) == 1
    assert len(list(occurrences("$run", "a = $run + 1", "javascript"))) == 1


def test_the_chunk_at_a_line_is_the_one_that_holds_it_or_comes_next(port):
    assert chunk_at(port, "port/crane.py", 5).text.startswith(("class Crane", '"""Cranes'))
    assert chunk_at(port, "port/crane.py", 10_000).path == "port/crane.py"
    assert chunk_at(port, "port/none.py", 1) is None


def test_frequencies_count_chunks(port):
    counted = frequencies(port, {"lift", "zzz"})
    assert counted.chunks["zzz"] == 0
    assert 3 <= counted.chunks["lift"] <= counted.total


def test_what_shares_rare_words_is_related_and_the_place_itself_is_not(tmp_path):
    for name, words in (
        ("one", "ballast keel rudder"),
        ("two", "ballast keel"),
        ("three", "invoice tax"),
        ("four", "invoice ballast"),
    ):
        (tmp_path / f"{name}.txt").write_text(f"{words} common words here\n")
    for number in range(12):
        (tmp_path / f"more{number}.txt").write_text(f"common words here {number}\n")
    index = Index.open(Workspace(tmp_path), tmp_path / ".git" / "index")
    index.update()
    chunk, hits = related(index, "one.txt", 1)
    assert chunk.path == "one.txt"
    assert [hit.chunk.path for hit in hits] == ["two.txt", "four.txt"]
    assert 1 >= hits[0].score > hits[1].score > 0
    assert hits[0].reasons == ("shares: ballast, keel",) or hits[0].reasons == ("shares: keel, ballast",)
    assert related(index, "none.txt", 1) is None
    index.close()


def test_an_outline_counts_the_words_that_are_names(port):
    generation, files = outlines(port)
    work = next(file for file in files if file.path == "port/work.py")
    assert generation == 1
    assert (work.words["lift"], work.words["Crane"]) == (9, 2)
    assert "compile" not in work.words
    assert next(file for file in files if file.path == "port/crane.py").about == "Cranes: tall ones"


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ('"""One thing. And more."""\n', "One thing"),
        ("// Copyright 2020 A.\n// All rights reserved.\n\n// Package x does y.\npackage x\n", "Package x does y"),
        ("#!/bin/sh\n# Starts it.\n", "Starts it"),
        ("/*\n * Draws boats\n * in rows.\n */\nint x;\n", "Draws boats in rows"),
        ("package x\n\n// f is f.\nfunc f() {}\n", ""),
        ("x = 1\n", ""),
        ("", ""),
        ("# SPDX-License-Identifier: MIT\n", ""),
    ],
)
def test_a_file_is_summed_up_by_what_it_says_at_its_top(head, says):
    assert summary(head) == says
