"""What Ollama's clients send to chat, generate and embed, and what we make of it."""

import base64
import json
import time
from contextlib import suppress

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fireside.core.errors import Invalid
from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import ResponseFormat, Sampling
from fireside.wire.ollama import write_chat, write_options
from fireside.wire.ollama_history import read_context, write_context
from fireside.wire.ollama_model_requests import read_copy, read_create, read_delete, read_pull, read_show
from fireside.wire.ollama_options import read_duration
from fireside.wire.ollama_requests import ChatAsked, read_chat, read_embed, read_generate, read_old_embeddings
from support.bodies import NAMES, oddities, values

PNG = b"\x89PNG\r\n\x1a\n"
PICTURE = base64.b64encode(PNG).decode()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "look", "description": "Look", "parameters": SCHEMA}}
LOOK = ToolSpec("look", "Look", SCHEMA)
ASK = {"role": "user", "content": "hi"}
CALL = {"function": {"name": "look", "arguments": {"city": "Ulm"}}}
FULL_CHAT = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "see", "images": [PICTURE]},
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [{"id": "call_00000001", **CALL}]},
        {"role": "tool", "content": "rain", "tool_name": "look", "tool_call_id": "call_00000001"},
    ],
    "tools": [TOOL],
    "format": SCHEMA,
    "options": {"temperature": 0.5, "num_predict": 7, "stop": ["a"], "num_ctx": 4096, "seed": 1, "top_k": 4},
    "keep_alive": "5m",
    "think": "low",
    "stream": True,
    "logprobs": True,
    "top_logprobs": 2,
    "truncate": False,
}
FULL_GENERATE = {
    "model": "m",
    "prompt": "hi",
    "suffix": "end",
    "system": "Be brief",
    "template": "{{ .Prompt }}",
    "context": [1, 2],
    "raw": False,
    "format": "json",
    "images": [PICTURE],
    "options": {"top_p": 0.9, "repeat_penalty": 1.1, "mirostat": 2},
    "keep_alive": 30,
    "think": True,
    "stream": False,
}
FULL_EMBED = {"model": "m", "input": ["a", "b"], "truncate": False, "dimensions": 4, "options": {}, "keep_alive": 0}


def chat(*messages: object, **fields: object):
    return read_chat({"model": "m", "messages": list(messages or (ASK,)), **fields})


def request(*messages: object, **fields: object):
    return chat(*messages, **fields).request


def generate(prompt: str = "hi", **fields: object):
    return read_generate({"model": "m", "prompt": prompt, **fields})


def sampling(**options: object) -> Sampling:
    return request(options=options).sampling


def refusal(read, *arguments: object, **fields: object) -> str:
    with pytest.raises(Invalid) as caught:
        read(*arguments, **fields)
    return caught.value.message


# --- chat


def test_a_plain_chat_streams_and_leaves_everything_else_open():
    asked = chat()
    assert asked.model == asked.request.model == "m"
    assert asked.request.messages == (Message("user", "hi"),)
    assert asked.request.stream is True
    assert asked.request.sampling == Sampling()
    assert (asked.request.reasoning, asked.request.keep_alive, asked.request.response_format) == (None, None, None)
    assert not asked.only_loads


def test_system_texts_lead_in_their_order_wherever_they_stand():
    messages = request({"role": "system", "content": "one"}, ASK, {"role": "system", "content": "two"}).messages
    assert messages == (Message("system", "one\n\ntwo"), Message("user", "hi"))


def test_a_tool_call_comes_with_an_object_and_its_answer_finds_it():
    assert request(*FULL_CHAT["messages"]).messages[2:] == (
        Message("assistant", "", (ToolCall("call_00000001", "look", '{"city":"Ulm"}'),)),
        Message("tool", "rain", tool_call_id="call_00000001"),
    )


