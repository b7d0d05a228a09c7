"""Files as chunks and definitions."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.index import parse as parsing
from fireside.index.chunks import Chunk
from fireside.index.languages import GRAMMARS, canonical, language_of
from fireside.index.parse import parse

SOURCES = {
    "python": (
        (
            "def alpha(a):\n"
            "    '''Say alpha.'''\n"
            "    return a\n"
            "\n"
            "\n"
            "class Beta:\n"
            "    @property\n"
            "    def gamma(self):\n"
            "        pass\n"
        ),
        "alpha Beta Beta.gamma",
    ),
    "javascript": (
        (
            "export function alpha(a) {}\n"
            "class Beta { gamma() {} }\n"
            "const delta = (x) => x;\n"
            "Beta.prototype.eta = function () {};\n"
        ),
        "alpha Beta Beta.gamma delta Beta.eta",
    ),
    "typescript": (
        ("interface Alpha { beta(): void }\nexport type Gamma = string;\nabstract class Delta<T> { eta = () => 1 }\n"),
        "Alpha Alpha.beta Gamma Delta Delta.eta",
    ),
    "tsx": ("export const Alpha = () => <div/>;\nfunction beta() { return <a/>; }\n", "Alpha beta"),
    "go": (
        ("package x\n\n// Alpha is one.\ntype Alpha struct{}\n\nfunc (a *Alpha) Beta() {}\nfunc gamma() {}\n"),
        "Alpha Alpha.Beta gamma",
    ),
    "rust": (
        (
            "/// One.\n"
            "pub struct Alpha<T>(T);\n"
            "impl<T> Alpha<T> {\n"
            "    pub fn beta(&self) {}\n"
            "}\n"
            "trait Gamma { fn delta(); }\n"
        ),
        "Alpha Alpha.beta Gamma Gamma.delta",
    ),
    "java": (
        "class Alpha {\n  Alpha() {}\n  int beta() { return 1; }\n}\ninterface Gamma { void delta(); }\n",
        "Alpha Alpha.Alpha Alpha.beta Gamma Gamma.delta",
    ),
    "c": (
        ("#define BETA(x) (x)\nstruct alpha { int x; };\nstatic int *gamma_(int x) { return 0; }\nint delta(void);\n"),
        "BETA alpha gamma_ delta",
    ),
    "cpp": (
        (
            "namespace n {\n"
            "class Alpha { void beta(); };\n"
            "void Alpha::beta() {}\n"
            "template <class T> T gamma_(T x) { return x; }\n"
            "}\n"
        ),
        "n n.Alpha n.Alpha.beta n.Alpha.beta n.gamma_",
    ),
    "bash": ("alpha() { echo 1; }\nfunction beta { echo 2; }\n", "alpha beta"),
    "ruby": (
        "module Alpha\n  class Beta\n    def gamma; end\n    def self.delta; end\n  end\nend\n",
        "Alpha Alpha.Beta Alpha.Beta.gamma Alpha.Beta.delta",
    ),
    "php": ("<?php\nfunction alpha() {}\nclass Beta { function gamma() {} }\n", "alpha Beta Beta.gamma"),
    "csharp": (
        "namespace N { class Alpha { int Beta { get; } void Gamma() {} } interface IDelta {} }\n",
        "Alpha Alpha.Beta Alpha.Gamma IDelta",
    ),
    "markdown": ("# Alpha\n\ntext\n\n## Beta\n\nmore\n", "Alpha|Alpha > Beta"),
}


def covered(chunks: list[Chunk]) -> list[int]:
    return [line for chunk in chunks for line in range(chunk.start_line, chunk.end_line + 1)]


@pytest.mark.parametrize("language", GRAMMARS)
def test_definitions_have_qualified_names(language):
    text, names = SOURCES[language]
    expected = names.split("|") if "|" in names else names.split()
    parsed = parse("file", text, language)
    assert [symbol.qualified for symbol in parsed.symbols] == expected
    assert parsed.fell_back == ""


def test_a_definition_knows_its_kind_signature_documentation_and_lines():
    text = (
        "import os\n"
        "\n"
        "# Not this.\n"
        "\n"
        "@cached\n"
        "def outer(a: int,\n"
        "          b=1) -> str:\n"
        '    """First line\n'
        "    goes on.\n"
        "\n"
        "    Not this.\n"
        '    """\n'
        "    return a\n"
        "\n"
        "class C:\n"
        "    def m(self): ...\n"
    )
    outer, cls, method = parse("f.py", text, "python").symbols
    assert (outer.kind, outer.start_line, outer.end_line) == ("function", 5, 13)
    assert outer.signature == "def outer(a: int, b=1) -> str"
    assert outer.doc == "First line goes on."
    assert (cls.kind, method.kind, method.qualified) == ("class", "method", "C.m")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("go", "package x\n\n// Alpha does it.\n// Well.\n//\n// More.\nfunc Alpha() {}\n"),
        ("rust", "/// Alpha does it.\n/// Well.\n///\n/// More.\n#[inline]\npub fn alpha() {}\n"),
        (
            "java",
            (
                "class X {\n"
                "  /**\n"
                "   * Alpha does it.\n"
                "   * Well.\n"
                "   *\n"
                "   * @return more\n"
                "   */\n"
                "  @Override\n"
                "  int alpha() { return 1; }\n"
                "}\n"
            ),
        ),
        ("javascript", "/** Alpha does it.\n * Well.\n *\n * More. */\nexport function alpha() {}\n"),
    ],
)
def test_a_comment_above_is_documentation(language, text):
    assert parse("f", text, language).symbols[-1].doc == "Alpha does it. Well."


