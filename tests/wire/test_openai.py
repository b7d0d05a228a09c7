"""OpenAI's JSON in both directions, in the dialects of the servers that speak it."""

import base64
import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.core.errors import ConnectionFailed, ContextTooLong, Invalid, RateLimited, Unknown
from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, ResponseFormat, Sampling
from fireside.wire.framing import SseEvent
from fireside.wire.openai import (
    ChatReader,
    is_strict,
    read_answer,
    read_embeddings,
    write_chat,
    write_completion,
    write_embeddings,
)

PNG = b"\x89PNG\r\n\x1a\n"
TOOL = ToolSpec("look", "Look at a file", {"type": "object", "properties": {"path": {"type": "string"}}})
ASK = (Message("user", "hi"),)


def read(*chunks: object) -> list[Delta]:
    """The deltas of a stream of these chunks; text goes in as it is."""
    reader = ChatReader()
    deltas = []
    for chunk in chunks:
        deltas += reader.read(SseEvent("message", chunk if isinstance(chunk, str) else json.dumps(chunk)))
    return deltas + reader.end()


def piece(finish: str | None = None, **delta: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def called(*parts: dict[str, object]) -> list[ToolCall]:
    deltas = read(*(piece(tool_calls=[part]) for part in parts), piece("tool_calls"))
    assert deltas[-1].finish_reason == "tool_calls"
    return [delta.tool_call for delta in deltas if delta.tool_call is not None]


def part(index: int | None = 0, id: str = "", name: str = "", arguments: object = None) -> dict[str, object]:
    written: dict[str, object] = {"function": {}}
    if index is not None:
        written["index"] = index
    if id:
        written["id"] = id
    if name:
        written["function"]["name"] = name
    if arguments is not None:
        written["function"]["arguments"] = arguments
    return written


# Requests


def test_a_plain_chat_asks_for_a_stream_with_usage():
    assert write_chat(ChatRequest(ASK), "m") == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_conversation_with_tools_keeps_ids_and_arguments():
    call = ToolCall("call_1", "look", '{"path": "a.py"}')
    messages = (*ASK, Message("assistant", "", tool_calls=(call,)), Message("tool", "print()", tool_call_id="call_1"))
    _, asked, told = write_chat(ChatRequest(messages), "m")["messages"]
    assert asked["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"path": "a.py"}'}}
    ]
    assert told == {"role": "tool", "content": "print()", "tool_call_id": "call_1"}


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        ("auto", None),
        ("none", "none"),
        ("required", "required"),
        ("look", {"type": "function", "function": {"name": "look"}}),
    ],
)
def test_the_choice_of_tools_is_written(choice, written):
    body = write_chat(ChatRequest(ASK, tools=(TOOL,), tool_choice=choice), "m")
    assert body.get("tool_choice") == written
    assert body["tools"][0]["function"]["parameters"] == TOOL.parameters


def test_without_tools_there_is_no_choice():
    assert "tool_choice" not in write_chat(ChatRequest(ASK, tool_choice="required"), "m")


@pytest.mark.parametrize(
    ("start", "kind"), [(PNG, "png"), (b"\xff\xd8\xff\xe0", "jpeg"), (b"RIFF0000WEBP", "webp"), (b"GIF89a", "gif")]
)
def test_an_image_is_a_data_url(start, kind):
    (message,) = write_chat(ChatRequest((Message("user", "what?", images=(start,)),)), "m")["messages"]
    text, image = message["content"]
    assert text == {"type": "text", "text": "what?"}
    assert image["image_url"]["url"] == f"data:image/{kind};base64,{base64.b64encode(start).decode()}"


def test_what_is_no_image_is_refused():
    with pytest.raises(Invalid):
        write_chat(ChatRequest((Message("user", "", images=(b"%PDF-1.7",)),)), "m")


EVERY_KNOB = Sampling(
    temperature=0.0, top_p=0.9, top_k=20, min_p=0.05, repeat_penalty=1.1, seed=0, max_tokens=8, stop=("\n",)
)


def test_every_knob_is_written_for_servers_that_know_it():
    body = write_chat(ChatRequest(ASK, sampling=EVERY_KNOB), "m")
    known = {"temperature": 0.0, "top_p": 0.9, "top_k": 20, "min_p": 0.05, "seed": 0, "max_tokens": 8, "stop": ["\n"]}
    assert known.items() <= body.items()
    assert body["repetition_penalty"] == body["repeat_penalty"] == 1.1


def test_only_documented_knobs_are_written_for_openai_itself():
    body = write_chat(ChatRequest(ASK, sampling=EVERY_KNOB, reasoning="low"), "m", documented=True)
    assert set(body) == {
        "model", "messages", "temperature", "top_p", "seed", "max_completion_tokens", "stop", "stream", "stream_options",
        "reasoning_effort",
    }  # fmt: skip


