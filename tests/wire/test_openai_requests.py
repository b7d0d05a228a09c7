"""What OpenAI's clients send to chat, completions and embeddings, and what we make of it."""

import base64
import json

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fireside.core.errors import Invalid
from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import ResponseFormat, Sampling
from fireside.wire.openai import write_chat
from fireside.wire.openai_requests import read_chat, read_completion, read_embeddings
from support.bodies import NAMES, oddities, values

PNG = b"\x89PNG\r\n\x1a\n"
PICTURE = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "look", "description": "Look", "parameters": SCHEMA}}
LOOK = ToolSpec("look", "Look", SCHEMA)
ASK = {"role": "user", "content": "hi"}
FULL = {
    "model": "chat",
    "messages": [
        {"role": "system", "content": "Be brief"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PICTURE}}],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", **TOOL, "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "done"},
    ],
    "tools": [TOOL, {"type": "web_search"}],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
    "stream_options": {"include_usage": True},
    "stop": ["a"],
    "temperature": 0.5,
    "max_tokens": 7,
    "seed": 1,
    "top_k": 4,
    "n": 2,
    "logprobs": True,
    "top_logprobs": 2,
    "reasoning_effort": "low",
}


def read(*messages: object, **fields: object):
    return read_chat({"model": "chat", "messages": list(messages or (ASK,)), **fields})


def request(*messages: object, **fields: object):
    return read(*messages, **fields).request


def refusal(*messages: object, **fields: object) -> Invalid:
    with pytest.raises(Invalid) as caught:
        read(*messages, **fields)
    return caught.value


def test_a_plain_question_is_a_request_with_nothing_set():
    asked = read_chat({"messages": [ASK]})
    assert asked.model == asked.request.model == "chat"
    assert asked.request.messages == (Message("user", "hi"),)
    assert asked.request.sampling == Sampling()
    assert not asked.request.stream
    assert not asked.include_usage
    assert asked.choices() == (asked.request,)


def test_the_name_asked_for_is_kept_as_it_was_written():
    assert read(model="qwen@box").model == "qwen@box"


def test_all_system_and_developer_texts_lead_as_one_message_in_their_order():
    messages = request(
        {"role": "system", "content": "one"},
        ASK,
        {"role": "developer", "content": [{"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "yes"},
        {"role": "system", "content": "three"},
    ).messages
    assert messages == (Message("system", "one\n\ntwo\n\nthree"), Message("user", "hi"), Message("assistant", "yes"))


def test_content_may_be_parts_of_any_spelling():
    parts = [
        {"type": "text", "text": "a"},
        {"type": "input_text", "text": "b"},
        {"type": "output_text", "text": "c"},
        {"type": "refusal", "refusal": "d"},
        {"type": "something_new", "text": "e"},
        {"type": "something_else", "data": 1},
        {"type": "thinking", "text": "not said"},
        "f",
    ]
    assert request({"role": "user", "content": parts}).messages[0].content == "a\nb\nc\nd\ne\nf"


def test_a_long_text_is_not_copied():
    text = "x" * 400_000
    assert request({"role": "user", "content": text}).messages[0].content is text
    assert request({"role": "user", "content": [{"type": "text", "text": text}]}).messages[0].content is text


@pytest.mark.parametrize(
    "image", [{"url": PICTURE, "detail": "low"}, PICTURE, {"url": PICTURE.replace("data", "DATA")}]
)
def test_pictures_come_as_data_urls(image: object):
    message = {
        "role": "user",
        "content": [{"type": "image_url", "image_url": image}, {"type": "text", "text": "what?"}],
    }
    assert request(message).messages == (Message("user", "what?", images=(PNG,)),)


@pytest.mark.parametrize(
    ("part", "param", "words"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}, "[0].image_url.url", "data: URL"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}}, "[0].image_url.url", "image"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,QUI="}}, "[0].image_url.url", "image"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}}, "[0].image_url.url", "base64"),
        ({"type": "image_url", "image_url": {"url": "data:text/plain,hello"}}, "[0].image_url.url", "base64"),
        ({"type": "image_url"}, "[0].image_url", "data: URL"),
        ({"type": "input_image", "file_id": "f"}, "[0].image_url", "data: URL"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "[0]", "input_audio"),
        ({"type": "file", "file": {"file_id": "f"}}, "[0]", "file"),
        ({"type": "text", "text": 5}, "[0].text", "string"),
        (5, "[0]", "object"),
    ],
)
def test_what_the_user_meant_and_we_cannot_read_is_refused_by_its_place(part: object, param: str, words: str):
    error = refusal({"role": "user", "content": [part]})
    assert error.context["param"] == f"messages[0].content{param}"
    assert words in f"{error.message} {error.remedy}"


