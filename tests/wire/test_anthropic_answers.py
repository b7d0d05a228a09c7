"""Our answers as Anthropic's own SDK understands them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import orjson
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import ErrorResponse, Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from fireside.core.errors import (
    ConnectionFailed,
    ContextTooLong,
    FiresideError,
    Invalid,
    ModelNotFound,
    NotPermitted,
    OutOfResources,
    RateLimited,
    TimedOut,
)
from fireside.core.messages import ToolCall
from fireside.core.requests import Delta, Usage
from fireside.wire.answers import status_of
from fireside.wire.anthropic import MessagesReader
from fireside.wire.anthropic_answers import (
    SIGNATURE,
    MessagesAnswer,
    ModelListed,
    write_count,
    write_error,
    write_model,
    write_models,
)
from fireside.wire.anthropic_requests import read_messages
from fireside.wire.framing import SseEvent, SseParser

EVENT = TypeAdapter(RawMessageStreamEvent)
CALL = ToolCall("call_1", "look", '{"path": "a.py"}')
USAGE = Usage(prompt_tokens=30, completion_tokens=7, cached_tokens=10)
TURN = [
    Delta(reasoning="hm"),
    Delta(reasoning=", yes"),
    Delta(text="Let "),
    Delta(text="me."),
    Delta(tool_call=CALL),
    Delta(tool_call=ToolCall("call_2", "list", "")),
    Delta(finish_reason="tool_calls", usage=USAGE),
]


def answer(*, thinks: bool = True) -> MessagesAnswer:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    return MessagesAnswer(read_messages(body | ({"thinking": {"type": "adaptive"}} if thinks else {})))


def events(raw: bytes) -> list[SseEvent]:
    parser = SseParser()
    found = parser.feed(raw)
    assert parser.end() is None
    return found


def streamed(deltas: list[Delta], *, thinks: bool = True) -> bytes:
    writer = answer(thinks=thinks)
    return writer.begin() + b"".join(writer.write([delta]) for delta in deltas)


def accumulated(raw: bytes) -> Message:
    """What the SDK's ``stream.get_final_message()`` makes of the events, each checked against its strict model first."""
    message, buffers = None, {}
    for event in events(raw):
        data = orjson.loads(event.data)
        assert event.event == data["type"]
        parsed = EVENT.validate_python(data)
        message = accumulate_event(event=parsed, current_snapshot=message, json_bufs=buffers)
    assert message is not None
    return message


def content(message: Message) -> list[dict[str, object]]:
    return [block.model_dump(exclude_none=True) for block in message.content]


# Streams


def test_a_turn_with_thoughts_text_and_tools_reaches_the_sdk_whole():
    message = accumulated(streamed(TURN))
    assert content(message) == [
        {"type": "thinking", "thinking": "hm, yes", "signature": SIGNATURE},
        {"type": "text", "text": "Let me."},
        {"type": "tool_use", "id": "call_1", "name": "look", "input": {"path": "a.py"}},
        {"type": "tool_use", "id": "call_2", "name": "list", "input": {}},
    ]
    assert (message.role, message.model, message.stop_reason) == ("assistant", "m", "tool_use")
    assert message.id.startswith("msg_")


def test_events_come_in_the_order_of_the_api():
    order = [event.event for event in events(streamed([Delta(text="a"), Delta(text="b"), Delta(finish_reason="stop")]))]
    block = ["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"]
    assert order == ["message_start", *block, "message_delta", "message_stop"]


def test_a_thought_is_signed_before_it_ends_because_clients_drop_unsigned_ones():
    order = [orjson.loads(event.data) for event in events(streamed(TURN[:3]))]
    assert [event.get("delta", event).get("type") for event in order[1:6]] == [
        "content_block_start",
        "thinking_delta",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
    ]
    assert SIGNATURE


def test_thoughts_nobody_asked_for_are_kept_back():
    raw = streamed([*TURN[:4], Delta(finish_reason="stop")], thinks=False)
    assert content(accumulated(raw)) == [{"type": "text", "text": "Let me."}]