def test_answers_without_ids_find_their_calls_by_the_tools_name_else_by_their_order():
    calls = [{"function": {"name": name, "arguments": {}}} for name in ("look", "listen", "look")]
    answers = [
        {"role": "tool", "content": "heard", "tool_name": "listen"},
        {"role": "tool", "content": "seen", "tool_name": "look"},
        {"role": "tool", "content": "again"},
    ]
    messages = request(ASK, {"role": "assistant", "tool_calls": calls}, *answers).messages
    ids = {call.id: place for place, call in enumerate(messages[1].tool_calls)}
    assert [ids[message.tool_call_id] for message in messages[2:]] == [1, 0, 2]


def test_an_id_that_is_nobodys_is_kept():
    assert request(ASK, {"role": "tool", "content": "x", "tool_call_id": "other"}).messages[1].tool_call_id == "other"


def test_the_same_history_gives_the_same_ids():
    history = [ASK, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "rain"}]
    assert request(*history).messages == request(*history).messages


def test_tools_are_offered_and_those_of_other_kinds_are_passed_over():
    assert request(tools=[TOOL, {"type": "web_search"}]).tools == (LOOK,)


def test_pictures_come_in_base64_with_or_without_a_data_url():
    message = {"role": "user", "content": "see", "images": [PICTURE, f"data:image/png;base64,{PICTURE}"]}
    assert request(message).messages[0].images == (PNG, PNG)


@pytest.mark.parametrize("image", ["!!!!", "aGVsbG8=", 3, "data:,x"])
def test_what_is_no_picture_is_refused_with_its_place(image):
    message = {"role": "user", "content": "see", "images": [image]}
    assert refusal(chat, message).startswith("messages[0].images[0]")


def test_no_messages_load_the_model_and_keep_alive_0_unloads_it():
    loads, unloads = read_chat({"model": "m"}), read_chat({"model": "m", "messages": [], "keep_alive": 0})
    assert (loads.only_loads, loads.unloads) == (True, False)
    assert (unloads.only_loads, unloads.unloads) == (True, True)
    assert chat(keep_alive=0).unloads is False


@pytest.mark.parametrize(
    ("think", "reasoning"),
    [
        (None, None), (True, "medium"), (False, "off"), ("low", "low"), ("medium", "medium"), ("high", "high"),
        ("max", "high"),
    ],
)  # fmt: skip
def test_think_is_a_flag_or_a_level(think, reasoning):
    assert request(think=think).reasoning == reasoning


@pytest.mark.parametrize("read", [chat, generate])
def test_other_think_values_are_refused_in_ollamas_words(read):
    expected = 'invalid think value: "ultra" (must be "high", "medium", "low", "max", true, or false)'
    assert refusal(read, think="ultra") == expected
    assert (
        refusal(read, think=1) == 'think must be a boolean or string ("high", "medium", "low", "max", true, or false)'
    )


@pytest.mark.parametrize(
    ("given", "read"),
    [(None, None), ("", None), ("json", ResponseFormat()), (SCHEMA, ResponseFormat(SCHEMA)), ({}, ResponseFormat({}))],
)
def test_a_format_is_json_or_a_schema(given, read):
    assert request(format=given).response_format == read


def test_another_format_is_refused_in_ollamas_words():
    assert refusal(chat, format="xml") == 'invalid format: "xml"; expected "json" or a valid JSON Schema object'


# --- options


def test_options_are_read_by_their_names():
    assert sampling(
        temperature=0, top_p=0.5, top_k=40, min_p=0.1, repeat_penalty=1.1, frequency_penalty=0.2, presence_penalty=0.3,
        seed=7, num_predict=5, stop=["END", ""],
    ) == Sampling(
        temperature=0, top_p=0.5, top_k=40, min_p=0.1, repeat_penalty=1.1, frequency_penalty=0.2, presence_penalty=0.3,
        seed=7, max_tokens=5, stop=("END",),
    )  # fmt: skip


def test_unknown_options_and_those_the_engine_decides_are_passed_over():
    assert sampling(num_ctx=99999999, num_gpu="all", mirostat=2, of_tomorrow={"x": []}) == Sampling()


@pytest.mark.parametrize(("given", "limit"), [(-1, None), (-2, None), (0, 1), (5.9, 5), (1e300, 2**31 - 1)])
def test_num_predict_below_zero_is_no_limit(given, limit):
    assert sampling(num_predict=given).max_tokens == limit


def test_a_seed_below_zero_is_none():
    assert sampling(seed=-1).seed is None


def test_one_stop_may_stand_without_a_list():
    assert sampling(stop="END").stop == ("END",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"temperature": True}, 'option "temperature" must be of type float32'),
        ({"seed": "x"}, 'option "seed" must be of type integer'),
        ({"num_predict": [1]}, 'option "num_predict" must be of type integer'),
        ({"stop": 3}, 'option "stop" must be of type array'),
        ({"stop": [3]}, 'option "stop" must be of an array of strings'),
    ],
)
def test_an_option_of_another_type_is_refused_in_ollamas_words(options, words):
    assert refusal(sampling, **options) == words


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [({}, None), ({"top_logprobs": 3}, None), ({"logprobs": True}, 0), ({"logprobs": True, "top_logprobs": 20}, 20)],
)
def test_log_probabilities_are_given_only_when_asked_for(fields, wanted):
    assert request(**fields).sampling.logprobs == wanted
    assert generate(**fields).request.sampling.logprobs == wanted


@pytest.mark.parametrize("count", [-1, 21])
def test_a_count_of_alternatives_out_of_range_is_refused_in_ollamas_words(count):
    assert refusal(chat, logprobs=True, top_logprobs=count) == "top_logprobs must be between 0 and 20"


# --- keep_alive


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None), (300, 300.0), (0, 0.0), (0.5, 0.5), (-1, -1.0), (-300, -1.0), (1e300, 2.0**63 / 1e9), ("5m", 300.0),
        ("1h30m", 5400.0), ("1.5s", 1.5), (".5s", 0.5), ("5.s", 5.0), ("100ms", 0.1), ("1µs", 1e-6), ("1μs", 1e-6), ("3us", 3e-6),
        ("0", 0.0), ("-0", 0.0), ("+5m", 300.0), ("-1m", -1.0), ("-1s", -1.0), ("0s", 0.0), ("2562047h", 2562047 * 3600.0),
    ],
)  # fmt: skip
def test_keep_alive_is_seconds_or_a_go_duration(given, seconds):
    assert request(keep_alive=given).keep_alive == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", 'time: invalid duration ""'),
        ("soon", 'time: invalid duration "soon"'),
        ("-", 'time: invalid duration "-"'),
        ("--5m", 'time: invalid duration "--5m"'),
        (".s", 'time: invalid duration ".s"'),
        ("5", 'time: missing unit in duration "5"'),
        ("1m5", 'time: missing unit in duration "1m5"'),
        ("5d", 'time: unknown unit "d" in duration "5d"'),
        ("9999999h", 'time: invalid duration "9999999h"'),
    ],
)
def test_another_duration_is_refused_in_gos_words(given, words):
    assert refusal(chat, keep_alive=given) == words


@given(st.text(alphabet="0123456789.hmsnuµ+-x ", max_size=8))
def test_any_text_is_a_duration_or_refused(text):
    with suppress(Invalid):
        assert abs(read_duration(text)) < 2**63 / 1e9


def test_a_long_duration_is_read_in_no_time():
    began = time.thread_time()
    refusal(read_duration, "1" * 200_000)
    read_duration("1s" * 100_000)
    # A guard, no measure: what grew with the square of the length would take minutes.
    assert time.thread_time() - began < 20


# --- generate


def test_a_prompt_is_a_conversation_of_one_message_and_its_system_text():
    asked = generate(system="Be brief", images=[PICTURE], template="ignored")
    assert asked.request.messages == (Message("system", "Be brief"), Message("user", "hi", images=(PNG,)))
    assert asked.request.stream is True


