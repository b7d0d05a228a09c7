"""A model asks for tools; the call arrives whole, with arguments that are JSON."""

import json

import pytest

from fireside.core.errors import Invalid
from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, Sampling
from support.answers import Answer, check_error, failure, read
from support.subject import Says, Subject

READ = ToolSpec(
    "read_file",
    "Read a file",
    {
        "type": "object",
        "properties": {
            "path": {"type": "string", "maxLength": 20},
            "lines": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "required": ["path"],
        "additionalProperties": False,
    },
)
NOW = ToolSpec("now", "The time", {"type": "object", "properties": {}, "additionalProperties": False})
ARGUMENTS = {
    "simple": {"path": "src/a.py"},
    "no arguments": {},
    "nested": {"edits": [{"range": {"start": 1, "end": 2}, "text": "x"}], "options": {"dry": True, "depth": None}},
    "unicode": {"path": "grüße/👍.py", "text": "你好"},
    "quotes and line ends": {"text": 'a "b"\n\tc\\d\r\n'},
    "numbers": {"a": 0, "b": -1.5, "c": 1e30, "d": 2**53},
    "large": {"text": "line of code\n" * 2000},
}


async def answered(subject: Subject, says: Says, **changes: object) -> Answer | None:
    """The answer; without the capability the refusal is checked instead, and there is no answer."""
    request: ChatRequest = subject.ask(says, **({"tools": (READ, NOW)} | changes))
    if subject.card.can("tools"):
        return await read(subject.engine.chat(request, subject.card))
    _, error = await failure(subject.engine.chat(request, subject.card))
    assert isinstance(error, Invalid)
    check_error(error)
    return None


def check_calls(subject: Subject, answer: Answer, says: Says) -> None:
    """The calls are the arranged ones; a random model may call or not, but what it calls is whole."""
    ids = [call.id for call in answer.tool_calls]
    assert len(set(ids)) == len(ids), "each call has an id of its own"
    assert all(ids)
    for call in answer.tool_calls:
        assert isinstance(json.loads(call.arguments), dict)
    if subject.programmable:
        asked = [(call.name, json.loads(call.arguments)) for call in says.tool_calls]
        assert [(call.name, json.loads(call.arguments)) for call in answer.tool_calls] == asked
        assert answer.finish == "tool_calls"


@pytest.mark.parametrize("case", ARGUMENTS)
async def test_a_call_arrives_whole(subject: Subject, case):
    says = Says(text="", tool_calls=(ToolCall("call_1", "read_file", json.dumps(ARGUMENTS[case])),))
    if answer := await answered(subject, says, sampling=Sampling(max_tokens=40)):
        check_calls(subject, answer, says)


async def test_several_calls_arrive_in_order(subject: Subject):
    says = Says(
        text="", tool_calls=tuple(ToolCall(f"call_{n}", "read_file", json.dumps({"path": f"{n}.py"})) for n in range(4))
    )
    if answer := await answered(subject, says, sampling=Sampling(max_tokens=40)):
        check_calls(subject, answer, says)


async def test_text_before_a_call_is_kept(subject: Subject):
    says = Says(text="I will look.", tool_calls=(ToolCall("call_1", "now", "{}"),))
    if answer := await answered(subject, says, sampling=Sampling(max_tokens=40)):
        check_calls(subject, answer, says)
        assert answer.text == says.text or not subject.programmable


async def test_a_call_survives_any_cut_of_its_bytes(subject: Subject):
    says = Says(text="", tool_calls=(ToolCall("call_1", "read_file", json.dumps({"path": "grüße/👍.py"})),), split=3)
    if answer := await answered(subject, says, sampling=Sampling(max_tokens=40)):
        check_calls(subject, answer, says)


async def test_results_of_tools_are_taken_back(subject: Subject):
    calls = (ToolCall("call_1", "read_file", '{"path": "a.py"}'), ToolCall("call_2", "now", "{}"))
    history = (
        Message("user", "What is in a.py?"),
        Message("assistant", "", tool_calls=calls),
        Message("tool", "print('hi')", tool_call_id="call_1"),
        Message("tool", "", tool_call_id="call_2"),
        Message("user", "And now?"),
    )
    says = Says(text="It prints hi.")
    if answer := await answered(subject, says, messages=history, sampling=Sampling(max_tokens=40)):
        assert answer.finish in ("stop", "length", "tool_calls")
        assert answer.text == says.text or not subject.programmable


async def test_no_call_is_made_when_none_is_allowed(subject: Subject):
    says = Says(text="Just words.")
    request = subject.ask(says, tools=(READ,), tool_choice="none", sampling=Sampling(max_tokens=40))
    answer = await read(subject.engine.chat(request, subject.card))
    assert answer.tool_calls == ()
    assert answer.finish in ("stop", "length")


@pytest.mark.parametrize("choice", ["required", "read_file"])
async def test_a_call_that_must_be_made_is_made(subject: Subject, choice):
    """Random weights would never call by themselves: the engine has to see to it."""
    says = Says(text="", tool_calls=(ToolCall("call_1", "read_file", '{"path": "a.py"}'),))
    answer = await answered(subject, says, tools=(READ,), tool_choice=choice, sampling=Sampling(max_tokens=200))
    if answer is not None:
        assert [call.name for call in answer.tool_calls] == ["read_file"]
        assert isinstance(json.loads(answer.tool_calls[0].arguments)["path"], str)
        assert answer.finish == "tool_calls"


async def test_without_tools_there_are_no_calls(subject: Subject):
    answer = await read(subject.engine.chat(subject.ask(), subject.card))
    assert answer.tool_calls == ()