def test_thinking_is_turned_off_in_the_template_or_by_effort():
    request = ChatRequest(ASK, reasoning="off")
    assert write_chat(request, "m")["chat_template_kwargs"] == {"enable_thinking": False}
    assert write_chat(request, "m", documented=True)["reasoning_effort"] == "none"
    assert write_chat(ChatRequest(ASK, reasoning="high"), "m")["reasoning_effort"] == "high"


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def test_a_schema_is_strict_only_where_openai_would_take_it_so():
    assert is_strict(CLOSED)
    assert is_strict({"type": "array", "items": CLOSED})
    assert not is_strict({**CLOSED, "required": []})
    assert not is_strict({**CLOSED, "additionalProperties": True})
    assert not is_strict({**CLOSED, "properties": {"a": {"type": "object"}}})
    assert not is_strict({"anyOf": [CLOSED, {"type": "object"}]})


def test_the_form_of_the_answer_is_written():
    def form(wanted: ResponseFormat) -> object:
        return write_chat(ChatRequest(ASK, response_format=wanted), "m")["response_format"]

    assert form(ResponseFormat()) == {"type": "json_object"}
    schema = {"name": "person", "schema": CLOSED, "strict": True}
    assert form(ResponseFormat(CLOSED, "person")) == {"type": "json_schema", "json_schema": schema}


def test_a_completion_goes_with_a_suffix_or_a_ready_prompt():
    request = CompletionRequest("a = ", "\nb", max_tokens=7)
    with_suffix = write_completion(request, "m")
    assert (with_suffix["prompt"], with_suffix["suffix"], with_suffix["max_tokens"]) == ("a = ", "\nb", 7)
    ready = write_completion(request, "m", prompt="<P>a = <S>\nb<M>", documented=True)
    assert ready["prompt"] == "<P>a = <S>\nb<M>"
    assert "suffix" not in ready
    assert ready["max_tokens"] == 7


def test_texts_to_embed_are_a_list():
    assert write_embeddings(("a", "b"), "m")["input"] == ["a", "b"]


# Answers


def test_text_reasoning_usage_and_reason_come_out():
    deltas = read(
        piece(role="assistant", content=""),
        piece(reasoning_content="hm"),
        piece(content="Hel"),
        piece(content="lo"),
        piece("stop"),
        {
            "choices": [],
            "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
        },
        "[DONE]",
    )
    assert [(delta.text, delta.reasoning) for delta in deltas[:-1]] == [("", "hm"), ("Hel", ""), ("lo", "")]
    last = deltas[-1]
    assert last.finish_reason == "stop"
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.cached_tokens) == (9, 2, 4)


def test_the_other_spelling_of_reasoning_is_read():
    assert read(piece(reasoning="hm"), piece("stop"))[0].reasoning == "hm"


def test_content_in_parts_is_read():
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    deltas = read(piece(content=[thinking, {"type": "text", "text": "yes"}]), piece("stop"))
    assert [(delta.reasoning, delta.text) for delta in deltas[:-1]] == [("hm", ""), ("", "yes")]


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("function_call", "tool_calls"),
    ],
)
def test_reasons_are_translated(reason, meant):
    assert read(piece(content="a"), piece(reason))[-1].finish_reason == meant


def test_llama_cpp_tells_its_times():
    timings = {"cache_n": 30, "prompt_n": 10, "prompt_ms": 250.0, "predicted_n": 3, "predicted_ms": 1500.0}
    usage = read(piece(content="a"), piece("stop") | {"timings": timings})[-1].usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (40, 30, 3)
    assert (usage.prompt_seconds, usage.completion_seconds) == (0.25, 1.5)


def test_calls_are_put_together_by_index():
    calls = called(
        part(0, "a", "look", ""),
        part(1, "b", "list", ""),
        part(0, arguments='{"path"'),
        part(1, arguments="{}"),
        part(0, arguments=': "x"}'),
    )
    assert calls == [ToolCall("a", "look", '{"path": "x"}'), ToolCall("b", "list", "{}")]


def test_a_name_repeated_with_every_piece_is_one_name():
    assert called(part(0, "a", "look", "{"), part(0, "a", "look", "}")) == [ToolCall("a", "look", "{}")]


def test_a_name_in_pieces_is_put_together():
    assert called(part(0, "a", "lo"), part(0, name="ok", arguments="{}")) == [ToolCall("a", "look", "{}")]


def test_calls_without_an_id_get_one_each():
    calls = called(part(0, name="look", arguments="{}"), part(1, name="look", arguments="{}"))
    assert all(call.id for call in calls)
    assert calls[0].id != calls[1].id