def test_a_raw_prompt_is_a_text_to_go_on_with():
    asked = generate(raw=True, options={"num_predict": 9, "seed": 3}, keep_alive=7, stream=False)
    completion = asked.completion(500)
    assert (completion.prefix, completion.suffix, completion.raw, completion.max_tokens) == ("hi", "", True, 9)
    assert (completion.sampling.seed, completion.keep_alive, completion.stream) == (3, 7.0, False)
    assert generate(raw=True).completion(500).max_tokens == 500


def test_a_suffix_asks_for_what_stands_before_it():
    completion = generate(suffix="end").completion(500)
    assert (completion.prefix, completion.suffix, completion.raw) == ("hi", "end", False)


@pytest.mark.parametrize("fields", [{"template": "x"}, {"system": "x"}, {"context": [1]}])
def test_raw_with_a_template_a_system_text_or_a_context_is_refused_in_ollamas_words(fields):
    assert refusal(generate, raw=True, **fields) == "raw mode does not support template, system, or context"


def test_an_empty_prompt_loads_but_not_with_a_suffix_or_a_picture():
    assert generate("").only_loads
    assert generate("", keep_alive="0s").unloads
    assert not generate("", suffix="end").only_loads
    assert not generate("", images=[PICTURE]).only_loads


# --- the context of a generation


def test_a_context_carries_the_conversation_on():
    first = generate("one", system="Be brief")
    context = write_context(first.request.messages, "1 🦊")
    assert all(isinstance(number, int) and 0 <= number < 65536 for number in context)
    assert generate("two", context=json.loads(json.dumps(context))).request.messages == (
        Message("system", "Be brief"),
        Message("user", "one"),
        Message("assistant", "1 🦊"),
        Message("user", "two"),
    )


def test_a_new_system_text_takes_the_old_ones_place():
    context = write_context(generate("one", system="old").request.messages, "1")
    assert generate("two", context=context, system="new").request.messages[0] == Message("system", "new")


@pytest.mark.parametrize(
    "context", [[], [1, 2, 3], [0x4653], [0x4653, -1], [0x4653, "x"], [0x4653, 0x225B], [0x4653, 2**70], [None]]
)
def test_a_context_of_another_server_is_no_history(context):
    assert generate("two", context=context).request.messages == (Message("user", "two"),)


@given(st.lists(st.integers(0, 65535), max_size=20))
def test_any_numbers_are_a_history_or_none(numbers):
    assert isinstance(read_context([0x4653, *numbers]), tuple)


@given(st.text(), st.text())
def test_any_conversation_survives_its_context(question, answer):
    try:
        (question + answer).encode()
    except UnicodeEncodeError:
        return
    read = read_context(write_context((Message("user", question),), answer))
    assert read == (Message("user", question), Message("assistant", answer))


# --- embeddings


def test_texts_to_embed_are_one_or_many():
    assert read_embed({"model": "m", "input": "a"}).texts == ("a",)
    asked = read_embed(FULL_EMBED)
    assert (asked.texts, asked.truncate, asked.dimensions) == (("a", "b"), False, 4)
    assert read_old_embeddings({"model": "m", "prompt": "a"}).texts == ("a",)


@pytest.mark.parametrize("body", [{"input": ""}, {"input": []}, {"input": None}, {}])
def test_nothing_to_embed_is_no_error(body):
    assert read_embed({"model": "m", **body}).texts == ()
    assert read_old_embeddings({"model": "m", "prompt": ""}).texts == ()


@pytest.mark.parametrize("given", [3, [3], {"a": 1}, [["a"]], True])
def test_what_is_no_text_is_refused_in_ollamas_words(given):
    assert refusal(read_embed, {"model": "m", "input": given}) == "invalid input type"


# --- models