def test_tools_come_with_and_without_type_and_those_of_a_provider_are_passed_over():
    tools = [
        TOOL,
        {"function": {"name": "bare"}},
        {"name": "flat", "parameters": SCHEMA},
        *({"type": kind} for kind in ("web_search", "namespace", "computer", "mcp", "file_search", "code_interpreter")),
    ]
    empty = {"type": "object", "properties": {}}
    assert request(tools=tools).tools == (LOOK, ToolSpec("bare", "", empty), ToolSpec("flat", "", SCHEMA))


def test_older_functions_are_tools_and_the_answer_knows_it():
    asked = read(functions=[TOOL["function"]], function_call={"name": "look"})
    assert (asked.request.tools, asked.request.tool_choice, asked.older) == ((LOOK,), "look", True)


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        (None, "auto"),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("any", "required"),
        ({"type": "function", "function": {"name": "look"}}, "look"),
        ({"type": "function", "name": "look"}, "look"),
        ({"function": {"name": "look"}}, "look"),
        ({"type": "tool", "name": "look"}, "look"),
        ({"type": "any"}, "required"),
        ({"type": "web_search"}, "auto"),
        ({"type": "mcp", "server_label": "s"}, "auto"),
    ],
)
def test_tool_choice_is_understood_in_every_shape(choice: object, meant: str):
    assert request(tools=[TOOL, {"type": "web_search"}], tool_choice=choice).tool_choice == meant


def test_allowed_tools_leave_only_those_offered():
    other = {"type": "function", "function": {"name": "other"}}
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "other"}}]}
    for choice in ({"type": "allowed_tools", "allowed_tools": allowed}, {"type": "allowed_tools", **allowed}):
        found = request(tools=[TOOL, other], tool_choice=choice)
        assert [tool.name for tool in found.tools] == ["other"]
        assert found.tool_choice == "required"


def test_insisting_on_nothing_or_on_a_tool_that_was_passed_over_is_no_error():
    assert request(tools=[{"type": "web_search"}], tool_choice="required").tool_choice == "auto"
    assert request(tool_choice="required").tool_choice == "auto"


def test_a_tool_that_was_never_offered_cannot_be_chosen():
    error = refusal(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "lok"}})
    assert error.context["param"] == "tool_choice"
    assert "'lok'" in error.message
    assert "look" in error.remedy


def test_calls_and_answers_without_ids_are_joined_by_their_order():
    messages = request(
        ASK,
        {
            "role": "assistant",
            "tool_calls": [
                {"function": {"name": "look", "arguments": {"path": "a"}}},
                {"type": "function", "function": {"name": "look", "arguments": '{"path": "b"}'}},
            ],
        },
        {"role": "tool", "content": "first"},
        {"role": "tool", "content": [{"type": "text", "text": "second"}]},
        {"role": "assistant", "function_call": {"name": "look", "arguments": ""}},
        {"role": "function", "name": "look", "content": "third"},
    ).messages
    assert messages[1].tool_calls == (
        ToolCall("call_1", "look", '{"path":"a"}'),
        ToolCall("call_2", "look", '{"path": "b"}'),
    )
    assert messages[4].tool_calls == (ToolCall("call_3", "look", "{}"),)
    answers = [(message.tool_call_id, message.content) for message in messages if message.role == "tool"]
    assert answers == [("call_1", "first"), ("call_2", "second"), ("call_3", "third")]


def test_ids_that_are_there_stay_and_answers_may_come_in_any_order():
    calls = [{"id": id, "function": {"name": "look", "arguments": "{}"}} for id in "ab"]
    messages = request(
        {"role": "assistant", "content": "hm", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "tool", "content": "1"},
    ).messages
    assert [message.tool_call_id for message in messages] == [None, "b", "a"]
    assert messages[0].content == "hm"


def test_pictures_of_a_tool_are_shown_by_the_user_after_all_answers():
    seen = {"role": "tool", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]}
    calls = [{"function": {"name": "look", "arguments": "{}"}}] * 2
    messages = request({"role": "assistant", "tool_calls": calls}, seen, {"role": "tool", "content": "x"}).messages
    assert [message.role for message in messages] == ["assistant", "tool", "tool", "user"]
    assert messages[-1].images == (PNG,)