def test_thoughts_may_come_again_after_text():
    raw = streamed([Delta(text="a"), Delta(reasoning="b"), Delta(text="c"), Delta(finish_reason="stop")])
    assert [block["type"] for block in content(accumulated(raw))] == ["text", "thinking", "text"]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("cancelled", "pause_turn")],
)
def test_each_finish_reason_has_its_word(finish, reason):
    deltas = [Delta(text="a"), Delta(finish_reason=finish)]
    assert accumulated(streamed(deltas)).stop_reason == reason
    assert Message.model_validate_json(answer().whole(deltas)).stop_reason == reason


def test_a_call_followed_by_a_plain_stop_is_still_tool_use():
    deltas = [Delta(tool_call=CALL), Delta(finish_reason="stop")]
    assert accumulated(streamed(deltas)).stop_reason == "tool_use"
    assert Message.model_validate_json(answer().whole(deltas)).stop_reason == "tool_use"


def test_cached_tokens_are_counted_apart():
    usage = accumulated(streamed(TURN)).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (20, 10, 7)


def test_usage_may_come_before_the_finish():
    raw = streamed([Delta(text="a"), Delta(usage=USAGE), Delta(finish_reason="stop")])
    assert accumulated(raw).usage.output_tokens == 7


def test_pieces_are_not_joined_however_they_are_batched():
    writer = answer()
    raw = writer.write([Delta(text="a"), Delta(text="b")])
    assert raw.count(b"text_delta") == 2


@pytest.mark.parametrize("arguments", ['{"path": ', "[1]", "look at a.py"])
def test_arguments_that_are_no_object_do_not_break_the_client(arguments):
    deltas = [Delta(tool_call=ToolCall("", "look", arguments)), Delta(finish_reason="tool_calls")]
    for message in (accumulated(streamed(deltas)), Message.model_validate_json(answer().whole(deltas))):
        assert message.content[0].input == {"malformed": arguments}
        assert message.content[0].id.startswith("toolu_")


def test_a_ping_may_come_at_any_time_and_carries_a_comment():
    writer = answer()
    raw = writer.wait("2nd in\nline") + writer.begin() + writer.wait("") + writer.write(TURN)
    assert raw.startswith(b": 2nd in line\nevent: ping\n")
    kept = [event for event in events(raw) if event.event != "ping"]
    assert len(kept) == len(events(raw)) - 2
    assert kept[0].event == "message_start"


# Whole answers


def test_a_whole_answer_says_what_the_stream_says():
    whole, stream = Message.model_validate_json(answer().whole(TURN)), accumulated(streamed(TURN))
    assert content(whole) == content(stream)
    assert whole.usage.model_dump() == stream.usage.model_dump()
    assert whole.stop_reason == stream.stop_reason


pieces = st.one_of(
    st.builds(Delta, text=st.text(max_size=6)),
    st.builds(Delta, reasoning=st.text(max_size=6)),
    st.builds(
        Delta, tool_call=st.builds(ToolCall, st.sampled_from(["", "c"]), st.text(max_size=3), st.text(max_size=8))
    ),
)


@settings(max_examples=100, deadline=None)
@given(deltas=st.lists(pieces, max_size=8), thinks=st.booleans())
def test_any_answer_reads_alike_streamed_and_whole(deltas, thinks):
    deltas = [*deltas, Delta(finish_reason="stop", usage=USAGE)]
    whole = Message.model_validate_json(answer(thinks=thinks).whole(deltas))
    stream = accumulated(streamed(deltas, thinks=thinks))
    assert [block | {"id": ""} for block in content(whole)] == [block | {"id": ""} for block in content(stream)]


def test_our_own_client_reads_our_stream():
    reader, read = MessagesReader(), []
    for event in events(streamed(TURN)):
        read += reader.read(event)
    read += reader.end()
    assert reader.done
    assert "".join(delta.text for delta in read) == "Let me."
    assert [delta.tool_call for delta in read if delta.tool_call] == [CALL, ToolCall("call_2", "list", "{}")]
    assert read[-1].usage == USAGE


# Errors, counts, models


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Invalid("x"), 400, "invalid_request_error"),
        (NotPermitted("x", http_status=401), 401, "authentication_error"),
        (NotPermitted("x"), 403, "permission_error"),
        (ModelNotFound("x"), 404, "not_found_error"),
        (RateLimited("x"), 429, "rate_limit_error"),
        (ConnectionFailed("x"), 502, "api_error"),
        (OutOfResources("x"), 503, "overloaded_error"),
        (RateLimited("x", http_status=529), 529, "overloaded_error"),
        (TimedOut("x"), 504, "timeout_error"),
    ],
)
def test_errors_have_anthropics_types(error, status, kind):
    assert status_of(error) == status
    parsed = ErrorResponse.model_validate_json(write_error(error, status, request_id="req_1"))
    assert (parsed.error.type, parsed.request_id) == (kind, "req_1")


