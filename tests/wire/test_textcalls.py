"""Printed calls are read whole or not at all, whatever the text."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fireside.wire.nesting import Nesting
from fireside.wire.textcalls import glimpse, glimpse_envelope, read_calls
from support.toolcall_cases.forms import FORMS

# A guard, no measure: what grew with the square of the length would take minutes of processor time.
LINEAR_SECONDS = 20

MARKS = [
    "<tool_call>",
    "</tool_call>",
    "<function=read_file>",
    "<parameter=path>",
    "</parameter>",
    "</function>",
    "<invoke name=",
]
TOKENS = [
    "[TOOL_CALLS]",
    "[ARGS]",
    "<|python_tag|>",
    "<|channel|>",
    "<|message|>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
]
WORDS = [
    '"read_file"',
    "read_file",
    "path=",
    "name",
    "arguments",
    "json",
    "to=",
    "<arg_key>",
    "</arg_key>",
    "<think>",
    "x",
    "1",
]
SIGNS = [*MARKS, *TOKENS, *WORDS, "<｜tool▁sep｜>", *"()'\"{}[]:,\\\n ", "```"]
UNITS = [
    *(
        *SIGNS,
        "<tool_call>\n",
        '{"name":',
        '[{"name": "x"},',
        "a(b=1)\n",
        "a(b=(",
        "<parameter=x>y</parameter>",
        "{}",
        "</s>",
    ),
    *(
        "<｜tool▁call▁end｜>",
        '<tool_call>{"name": "a", "arguments": {}}',
        "<tool_call><function=a>",
        "<function=a><parameter=b>",
    ),
    "</parameter> ",
]
VALUES = some.recursive(
    some.text() | some.integers(), lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner)
)
SOUP = some.lists(some.sampled_from(SIGNS), max_size=40).map("".join)


@pytest.mark.parametrize(("text", "expected"), FORMS.values(), ids=FORMS.keys())
def test_every_notation_is_read_as_what_it_says(text: str, expected: list[tuple[str, dict[str, object]]]):
    read = [call.arguments.keys() for call in read_calls(text)]
    assert read == [arguments.keys() for _, arguments in expected]


@pytest.mark.parametrize("text", [text for text, _ in FORMS.values()], ids=FORMS.keys())
@pytest.mark.parametrize("more", ["words", " and more words", "\n\nThat is all.", '{"a": 1}', "\n# done"])
def test_nothing_is_read_where_more_than_calls_stands(text: str, more: str):
    if "(" in text and more.startswith("\n#"):
        pytest.skip("a comment is part of Python")
    assert read_calls(text + more) == []


@given(SOUP | some.text())
def test_no_text_is_too_strange(text: str):
    for call in read_calls(text):
        json.dumps(call.arguments)
    for place in range(len(text)):
        glimpse(text, place)
        glimpse_envelope(text, place)


@given(some.sampled_from([text for text, _ in FORMS.values()]), some.data())
def test_no_mutation_of_a_call_is_too_strange(text: str, data: some.DataObject):
    place = data.draw(some.integers(0, len(text)))
    end = data.draw(some.integers(place, len(text)))
    read_calls(text[:place] + data.draw(SOUP) + text[end:])


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    "before", ["", "<tool_call>", "<function=a><parameter=b>", '{"name": "a", "arguments": {"b": "']
)
def test_a_hostile_megabyte_takes_less_than_a_second(unit: str, before: str):
    text = before + unit * (1_000_000 // len(unit))
    began = time.thread_time()
    read_calls(text)
    assert time.thread_time() - began < LINEAR_SECONDS


@given(VALUES.map(lambda value: {"v": value}), some.integers(1, 9))
def test_the_end_of_a_value_is_found_in_any_pieces(value: object, size: int):
    for text in (json.dumps(value), repr(value)):
        nesting, rest, fed = Nesting(), None, 0
        while rest is None and fed < len(text):
            rest = nesting.feed(text[fed : fed + size])
            fed += size
        assert rest is not None
        assert rest + text[fed:] == ""
