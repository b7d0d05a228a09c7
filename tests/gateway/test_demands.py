"""A call that must be made is made once and right, and an answer asked for in a form has it; else it is an error."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fireside.core.errors import Invalid
from fireside.core.messages import ToolCall
from fireside.core.requests import ChatRequest, Delta, ResponseFormat, Usage
from fireside.wire.answers import status_of
from support.toolcall_cases.forms import FORMS
from support.toolcall_cases.shown import CALL, SHOWN, TAGGED
from support.toolcall_cases.streams import answered, in_pieces
from support.toolcall_cases.tools import EVERYTHING, offering

REQUIRED = offering(EVERYTHING, tool_choice="required")
READ = ToolCall("1", "read_file", '{"path": "a.py"}')
BASH = ToolCall("2", "bash", '{"command": "ls"}')
WRONG = ToolCall("3", "read_file", '{"file": "a.py"}')
SCHEMA = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}


def formed(**fields: object) -> ChatRequest:
    return offering((), response_format=ResponseFormat(SCHEMA), **fields)


@pytest.mark.parametrize(
    ("choice", "calls", "made"),
    [
        ("required", [READ], READ),
        ("required", [READ, BASH], READ),
        ("required", [WRONG, BASH], BASH),
        ("bash", [READ, BASH], BASH),
        ("bash", [BASH, BASH], BASH),
    ],
)
async def test_the_first_valid_call_is_the_one(choice: str, calls: list[ToolCall], made: ToolCall):
    request = offering(EVERYTHING, tool_choice=choice)
    outcome = await answered(request, [Delta(text="Sure. ")], *([Delta(tool_call=call)] for call in calls))
    assert (outcome.calls, outcome.finish, outcome.text) == ([made], "tool_calls", "")


@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize(
    ("choice", "calls"),
    [("required", []), ("required", [WRONG]), ("bash", [READ]), ("required", [ToolCall("4", "fly", "{}")])],
)
async def test_no_valid_call_is_an_error_and_nothing_gets_out(choice: str, calls: list[ToolCall], finish: str):
    request = offering(EVERYTHING, tool_choice=choice)
    with pytest.raises(Invalid) as raised:
        await answered(
            request, [Delta(text="I'd rather talk.")], *([Delta(tool_call=call)] for call in calls), finish=finish
        )
    assert status_of(raised.value) == 422
    assert raised.value.remedy


@pytest.mark.parametrize(
    "text", [CALL, TAGGED, f"I will.\n```json\n{CALL}\n```", f"I will.\n{TAGGED}", f"[{CALL}, {CALL}]"]
)
async def test_a_printed_call_counts_and_prose_beside_it_does_not(text: str):
    outcome = await answered(REQUIRED, *in_pieces(text, 3))
    assert [(call.name, json.loads(call.arguments)) for call in outcome.calls] == [("read_file", {"path": "a.py"})]
    assert (outcome.text, outcome.finish) == ("", "tool_calls")


@settings(deadline=None)
@given(some.sampled_from([*SHOWN.values(), *(text for text, _ in FORMS.values())]) | some.text(), some.integers(1, 50))
async def test_whatever_a_model_says_it_is_one_valid_call_or_an_error(text: str, size: int):
    try:
        outcome = await answered(REQUIRED, *in_pieces(text, size))
    except Invalid:
        return
    (call,) = outcome.calls
    tool = next(tool for tool in EVERYTHING if tool.name == call.name)
    assert set(tool.parameters.get("required", ())) <= json.loads(call.arguments).keys()


async def test_reasoning_usage_and_who_answered_stay():
    last = Delta(finish_reason="stop", usage=Usage(1, 2), engine="e", model="m")
    outcome = await answered(REQUIRED, [Delta(reasoning="hm")], [Delta(tool_call=READ)], [last], end=False)
    assert outcome.deltas[0] == Delta(reasoning="hm")
    assert outcome.deltas[-1] == Delta(finish_reason="tool_calls", usage=Usage(1, 2), engine="e", model="m")


async def test_a_request_that_was_superseded_owes_nothing():
    outcome = await answered(REQUIRED, [Delta(text="I")], finish="cancelled")
    assert (outcome.finish, outcome.calls) == ("cancelled", [])


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_fits_its_schema_passes(stream: bool):
    outcome = await answered(formed(stream=stream), *in_pieces('{"code": "x"}', 4))
    assert (outcome.text, outcome.finish) == ('{"code": "x"}', "stop")


@pytest.mark.parametrize(
    "text", ["", "Sure!", '{"code": 1}', "{}", '{"code": "x"', '```json\n{"code": "x"}\n```', '{"code": "x"} there']
)
async def test_one_that_does_not_is_an_error(text: str):
    for stream in (True, False):
        with pytest.raises(Invalid) as raised:
            await answered(formed(stream=stream), *in_pieces(text, 4))
        assert status_of(raised.value) == 422


@pytest.mark.parametrize("stream", [True, False])
async def test_one_that_was_cut_says_so_itself(stream: bool):
    outcome = await answered(formed(stream=stream), *in_pieces('{"code": "x', 4), finish="length")
    assert (outcome.text, outcome.finish) == ('{"code": "x', "length")


async def test_a_streamed_answer_is_not_held_back_for_it():
    pieces = in_pieces('{"code": "x"}', 4)
    outcome = await answered(formed(), *pieces)
    assert outcome.deltas[:-1] == [piece for (piece,) in pieces]


async def test_a_call_instead_of_an_answer_need_not_fit():
    request = offering(EVERYTHING, response_format=ResponseFormat(SCHEMA))
    assert (await answered(request, [Delta(tool_call=READ)])).calls == [READ]


async def test_a_schema_nobody_can_read_asks_for_nothing_and_is_not_fetched():
    request = offering((), response_format=ResponseFormat({"$ref": "http://127.0.0.1:9/schema.json"}))
    assert (await answered(request, *in_pieces("{}", 1))).text == "{}"