def test_a_body_too_large_has_a_type_of_its_own():
    body = orjson.loads(write_error(Invalid("too large", remedy="send less"), 413))
    assert body["error"] == {"type": "request_too_large", "message": "too large; send less"}


def test_a_prompt_too_long_is_told_in_the_words_clients_look_for():
    error = ContextTooLong("x", remedy="ask with less", prompt_tokens=9000, context_window=8192)
    told = orjson.loads(write_error(error, 400))["error"]["message"]
    assert told == "prompt is too long: 9000 tokens > 8192 maximum; ask with less"
    assert orjson.loads(write_error(ContextTooLong("no room"), 400))["error"]["message"].startswith(
        "prompt is too long: no room"
    )


def test_counts_and_models_parse():
    assert MessageTokensCount.model_validate_json(write_count(12)).input_tokens == 12
    model = ModelInfo.model_validate_json(write_model(ModelListed("qwen3:4b", 1_700_000_000.5, 32_768)))
    assert (model.id, model.max_input_tokens, model.created_at.year) == ("qwen3:4b", 32_768, 2023)


@contextmanager
def serving(bodies: dict[str, tuple[int, str, bytes]]) -> Iterator[anthropic.Anthropic]:
    """A real SDK client of a real server that says ``bodies``: path -> status, content type, body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def do_GET(self) -> None:
            status, kind, body = bodies[self.path]
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            with anthropic.Anthropic(
                base_url=f"http://127.0.0.1:{server.server_port}", api_key="k", max_retries=0
            ) as client:
                yield client
        finally:
            server.shutdown()


ASK = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}


def test_the_sdk_streams_from_a_real_server():
    raw = answer().wait("queued") + streamed(TURN)
    with (
        serving({"/v1/messages": (200, "text/event-stream", raw)}) as client,
        client.messages.stream(**ASK) as stream,
    ):
        assert "".join(stream.text_stream) == "Let me."
        assert stream.get_final_message().stop_reason == "tool_use"


def test_an_error_in_mid_stream_is_the_sdks_error():
    broken: FiresideError = TimedOut("the model said nothing for 60 s")
    raw = streamed(TURN[:4]) + answer().fail(broken)
    with (
        serving({"/v1/messages": (200, "text/event-stream", raw)}) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
        client.messages.stream(**ASK) as stream,
    ):
        stream.until_done()
    assert (caught.value.type, caught.value.api_message) == ("timeout_error", broken.message)


def test_an_error_before_the_stream_is_the_sdks_error_for_its_status():
    body = write_error(ModelNotFound("x is not here", remedy="fireside models list"), 404)
    with (
        serving({"/v1/messages": (404, "application/json", body)}) as client,
        pytest.raises(anthropic.NotFoundError) as caught,
    ):
        client.messages.create(**ASK)
    assert caught.value.type == "not_found_error"


def test_the_sdk_turns_all_pages_of_models():
    models = [ModelListed(f"m{number}") for number in range(5)]
    pages = {
        f"/v1/models?limit=2{query}": (200, "application/json", write_models(models, limit=2, after=after))
        for after, query in (("", ""), ("m1", "&after_id=m1"), ("m3", "&after_id=m3"))
    } | {
        f"/v1/models?after_id={after}&limit=2": (200, "application/json", write_models(models, limit=2, after=after))
        for after in ("m1", "m3")
    }
    with serving(pages) as client:
        assert [model.id for model in client.models.list(limit=2)] == ["m0", "m1", "m2", "m3", "m4"]


def test_a_page_may_be_asked_for_backwards_and_past_the_end():
    models = [ModelListed(f"m{number}") for number in range(5)]
    page = orjson.loads(write_models(models, before="m3", limit=2))
    assert ([model["id"] for model in page["data"]], page["has_more"]) == (["m1", "m2"], True)
    assert orjson.loads(write_models(models, after="m4")) == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }
