"""Our answers in OpenAI's JSON, read by OpenAI's own SDK."""

import base64
import json
import struct

import pytest

from fireside.core.errors import (
    ConnectionFailed,
    ContextTooLong,
    FiresideError,
    Invalid,
    ModelNotFound,
    NotPermitted,
    RateLimited,
    TimedOut,
    Unknown,
)
from fireside.core.messages import ToolCall
from fireside.core.requests import Delta, Logprob, Usage
from fireside.models.card import ModelCard
from fireside.wire.openai_answers import ChatAnswer, CompletionAnswer
from fireside.wire.openai_lists import write_embeddings, write_error, write_model, write_models
from fireside.wire.openai_requests import EmbedAsked, read_chat, read_completion
from support.sdk import served

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
CALL = ToolCall("call_1", "look", '{"path": "a"}')
USAGE = Usage(10, 4, 6)
STOP = Delta(finish_reason="stop", usage=USAGE)
HELLO = (Delta(text="Hel"), Delta(text='lo "\n'), STOP)


def chat(**fields: object) -> ChatAnswer:
    return ChatAnswer(read_chat({"model": "M", "messages": [{"role": "user", "content": "hi"}], **fields}), created=5)


def completion(**fields: object) -> CompletionAnswer:
    return CompletionAnswer(read_completion({"model": "M", "prompt": "p", **fields}), created=5)


def events(stream: bytes) -> list[object]:
    """The data of a stream's events; the end mark as its own text."""
    assert stream.endswith(b"\n\n")
    found = []
    for event in stream.decode().removesuffix("\n\n").split("\n\n"):
        assert event.startswith("data: ")
        found.append(event if event == "data: [DONE]" else json.loads(event[6:]))
    return found


def chunks(stream: bytes):
    from openai.types.chat import ChatCompletionChunk

    *parts, done = events(stream)
    assert done == "data: [DONE]"
    return [ChatCompletionChunk.model_validate(part) for part in parts]


def test_a_stream_is_role_text_reason_and_end():
    answer = chat()
    found = chunks(answer.begin() + answer.write(HELLO))
    assert [chunk.choices[0].delta.role for chunk in found] == ["assistant", None, None, None]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in found) == 'Hello "\n'
    assert [chunk.choices[0].finish_reason for chunk in found] == [None, None, None, "stop"]
    assert len({chunk.id for chunk in found}) == 1
    assert {(chunk.model, chunk.created, chunk.object) for chunk in found} == {("M", 5, "chat.completion.chunk")}
    assert all(chunk.usage is None for chunk in found)


def test_each_piece_is_an_event_of_its_own():
    assert len(events(chat().write([Delta(text="a"), Delta(text="b"), Delta(reasoning="c", text="d")]))) == 4


def test_usage_comes_only_when_asked_for_in_a_chunk_without_choices():
    *before, last = chunks(chat(stream_options={"include_usage": True}).write(HELLO))
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (10, 4, 14)
    assert last.usage.prompt_tokens_details.cached_tokens == 6
    assert all(chunk.usage is None and chunk.choices for chunk in before)


def test_thoughts_are_reasoning_content():
    first, *_ = chunks(chat().write([Delta(reasoning="hm"), STOP]))
    assert first.choices[0].delta.reasoning_content == "hm"
    assert first.choices[0].delta.content is None


def test_each_call_is_one_chunk_and_the_reason_is_tool_calls():
    called = [Delta(tool_call=CALL), Delta(tool_call=ToolCall("", "look", "")), STOP]
    first, second, last = chunks(chat(tools=[TOOL]).write(called))
    (call,) = first.choices[0].delta.tool_calls
    assert (call.index, call.id, call.type, call.function.name) == (0, "call_1", "function", "look")
    assert call.function.arguments == '{"path": "a"}'
    (call,) = second.choices[0].delta.tool_calls
    assert (call.index, call.function.arguments) == (1, "{}")
    assert call.id
    assert last.choices[0].finish_reason == "tool_calls"


def test_older_clients_get_a_function_call():
    from openai.types.chat import ChatCompletion

    older = {"functions": [TOOL["function"]]}
    first, last = chunks(chat(**older).write([Delta(tool_call=CALL), STOP]))
    assert first.choices[0].delta.function_call.name == "look"
    assert last.choices[0].finish_reason == "function_call"
    whole = ChatCompletion.model_validate_json(chat(**older).whole([Delta(tool_call=CALL), STOP]))
    assert whole.choices[0].message.function_call.arguments == '{"path": "a"}'


def test_log_probabilities_come_with_their_text_and_only_when_asked_for():
    told = [Delta(text="Hé", logprobs=(Logprob("Hé", -0.5, (("Hé", -0.5), ("Ho", -1.0))),)), STOP]
    first, _ = chunks(chat(logprobs=True, top_logprobs=2).write(told))
    (found,) = first.choices[0].logprobs.content
    assert (found.token, found.logprob, found.bytes) == ("Hé", -0.5, list("Hé".encode()))
    assert [each.token for each in found.top_logprobs] == ["Hé", "Ho"]
    assert chunks(chat().write(told))[0].choices[0].logprobs is None


