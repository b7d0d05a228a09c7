"""The Responses API: what Codex and the SDKs send, and our events as OpenAI's own SDK reads them."""

import base64
import json

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fireside.core.errors import ConnectionFailed, ContextTooLong, Invalid, RateLimited
from fireside.core.messages import Message, ToolCall
from fireside.core.requests import Delta, Logprob, ResponseFormat, Usage
from fireside.wire.openai import write_chat
from fireside.wire.responses_answers import ResponsesAnswer
from fireside.wire.responses_requests import ResponsesAsked, read_responses
from support.bodies import NAMES, oddities, values
from support.sdk import served

PNG = b"\x89PNG\r\n\x1a\n"
PICTURE = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
LOOK = {"type": "function", "name": "look", "description": "Look", "parameters": SCHEMA, "strict": False}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
}
FILES = {"type": "namespace", "name": "mcp__files", "description": "Files", "tools": [LOOK, PATCH]}
USAGE = Usage(10, 4, 6)
STOP = Delta(finish_reason="stop", usage=USAGE)
HELLO = (Delta(text="Hel"), Delta(text='lo "\n'), STOP)
# As Codex 0.169 sends it, with a shorter prompt and fewer tools.
CODEX = {
    "model": "M",
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandbox: none"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "write a.txt"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": None},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I will."}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "namespace": "mcp__files", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** Begin"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "nothing"}]},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "done"},
    ],
    "tools": [LOOK, PATCH, FILES, {"type": "web_search", "external_web_access": False}],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "conversation 1",
    "client_metadata": {"x": "y"},
    "text": {"verbosity": "low"},
}


def read(**fields: object) -> ResponsesAsked:
    return read_responses({"model": "M", "input": "hi", **fields})


def events(stream: bytes) -> list[dict]:
    """The data of a stream's events, after checking names and numbers."""
    found = []
    for event in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
        assert found[-1]["sequence_number"] == len(found) - 1
    return found


def streamed(*deltas: Delta, **fields: object) -> list[dict]:
    answer = ResponsesAnswer(read(**fields), created=5)
    return events(answer.begin() + answer.write(deltas))


def checked(found: list[dict]) -> list[str]:
    """The kinds of these events, each of which the SDK's models take as it is."""
    from openai.types.responses import ResponseStreamEvent
    from pydantic import TypeAdapter

    adapter = TypeAdapter(ResponseStreamEvent)
    for event in found:
        assert adapter.validate_python(event).type == event["type"]
    return [event["type"].removeprefix("response.") for event in found]


def test_what_codex_sends_becomes_a_conversation():
    asked = read_responses(CODEX)
    system, user, said, first, second = asked.request.messages
    assert (system.role, system.content) == ("system", "You are a coding agent.\n\nSandbox: none")
    assert user == Message("user", "write a.txt")
    calls = (ToolCall("c1", "mcp__files__look", "{}"), ToolCall("c2", "apply_patch", '{"input":"*** Begin"}'))
    assert said == Message("assistant", "I will.", tool_calls=calls)
    assert [(each.tool_call_id, each.content) for each in (first, second)] == [("c1", "nothing"), ("c2", "done")]
    assert (asked.model, asked.request.session, asked.request.reasoning) == ("M", "conversation 1", "medium")
    assert asked.request.stream
    assert asked.summarizes


def test_tools_of_a_namespace_have_flat_names_and_free_text_is_one_string():
    tools = {tool.name: tool for tool in read_responses(CODEX).request.tools}
    assert list(tools) == ["look", "apply_patch", "mcp__files__look", "mcp__files__apply_patch"]
    assert tools["mcp__files__look"].parameters == SCHEMA
    patch = tools["apply_patch"].parameters
    assert patch["required"] == ["input"]
    assert "start: x" in patch["properties"]["input"]["description"]


def test_a_namespace_that_ends_in_the_joint_gets_no_second_one():
    tools = read(tools=[{**FILES, "name": "mcp__files__"}]).request.tools
    assert tools[0].name == "mcp__files__look"