@pytest.mark.parametrize(
    ("limit", "meant"), [(None, None), (-1, None), (0, 1), (5, 5), (5.0, 5), (10**15, 2**31 - 1), (1e30, 2**31 - 1)]
)
def test_limits_of_tokens_are_clamped_and_never_refused(limit: float | None, meant: int | None):
    assert request(max_tokens=limit).sampling.max_tokens == meant
    assert request(max_completion_tokens=limit).sampling.max_tokens == meant
    if meant:
        assert read_completion({"prompt": "x", "max_tokens": limit}).requests[0].max_tokens == meant


def test_the_newer_name_of_the_limit_wins():
    assert request(max_tokens=5, max_completion_tokens=6).sampling.max_tokens == 6


def test_sampling_is_read_and_null_counts_as_absent():
    found = request(
        temperature=0, top_p=0.5, top_k=40, min_p=0.1, seed=3, stop="\n", frequency_penalty=1, presence_penalty=None
    )
    assert found.sampling == Sampling(0, 0.5, 40, 0.1, None, 1, None, 3, None, ("\n",))
    assert request(repetition_penalty=1.1).sampling.repeat_penalty == 1.1
    assert request(top_k=1e12).sampling.top_k == 2**31 - 1
    assert request(stop=["a", "", "b"]).sampling.stop == ("a", "b")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "hot"),
        ("top_p", True),
        ("top_k", 1.5),
        ("seed", "1"),
        ("frequency_penalty", []),
        ("max_tokens", "5"),
        ("max_completion_tokens", True),
        ("stop", 5),
        ("stop", [1]),
        ("stream", "yes"),
        ("n", 0),
        ("n", 9),
        ("n", "2"),
        ("logprobs", 1),
        ("tools", {}),
        ("model", 5),
        ("response_format", "json"),
        ("stream_options", []),
    ],
)
def test_what_is_of_the_wrong_type_is_refused_by_its_name(name: str, value: object):
    assert refusal(**{name: value}).context["param"] == name


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], ""),
        ("x", ""),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            {"messages": [ASK, {"role": "assistant", "tool_calls": [{"function": {}}]}]},
            "messages[1].tool_calls[0].function.name",
        ),
        ({"messages": [ASK], "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"messages": [ASK], "tools": [{"name": "a", "parameters": []}]}, "tools[0].parameters"),
    ],
)
def test_what_is_malformed_is_refused_by_its_place(body: object, param: str):
    with pytest.raises(Invalid) as caught:
        read_chat(body)
    assert caught.value.context["param"] == param


def test_what_is_nested_deeper_than_it_can_be_written_is_refused():
    deep = json.loads('{"a":' * 250 + "1" + "}" * 250)
    format = {"type": "json_schema", "json_schema": {"schema": deep}}
    call = {"function": {"name": "a", "arguments": {"a": [[[[[deep]]]]]}}}
    assert "nested" in refusal({"role": "assistant", "tool_calls": [call]}).message
    assert "nested" in refusal(tools=[{"name": "a", "parameters": deep}]).message
    assert "nested" in refusal(response_format=format).message


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "grammar"}, None),
        ({"type": "json_object"}, ResponseFormat()),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
            ResponseFormat(SCHEMA, "n"),
        ),
        ({"type": "json_schema", "json_schema": {}}, ResponseFormat()),
    ],
)
def test_response_formats(given: object, meant: ResponseFormat | None):
    assert request(response_format=given).response_format == meant


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({}, None),
        ({"reasoning_effort": "none"}, "off"),
        ({"reasoning_effort": "minimal"}, "low"),
        ({"reasoning_effort": "medium"}, "medium"),
        ({"reasoning_effort": "xhigh"}, "high"),
        ({"reasoning_effort": "max"}, "high"),
        ({"reasoning_effort": "unheard of"}, None),
        ({"reasoning": {"effort": "low"}}, "low"),
        ({"think": False}, "off"),
        ({"think": True}, "medium"),
        ({"think": "high"}, "high"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "off"),
        ({"chat_template_kwargs": {"thinking": True}}, "medium"),
    ],
)
def test_how_long_to_think_is_understood_in_every_spelling(fields: dict[str, object], level: str | None):
    assert request(**fields).reasoning == level


