"""Events and lines come out alike, however the network cut their bytes."""

from collections.abc import AsyncIterator, Sequence

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.core.errors import ConnectionFailed
from fireside.wire.framing import SseEvent, ndjson, sse


def sse_bytes(data: str | bytes | object, event: str | None = None) -> bytes:
    """One event. Text and bytes go out as they are, anything else as JSON."""
    raw = data if isinstance(data, bytes) else data.encode() if isinstance(data, str) else orjson.dumps(data)
    lines = b"".join(b"data: " + line + b"\n" for line in raw.replace(b"\r\n", b"\n").split(b"\n"))
    name = b"" if event is None else b"event: " + event.encode() + b"\n"
    return name + lines + b"\n"


def ndjson_bytes(value: object) -> bytes:
    """One line of JSON with its end."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


STREAM = (
    '\ufeffdata: {"a": "né 👍 𝔘"}\n\n: a comment\r\n\r\nevent: delta\r\ndata: one\r\ndata:two\r\ndata\r\n\r\n'
    "id: 7\rdata: [DONE]\r\r\n\nretry: 10\nunknown: x\n\nevent: empty\n\ndata: last\n\n"
).encode()
EVENTS = [
    SseEvent("message", '{"a": "né 👍 𝔘"}'),
    SseEvent("delta", "one\ntwo\n"),
    SseEvent("message", "[DONE]", "7"),
    SseEvent("message", "last", "7"),
]


async def arriving(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def events(*chunks: bytes, limit: int = 1 << 20) -> list[SseEvent]:
    return [event async for event in sse(arriving(chunks), limit=limit)]


async def objects(*chunks: bytes, limit: int = 1 << 20) -> list[dict[str, object]]:
    return [line async for line in ndjson(arriving(chunks), limit=limit)]


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


cuts = st.lists(st.integers(min_value=0, max_value=10_000), max_size=40)


@settings(deadline=None, max_examples=60)
@given(places=cuts)
async def test_any_cut_of_the_bytes_gives_the_same_events(places):
    assert await events(*cut(STREAM, places)) == EVENTS


async def test_a_stream_of_single_bytes_gives_the_same_events():
    assert await events(*(bytes([byte]) for byte in STREAM)) == EVENTS


@settings(deadline=None, max_examples=60)
@given(texts=st.lists(st.text(), max_size=6), places=cuts)
async def test_what_is_written_is_read_again(texts, places):
    data = b"".join(sse_bytes({"text": text}, "piece") for text in texts)
    read = await events(*cut(data, places))
    assert [event.data for event in read] == [sse_bytes({"text": text})[6:-2].decode() for text in texts]
    assert all(event.event == "piece" for event in read)


async def test_text_of_several_lines_is_one_event():
    assert await events(sse_bytes("one\ntwo\r\nthree")) == [SseEvent("message", "one\ntwo\nthree")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
async def test_an_event_without_the_last_blank_line_is_given(end):
    assert await events(b"data: [DONE]" + end) == [SseEvent("message", "[DONE]")]


async def test_half_a_line_at_the_end_is_dropped():
    assert await events(b'data: one\n\ndata: {"half": ') == [SseEvent("message", "one")]


async def test_a_name_lasts_for_one_event():
    assert [event.event for event in await events(b"event: a\ndata: 1\n\ndata: 2\n\n")] == ["a", "message"]


async def test_bytes_that_are_no_text_do_not_end_the_stream():
    assert await events(b"data: a\xffb\n\n") == [SseEvent("message", "a\ufffdb")]


@pytest.mark.parametrize("line", [b"data: " + b"x" * 2000, b"data: 12345\n" * 300, b": " + b"x" * 2000])
async def test_an_event_has_a_largest_size(line):
    with pytest.raises(ConnectionFailed) as caught:
        await events(line, limit=1000)
    assert caught.value.context["cause"] == "protocol"
    assert not caught.value.retryable


async def test_a_large_event_in_many_pieces_is_read():
    data = sse_bytes("x" * 3_000_000)
    (event,) = await events(*(data[start : start + 1000] for start in range(0, len(data), 1000)), limit=4_000_000)
    assert len(event.data) == 3_000_000


LINES: list[dict[str, object]] = [{"text": "né 👍"}, {"done": True, "n": 1}]


@settings(deadline=None, max_examples=60)
@given(places=cuts)
async def test_any_cut_of_the_bytes_gives_the_same_objects(places):
    data = b"\n".join(ndjson_bytes(line) for line in LINES).replace(b"\n", b"\r\n")
    assert await objects(*cut(data, places)) == LINES


async def test_the_last_line_need_not_be_ended():
    assert await objects(b'{"a": 1}\n{"b": 2}') == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b'{"a": \n{"b": 2}\n', "protocol"),
        (b"[1, 2]\n", "protocol"),
        (b"<html>\n", "protocol"),
        (b'{"a": 1}\n{"b"', "cut"),
    ],
)
async def test_what_is_no_object_is_an_error(data, cause):
    with pytest.raises(ConnectionFailed) as caught:
        await objects(data)
    assert caught.value.context["cause"] == cause


async def test_the_source_is_closed_with_the_reader():
    closed = []

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"data: 1\n\n"
            yield b"data: 2\n\n"
        finally:
            closed.append(True)

    stream = sse(source())
    await anext(stream)
    await stream.aclose()
    assert closed == [True]
