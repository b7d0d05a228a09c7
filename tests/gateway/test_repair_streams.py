"""However a text is cut into pieces, the same comes out; and nothing a model can write brings the repair down or makes it slow."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fireside.core.messages import ToolSpec
from fireside.core.requests import Delta
from fireside.gateway.calls import Offered
from fireside.gateway.hold import Hold
from support.toolcall_cases.faults import as_text
from support.toolcall_cases.forms import FORMS
from support.toolcall_cases.shown import CALL
from support.toolcall_cases.streams import answered, in_pieces
from support.toolcall_cases.tools import EVERYTHING, offering

# A guard, no measure: what grew with the square of the length would take minutes of processor time.
LINEAR_SECONDS = 20

NAMES = some.from_regex(r"[a-z][a-z_]{0,12}", fullmatch=True)
KINDS: dict[str, tuple[dict[str, object], some.SearchStrategy[object]]] = {
    "text": ({"type": "string"}, some.text()),
    "integer": ({"type": "integer"}, some.integers(-(10**9), 10**9)),
    "number": ({"type": "number"}, some.floats(-1e6, 1e6)),
    "switch": ({"type": "boolean"}, some.booleans()),
    "texts": ({"type": "array", "items": {"type": "string"}}, some.lists(some.text(), max_size=3)),
    "maybe": ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, some.integers(0, 9)),
    "choice": ({"enum": ["a", "b"]}, some.sampled_from(["a", "b"])),
    "object": ({"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}, some.fixed_dictionaries({"x": some.text()})),
}  # fmt: skip


@some.composite
def tools_and_calls(draw: some.DrawFn) -> tuple[ToolSpec, dict[str, object]]:
    properties, arguments = {}, {}
    for name in draw(some.lists(NAMES, max_size=4, unique=True)):
        schema, values = KINDS[draw(some.sampled_from(sorted(KINDS)))]
        properties[name], arguments[name] = schema, draw(values)
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return ToolSpec(draw(NAMES), "", schema), arguments


def through(hold: Hold, *pieces: str) -> tuple[str, str, list[tuple[str, str]]]:
    passed = "".join(map(hold.feed, pieces))
    rest, calls = hold.end("stop")
    return passed, rest, [(mended.call.name, mended.call.arguments) for mended in calls]


@settings(deadline=None)
@given(tools_and_calls(), some.sampled_from(["bare JSON", "Hermes", "Mistral", "pythonic"]), some.integers(1, 30))
async def test_any_call_of_any_tool_is_read_as_it_was_written(drawn, form: str, size: int):
    tool, arguments = drawn
    text = as_text(tool.name, arguments)[form]
    outcome = await answered(offering((tool,)), *in_pieces(text, size))
    assert [(call.name, json.loads(call.arguments)) for call in outcome.calls] == [(tool.name, arguments)]


@pytest.mark.parametrize("text", [text for text, _ in FORMS.values()], ids=FORMS.keys())
def test_it_does_not_matter_where_a_text_is_cut(text: str):
    offered = Offered(EVERYTHING)
    whole = through(Hold(offered, bare=True), text)
    assert whole[2]
    for place in range(1, len(text)):
        cut = through(Hold(offered, bare=True), text[:place], text[place:])
        assert (cut[0] + cut[1], cut[2]) == (whole[0] + whole[1], whole[2])


@given(some.sampled_from([text for text, _ in FORMS.values()]), some.data())
def test_no_byte_of_a_spoilt_call_is_lost(text: str, data: some.DataObject):
    place = data.draw(some.integers(0, len(text)))
    spoilt = text[:place] + data.draw(some.text(max_size=20)) + text[data.draw(some.integers(place, len(text))) :]
    outcomes = []
    for size in (len(spoilt) or 1, data.draw(some.integers(1, 9))):
        pieces = [spoilt[at : at + size] for at in range(0, len(spoilt), size)]
        outcomes.append(through(Hold(Offered(EVERYTHING), bare=True), *pieces))
    (passed, rest, calls), (again, last, others) = outcomes
    assert calls == others
    assert passed + rest == again + last
    assert calls or passed + rest == spoilt


UNITS = ["a", " ", "\n", "[", "<", "`", "~ ", "{", "{}", "[[", "((", "```\n", "\n<tool_call>", "\n<tool_call>\n", "[TOOL_CALLS]",
         ".[TOOL_CALLS]", "\n```json\n", '{"name": "read_file", ', "read_file(", "\n<function=", "<think>", "</think>", "<think></think>",
         "“", "\n~~~\n", "</tool_call>", "\\", '"', CALL, CALL + "\n", f"<tool_call>{CALL}</tool_call>\n", f"\n```json\n{CALL}\n```\n",
         "read_file(path='a')\n", "x [a](b) `c` <d>\n"]  # fmt: skip
BEGUN = ['{"name": "', CALL[:40], "<tool_call>\n<function=write_file>\n<parameter=path>\n", "read_file(path='"]


@pytest.mark.parametrize("unit", UNITS)
def test_a_hostile_megabyte_takes_less_than_a_second_and_keeps_its_bytes(unit: str):
    text = unit * (1_000_000 // len(unit))
    began = time.thread_time()
    passed, rest, calls = through(Hold(Offered(EVERYTHING), bare=True), text)
    assert time.thread_time() - began < LINEAR_SECONDS
    assert calls or passed + rest == text


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("before", ["", *BEGUN])
def test_nor_is_it_slow_in_small_pieces(unit: str, before: str):
    text = before + unit * (40_000 // len(unit))
    began = time.thread_time()
    passed, rest, calls = through(
        Hold(Offered(EVERYTHING), bare=True), *(text[at : at + 5] for at in range(0, len(text), 5))
    )
    assert time.thread_time() - began < LINEAR_SECONDS
    assert calls or passed + rest == text


async def test_a_large_file_is_written_as_quickly():
    content = 'print("x")\n' * 30_000
    call = json.dumps({"name": "write_file", "arguments": {"path": "a.py", "content": content}})
    began = time.thread_time()
    outcome = await answered(offering(EVERYTHING), *in_pieces(call, 40))
    assert json.loads(outcome.calls[0].arguments)["content"] == content
    assert time.thread_time() - began < LINEAR_SECONDS


async def test_a_megabyte_of_single_signs_is_held_in_linear_time():
    began = time.thread_time()
    outcome = await answered(offering(EVERYTHING), *([Delta(text=sign)] for sign in (CALL[:-3] + "x" * 100_000)))
    assert outcome.calls == []
    assert time.thread_time() - began < LINEAR_SECONDS