def test_tools_added_in_the_input_are_offered_too():
    added = {"type": "additional_tools", "role": "developer", "tools": [FILES]}
    asked = read(input=[added, {"role": "user", "content": "hi"}])
    assert [tool.name for tool in asked.request.tools] == ["mcp__files__look", "mcp__files__apply_patch"]


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ("required", "required"),
        ({"type": "function", "name": "look"}, "look"),
        ({"type": "function", "name": "look", "namespace": "mcp__files"}, "mcp__files__look"),
        ({"type": "custom", "name": "apply_patch"}, "apply_patch"),
        ({"type": "web_search_preview"}, "auto"),
        ({"type": "mcp", "server_label": "x"}, "auto"),
    ],
)
def test_tool_choice_names_tools_as_the_client_knows_them(choice: object, meant: str):
    assert read_responses({**CODEX, "tool_choice": choice}).request.tool_choice == meant


def test_the_input_may_be_text_short_messages_or_pictures():
    assert read(input="hi").request.messages == (Message("user", "hi"),)
    picture = {"role": "user", "content": [{"type": "input_image", "image_url": PICTURE, "detail": "auto"}]}
    assert read(input=[picture]).request.messages == (Message("user", "", images=(PNG,)),)
    assert read(input=None, instructions="be").request.messages == (Message("system", "be"),)


def test_the_older_shell_tool_and_items_nobody_knows():
    items = [
        {"role": "user", "content": "ls"},
        {"type": "local_shell_call", "id": "l1", "call_id": "c1", "action": {"type": "exec", "command": ["ls"]}},
        {"type": "local_shell_call_output", "id": "c1", "output": "a.txt"},
        {"type": "item_reference", "id": "x"},
        {"type": "web_search_call", "id": "y"},
        {"type": "from tomorrow"},
        {"id": "no type"},
    ]
    _, call, output = read(input=items).request.messages
    assert call.tool_calls == (ToolCall("c1", "local_shell", '{"type":"exec","command":["ls"]}'),)
    assert (output.tool_call_id, output.content) == ("c1", "a.txt")


def test_a_picture_a_tool_gave_back_is_shown_by_the_user():
    items = [
        {"type": "function_call", "call_id": "c", "name": "view", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": PICTURE}]},
        {"role": "user", "content": "what is it?"},
    ]
    _, tool, user = read(input=items).request.messages
    assert tool.content == "(see the picture below)"
    assert user == Message("user", "what is it?", images=(PNG,))


def test_what_was_said_after_a_call_stands_with_it_so_that_the_answer_is_next():
    items = [
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
    ]
    assert [(each.role, each.content) for each in read(input=items).request.messages] == [
        ("assistant", "I look."),
        ("tool", "x"),
    ]


def test_limits_formats_and_log_probabilities_have_names_of_their_own():
    asked = read(
        max_output_tokens=0,
        text={"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}},
        include=["message.output_text.logprobs"],
    )
    assert asked.request.sampling.max_tokens == 1
    assert asked.request.sampling.logprobs == 0
    assert asked.request.response_format == ResponseFormat(SCHEMA, "n")
    assert read(top_logprobs=3).request.sampling.logprobs == 3
    assert read(text={"format": {"type": "text"}}).request.response_format is None


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "prompt"])
def test_what_would_have_to_be_kept_is_refused_with_a_remedy(name: str):
    with pytest.raises(Invalid, match="not kept here") as caught:
        read(**{name: "resp_1"})
    assert "whole history" in caught.value.remedy
    assert caught.value.context["param"] == name


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input[0].content[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [5]}]}, "tools[0].tools[0]"),
        ({"tool_choice": {"type": "function", "name": "x"}}, "tool_choice"),
        ({"stream": 1}, "stream"),
    ],
)
def test_what_is_malformed_is_refused_by_its_place(fields: dict[str, object], param: str):
    with pytest.raises(Invalid) as caught:
        read(**fields)
    assert caught.value.context["param"] == param