def test_signatures_leave_annotations_out_and_documentation_leaves_tags_out():
    text = (
        'class X {\n  /// <summary>Alpha does it.</summary>\n  [Old("x")]\n  public int Alpha(int a) { return a; }\n}\n'
    )
    alpha = parse("f.cs", text, "csharp").symbols[-1]
    assert (alpha.signature, alpha.doc) == ("public int Alpha(int a)", "Alpha does it.")


def test_names_that_macros_have_garbled_are_no_definitions():
    text = "BEGIN_NAMESPACE\nEXPORT template <class T> struct real_one { T x; };\n# define OTHER(x) x\nint f(void) { return 1; }\n"
    symbols = parse("f.h", text, "cpp").symbols
    assert [symbol.name for symbol in symbols if " " in symbol.name] == []
    assert next(symbol for symbol in symbols if symbol.name == "f").doc == ""


def test_chunks_break_where_definitions_begin_and_carry_their_names():
    body = "".join(f"    value_{number} = compute(number={number})\n" for number in range(12))
    text = f"# About alpha.\ndef alpha():\n{body}\n\ndef beta():\n{body}"
    chunks = parse("f.py", text, "python").chunks
    assert [(chunk.symbol, chunk.text.split("\n")[0]) for chunk in chunks if chunk.symbol] == [
        ("alpha", "# About alpha."),
        ("beta", "def beta():"),
    ]


def test_a_long_method_keeps_its_name_in_every_chunk():
    body = "".join(f"        self.step_{number}(argument_of_some_length={number})\n" for number in range(60))
    chunks = parse("f.py", f"class A:\n    def long(self):\n{body}", "python").chunks
    assert len(chunks) > 2
    assert {chunk.symbol for chunk in chunks[1:]} == {"A.long"}
    assert all(len(chunk.text) <= parsing.CHUNK_LENGTH * 3 // 2 for chunk in chunks)


@pytest.mark.parametrize("language", [*GRAMMARS, "lua", "toml", "text"])
@given(text=st.text(alphabet=st.sampled_from("ab {}()[]\"'`#/*=:;,.<>\n\t\\é\x00"), max_size=400))
@settings(max_examples=25, deadline=None)
def test_chunks_cover_every_line_with_something_on_it_once_whatever_the_text(language, text):
    chunks = parse("f", text, language).chunks
    lines = covered(chunks)
    assert lines == sorted(set(lines))
    written = {number for number, line in enumerate(text.split("\n"), 1) if line.strip()}
    assert written <= set(lines)
    for chunk in chunks:
        assert chunk.text == "\n".join(text.split("\n")[chunk.start_line - 1 : chunk.end_line])


def test_very_deep_nesting_is_no_trouble():
    assert parse("f.py", "x = " + "(" * 5_000 + "1" + ")" * 5_000, "python").chunks
    assert parse("f.json", "[" * 3_000 + "\n" + "]" * 3_000, "json").chunks


@pytest.mark.parametrize("language", ["c", "python", "javascript"])
def test_text_that_only_pretends_to_be_code_falls_back_at_once(language):
    began = time.monotonic()
    parsed = parse("f", "{\n" * 100_000, language)
    assert time.monotonic() - began < 3
    assert parsed.fell_back == f"not {language} that can be parsed"
    assert parsed.chunks


def test_a_language_without_a_grammar_falls_back_to_paragraphs_and_says_so():
    text = "".join(f"function f{n}()\n  return {n} -- {'x' * 300}\nend\n\n" for n in range(6))
    parsed = parse("f.lua", text, "lua")
    assert parsed.fell_back == "no grammar for lua"
    assert all(chunk.text.startswith("function") and chunk.text.endswith("end") for chunk in parsed.chunks)
    assert parse("f.toml", "a = 1\n", "toml").fell_back == ""


@pytest.mark.parametrize(
    ("path", "text", "language"),
    [
        ("a.py", "", "python"),
        ("A.PY", "", "python"),
        ("a.h", "int f(void);\n", "c"),
        ("a.h", "#include <x>\nnamespace n {\n}\n", "cpp"),
        ("run", "#!/usr/bin/env python3\n", "python"),
        ("run", "#!/bin/sh -e\n", "bash"),
        ("run", "#!\n", "text"),
        ("Makefile", "", "make"),
        ("Dockerfile.dev", "", "dockerfile"),
        ("notes", "", "text"),
    ],
)
def test_languages_are_told_by_name_then_by_first_line(path, text, language):
    assert language_of(path, text) == language


def test_users_may_shorten_languages():
    assert [canonical(name) for name in ("py", "C++", ".ts", "Rust", "c#", "md")] == [
        "python",
        "cpp",
        "typescript",
        "rust",
        "csharp",
        "markdown",
    ]