def test_several_answers_share_a_stream_that_ends_with_the_last():
    answer = chat(n=2, stream_options={"include_usage": True})
    stream = answer.begin() + answer.write([Delta(text="a")]) + answer.write([Delta(text="b"), STOP], index=1)
    assert b"[DONE]" not in stream
    found = chunks(stream + answer.write([STOP]))
    assert [chunk.choices[0].index for chunk in found[:-1]] == [0, 1, 0, 1, 1, 0]
    assert (found[-1].usage.prompt_tokens, found[-1].usage.completion_tokens) == (10, 8)


def test_a_whole_answer_has_text_thoughts_calls_and_usage():
    from openai.types.chat import ChatCompletion

    deltas = [Delta(reasoning="hm"), *HELLO[:2], Delta(tool_call=CALL), Delta(finish_reason="tool_calls", usage=USAGE)]
    whole = ChatCompletion.model_validate_json(chat().whole(deltas))
    (choice,) = whole.choices
    assert (choice.message.role, choice.message.content) == ("assistant", 'Hello "\n')
    assert choice.message.reasoning_content == "hm"
    assert choice.message.tool_calls[0].function.name == "look"
    assert choice.finish_reason == "tool_calls"
    assert (whole.object, whole.model, whole.created) == ("chat.completion", "M", 5)
    assert (whole.usage.total_tokens, whole.usage.prompt_tokens_details.cached_tokens) == (14, 6)


def test_a_whole_answer_of_nothing_but_calls_has_no_content():
    from openai.types.chat import ChatCompletion

    assert (
        ChatCompletion.model_validate_json(chat().whole([Delta(tool_call=CALL), STOP])).choices[0].message.content
        is None
    )
    assert ChatCompletion.model_validate_json(chat().whole([STOP])).choices[0].message.content == ""


def test_several_whole_answers_stand_in_one_body():
    from openai.types.chat import ChatCompletion

    whole = ChatCompletion.model_validate_json(chat(n=2).whole_of([HELLO, [Delta(text="b"), STOP]]))
    assert [(choice.index, choice.message.content) for choice in whole.choices] == [(0, 'Hello "\n'), (1, "b")]


@pytest.mark.parametrize("answer", [chat, completion])
def test_an_answer_that_a_newer_request_ended_is_an_error_and_never_a_stop(answer):
    ended = Delta(finish_reason="cancelled")
    (event,) = events(answer().write([ended]))
    assert event["error"]["type"] == "cancelled"
    with pytest.raises(Invalid, match="newer request"):
        answer().whole([Delta(text="a"), ended])


@pytest.mark.parametrize("answer", [chat, completion])
def test_an_answer_without_a_reason_is_not_a_whole_one(answer):
    with pytest.raises(ConnectionFailed):
        answer().whole([Delta(text="a")])


def test_a_failure_in_the_stream_is_an_error_without_an_end_mark():
    failed = chat().fail(ConnectionFailed("the engine broke off", remedy="ask again", cause="cut"))
    (event,) = events(failed)
    assert event["error"]["message"] == "the engine broke off; ask again"
    assert b"[DONE]" not in failed


def test_waiting_is_a_comment():
    assert chat().wait("number 3\nin line") == b": number 3 in line\n\n"


def test_a_completion_streams_text():
    from openai.types import Completion

    answer = completion(stream_options={"include_usage": True})
    *parts, done = events(answer.begin() + answer.write(HELLO))
    assert done == "data: [DONE]"
    assert "".join(part["choices"][0]["text"] for part in parts[:-1]) == 'Hello "\n'
    assert [part["choices"][0]["finish_reason"] for part in parts[:-1]] == [None, None, "stop"]
    last = Completion.model_validate(parts[-1])
    assert (last.choices, last.usage.total_tokens, last.object) == ([], 14, "text_completion")
    Completion.model_validate(parts[-2])


def test_completions_of_several_prompts_say_their_prompts_when_asked_to():
    from openai.types import Completion

    fields = {"prompt": ["p", "q"], "n": 2, "echo": True}
    said = events(completion(**fields).begin())
    assert [(each["choices"][0]["index"], each["choices"][0]["text"]) for each in said] == [
        (0, "p"),
        (1, "p"),
        (2, "q"),
        (3, "q"),
    ]
    whole = Completion.model_validate_json(completion(**fields).whole_of([[Delta(text=text), STOP] for text in "abcd"]))
    assert [choice.text for choice in whole.choices] == ["pa", "pb", "qc", "qd"]
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (20, 16)


def test_completions_have_the_older_form_of_log_probabilities():
    from openai.types import Completion

    told = [
        Delta(text="ab", logprobs=(Logprob("ab", -1.0, (("ab", -1.0), ("x", -2.0))),)),
        Delta(text="c", logprobs=(Logprob("c", -3.0),)),
        Delta(finish_reason="length", usage=USAGE),
    ]
    whole = Completion.model_validate_json(completion(logprobs=1).whole(told))
    (choice,) = whole.choices
    assert choice.finish_reason == "length"
    assert choice.logprobs.tokens == ["ab", "c"]
    assert choice.logprobs.token_logprobs == [-1.0, -3.0]
    assert choice.logprobs.top_logprobs == [{"ab": -1.0, "x": -2.0}, {"c": -3.0}]
    assert choice.logprobs.text_offset == [0, 2]
    streamed = events(completion(logprobs=1).write(told))
    assert [
        part["choices"][0]["logprobs"] and part["choices"][0]["logprobs"]["text_offset"] for part in streamed[:2]
    ] == [[0], [2]]