def test_show_pull_and_delete_take_the_name_under_both_keys():
    for key in ("model", "name"):
        assert read_show({key: "m", "verbose": True}) == read_show({"model": "m", "verbose": True})
        assert read_pull({key: "m"}).model == "m"
        assert read_delete({key: "m"}) == "m"
    assert read_pull({"model": "m", "stream": False}).stream is False


@pytest.mark.parametrize(
    "read", [read_chat, read_generate, read_embed, read_old_embeddings, read_show, read_pull, read_delete, read_create]
)
@pytest.mark.parametrize("model", [{}, {"model": ""}, {"model": None}])
def test_without_a_model_nothing_is_done(read, model):
    assert refusal(read, {**model, "messages": [ASK], "prompt": "x", "input": "x"}) == "model is required"


def test_a_copy_needs_both_names():
    assert read_copy({"source": "a", "destination": "b"}) == ("a", "b")
    assert refusal(read_copy, {"source": "a"}) == "destination is required"
    assert refusal(read_copy, {"destination": "b"}) == "source is required"


def test_a_creation_says_from_what_and_with_what():
    asked = read_create(
        {
            "model": "mine", "from": "m", "system": "Be brief", "parameters": {"temperature": 0, "stop": ["x"]},
            "license": ["one", "two"], "messages": [ASK], "stream": False,
        }
    )  # fmt: skip
    assert (asked.model, asked.source, asked.system, asked.license) == ("mine", "m", "Be brief", "one\n\ntwo")
    assert (asked.parameters, asked.messages, asked.stream) == ({"temperature": 0, "stop": ["x"]}, [ASK], False)
    assert read_create({"model": "mine", "files": {"a.gguf": "sha256:1"}}).files == {"a.gguf": "sha256:1"}


def test_a_creation_of_nothing_or_with_what_cannot_be_used_is_refused_at_once():
    assert refusal(read_create, {"model": "mine"}) == "neither 'from' or 'files' was specified"
    wrong = {"model": "mine", "from": "m", "parameters": {"temperature": "hot"}}
    assert refusal(read_create, wrong) == 'option "temperature" must be of type float32'
    assert refusal(read_create, {"model": "mine", "from": "m", "messages": [{"role": "boss"}]}).startswith(
        "messages[0]"
    )


# --- anything at all

READERS = (read_chat, read_generate, read_embed, read_old_embeddings, read_show, read_pull, read_delete, read_copy)
OWN_NAMES = (*NAMES, "options", "keep_alive", "images", "system", "template", "context", "raw", "thinking", "tool_name")


def answered(read, body: object) -> None:
    """Read or refused; and what was read can be sent on."""
    with suppress(Invalid):
        asked = read(body)
        if isinstance(asked, ChatAsked):
            options = write_options(asked.request.sampling, num_ctx=1)
            orjson.dumps(write_chat(asked.request, asked.model, options=options))


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (read_chat, FULL_CHAT),
        (read_generate, FULL_GENERATE),
        (read_generate, {**FULL_GENERATE, "raw": True, "system": "", "template": "", "context": []}),
        (read_embed, FULL_EMBED),
        (read_create, {"model": "m", "from": "m", "files": {"a": "b"}, "parameters": {"seed": 1}, "messages": [ASK]}),
    ],
)
def test_a_good_body_is_read_and_with_any_one_thing_changed_it_is_read_or_refused(read, body):
    read(body)
    for changed in oddities(body):
        answered(read, changed)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(values(), st.dictionaries(st.sampled_from(OWN_NAMES), values(), max_size=8)))
def test_any_json_is_read_or_refused(body):
    for read in (*READERS, read_create):
        answered(read, body)
        if isinstance(body, dict):
            answered(read, {"model": "m", **body})
            answered(read, {"model": "m", "messages": [ASK, body], "options": body, "from": "m"})


def test_a_long_prompt_is_not_copied():
    prompt = "x" * 400_000
    assert request({"role": "user", "content": prompt}).messages[0].content is prompt
    assert generate(prompt, raw=True).completion(1).prefix is prompt
