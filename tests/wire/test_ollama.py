"""Ollama's JSON against samples taken from a real server's answers (shortened)."""

import base64

import pytest

from fireside.core.errors import ConnectionFailed
from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, Delta, Logprob, ResponseFormat, Sampling
from fireside.wire import ollama

WEATHER = ToolSpec("weather", "Tells the weather", {"type": "object", "properties": {"city": {"type": "string"}}})
LAST = {
    "model": "m",
    "created_at": "2026-08-01T10:00:00.5Z",
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "total_duration": 3_000_000_000,
    "load_duration": 1_500_000_000,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 250_000_000,
    "eval_count": 7,
    "eval_duration": 500_000_000,
}


def chat_line(line):
    return ollama.read_chat_line(ollama.read(line, ollama.ChatLine))


def written(request, **more):
    return ollama.write_chat(request, "m", options={"num_ctx": 8192}, **more)


def ask(*messages, **more):
    return ChatRequest(messages=messages or (Message("user", "hi"),), **more)


def test_a_chat_body_holds_what_was_asked_and_refuses_truncation():
    body = written(ask(), keep_alive="5m", think=False)
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "options": {"num_ctx": 8192},
        "keep_alive": "5m",
        "think": False,
        "truncate": False,
        "shift": False,
    }


def test_a_tool_round_trip_sends_arguments_as_an_object_and_names_the_tool_of_a_result():
    call = ToolCall("call_1", "weather", '{"city": "Ulm"}')
    body = written(ask(Message("assistant", "", (call,)), Message("tool", "rain", tool_call_id="call_1")))
    assistant, result = body["messages"]
    assert assistant["tool_calls"] == [{"function": {"name": "weather", "arguments": {"city": "Ulm"}}, "id": "call_1"}]
    assert result == {"role": "tool", "content": "rain", "tool_name": "weather", "tool_call_id": "call_1"}


@pytest.mark.parametrize("text", ["not json", "[1]", '{"cut": '])
def test_arguments_that_are_no_object_are_kept_as_text(text):
    body = written(ask(Message("assistant", "", (ToolCall("c", "weather", text),))))
    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == {"text": text}


def test_tools_are_offered_unless_the_choice_is_none():
    offered = written(ask(tools=(WEATHER,)))["tools"]
    assert offered == [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Tells the weather",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        }
    ]
    assert "tools" not in written(ask(tools=(WEATHER,), tool_choice="none"))


def test_images_travel_as_base64():
    body = written(ask(Message("user", "what is this?", images=(b"\x89PNG",))))
    assert base64.b64decode(body["messages"][0]["images"][0]) == b"\x89PNG"


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        (ResponseFormat(), "json"),
        (ResponseFormat({"type": "object"}), {"type": "object"}),
    ],
)
def test_a_response_format_is_json_or_the_schema(wanted, sent):
    assert written(ask(response_format=wanted))["format"] == sent


@pytest.mark.parametrize(
    ("reasoning", "think"), [(None, False), ("off", False), ("low", "low"), ("medium", "medium"), ("high", "high")]
)
def test_thinking_is_off_unless_a_level_was_asked_for(reasoning, think):
    assert ollama.write_think(reasoning) == think


def test_options_name_only_what_was_chosen():
    assert ollama.write_options(Sampling(), num_ctx=2048) == {"num_ctx": 2048}
    chosen = Sampling(
        temperature=0.0, top_p=0.9, top_k=40, min_p=0.1, repeat_penalty=1.1, frequency_penalty=0.2, presence_penalty=0.3,
        seed=7, max_tokens=99, stop=("END",),
    )  # fmt: skip
    assert ollama.write_options(chosen, num_ctx=4096, max_tokens=5) == {
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "repeat_penalty": 1.1,
        "frequency_penalty": 0.2,
        "presence_penalty": 0.3,
        "seed": 7,
        "num_predict": 99,
        "stop": ["END"],
        "num_ctx": 4096,
    }


def test_a_fill_in_prompt_goes_raw():
    body = ollama.write_generate("m", "<P>a<S>b<M>", options={"num_ctx": 2048})
    assert body["raw"] is True
    assert body["truncate"] is False
    assert "suffix" not in body


def test_a_line_gives_text_thinking_and_whole_tool_calls():
    function = {"index": 0, "name": "weather", "arguments": {"city": "Ulm"}}
    line = {
        "message": {"content": "a", "thinking": "t", "tool_calls": [{"id": "call_12345678", "function": function}]},
        "done": False,
    }
    assert chat_line(line) == [
        Delta(text="a", reasoning="t"),
        Delta(tool_call=ToolCall("call_12345678", "weather", '{"city":"Ulm"}')),
    ]