def test_embeddings_come_as_numbers_or_as_base64():
    from openai.types import CreateEmbeddingResponse

    vectors = [[0.5, -1.0], [0.25, 2.0]]
    found = CreateEmbeddingResponse.model_validate_json(
        write_embeddings(vectors, EmbedAsked(("a", "b"), "M"), tokens=7)
    )
    assert [(each.index, each.embedding) for each in found.data] == [(0, vectors[0]), (1, vectors[1])]
    assert (found.model, found.usage.prompt_tokens, found.usage.total_tokens) == ("M", 7, 7)
    packed = json.loads(write_embeddings(vectors, EmbedAsked(("a", "b"), "M", "base64"), tokens=None))
    assert struct.unpack("<2f", base64.b64decode(packed["data"][1]["embedding"])) == (0.25, 2.0)


def test_fewer_dimensions_are_the_first_ones_at_length_one():
    short = json.loads(write_embeddings([[3.0, 4.0, 5.0]], EmbedAsked(("a",), "M", dimensions=2), tokens=None))
    assert short["data"][0]["embedding"] == [0.6, 0.8]
    with pytest.raises(Invalid, match="dimensions"):
        write_embeddings([[1.0]], EmbedAsked(("a",), "M", dimensions=2), tokens=None)


def test_models_are_listed_with_their_window_and_what_they_can():
    from openai.types import Model

    card = ModelCard("qwen", "ollama", context_window=8192, capabilities=frozenset(("chat", "tools")))
    listed = json.loads(write_models([("chat", card), ("qwen", card)]))
    assert listed["object"] == "list"
    assert [Model.model_validate(each).id for each in listed["data"]] == ["chat", "qwen"]
    one = Model.model_validate_json(write_model("qwen", card))
    assert (one.owned_by, one.object, one.context_length, one.capabilities) == (
        "ollama",
        "model",
        8192,
        ["chat", "tools"],
    )


@pytest.mark.parametrize(
    ("error", "status", "kind", "code", "param"),
    [
        (Invalid("n: expected 1 to 8", param="n"), 400, "invalid_request_error", None, "n"),
        (Invalid("whole body", param=""), 400, "invalid_request_error", None, None),
        (NotPermitted("no key"), 401, "authentication_error", "invalid_api_key", None),
        (NotPermitted("not this"), 403, "permission_error", None, None),
        (ModelNotFound("no such model"), 404, "not_found_error", "model_not_found", None),
        (ContextTooLong("too long"), 400, "invalid_request_error", "context_length_exceeded", None),
        (RateLimited("slow down"), 429, "rate_limit_error", "rate_limit_exceeded", None),
        (TimedOut("too slow"), 504, "server_error", None, None),
        (Unknown("?"), 500, "server_error", None, None),
        (Invalid("newer", cause="superseded"), 409, "cancelled", None, None),
    ],
)
def test_errors_have_openais_shape(error: FiresideError, status: int, kind: str, code: str | None, param: str | None):
    told = json.loads(write_error(error, status))
    assert told == {"error": {"message": error.message, "type": kind, "param": param, "code": code}}


async def test_the_sdk_collects_a_streamed_answer():
    answer = chat(stream_options={"include_usage": True}, tools=[TOOL])
    deltas = [Delta(reasoning="hm"), *HELLO[:2], Delta(tool_call=CALL), STOP]
    body = answer.wait("waiting") + answer.begin() + answer.write(deltas)
    async with (
        served(body, "text/event-stream") as client,
        client.chat.completions.stream(model="M", messages=[{"role": "user", "content": "hi"}]) as stream,
    ):
        found = await stream.get_final_completion()
    message = found.choices[0].message
    assert (message.content, found.choices[0].finish_reason) == ('Hello "\n', "tool_calls")
    assert message.tool_calls[0].function.arguments == '{"path": "a"}'
    assert found.usage.total_tokens == 14


async def test_the_sdk_raises_a_failure_in_the_stream():
    from openai import APIError

    answer = chat()
    body = answer.begin() + answer.write(HELLO[:1]) + answer.fail(ConnectionFailed("the engine broke off", cause="cut"))
    async with served(body, "text/event-stream") as client:
        stream = await client.chat.completions.create(model="M", messages=[], stream=True)
        with pytest.raises(APIError, match="broke off"):
            _ = [chunk async for chunk in stream]


async def test_the_sdk_reads_embeddings_in_base64():
    body = write_embeddings([[0.5, -1.0]], EmbedAsked(("a",), "M", "base64"), tokens=1)
    async with served(body, "application/json") as client:
        found = await client.embeddings.create(model="M", input="a")
    assert found.data[0].embedding == [0.5, -1.0]
