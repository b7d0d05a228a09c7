"""Anthropic's Messages JSON: what each generation of Claude accepts, and what its streams say."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, RateLimited
from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, Delta, ResponseFormat, Sampling
from fireside.wire.anthropic import MessagesReader, closed_schema, generation, write_messages, write_prompt
from fireside.wire.framing import SseEvent

TOOL = ToolSpec("look", "Look at a file", {"type": "object", "properties": {"path": {"type": "string"}}})
ASK = (Message("user", "hi"),)
OLD, MIDDLE, NEW = "claude-sonnet-4-5-20250929", "claude-opus-4-6", "claude-opus-4-7"


def read(*events: dict[str, object]) -> list[Delta]:
    reader = MessagesReader()
    deltas = []
    for event in events:
        deltas += reader.read(SseEvent(str(event.get("type", "message")), json.dumps(event)))
    return deltas + reader.end()


def stopped(reason: str | None = "end_turn", **usage: int) -> dict[str, object]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


def delta(index: int = 0, **fields: object) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": fields}


# Requests


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-opus-4-7", (4, 7)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("claude-sonnet-4-5-20250929", (4, 5)),
        ("claude-3-5-haiku-20241022", (3, 5)),
        ("anthropic.claude-opus-4-6-v1", (4, 6)),
        ("claude-sonnet-5", (5, 0)),
        ("qwen3-coder", None),
    ],
)
def test_a_generation_is_told_from_the_name(model, version):
    assert generation(model) == version


def test_the_system_prompt_stands_apart():
    messages = (Message("system", "Be brief."), *ASK, Message("system", "Be kind."))
    body = write_messages(ChatRequest(messages), OLD)
    assert [block["text"] for block in body["system"]] == ["Be brief.\n\nBe kind."]
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    assert body["max_tokens"] == 8192
    assert body["stream"] is True


def test_calls_and_results_become_blocks_in_turn():
    calls = (ToolCall("a", "look", '{"path": "x"}'), ToolCall("b", "look", ""))
    messages = (
        *ASK,
        Message("assistant", "I look.", tool_calls=calls),
        Message("tool", "print()", tool_call_id="a"),
        Message("tool", "", tool_call_id="b"),
        Message("user", "And?"),
    )
    _, asked, told = write_prompt(ChatRequest(messages))["messages"]
    assert [block["type"] for block in asked["content"]] == ["text", "tool_use", "tool_use"]
    assert [block.get("input") for block in asked["content"][1:]] == [{"path": "x"}, {}]
    assert [block["type"] for block in told["content"]] == ["tool_result", "tool_result", "text"]
    assert [block.get("tool_use_id") for block in told["content"][:2]] == ["a", "b"]


def test_a_call_that_was_written_wrongly_does_not_end_the_conversation():
    (asked,) = write_prompt(ChatRequest((Message("assistant", "", tool_calls=(ToolCall("a", "look", '{"pa'),)),)))[
        "messages"
    ]
    assert asked["content"][0]["input"] == {"malformed": '{"pa'}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.sampled_from(["", " \n", "text"])), min_size=1))
def test_turns_alternate_and_no_text_is_blank(said):
    written = write_prompt(ChatRequest(tuple(Message(role, text) for role, text in said)))["messages"]
    roles = [turn["role"] for turn in written]
    assert all(one != other for one, other in pairwise(roles))
    assert all(block["text"].strip() for turn in written for block in turn["content"])


def test_an_image_comes_before_the_words_about_it():
    (turn,) = write_prompt(ChatRequest((Message("user", "what?", images=(b"\x89PNG",)),)))["messages"]
    assert [block["type"] for block in turn["content"]] == ["image", "text"]
    assert turn["content"][0]["source"]["media_type"] == "image/png"


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ("look", {"type": "tool", "name": "look"}),
    ],
)
def test_the_choice_of_tools_is_written(choice, written):
    body = write_messages(ChatRequest(ASK, tools=(TOOL,), tool_choice=choice), OLD)
    assert body["tool_choice"] == written
    assert body["tools"] == [{"name": "look", "description": "Look at a file", "input_schema": TOOL.parameters}]


def test_thinking_is_a_budget_once_and_an_effort_now():
    request = ChatRequest(ASK, reasoning="low", sampling=Sampling(max_tokens=100))
    old = write_messages(request, OLD)
    assert old["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert old["max_tokens"] == 2148
    new = write_messages(request, NEW)
    assert (new["thinking"], new["output_config"]) == ({"type": "adaptive"}, {"effort": "low"})
    assert new["max_tokens"] == 100


@pytest.mark.parametrize("model", [OLD, NEW])
def test_thinking_is_off_when_it_is_not_asked_for(model):
    for level in (None, "off"):
        assert "thinking" not in write_messages(ChatRequest(ASK, reasoning=level), model)


def test_no_budget_is_asked_for_in_the_middle_of_tool_use():
    """The thoughts before the call, with their signature, would have to be sent back, and are not kept."""
    call = Message("assistant", "", tool_calls=(ToolCall("a", "look", "{}"),))
    request = ChatRequest((*ASK, call, Message("tool", "x", tool_call_id="a")), tools=(TOOL,), reasoning="high")
    assert "thinking" not in write_messages(request, OLD)


KNOBS = Sampling(temperature=1.4, top_p=0.9, top_k=20, min_p=0.1, repeat_penalty=1.1, seed=1, stop=("\n",))


def test_sampling_is_sent_where_it_is_taken():
    asked = ("temperature", "top_p", "top_k", "stop_sequences", "seed", "min_p")

    def sent(model: str, **changes: object) -> dict[str, object]:
        body = write_messages(ChatRequest(ASK, sampling=KNOBS, **changes), model)
        return {name: body[name] for name in asked if name in body}

    assert sent(OLD) == sent(MIDDLE) == {"temperature": 1.0, "top_k": 20, "stop_sequences": ["\n"]}
    assert sent(NEW) == sent(OLD, reasoning="low") == {"stop_sequences": ["\n"]}


def test_a_schema_is_closed_and_freed_of_limits():
    schema = {
        "type": "object",
        "properties": {
            "maximum": {"type": "integer", "maximum": 9},
            "tags": {"type": "array", "items": {"type": "object"}, "maxItems": 3},
        },
        "required": ["maximum"],
        "$defs": {"minimum": {"type": "string", "minLength": 2, "enum": ["minLength"]}},
    }
    closed = closed_schema(schema)
    assert closed["additionalProperties"] is False
    assert closed["properties"]["maximum"] == {"type": "integer"}
    assert closed["properties"]["tags"] == {"type": "array", "items": {"type": "object", "additionalProperties": False}}
    assert closed["$defs"]["minimum"] == {"type": "string", "enum": ["minLength"]}


def test_the_form_of_the_answer_is_written():
    body = write_messages(ChatRequest(ASK, response_format=ResponseFormat({"type": "string"}), reasoning="low"), NEW)
    assert body["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "string"}}}
    any_object = write_messages(ChatRequest(ASK, response_format=ResponseFormat()), NEW)
    assert "JSON object" in any_object["system"][0]["text"]


# Answers


def test_thoughts_text_calls_and_usage_come_out():
    deltas = read(
        {
            "type": "message_start",
            "message": {"usage": {"input_tokens": 5, "cache_read_input_tokens": 20, "output_tokens": 1}},
        },
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        delta(0, type="thinking_delta", thinking="hm"),
        delta(0, type="signature_delta", signature="abc"),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        delta(1, type="text_delta", text="Hello"),
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "tool_use", "id": "a", "name": "look", "input": {}},
        },
        delta(2, type="input_json_delta", partial_json=""),
        delta(2, type="input_json_delta", partial_json='{"path"'),
        delta(2, type="input_json_delta", partial_json=': "x"}'),
        stopped("tool_use", output_tokens=30, cache_creation_input_tokens=7),
        {"type": "message_stop"},
    )
    assert [(each.reasoning, each.text) for each in deltas[:2]] == [("hm", ""), ("", "Hello")]
    assert deltas[2].tool_call == ToolCall("a", "look", '{"path": "x"}')
    usage = deltas[3].usage
    assert deltas[3].finish_reason == "tool_calls"
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (32, 20, 30)


def test_the_end_is_known_before_the_connection_ends():
    reader = MessagesReader()
    reader.read(SseEvent("message_stop", '{"type": "message_stop"}'))
    assert reader.done


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("model_context_window_exceeded", "length"),
    ],
)
def test_reasons_are_translated(reason, meant):
    assert read(stopped(reason))[-1].finish_reason == meant


def test_a_refusal_is_not_a_stop():
    with pytest.raises(Invalid):
        read(delta(type="text_delta", text="I"), stopped("refusal"))


@pytest.mark.parametrize(
    "events", [(), (delta(type="text_delta", text="half"),), (stopped(None),), ({"type": "message_stop"},)]
)
def test_an_end_without_a_reason_is_a_cut_never_a_stop(events):
    with pytest.raises(ConnectionFailed) as caught:
        read(*events)
    assert caught.value.context["cause"] == "cut"


def test_an_error_inside_the_stream_is_raised():
    with pytest.raises(RateLimited):
        read({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


@pytest.mark.parametrize("data", ["not JSON", "[]", '{"half'])
def test_an_event_of_another_shape_is_a_protocol_error(data):
    with pytest.raises(ConnectionFailed) as caught:
        MessagesReader().read(SseEvent("message", data))
    assert caught.value.context["cause"] == "protocol"


def test_an_answer_that_was_not_streamed_is_read_alike():
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "hi"},
        {"type": "tool_use", "id": "a", "name": "look", "input": {"path": "x"}},
    ]
    deltas = read(
        {
            "type": "message",
            "content": content,
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 3, "output_tokens": 2},
        }
    )
    assert [(each.reasoning, each.text) for each in deltas[:2]] == [("hm", ""), ("", "hi")]
    assert json.loads(deltas[2].tool_call.arguments) == {"path": "x"}
    assert deltas[3].usage.prompt_tokens == 3


KINDS = (
    "message",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "message_delta",
    "message_stop",
    "error",
    "x",
)
FIELDS = (
    "type",
    "message",
    "usage",
    "index",
    "content_block",
    "delta",
    "text",
    "stop_reason",
    "content",
    "error",
    "input",
)
ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=2),
    max_leaves=6,
)


@settings(deadline=None, max_examples=100)
@given(kind=st.sampled_from(KINDS), event=st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=4))
def test_no_event_of_any_shape_is_a_crash(kind, event):
    reader = MessagesReader()
    try:
        reader.read(SseEvent(kind, json.dumps(event | {"type": kind})))
        reader.end()
    except FiresideError:
        pass