def test_log_probabilities_are_asked_for_by_a_flag_and_a_number():
    assert request(logprobs=False, top_logprobs=3).sampling.logprobs is None
    assert request(logprobs=True).sampling.logprobs == 0
    assert request(logprobs=True, top_logprobs=99).sampling.logprobs == 20


def test_what_concerns_the_answer_is_kept_apart_from_the_request():
    asked = read(stream=True, stream_options={"include_usage": True}, n=3, prompt_cache_key="conversation 1")
    assert (asked.request.stream, asked.include_usage, asked.count) == (True, True, 3)
    assert asked.request.session == "conversation 1"


def test_several_answers_with_a_seed_are_not_all_the_same():
    assert [each.sampling.seed for each in read(n=3, seed=7).choices()] == [7, 8, 9]
    assert len(read(n=3).choices()) == 3


def test_fields_nobody_has_heard_of_are_ignored():
    unheard = {
        "metadata": {"a": 1},
        "user": 5,
        "service_tier": "flex",
        "store": True,
        "prediction": [],
        "verbosity": "low",
    }
    assert request(**unheard, parallel_tool_calls=False, logit_bias={"1": 2}) == request()


def test_a_completion_takes_its_prompt_as_it_is():
    asked = read_completion({"prompt": "def f(", "max_tokens": 9, "stop": "\n", "echo": True, "logprobs": 2})
    (found,) = asked.requests
    assert (found.prefix, found.suffix, found.raw, found.max_tokens) == ("def f(", "", True, 9)
    assert (found.sampling.max_tokens, found.sampling.stop, found.sampling.logprobs) == (9, ("\n",), 2)
    assert (asked.model, asked.echo) == ("complete", True)
    assert read_completion({"prompt": "x"}).requests[0].max_tokens == 16


def test_a_completion_with_a_suffix_fills_in_the_middle():
    (found,) = read_completion({"prompt": "a", "suffix": "b"}).requests
    assert (found.prefix, found.suffix, found.raw) == ("a", "b", False)


def test_several_prompts_and_answers_are_counted_prompt_by_prompt():
    asked = read_completion({"prompt": ["a", "b"], "n": 2, "seed": 1})
    assert [(each.prefix, each.sampling.seed) for each in asked.choices()] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


@pytest.mark.parametrize("prompt", [None, [], 5, [1, 2], [[1, 2]], ["a", 1], ["a"] * 200])
def test_prompts_that_are_no_text_are_refused(prompt: object):
    with pytest.raises(Invalid) as caught:
        read_completion({"prompt": prompt})
    assert caught.value.context["param"] == "prompt"


def test_token_ids_are_refused_with_words_that_help():
    for read_body, name in ((read_completion, "prompt"), (read_embeddings, "input")):
        with pytest.raises(Invalid, match="token ids") as caught:
            read_body({name: [[1, 2], [3]]})
        assert "send text" in caught.value.remedy


def test_embeddings_of_one_text_and_of_several():
    one = read_embeddings({"input": "a", "encoding_format": "base64"})
    assert (one.texts, one.model, one.encoding_format, one.dimensions) == (("a",), "embed", "base64", None)
    assert read_embeddings({"input": ["a", "b"], "model": "m", "dimensions": 3}).dimensions == 3
    for fields in ({"encoding_format": "hex"}, {"dimensions": 0}, {"input": {}}):
        with pytest.raises(Invalid):
            read_embeddings({"input": "a", **fields})


def answered(body: object) -> None:
    """Whatever this is: each reader takes it or says what is wrong, and what was taken can be sent on."""
    for read_body in (read_chat, read_completion, read_embeddings):
        try:
            asked = read_body(body)
        except Invalid:
            continue
        if read_body is read_chat:
            for each in asked.choices():
                orjson.dumps(write_chat(each, "m"))


def test_a_good_body_with_any_one_value_of_another_type_is_read_or_refused():
    for bodies in (
        FULL,
        {"prompt": ["a"], "suffix": "b", "echo": True, "logprobs": 1, "n": 1},
        {"input": ["a"], "dimensions": 1},
    ):
        for body in oddities(bodies):
            answered(body)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(values(), st.dictionaries(st.sampled_from(NAMES), values(), max_size=8)))
def test_any_json_is_read_or_refused(body: object):
    answered(body)
