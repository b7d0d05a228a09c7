"""Lines copied from the same file and its neighbours: what is proposed, and when nothing is."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fireside.assist.brackets import fit
from fireside.assist.copying import likely_part, suggest
from fireside.core.requests import Snippet


def text_of(prefix: str, suffix: str = "", **options) -> str | None:
    found = suggest(prefix, suffix, **options)
    return found.text if found else None


REPEATED = """\
def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)

def load_lines(path):
    with open(path, encoding="utf-8") as file:
        return file.readlines()

def load_bytes(path):
    with open("""


def test_what_followed_the_same_text_before_follows_again():
    found = suggest(REPEATED, "\n")
    assert found is not None
    assert found.text == 'path, encoding="utf-8") as file:'
    assert found.source == "file"


def test_what_stands_after_the_cursor_is_copied_too():
    assert text_of("result = compute_total(", "\n\nother = compute_total(first, second)\n") == "first, second)"


def test_names_are_exchanged_as_they_were_before_the_cursor():
    prefix = (
        "def __init__(self, width, height, depth):\n    self.width = width\n    self.height = height\n    self.depth = "
    )
    assert text_of(prefix, "\n") == "depth"


def test_a_name_begun_is_finished_with_the_exchanged_name():
    prefix = (
        'red = parse_colour(settings["red"])\ngreen = parse_colour(settings["green"])\nblue = parse_colour(settings["b'
    )
    assert text_of(prefix, "\n") == 'lue"])'


def test_a_neighbour_is_copied_from_and_named():
    near = (Snippet("b.py", "connection = open_database(settings.url, timeout=settings.timeout)\n"),)
    found = suggest("connection = open_database(", "\n", neighbours=near)
    assert found is not None
    assert (found.text, found.source) == ("settings.url, timeout=settings.timeout)", "neighbour")


def test_the_file_itself_counts_more_than_a_neighbour():
    near = (Snippet("b.py", "value = convert(theirs)\n"),)
    found = suggest("value = convert(ours)\nprint(value)\nvalue = convert(", "\n", neighbours=near)
    assert found is not None
    assert (found.text, found.source) == ("ours)", "file")


def test_the_more_places_agree_the_surer_it_is():
    once = suggest("handle = open_file(path, mode)\nhandle = open_f", "\n")
    often = suggest("handle = open_file(path, mode)\n" * 6 + "handle = open_f", "\n")
    assert once is not None
    assert often is not None
    assert once.text == often.text == "ile(path, mode)"
    assert often.confidence > once.confidence


def test_a_suggestion_stops_where_the_places_no_longer_agree():
    places = {f"ite(channel, colour_{number})": 0.01 for number in range(60)}
    text, confidence = likely_part("ite(channel, colour_7)", places)
    assert text == "ite(channel,"
    assert confidence == pytest.approx(0.6)


def test_a_suggestion_of_which_even_the_first_word_is_not_likely_is_nothing():
    assert likely_part("ite(channel)", {"ite(channel)": 0.001}) == ("", 0.0)


def test_the_place_with_the_same_next_line_is_believed():
    prefix = "a = first(1)\nprint(a)\nb = 2\na = second(2)\nlog(a)\nb = 3\na = "
    assert text_of(prefix, "\nprint(a)\n") == "first(1)"
    assert text_of(prefix, "\nlog(a)\n") == "second(2)"


def test_names_that_are_strange_here_count_against_a_place():
    one = "def area(width):\n    return scale(width)\n\n"
    other = "def volume(depth):\n    return scale(depth)\n\n"
    assert text_of(one + other + "def surface(width):\n    return scale(", "\n") == "width)"
    assert text_of(one + other + "def surface(depth):\n    return scale(", "\n") == "depth)"


def test_brackets_are_closed_as_often_as_they_were_opened():
    prefix = "total = add(first, second)\nprint(str(add("
    assert text_of(prefix, "\n") == "first, second)))"


def test_brackets_the_editor_has_closed_are_not_closed_again():
    assert text_of("total = add(first, second)\nother = add(", ")\n") == "first, second"
    assert text_of("if add(first, second):\n    if add(", ")\n") == "first, second"


def test_the_middle_of_a_line_is_left_alone_unless_its_end_fits():
    text = "total = add(first, second) + 1\n"
    assert text_of(text + "other = add(", " + 1\n") == "first, second)"
    assert text_of(text + "other = add(", " * factor\n") is None


def test_the_next_line_is_not_said_again():
    assert text_of("first = 1\nprint(first)\nfirst = 1\n", "\nprint(first)\n") is None


@pytest.mark.parametrize(
    ("prefix", "suffix"), [("", ""), ("", "\n"), ("\n\n", "\n"), ("x", ""), ("a = 1\nzq", "\n"), ("    ", "\n")]
)
def test_where_nothing_is_likely_nothing_is_said(prefix: str, suffix: str):
    assert suggest(prefix, suffix) is None


def test_prose_is_left_alone():
    text = "The quick brown fox jumps.\nThe quick brown "
    assert suggest(text, "\n", language="markdown") is None
    assert suggest(text, "\n") is not None


def test_further_lines_follow_when_they_are_asked_for_and_one_place_agrees():
    prefix = (
        "def close_all(items):\n    for item in items:\n        if item.is_open():\n            item.close()\n            log(item)\n\n"
        "def close_some(items):\n    for item in items:\n        if item.is_o"
    )
    assert text_of(prefix, "\n") == "pen():"
    assert text_of(prefix, "\n", max_lines=3) == "pen():\n            item.close()\n            log(item)"


def test_two_thousand_lines_take_a_few_milliseconds_of_work():
    lines = [f"    value_{index % 97} = transform(self.part_{index % 89}, scale={index % 13})" for index in range(2000)]
    prefix = "\n".join(lines) + "\n    value_5 = transform(self."
    start = time.process_time()
    for _ in range(5):
        suggest(prefix, "\n" + "\n".join(lines[:1000]))
    assert (time.process_time() - start) / 5 < 0.1  # measured: 0.006


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_survived_and_a_suggestion_is_one_line(prefix: str, suffix: str):
    found = suggest(prefix, suffix)
    if found is not None:
        assert found.text
        assert "\n" not in found.text
        assert "\0" not in found.text
        assert 0 < found.confidence <= 1


@pytest.mark.parametrize(
    ("line", "piece", "source", "fitted"),
    [
        ("b = pop(s", "elf, key):", "def pop(self, key):", "elf, key)"),
        ("print(add(", "a)", "add(a)", "a))"),
        ("add(", "a))", "print(add(a))", "a)"),
        ("call(", "a,", "call(a,", "a,"),
        ("if ready(", "x)", "ready(x)", "x):"),
        ('say("', 'hello")', 'say("hello")', 'hello")'),
        ("it's (", "x", "x", "x"),
    ],
)
def test_a_piece_is_fitted_to_the_line_it_is_copied_to(line: str, piece: str, source: str, fitted: str):
    assert fit(line, piece, source) == fitted


@pytest.mark.parametrize("text", ["a" * 300_000, "(" * 100_000, " " * 300_000, "\n" * 300_000, "x = f(1)\n" * 30_000])
def test_text_that_repeats_itself_for_ever_costs_little(text: str):
    started = time.process_time()
    suggest(text[: len(text) // 2], text[len(text) // 2 :])
    assert time.process_time() - started < 1
