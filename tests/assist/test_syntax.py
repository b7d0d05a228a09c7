"""A suggestion is cut to what parses where it would stand, in code that is being typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fireside.assist.copying import suggest
from fireside.assist.syntax import longest_that_parses

HEADS = {
    "python": (
        "def area(shape):\n    width = shape.width\n    return ",
        "(width * 2)",
        "\n\n\ndef other():\n    pass\n",
    ),
    "javascript": ("function area(shape) {\n  const width = shape.width;\n  return ", "scale(width * 2);", "\n}\n"),
    "typescript": ("function area(shape: Shape): number {\n  return ", "scale(shape.width);", "\n}\n"),
    "tsx": ("function Area(shape: Shape) {\n  return ", "<b>{shape.width}</b>;", "\n}\n"),
    "go": ("package main\n\nfunc area(s Shape) int {\n\treturn ", "scale(s.Width)", "\n}\n"),
    "rust": ("fn area(shape: &Shape) -> u32 {\n    ", "scale(shape.width)", "\n}\n"),
    "java": ("class Area {\n    int of(Shape shape) {\n        return ", "scale(shape.width);", "\n    }\n}\n"),
    "c": ("int area(struct shape *s) {\n    return ", "scale(s->width);", "\n}\n"),
    "cpp": ("int area(const Shape& shape) {\n    return ", "scale(shape.width);", "\n}\n"),
    "ruby": ("def area(shape)\n  ", "scale(shape.width)", "\nend\n"),
    "php": ("<?php\nfunction area($shape) {\n    return ", "scale($shape->width);", "\n}\n"),
    "csharp": ("class Area {\n    int Of(Shape shape) {\n        return ", "Scale(shape.Width);", "\n    }\n}\n"),
    "bash": ("area() {\n    ", 'scale "$1"', "\n}\n"),
}


@pytest.mark.parametrize("language", HEADS)
def test_what_parses_stays_whole(language: str):
    prefix, text, suffix = HEADS[language]
    assert longest_that_parses(prefix, text, suffix, language) == text


@pytest.mark.parametrize("language", sorted(HEADS.keys() - {"bash"}))
def test_a_bracket_too_many_is_cut_off(language: str):
    prefix, text, suffix = HEADS[language]
    kept = longest_that_parses(prefix, text + "))]", suffix, language)
    assert kept == text


def test_nothing_is_left_of_what_cannot_stand_there_at_all():
    assert longest_that_parses("def f():\n    x = 1", ")) + (", "\n    return x\n", "python") == ""


def test_a_language_without_a_grammar_passes():
    assert longest_that_parses("x = ", ")))", "\n", "fortran") == ")))"
    assert longest_that_parses("x = ", ")))", "\n", "") == ")))"
    assert longest_that_parses("Some ", "words (and", "\n", "markdown") == "words (and"


def test_whole_lines_are_kept_before_words_of_a_line_are():
    prefix, suffix = "def f(items):\n    for item in items:\n        ", "\n    return items\n"
    text = "if item:\n            use(item)\n        drop(item))]\n        more(item)"
    assert longest_that_parses(prefix, text, suffix, "python") == "if item:\n            use(item)"


@pytest.mark.parametrize("text", ["if ready:", "start(", "start(first,", "value = [", "if first and (second or"])
def test_a_line_that_goes_on_below_may_end_open_while_nothing_is_there_yet(text: str):
    assert longest_that_parses("def f():\n    ", text, "\n\n\ndef g():\n    pass\n", "python") == text


def test_a_line_whose_block_stands_below_already_must_open_it():
    prefix, suffix = "def f(items):\n    ", "\n        use(item)\n    return 1\n"
    assert longest_that_parses(prefix, "for item in items:", suffix, "python") == "for item in items:"
    assert longest_that_parses(prefix, "items = sorted(", suffix, "python") != "items = sorted("


def test_an_error_that_was_there_before_is_not_the_suggestions():
    prefix, suffix = "def f(a:\n    broken = = 1\n    value = ", "\n    return (value\n"
    assert longest_that_parses(prefix, "compute(a)", suffix, "python") == "compute(a)"


def test_inside_a_long_string_or_comment_everything_may_stand():
    assert longest_that_parses('"""Notes.\n\nSee also ', "a) and (b", '\n"""\nx = 1\n', "python") == "a) and (b"
    assert longest_that_parses("/* Notes.\n * See ", "a) and (b", "\n */\nint x;\n", "c") == "a) and (b"


def test_a_method_far_from_its_class_is_judged_by_itself():
    methods = "".join(f"    def m{number}(self):\n        return {number}\n\n" for number in range(200))
    prefix = "class A:\n" + methods + "    def last(self):\n        return "
    assert longest_that_parses(prefix, "self.m1(2)", "\n\n" + methods, "python") == "self.m1(2)"
    assert longest_that_parses(prefix, "self.m1(2))", "\n\n" + methods, "python") == "self.m1(2)"


def test_copying_says_the_next_best_where_the_best_does_not_parse():
    prefix = "size = 1\n" + "use(size=2)\nuse(size=3)\n" * 3 + "def f():\n    return size"
    plain, judged = suggest(prefix, "\n"), suggest(prefix, "\n", language="python")
    assert plain is not None
    assert longest_that_parses(prefix, plain.text, "\n", "python") != plain.text
    assert judged is None or longest_that_parses(prefix, judged.text, "\n", "python") == judged.text


@pytest.mark.parametrize("language", HEADS)
@pytest.mark.parametrize("nested", ["(" * 4_500, "[{(" * 1_500, "a(" * 2_200])
def test_code_nested_without_end_is_survived(nested: str, language: str):
    assert "x".startswith(longest_that_parses(nested, "x", "\n" + nested, language))


@given(st.text(max_size=200), st.text(max_size=60), st.text(max_size=200), st.sampled_from(sorted(HEADS)))
def test_what_is_kept_is_always_a_beginning(prefix: str, text: str, suffix: str, language: str):
    assert text.startswith(longest_that_parses(prefix, text, suffix, language))
