"""JSON that is nearly JSON is read as it was meant; what would have to be guessed is not read."""

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fireside.wire.lenient import NotJson, dump, read_object, read_value

# A guard, no measure: what grew with the square of the length would take minutes of processor time.
LINEAR_SECONDS = 20

VALUES = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**60), 2**60) | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip
OBJECTS = some.dictionaries(some.text(), VALUES, max_size=4)


@pytest.mark.parametrize(
    ("text", "value", "faults"),
    [
        ('{"a": 1}', {"a": 1}, set()),
        ('{"a": 1,}', {"a": 1}, {"syntax"}),
        ('{"a": [1, 2,],}', {"a": [1, 2]}, {"syntax"}),
        ("{'a': 'it\\'s', \"b\": True, 'c': None}", {"a": "it's", "b": True, "c": None}, {"syntax"}),
        ("{a: 1, b-c: 'x'}", {"a": 1, "b-c": "x"}, {"syntax"}),
        ('{"a": "one\ntwo\tthree"}', {"a": "one\ntwo\tthree"}, {"syntax"}),
        ('{"a": 1 // one\n, /* two */ "b": 2}', {"a": 1, "b": 2}, {"syntax"}),
        ("{“a”: “b”}", {"a": "b"}, {"syntax"}),
        ("{‘a’: ‘b’}", {"a": "b"}, {"syntax"}),
        (r"{'a': '\d+ \x41 \u00e9 \ud83d\ude00'}", {"a": "\\d+ A é 😀"}, {"syntax"}),
        ('{"a": {"b": [1, {"c": 2', {"a": {"b": [1, {"c": 2}]}}, {"closed"}),
        ('{"a": "x"', {"a": "x"}, {"closed"}),
        ('{"a": "x', {"a": "x"}, {"closed", "broken_off"}),
        ('{"a": "x\\', {"a": "x"}, {"closed", "broken_off"}),
        ('{"a": 1, ', {"a": 1}, {"closed", "broken_off"}),
        ("```json\n{}\n```", {}, {"fenced"}),
        ("```\n{'a': 1}", {"a": 1}, {"fenced", "syntax"}),
        (json.dumps(json.dumps({"a": 1})), {"a": 1}, {"encoded"}),
        (json.dumps(json.dumps(json.dumps({"a": 1}))), {"a": 1}, {"encoded"}),
        (json.dumps("```json\n{}\n```"), {}, {"encoded", "fenced"}),
        (r"{\"a\": \"b\"}", {"a": "b"}, {"encoded"}),
        ('{"a": 1}}', {"a": 1}, {"syntax"}),
        ("", {}, {"syntax"}),
    ],
)
def test_what_models_write_is_read(text: str, value: object, faults: set[str]):
    reading = read_object(text)
    assert (reading.value, set(reading.faults)) == (value, faults)


@pytest.mark.parametrize(
    "text",
    ['{"a": }', '{"a" 1}', '{"a": 1 "b": 2}', '{"a":', '{"a', "{a}", "{,}", "[1,,2]", '{"a": NaN}', '{"a": 1e999}', '{"a": tru',
     '{"a": undefined}', '{"a": 007}', '{"a": 1_000}', "hello", "[1]", "1", '"text"', '{"a": 1} {"b": 2}', '{"a": 1} and more',
     "{" * 100, '{"a": `x`}', "{'a': 'b'c'}", json.dumps(json.dumps(json.dumps(json.dumps(json.dumps({})))))],
)  # fmt: skip
def test_what_would_have_to_be_guessed_is_not_read(text: str):
    with pytest.raises(NotJson):
        read_object(text)


@given(VALUES)
def test_json_is_read_as_json(value: object):
    text = json.dumps(value)
    reading = read_value(text)
    assert (reading.value, reading.end, reading.faults) == (value, len(text), frozenset())


@given(OBJECTS)
def test_python_is_read_as_what_it_says(value: dict[str, object]):
    assert read_object(repr(value)).value == value


@given(OBJECTS, some.integers(0, 3))
def test_encoding_undone(value: dict[str, object], levels: int):
    text = json.dumps(value)
    for _ in range(levels):
        text = json.dumps(text)
    assert read_object(text).value == value


@given(OBJECTS, some.data())
def test_what_is_cut_says_so_or_is_not_read(value: dict[str, object], data: some.DataObject):
    text = json.dumps(value)
    cut = text[: data.draw(some.integers(1, len(text) - 1))]
    try:
        faults = read_object(cut).faults
    except NotJson:
        return
    assert "closed" in faults


@given(some.text(alphabet="{}[]\"'\\,:ab1 \n`“”-.e/*tru"))
def test_no_text_is_too_strange(text: str):
    with contextlib.suppress(NotJson):
        json.loads(dump(read_object(text).value))


@pytest.mark.parametrize(
    "text",
    ["[" * 1_000_000, '{"a":' * 200_000, "'" * 1_000_000, '{"a": "' + "\\" * 1_000_000, "{" + "/*" * 500_000, '{"' + "a" * 1_000_000,
     "{'a': [" + "1," * 500_000, "`" * 1_000_000, "{'a': '" + "\\u12" * 250_000, "[" + "9" * 1_000_000, "{'a'" + " " * 1_000_000],
)  # fmt: skip
def test_hostile_text_takes_no_longer_than_its_length_asks(text: str):
    began = time.thread_time()
    with contextlib.suppress(NotJson):
        read_object(text)
    assert time.thread_time() - began < LINEAR_SECONDS


def test_numbers_and_characters_json_libraries_refuse_are_still_written():
    assert json.loads(dump({"a": 2**70, "b": "\ud800"})) == {"a": 2**70, "b": "\ud800"}
