"""``/infill`` as llama.vscode and llama.vim ask it and read it."""

from itertools import pairwise

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.core.errors import ContextTooLong, Invalid, ModelNotFound, TimedOut
from fireside.core.requests import Delta, Priority, Snippet, Usage
from fireside.wire.framing import SseParser
from fireside.wire.infill import (
    Indented,
    InfillAnswer,
    InfillAsked,
    read_infill,
    write_alternatives,
    write_error,
    write_health,
    write_props,
    write_timings,
)

# What the two plug-ins sent when their sources were read (llama.vscode of August 2026, llama.vim of January 2026).
VSCODE = {
    "id_slot": 0, "input_prefix": "def f():\n", "input_suffix": "\nprint(f())\n", "input_extra": [], "prompt": "    return ",
    "n_predict": 128, "n_cmpl": 1, "top_k": 40, "top_p": 0.99, "stream": False, "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True, "n_indent": 4, "t_max_prompt_ms": 500, "t_max_predict_ms": 500, "lora": [{"id": 0, "scale": 0.5}],
}  # fmt: skip
VIM_FIELDS = [
    "content", "timings/prompt_n", "timings/prompt_ms", "timings/prompt_per_token_ms", "timings/prompt_per_second",
    "timings/predicted_n", "timings/predicted_ms", "timings/predicted_per_token_ms", "timings/predicted_per_second", "truncated",
    "tokens_cached",
]  # fmt: skip
VIM_WARMING = {
    "id_slot": 0, "input_prefix": "", "input_suffix": "", "input_extra": [{"filename": "a.py", "text": "x = 1\n"}], "prompt": "",
    "n_predict": 0, "temperature": 0.0, "samplers": [], "stream": False, "cache_prompt": True, "t_max_prompt_ms": 1,
    "t_max_predict_ms": 1, "response_fields": [""],
}  # fmt: skip
USAGE = Usage(prompt_tokens=100, completion_tokens=8, cached_tokens=60, prompt_seconds=0.02, completion_seconds=0.04)


def asked(**fields: object) -> InfillAsked:
    return read_infill(VSCODE | fields)


def whole(*texts: str, finish: str = "stop", **fields: object) -> dict[str, object]:
    deltas = [*(Delta(text=text) for text in texts), Delta(finish_reason=finish, usage=USAGE)]
    return orjson.loads(InfillAnswer(asked(**fields)).whole(deltas))


def streamed(*texts: str, **fields: object) -> list[dict[str, object]]:
    answer, parser = InfillAnswer(asked(stream=True, **fields)), SseParser()
    raw = answer.begin() + b"".join(answer.write([Delta(text=text)]) for text in texts)
    raw += answer.write([Delta(finish_reason="stop", usage=USAGE)])
    return [orjson.loads(event.data) for event in parser.feed(raw)]


# Requests


def test_what_stands_before_the_cursor_on_its_line_belongs_to_the_prefix():
    request = asked().request
    assert (request.prefix, request.suffix) == ("def f():\n    return ", "\nprint(f())\n")
    assert (request.max_tokens, request.priority, request.stream) == (128, Priority.TYPING, False)


def test_a_long_prefix_is_not_copied_where_nothing_follows_it():
    prefix = "x" * 100_000
    assert asked(input_prefix=prefix, prompt="").request.prefix is prefix


def test_extra_chunks_become_neighbours_in_order():
    extra = [{"filename": "a.py", "text": "a", "time": 1}, {"text": "b"}]
    assert asked(input_extra=extra).request.neighbours == (Snippet("a.py", "a"), Snippet("", "b"))


def test_limits_of_time_come_in_seconds():
    read = asked(t_max_prompt_ms=500, t_max_predict_ms=250)
    assert (read.prompt_seconds, read.predict_seconds) == (0.5, 0.25)
    assert asked(t_max_predict_ms=0).predict_seconds is None


@pytest.mark.parametrize(("limit", "kept"), [(-1, 512), (None, 512), (64, 64), (1e300, 2**31 - 1)])
def test_no_limit_of_tokens_is_a_limit_all_the_same(limit, kept):
    assert asked(n_predict=limit).request.max_tokens == kept


@pytest.mark.parametrize(("seed", "kept"), [(-1, None), (2**32 - 1, None), (7, 7)])
def test_a_seed_that_says_any_is_none(seed, kept):
    assert asked(seed=seed).request.sampling.seed == kept


def test_alternatives_are_drawn_so_that_they_differ():
    requests = asked(n_cmpl=3, temperature=0).requests()
    assert [request.sampling.temperature for request in requests] == [0, 0.8, 0.8]
    assert len({request.sampling.seed for request in requests}) == 3
    assert asked(n_cmpl=99).choices == 4
    assert asked().requests() == (asked().request,)


def test_a_request_that_only_warms_is_answered_at_once_and_waits_for_everybody():
    read = read_infill(VIM_WARMING)
    assert read.only_warms
    assert (read.request.priority, read.request.max_tokens) == (Priority.BATCH, 1)
    assert orjson.loads(InfillAnswer(read).whole([])) == {}
    plain = orjson.loads(InfillAnswer(asked(n_predict=0)).whole([]))
    assert (plain["content"], plain["stop"], plain["tokens_predicted"]) == ("", True, 0)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], ""),
        ({}, "input_prefix"),
        ({"input_prefix": 1}, "input_prefix"),
        ({"input_prefix": "", "input_suffix": []}, "input_suffix"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": "", "input_extra": {}}, "input_extra"),
        ({"prompt": "", "input_extra": [{"filename": "a"}, {"text": 1}]}, "input_extra[1].text"),
        ({"prompt": "", "input_extra": ["a"]}, "input_extra[0]"),
        ({"prompt": "", "n_predict": "many"}, "n_predict"),
        ({"prompt": "", "stream": 1}, "stream"),
    ],
)
def test_what_is_wrong_is_named(body, param):
    with pytest.raises(Invalid) as caught:
        read_infill(body)
    assert caught.value.context["param"] == param