def test_calls_of_an_old_server_without_ids_get_different_ones():
    function = {"function": {"name": "weather", "arguments": {}}}
    deltas = chat_line({"message": {"content": "", "tool_calls": [function, function]}})
    ids = [delta.tool_call.id for delta in deltas]
    assert len(set(ids)) == 2
    assert all(ids)


def test_the_last_line_gives_the_reason_and_times_in_seconds():
    (last,) = chat_line(LAST)
    assert last.finish_reason == "stop"
    usage = last.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (26, 7)
    assert (usage.load_seconds, usage.prompt_seconds, usage.completion_seconds) == (1.5, 0.25, 0.5)


def test_text_on_the_last_line_is_not_lost():
    text, last = chat_line(LAST | {"message": {"content": "end"}, "done_reason": "length"})
    assert (text.text, last.finish_reason) == ("end", "length")


def test_a_generate_line_reads_like_a_chat_line():
    line = ollama.read({"response": "x", "done": False}, ollama.GenerateLine)
    assert ollama.read_generate_line(line) == [Delta(text="x")]
    done = ollama.read({"response": "", "done": True, "done_reason": "stop", "eval_count": 3}, ollama.GenerateLine)
    assert ollama.read_generate_line(done)[0].usage.completion_tokens == 3


def test_null_fields_and_unknown_fields_are_taken_as_ollama_writes_them():
    entry = {"name": "m:latest", "size": 5, "digest": "d", "details": {"families": None, "format": "gguf"}, "new": 1}
    (tag,) = ollama.read({"models": [entry]}, ollama.Tags).models
    assert (tag.name, tag.size, tag.is_remote) == ("m:latest", 5, False)
    assert not ollama.read({"models": None}, ollama.Tags).models
    assert not ollama.read({}, ollama.Running).models


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "gpt-oss:120b-cloud"},
        {"name": "gpt-oss:120B-CLOUD "},
        {"name": "x-cloud:latest"},
        {"name": "x", "remote_host": "https://ollama.com"},
    ],
)
def test_a_model_that_runs_in_the_cloud_is_known_as_such(entry):
    assert ollama.read({"models": [entry]}, ollama.Tags).models[0].is_remote


def test_the_context_length_is_found_under_the_architectures_name():
    shown = ollama.read(
        {"model_info": {"general.architecture": "qwen2", "qwen2.context_length": 32768}, "capabilities": ["tools"]},
        ollama.Shown,
    )
    assert (shown.architecture, shown.context_length) == ("qwen2", 32768)
    assert ollama.read({"model_info": None}, ollama.Shown).context_length == 0


def test_something_else_in_place_of_an_answer_is_a_protocol_error():
    with pytest.raises(ConnectionFailed) as caught:
        ollama.read({"message": "text"}, ollama.ChatLine)
    assert caught.value.context["cause"] == "protocol"
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0.33.1", (0, 33, 1)), ("v0.9.0", (0, 9, 0)), ("0.13.0-rc2", (0, 13, 0)), ("homebrew", ())],
)
def test_versions_compare_as_numbers(text, numbers):
    assert ollama.read_version(text) == numbers


@pytest.mark.parametrize(
    ("text", "count"), [("7.6B", 7_600_000_000), ("494.03M", 494_030_000), ("5.8m", 5_800_000), ("", 0)]
)
def test_parameter_sizes_are_counts(text, count):
    assert ollama.read_parameters(text) == count


def test_log_probabilities_are_asked_for_only_when_wanted_and_come_with_the_text_they_are_of():
    assert "logprobs" not in written(ask())
    body = written(ask(sampling=Sampling(logprobs=2)))
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)
    assert ollama.write_generate("m", "x", options={}, logprobs=0)["logprobs"] is True
    likely = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.5}]}]
    line = {"message": {"role": "assistant", "content": "a"}, "done": False, "logprobs": likely}
    assert chat_line(line) == [Delta(text="a", logprobs=(Logprob("a", -0.5, (("b", -1.5),)),))]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-08-01T10:00:00.123456789Z", 1785578400.123456),
        ("2026-08-01T12:00:00+02:00", 1785578400.0),
        ("2318-11-09T10:00:00Z", -1.0),
        ("soon", None),
        ("", None),
    ],
)
def test_a_time_is_read_as_go_writes_it_and_one_that_never_comes_is_negative(text, seconds):
    assert ollama.read_time(text) == seconds
