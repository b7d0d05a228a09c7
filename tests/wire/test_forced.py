"""A call that must be made: the schema it is asked by, and how the answer is read."""

import json

import pytest

from fireside.wire.forced import call_schema, read_call
from support.llama import EDIT, NOW


def test_the_schema_names_one_tool_or_offers_a_choice():
    assert call_schema((NOW,))["properties"]["name"] == {"const": NOW.name}
    assert len(call_schema((NOW, EDIT))["anyOf"]) == 2


def test_the_schema_of_a_call_takes_references_along():
    assert "#/properties/arguments/$defs/range" in json.dumps(call_schema((EDIT,)))
    assert "#/anyOf/1/properties/arguments/$defs/range" in json.dumps(call_schema((NOW, EDIT)))


def test_a_whole_call_is_read():
    call = read_call('{"name": "weather", "arguments": {"city": "Köln"}}')
    assert call is not None
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Köln"})


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "weather", "arg',
        '{"other": 1}',
        '{"name": 1, "arguments": {}}',
        '{"name": "a", "arguments": "x"}',
        "[]",
        "",
    ],
)
def test_what_is_no_whole_call_is_none(text: str):
    assert read_call(text) is None