# Answers


def test_llama_vscode_finds_all_it_reads():
    body = whole("1")
    assert (body["content"], body["stop"], body["stop_type"], body["truncated"]) == ("1", True, "eos", False)
    assert (body["tokens_evaluated"], body["tokens_predicted"], body["tokens_cached"]) == (100, 8, 108)
    assert isinstance(body["generation_settings"], dict)
    assert body["timings"] == {
        "cache_n": 60,
        "prompt_n": 40, "prompt_ms": 20.0, "prompt_per_token_ms": 0.5, "prompt_per_second": 2000.0,
        "predicted_n": 8, "predicted_ms": 40.0, "predicted_per_token_ms": 5.0, "predicted_per_second": 200.0,
    }  # fmt: skip


def test_llama_vim_gets_the_fields_it_names_under_their_paths():
    answer = InfillAnswer(asked(response_fields=VIM_FIELDS))
    raw = answer.whole([Delta(text="1"), Delta(finish_reason="stop", usage=USAGE)])
    assert raw.startswith(b'{"content":"1"')  # it looks for these very characters before it decodes
    body = orjson.loads(raw)
    assert list(body) == VIM_FIELDS
    assert body["timings/predicted_per_second"] == 200.0


def test_unknown_times_are_numbers_too():
    assert set(write_timings(Usage()).values()) == {0}


def test_the_window_is_in_the_settings_when_it_is_known():
    body = orjson.loads(InfillAnswer(asked(), context_window=4096).whole([Delta(finish_reason="stop")]))
    assert body["generation_settings"]["n_ctx"] == 4096


def test_several_completions_are_a_list():
    bodies = [InfillAnswer(asked(n_cmpl=2), index=index).whole([Delta(finish_reason="stop")]) for index in range(2)]
    assert [body["index"] for body in orjson.loads(write_alternatives(bodies))] == [0, 1]
    assert orjson.loads(write_alternatives(bodies[:1]))["index"] == 0


def test_a_stream_gives_pieces_and_then_the_numbers():
    events = streamed("re", "turn", n_indent=0)
    assert [(event["content"], event["stop"]) for event in events] == [("re", False), ("turn", False), ("", True)]
    assert events[-1]["tokens_predicted"] == 8


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("1\n    more\n\ndef g():\n    x", "1\n    more\n"),
        ("1\n", "1\n"),
        ("1\n  ", "1\n  "),
        ("1\n\n\n    x", "1\n\n\n    x"),
        ("1\n\tx", "1"),
        ("1\n        deep", "1\n        deep"),
    ],
)
def test_a_line_outside_the_block_ends_the_completion(text, kept):
    assert whole(text)["content"] == kept
    assert whole(*text)["content"] == kept
    assert "".join(event["content"] for event in streamed(*text)) == kept


def test_an_ended_completion_says_so_to_whoever_feeds_it():
    lines = Indented(4)
    assert (lines.feed("1"), lines.broken) == ("1", False)
    assert (lines.feed("\n  "), lines.broken, lines.ended) == ("", True, False)
    assert (lines.feed("def"), lines.ended) == ("", True)
    assert whole("1\ndef")["stop_type"] == "limit"


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(alphabet="a \t\n", max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=4),
    indent=st.integers(0, 5),
)
def test_where_the_pieces_are_cut_makes_no_difference(text, cuts, indent):
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [text[start:end] for start, end in pairwise(bounds)]
    assert whole(*parts, n_indent=indent)["content"] == whole(text, n_indent=indent)["content"]


# Errors and the rest


def test_errors_have_llama_servers_shape():
    error = ContextTooLong("the prompt is too long", remedy="send less", prompt_tokens=900, context_window=512)
    assert orjson.loads(write_error(error, 400)) == {
        "error": {
            "code": 400,
            "message": "the prompt is too long; send less",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 900,
            "n_ctx": 512,
        }
    }
    assert orjson.loads(write_error(ModelNotFound("x"), 404))["error"]["type"] == "not_found_error"
    assert orjson.loads(write_error(TimedOut("x"), 504))["error"]["type"] == "server_error"


def test_an_error_in_mid_stream_is_an_event():
    raw = InfillAnswer(asked(stream=True)).fail(TimedOut("stalled"))
    assert orjson.loads(raw.removeprefix(b"data: "))["error"]["message"] == "stalled"


def test_waiting_is_a_comment():
    assert SseParser().feed(InfillAnswer(asked()).wait("2nd\nin line")) == []


def test_health_and_properties_are_what_llama_vscode_looks_for():
    assert orjson.loads(write_health())["status"] == "ok"
    props = orjson.loads(write_props("qwen", 8192, slots=2, build="fireside 1"))
    assert (props["default_generation_settings"]["n_ctx"], props["total_slots"]) == (8192, 2)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["filename", "text"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    body=json_values
    | st.dictionaries(
        st.sampled_from([*VSCODE, "seed", "stop", "response_fields"]), json_values, min_size=1, max_size=2
    ).map(VSCODE.__or__)
)
def test_any_json_is_either_understood_or_refused(body):
    try:
        read = read_infill(body)
    except Invalid:
        return
    for request in read.requests():
        assert request.max_tokens > 0
    orjson.loads(InfillAnswer(read).whole([Delta(text="a\nb"), Delta(finish_reason="stop")]))