def test_calls_without_an_index_are_told_apart_by_id():
    calls = called(
        part(None, "a", "look", "{"),
        part(None, arguments="}"),
        part(None, "b", "list", '{"n":'),
        part(None, arguments="1}"),
    )
    assert calls == [ToolCall("a", "look", "{}"), ToolCall("b", "list", '{"n":1}')]


def test_arguments_that_are_an_object_become_text():
    (call,) = called(part(0, "a", "look", {"path": "x"}))
    assert json.loads(call.arguments) == {"path": "x"}


def test_a_call_without_arguments_has_an_empty_object():
    assert called(part(0, "a", "look"))[0].arguments == "{}"


def test_a_stop_after_calls_means_the_calls():
    deltas = read(piece(tool_calls=[part(0, "a", "look", "{}")]), piece("stop"))
    assert deltas[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize("chunks", [[], ["[DONE]"], [piece(content="half")], [piece(content="half"), "[DONE]"]])
def test_an_end_without_a_reason_is_a_cut_never_a_stop(chunks):
    with pytest.raises(ConnectionFailed) as caught:
        read(*chunks)
    assert caught.value.context["cause"] == "cut"


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_a_reason_that_is_a_failure_is_one(reason):
    with pytest.raises(ConnectionFailed):
        read(piece(content="a"), piece(reason))


def test_an_answer_the_provider_filtered_is_said_to_be():
    with pytest.raises(Invalid):
        read(piece("content_filter"))


@pytest.mark.parametrize("data", ["not JSON", '{"half": ', "[]", "null", '"text"'])
def test_an_event_of_another_shape_is_a_protocol_error(data):
    with pytest.raises(ConnectionFailed) as caught:
        ChatReader().read(SseEvent("message", data))
    assert caught.value.context["cause"] == "protocol"


@pytest.mark.parametrize(
    ("event", "data", "kind"),
    [
        ("message", {"error": {"message": "slow down", "code": 429}}, RateLimited),
        ("error", {"error": {"message": "broken"}}, Unknown),
        ("error", {"message": "broken"}, Unknown),
        ("error", "broken", Unknown),
        ("message", {"object": "error", "message": "maximum context length is 8 tokens", "code": 400}, ContextTooLong),
    ],
)
def test_an_error_inside_the_stream_is_raised(event, data, kind):
    with pytest.raises(kind):
        ChatReader().read(SseEvent(event, data if isinstance(data, str) else json.dumps(data)))


def test_chunks_that_say_nothing_are_passed_over():
    assert (
        read(
            {},
            {"choices": None},
            {"choices": [None]},
            piece(),
            {"choices": [{"index": 1, "delta": {"content": "b"}}]},
            piece("stop"),
        )[0].text
        == ""
    )


@settings(deadline=None, max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "delta",
                        "content",
                        "tool_calls",
                        "function",
                        "index",
                        "finish_reason",
                        "usage",
                        "timings",
                        "message",
                    ]
                ),
                x,
            )
        ),
        max_leaves=20,
    )
)
def test_no_chunk_of_any_shape_is_a_crash(chunk):
    reader = ChatReader()
    try:
        reader.read(SseEvent("message", json.dumps(chunk)))
        reader.end()
    except (ConnectionFailed, Invalid):
        pass


def test_an_answer_that_was_not_streamed_is_read_alike():
    message = {"content": "hi", "tool_calls": [{"id": "a", "function": {"name": "look", "arguments": "{}"}}]}
    deltas = read_answer(
        {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 3}}
    )
    assert [delta.text for delta in deltas] == ["hi", "", ""]
    assert deltas[1].tool_call == ToolCall("a", "look", "{}")
    assert deltas[2].usage.prompt_tokens == 3


def test_a_completion_is_read_alike():
    assert [delta.text for delta in read({"choices": [{"text": "x + y", "finish_reason": "stop"}]})] == ["x + y", ""]


def test_vectors_come_in_order_whatever_the_server_sends():
    encoded = base64.b64encode(struct.pack("<2f", 0.5, -1.0)).decode()
    data = {"data": [{"index": 1, "embedding": encoded}, {"index": 0, "embedding": [1, 2.0]}]}
    assert read_embeddings(data, 2) == [[1.0, 2.0], [0.5, -1.0]]


@pytest.mark.parametrize(
    "entries",
    [[], [{"embedding": None}], [{"embedding": ["x"]}], [{"embedding": [1]}, {"embedding": [2]}], [{"embedding": "!"}]],
)
def test_vectors_of_another_shape_are_a_protocol_error(entries):
    with pytest.raises(ConnectionFailed) as caught:
        read_embeddings({"data": entries}, 1)
    assert caught.value.context["cause"] == "protocol"
