"""Anthropic's Messages as its clients send them: what is understood, what is passed over, what is refused and where."""

import base64

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.core.errors import Invalid
from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import ResponseFormat, Sampling
from fireside.wire.anthropic import write_messages
from fireside.wire.anthropic_requests import MessagesAsked, read_count, read_messages

PNG = b"\x89PNG\r\n\x1a\n rest"
HI = [{"role": "user", "content": "hi"}]
CALL = {"type": "tool_use", "id": "call_1", "name": "look", "input": {"path": "a.py"}}
PICTURE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()},
}
LOOK = {"name": "look", "description": "Look at a file", "input_schema": {"type": "object", "properties": {}}}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}


def asked(messages: object = None, **fields: object) -> MessagesAsked:
    return read_messages({"model": "m", "max_tokens": 10, "messages": HI if messages is None else messages, **fields})


def messages_of(messages: object, **fields: object) -> tuple[Message, ...]:
    return asked(messages, **fields).request.messages


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words, "cache_control": {"type": "ephemeral"}}


def result(call: str, content: object = None, **fields: object) -> dict[str, object]:
    return {"type": "tool_result", "tool_use_id": call, "content": content, **fields}


def refused(**fields: object) -> Invalid:
    with pytest.raises(Invalid) as caught:
        asked(**fields)
    return caught.value


# Conversations


def test_a_plain_question_is_one_message():
    request = asked().request
    assert (request.messages, request.model, request.stream) == ((Message("user", "hi"),), "m", False)


def test_a_long_prompt_is_not_copied():
    prompt = "x" * 100_000
    assert messages_of([{"role": "user", "content": prompt}])[0].content is prompt
    assert messages_of([{"role": "user", "content": [text(prompt)]}])[0].content is prompt


def test_system_texts_lead_wherever_they_stand_and_keep_their_order():
    turns = [*HI, {"role": "system", "content": "third"}, {"role": "user", "content": "go on"}]
    read = messages_of(turns, system=[text("first"), text("second")])
    assert read == (Message("system", "first\n\nsecond\n\nthird"), Message("user", "hi\n\ngo on"))


@pytest.mark.parametrize("between", ["block", "line"])
def test_claude_codes_billing_line_does_not_break_the_prefix_of_two_requests(between):
    def request(nonce: str) -> tuple[Message, ...]:
        line = f"x-anthropic-billing-header: cc_version=2.1.197; cc_entrypoint=cli; cch={nonce};"
        return messages_of(HI, system=[text(line), text("Be kind.")] if between == "block" else f"{line}\nBe kind.")

    assert request("fa690") == request("00a1b") == (Message("system", "Be kind."), Message("user", "hi"))


def test_results_of_tools_come_before_what_the_user_adds():
    turn = [result("call_1", "one"), result("call_2", [text("two"), text("more")]), text("and now?")]
    assert messages_of([{"role": "user", "content": turn}]) == (
        Message("tool", "one", tool_call_id="call_1"),
        Message("tool", "two\n\nmore", tool_call_id="call_2"),
        Message("user", "and now?"),
    )


def test_a_result_follows_its_call_even_when_the_text_was_written_first():
    read = messages_of([{"role": "user", "content": [text("well"), result("call_1", "one")]}])
    assert [message.role for message in read] == ["tool", "user"]


def test_pictures_in_a_result_are_shown_by_the_user():
    read = messages_of([{"role": "user", "content": [result("call_1", [PICTURE])]}])
    assert read[0].content == "(see the picture below)"
    assert read[1] == Message("user", "", images=(PNG,))


@pytest.mark.parametrize(
    ("content", "told"), [("no such file", "Error: no such file"), ("Error: gone", "Error: gone"), (None, "Error: ")]
)
def test_a_failed_tool_says_so_once(content, told):
    assert messages_of([{"role": "user", "content": [result("c", content, is_error=True)]}])[0].content == told


def test_calls_keep_their_arguments_as_json_text():
    turn = [{"type": "thinking", "thinking": "hm", "signature": "s"}, text("Let me "), text("look."), CALL]
    assert messages_of([*HI, {"role": "assistant", "content": turn}])[1] == Message(
        "assistant", "Let me look.", tool_calls=(ToolCall("call_1", "look", '{"path":"a.py"}'),)
    )