def test_a_text_comes_in_the_events_the_sdk_knows_and_in_their_order():
    found = streamed(*HELLO)
    assert checked(found) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert "".join(event.get("delta", "") for event in found) == 'Hello "\n'
    assert found[6]["text"] == found[8]["item"]["content"][0]["text"] == 'Hello "\n'
    assert len({event["item_id"] for event in found[3:8]} | {found[2]["item"]["id"], found[8]["item"]["id"]}) == 1
    response = found[-1]["response"]
    assert (response["status"], response["model"], response["created_at"]) == ("completed", "M", 5)
    assert response["output"] == [found[8]["item"]]
    assert (response["usage"]["total_tokens"], response["usage"]["input_tokens_details"]["cached_tokens"]) == (14, 6)
    assert found[0]["response"]["status"] == "in_progress"
    assert found[0]["response"]["usage"] is None


def test_thoughts_are_raw_or_a_summary_as_the_client_wishes():
    thought = (Delta(reasoning="h"), Delta(reasoning="m"), *HELLO)
    raw = streamed(*thought)
    assert checked(raw)[2:9] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
    ]
    assert raw[8]["item"]["content"] == [{"type": "reasoning_text", "text": "hm"}]
    summary = streamed(*thought, reasoning={"summary": "auto"})
    assert checked(summary)[2:9] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert summary[8]["item"]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert [item["type"] for item in summary[-1]["response"]["output"]] == ["reasoning", "message"]


def test_a_call_goes_back_under_the_names_the_client_gave():
    found = streamed(
        Delta(tool_call=ToolCall("c1", "mcp__files__look", '{"path":"a"}')), STOP, **{**CODEX, "input": "hi"}
    )
    assert checked(found)[2:6] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    item = found[5]["item"]
    assert (item["type"], item["name"], item["namespace"], item["call_id"]) == (
        "function_call",
        "look",
        "mcp__files",
        "c1",
    )
    assert found[3]["delta"] == found[4]["arguments"] == item["arguments"] == '{"path":"a"}'
    assert found[2]["item"] == {**item, "status": "in_progress", "arguments": ""}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "*** Begin\\n"}', "*** Begin\n"),
        ("*** Begin", "*** Begin"),
        ('{"patch": "x"}', '{"patch": "x"}'),
        ('"x"', "x"),
    ],
)
def test_free_text_goes_back_as_free_text(arguments: str, text: str):
    found = streamed(Delta(tool_call=ToolCall("c1", "apply_patch", arguments)), STOP, tools=[PATCH])
    assert checked(found)[2:6] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    item = found[5]["item"]
    assert (item["type"], item["name"], item["input"], found[4]["input"]) == (
        "custom_tool_call",
        "apply_patch",
        text,
        text,
    )
    assert "namespace" not in item


def test_text_and_calls_in_turn_are_items_of_their_own():
    call = Delta(tool_call=ToolCall("", "look", ""))
    found = streamed(Delta(text="a"), call, Delta(text="b"), call, STOP, tools=[LOOK])
    checked(found)
    output = found[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "message", "function_call"]
    assert [event["output_index"] for event in found if event["type"] == "response.output_item.added"] == [0, 1, 2, 3]
    assert len({item["id"] for item in output}) == 4
    assert output[1]["arguments"] == "{}"
    assert output[1]["call_id"] != output[3]["call_id"]


def test_log_probabilities_come_with_their_text_and_only_when_asked_for():
    told = Delta(text="a", logprobs=(Logprob("a", -0.5, (("a", -0.5),)),))
    found = streamed(told, STOP, top_logprobs=1)
    checked(found)
    assert found[4]["logprobs"][0]["token"] == "a"
    assert found[-1]["response"]["output"][0]["content"][0]["logprobs"] == found[4]["logprobs"]
    assert streamed(told, STOP)[4]["logprobs"] == []


