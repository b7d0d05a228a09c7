"""What the quick readers take, the thorough ones read alike; what they leave is more than text."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some

from fireside.wire.openai import ChatReader, read_answer
from fireside.wire.plain import read_piece, read_plain

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}
TEXTS = some.text(min_size=1).filter(lambda text: text.isprintable())
MORE = [
    {"reasoning_content": "hm"},
    {"reasoning": "hm"},
    {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]},
    {"function_call": {"name": "f"}},
    {"content": ""},
    {"content": None},
    {"content": [{"type": "text", "text": "hi"}]},
    {"content": 5},
]


def whole(message=None, **fields) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi", **(message or {})}, "finish_reason": "stop"}
    return orjson.dumps({"id": "x", "choices": [choice], "usage": USAGE, **fields})


def piece(delta=None, **fields) -> str:
    choice = {"index": 0, "delta": {"content": "hi", **(delta or {})}, "finish_reason": None}
    return orjson.dumps({"id": "x", "choices": [choice | fields.pop("choice", {})], **fields}).decode()


@given(TEXTS, some.sampled_from(["stop", "length"]))
def test_a_plain_answer_is_read_as_the_thorough_reader_does(text, finish):
    body = orjson.dumps(
        {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}], "usage": USAGE}
    )
    assert read_plain(body) == read_answer(orjson.loads(body))


@given(TEXTS)
def test_a_plain_piece_is_read_as_the_thorough_reader_does(text):
    data = piece({"content": text})
    assert [delta.text for delta in ChatReader().read_chunk(orjson.loads(data))] == [read_piece(data)]


@pytest.mark.parametrize("more", MORE)
def test_what_is_more_than_text_is_left_to_the_thorough_readers(more):
    assert read_plain(whole(more)) is None
    assert read_piece(piece(more)) is None


@pytest.mark.parametrize(
    "fields",
    [{"usage": None}, {"usage": {}}, {"usage": {"prompt_tokens": "7", "completion_tokens": 1}}, {"error": {"message": "no"}},
     {"timings": {"prompt_n": 1}}, {"choices": []}, {"choices": [{}, {}]}, {"choices": None}],
)  # fmt: skip
def test_a_whole_answer_of_another_shape_is_left(fields):
    assert read_plain(whole(**fields)) is None


@pytest.mark.parametrize(
    "fields",
    [{"usage": USAGE}, {"error": "no"}, {"timings": {}}, {"choice": {"index": 1}}, {"choice": {"finish_reason": "stop"}},
     {"choice": {"logprobs": {"content": []}}}],
)  # fmt: skip
def test_a_piece_of_another_shape_is_left(fields):
    assert read_piece(piece(**fields)) is None


@given(some.binary())
def test_anything_else_is_left(data):
    assert read_plain(data) is None
    assert read_piece(data.decode("utf-8", "replace")) is None


def test_half_a_character_is_left():
    assert read_piece('{"choices": [{"delta": {"content": "\ud83d"}}]}') is None