def test_a_picture_may_come_as_a_data_url():
    url = {"type": "url", "url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}
    assert messages_of([{"role": "user", "content": [{"type": "image", "source": url}]}])[0].images == (PNG,)


def test_thoughts_and_blocks_of_server_tools_are_passed_over():
    turn = [
        {"type": "redacted_thinking", "data": "abc"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "invented_tomorrow", "text": {"not": "text"}},
        text("done"),
    ]
    assert messages_of([*HI, {"role": "assistant", "content": turn}])[1:] == (Message("assistant", "done"),)


def test_a_turn_of_nothing_but_thoughts_is_none_and_its_neighbours_are_one():
    turns = [*HI, {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}, *HI]
    assert messages_of(turns) == (Message("user", "hi\n\nhi"),)


def test_documents_and_search_results_of_text_are_read():
    source = {"type": "text", "media_type": "text/plain", "data": "body"}
    nested = {"type": "content", "content": [text("inner"), PICTURE]}
    turn = [
        {"type": "document", "title": "Notes", "source": source},
        {"type": "document", "source": nested},
        {"type": "search_result", "title": "T", "source": "https://x.test", "content": [text("found")]},
    ]
    read = messages_of([{"role": "user", "content": turn}])
    assert read == (Message("user", "Notes\nbody\n\ninner\n\nT\nhttps://x.test\nfound", images=(PNG,)),)


def test_what_we_write_for_anthropic_we_read_back():
    turns = [
        *HI,
        {"role": "assistant", "content": [text("ok"), CALL]},
        {"role": "user", "content": [result("call_1", "x")]},
    ]
    request = asked(turns, system="Be brief.", tools=[LOOK], tool_choice={"type": "any"}).request
    again = read_messages(orjson.loads(orjson.dumps(write_messages(request, "m", stream=False)))).request
    assert (again.messages, again.tools, again.tool_choice) == (request.messages, request.tools, request.tool_choice)


# Tools


def test_tools_need_no_type_and_those_that_cannot_run_here_are_passed_over():
    tools = [
        LOOK,
        {**LOOK, "name": "custom", "type": "custom", "input_schema": None},
        SEARCH,
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250728", "name": "edit"},
        {"type": "computer_20250124", "name": "computer", "display_width_px": 1},
        {"type": "code_execution_20250825", "name": "code_execution"},
        {"type": "mcp_toolset"},
    ]
    read = asked(tools=tools).request.tools
    assert [tool.name for tool in read] == ["look", "custom"]
    assert read[0] == ToolSpec("look", "Look at a file", {"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        (None, "auto"),
        ({"type": "auto", "disable_parallel_tool_use": True}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "look"}, "look"),
        ({"type": "tool", "name": "web_search"}, "auto"),
    ],
)
def test_a_tool_choice_is_kept_unless_its_tool_cannot_run_here(choice, meant):
    assert asked(tools=[LOOK, SEARCH], tool_choice=choice).request.tool_choice == meant


def test_insisting_on_any_of_no_tools_that_can_run_asks_for_an_answer_without():
    assert asked(tools=[SEARCH], tool_choice={"type": "any"}).request.tool_choice == "auto"


# Options


def test_sampling_is_read():
    read = asked(temperature=0.5, top_p=1, top_k=40.0, stop_sequences=["END", ""], max_tokens=7).request.sampling
    assert read == Sampling(temperature=0.5, top_p=1, top_k=40, max_tokens=7, stop=("END",))


@pytest.mark.parametrize(("limit", "kept"), [(None, None), (32_000, 32_000), (10**12, 2**31 - 1), (1e300, 2**31 - 1)])
def test_an_absurd_limit_is_not_refused(limit, kept):
    assert asked(max_tokens=limit).request.sampling.max_tokens == kept


def test_a_limit_of_nothing_only_warms():
    assert asked(max_tokens=0).only_warms
    assert not asked(max_tokens=1).only_warms


@pytest.mark.parametrize(
    ("fields", "level", "shown"),
    [
        ({}, "off", False),
        ({"thinking": {"type": "disabled"}}, "off", False),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, "off", False),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low", True),
        ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, "medium", True),
        ({"thinking": {"type": "enabled", "budget_tokens": 31999}}, "high", True),
        ({"thinking": {"type": "adaptive"}}, "medium", True),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, "medium", False),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}, "high", True),
        ({"output_config": {"effort": "low"}}, "low", False),
        ({"thinking": "?", "output_config": "?"}, "off", False),
    ],
)
def test_thinking_becomes_a_level(fields, level, shown):
    read = asked(**fields)
    assert (read.request.reasoning, read.shows_thinking) == (level, shown)