def test_an_answer_cut_by_its_limit_is_incomplete():
    found = streamed(Delta(text="a"), Delta(finish_reason="length", usage=USAGE))
    assert checked(found)[-1] == "incomplete"
    response = found[-1]["response"]
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert response["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ContextTooLong("too long", remedy="say less"), "context_length_exceeded"),
        (RateLimited("slow down"), "rate_limit_exceeded"),
        (Invalid("not like this"), "invalid_prompt"),
        (ConnectionFailed("broke off", cause="cut"), "server_error"),
    ],
)
def test_a_failure_in_the_stream_says_what_codex_decides_by(error: Exception, code: str):
    answer = ResponsesAnswer(read())
    *_, failed = events(answer.begin() + answer.write([Delta(text="a")]) + answer.fail(error))
    assert failed["type"] == "response.failed"
    assert (failed["response"]["status"], failed["response"]["error"]["code"]) == ("failed", code)
    assert failed["response"]["output"] == []


def test_an_answer_that_a_newer_request_ended_is_a_failure_and_never_complete():
    assert streamed(Delta(text="a"), Delta(finish_reason="cancelled"))[-1]["type"] == "response.failed"
    with pytest.raises(Invalid, match="newer request"):
        ResponsesAnswer(read()).whole([Delta(finish_reason="cancelled")])


def test_a_whole_response_is_what_the_last_event_of_its_stream_says():
    from openai.types.responses import Response

    deltas = [Delta(reasoning="hm"), *HELLO[:2], Delta(tool_call=ToolCall("c", "look", "{}")), STOP]
    asked = read_responses({**CODEX, "input": "hi"})
    whole = json.loads(ResponsesAnswer(asked, created=5).whole(deltas))
    parsed = Response.model_validate(whole)
    assert parsed.output_text == 'Hello "\n'
    assert parsed.instructions == "You are a coding agent."
    assert [tool.type for tool in parsed.tools] == ["function", "custom", "namespace", "web_search"]
    assert parsed.usage.output_tokens == 4
    last = streamed(*deltas, **{**CODEX, "input": "hi"})[-1]["response"]
    for made in (whole, last):
        for changing in ("id", "output", "completed_at"):
            made.pop(changing)
    assert whole == last


def test_an_answer_without_a_reason_is_not_a_whole_one():
    with pytest.raises(ConnectionFailed):
        ResponsesAnswer(read()).whole([Delta(text="a")])


async def test_the_sdk_collects_a_streamed_response():
    asked = read_responses({**CODEX, "input": "hi"})
    answer = ResponsesAnswer(asked)
    deltas = [Delta(reasoning="hm"), *HELLO[:2], Delta(tool_call=ToolCall("c", "apply_patch", '{"input":"x"}')), STOP]
    body = answer.wait("waiting") + answer.begin() + answer.write(deltas)
    async with (
        served(body, "text/event-stream") as client,
        client.responses.stream(model="M", input="hi", tools=CODEX["tools"]) as stream,
    ):
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.output_text == 'Hello "\n'
    assert [item.type for item in final.output] == ["reasoning", "message", "custom_tool_call"]
    assert final.output[2].input == "x"


async def test_the_sdk_reads_a_whole_response():
    async with served(ResponsesAnswer(read()).whole(HELLO), "application/json") as client:
        assert (await client.responses.create(model="M", input="hi")).output_text == 'Hello "\n'


def answered(body: object) -> None:
    """Whatever this is: it is read or refused; what is read can be sent on and answered."""
    try:
        asked = read_responses(body)
    except Invalid:
        return
    orjson.dumps(write_chat(asked.request, "m"))
    name = asked.request.tools[0].name if asked.request.tools else "look"
    answer = ResponsesAnswer(asked)
    stream = answer.begin() + answer.write([*HELLO[:2], Delta(tool_call=ToolCall("", name, "{}")), STOP])
    assert events(stream)[-1]["type"] == "response.completed"


def test_a_good_body_with_any_one_value_of_another_type_is_read_or_refused():
    for body in oddities({**CODEX, "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [LOOK]}}):
        answered(body)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(values(), st.dictionaries(st.sampled_from(NAMES), values(), max_size=8)))
def test_any_json_is_read_or_refused(body: object):
    answered(body)