def test_a_schema_is_read_under_both_its_names():
    form = {"type": "json_schema", "schema": {"type": "object"}}
    assert asked(output_config={"format": form}).request.response_format == ResponseFormat({"type": "object"})
    assert asked(output_format=form).request.response_format == ResponseFormat({"type": "object"})
    assert asked(output_config={"format": {"type": "text"}}).request.response_format is None


def test_the_users_id_keeps_a_conversation_together():
    assert asked(metadata={"user_id": "u_session_1"}).request.session == "u_session_1"
    assert asked(metadata={"user_id": 3}).request.session is None


def test_unknown_fields_are_ignored():
    fields = {
        "context_management": {"edits": []},
        "service_tier": "auto",
        "container": {"id": "c"},
        "mcp_servers": [],
        "betas": ["x"],
        "speed": "fast",
        "diagnostics": {},
    }
    assert asked(**fields) == asked()


def test_counting_reads_what_counts_as_prompt():
    read = read_count({"model": "m", "messages": HI, "system": "Be brief.", "tools": [LOOK], "max_tokens": "any"})
    assert [message.role for message in read.request.messages] == ["system", "user"]
    assert read.request.tools[0].name == "look"


# Refusals


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "only"}]}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [*HI, {"role": "user", "content": 3}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "assistant", "content": [{**CALL, "id": 1}]}]}, "messages[0].content[0].id"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": "yes"}, "stream"),
        ({"stop_sequences": [1]}, "stop_sequences"),
        ({"model": 3}, "model"),
        ({"system": 3}, "system"),
        ({"tools": {}}, "tools"),
        ({"tools": [3]}, "tools[0]"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "x", "input_schema": 3}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "tool", "name": "nobody"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ],
)
def test_what_is_wrong_is_named(fields, param):
    error = refused(**fields)
    assert error.context["param"] == param
    assert error.message.startswith(param)


@pytest.mark.parametrize(
    ("block", "remedy"),
    [
        ({"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}, "send the picture itself"),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "send the content itself"),
        ({"type": "image", "source": {"type": "base64", "data": "aGVsbG8="}}, "PNG"),
        (
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": ""}},
            "send the text",
        ),
        ({"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}}, "send the text"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_remedy(block, remedy):
    assert remedy in refused(messages=[{"role": "user", "content": [block]}]).remedy


def test_arguments_nested_beyond_reason_are_refused():
    nested: dict[str, object] = {}
    for _ in range(400):
        nested = {"a": nested}
    turn = {"role": "assistant", "content": [{**CALL, "input": nested}]}
    assert refused(messages=[turn]).context["param"] == "messages[0].content[0].input"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KINDS = [
    "text",
    "image",
    "document",
    "search_result",
    "tool_use",
    "tool_result",
    "thinking",
    "base64",
    "url",
    "content",
]
FIELDS = ["type", "text", "source", "content", "data", "id", "name", "input", "tool_use_id", "is_error", "title"]
blocks = st.recursive(
    st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(KINDS) | json_values, max_size=4),
    lambda inner: st.dictionaries(
        st.sampled_from(FIELDS), st.sampled_from(KINDS) | inner | st.lists(inner, max_size=3), max_size=5
    ),
    max_leaves=6,
)
sound = st.sampled_from(
    [text("a"), PICTURE, CALL, result("c", [text("x"), PICTURE]), {"type": "thinking"}, {"type": "?"}]
)
turns = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "user", "assistant", "system", "tool"]),
        "content": st.lists(sound, max_size=4) | st.lists(sound | blocks, max_size=3) | json_values,
    }
)
OPTIONS = [
    "model", "system", "max_tokens", "stop_sequences", "temperature", "top_p", "top_k", "stream", "thinking", "tools",
    "tool_choice", "metadata", "output_config", "output_format",
]  # fmt: skip
talks = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.lists(sound, max_size=4)}),
    min_size=1,
    max_size=5,
)
odd_options = st.dictionaries(
    st.sampled_from(OPTIONS), json_values | blocks | st.lists(blocks, max_size=2), min_size=1, max_size=2
)
bodies = st.one_of(
    st.builds(lambda messages: {"messages": messages}, talks),
    st.builds(lambda messages, options: {"messages": messages, **options}, talks, odd_options),
    st.builds(lambda messages: {"messages": messages}, st.lists(turns, max_size=3) | json_values),
)


@settings(max_examples=300, deadline=None)
@given(body=bodies | json_values)
def test_any_json_is_either_understood_or_refused(body):
    for read in (read_messages, read_count):
        try:
            understood = read(body)
        except Invalid:
            continue
        orjson.dumps(write_messages(understood.request, "m"))
