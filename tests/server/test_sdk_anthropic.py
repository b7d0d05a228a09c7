"""Anthropic's own Python SDK against the server: messages, their streams, tools, thinking, counts, models and refusals."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import anthropic
import pytest

from fireside.config.paths import Paths
from fireside.core.errors import ConnectionFailed, ContextTooLong, RateLimited
from fireside.core.messages import ToolCall
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.records.database import Database
from fireside.records.keys import KeyLimits, Keys
from support.gateways import until
from support.servers import Served, served

ASK = {"model": "script", "max_tokens": 500, "messages": [{"role": "user", "content": "hi"}]}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "weather", "description": "Tells the weather", "input_schema": SCHEMA}
CALL = Reply("I'll look.", tool_calls=(ToolCall("c", "weather", '{"city": "Ulm"}'),))
Create = Callable[..., Awaitable[anthropic.types.Message]]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("Hello you there")


@pytest.fixture
async def server(engine, tmp_path) -> AsyncIterator[Served]:
    async with served(engine, root=tmp_path) as running:
        yield running


@pytest.fixture
async def client(server) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with _client(server) as opened:
        yield opened


@pytest.fixture(params=["sync", "async"])
def create(request, server, client) -> Create:
    """``messages.create`` of the SDK that blocks, in a thread, and of the one that does not."""
    if request.param == "async":
        return client.messages.create

    def blocking(**fields: object) -> anthropic.types.Message:
        with anthropic.Anthropic(base_url=server.address, api_key="none", max_retries=0) as sync:
            return sync.messages.create(**fields)

    return lambda **fields: asyncio.to_thread(blocking, **fields)


def _client(server: Served, key: str = "none") -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=server.address, api_key=key, max_retries=0)


async def test_a_message_is_answered_whole(create):
    answer = await create(**ASK, system="be short")
    (block,) = answer.content
    assert (answer.role, block.text, answer.stop_reason) == ("assistant", "Hello you there", "end_turn")
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0


async def test_an_answer_at_its_limit_says_so(create):
    answer = await create(**{**ASK, "max_tokens": 2})
    assert (answer.content[0].text, answer.stop_reason) == ("Hello you", "max_tokens")


async def test_the_stream_helper_hears_every_piece_and_puts_them_together(client):
    async with client.messages.stream(**ASK) as stream:
        pieces = [text async for text in stream.text_stream]
        whole = await stream.get_final_message()
    assert pieces == ["Hello", " you", " there"]
    assert (whole.content[0].text, whole.stop_reason) == ("Hello you there", "end_turn")
    assert whole.usage.output_tokens > 0


async def test_a_turn_with_a_tool_goes_there_and_back(create, engine):
    engine.rehearse(CALL, Reply("Rain."))
    answer = await create(**ASK, tools=[TOOL])
    text, call = answer.content
    assert (text.text, call.name, call.input, answer.stop_reason) == (
        "I'll look.",
        "weather",
        {"city": "Ulm"},
        "tool_use",
    )
    history = [
        *ASK["messages"],
        {"role": "assistant", "content": [block.model_dump() for block in answer.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]},
    ]
    assert (await create(**{**ASK, "messages": history}, tools=[TOOL])).content[0].text == "Rain."
    _, assistant, tool = engine.requests[-1].messages
    assert (assistant.content, tool.content) == ("I'll look.", "rain")
    assert assistant.tool_calls[0].id == tool.tool_call_id == call.id


async def test_the_stream_helper_puts_a_call_together(client, engine):
    engine.rehearse(CALL)
    async with client.messages.stream(**ASK, tools=[TOOL], tool_choice={"type": "auto"}) as stream:
        kinds = [event.type async for event in stream]
        whole = await stream.get_final_message()
    assert kinds.count("content_block_stop") == 2
    assert whole.content[1].input == {"city": "Ulm"}


async def test_a_call_printed_as_text_arrives_as_a_call(create, engine):
    engine.rehearse(Reply('{"name": "Weather", "arguments": {"city": "Ulm"}}'))
    (call,) = (await create(**ASK, tools=[TOOL])).content
    assert (call.type, call.name, call.input) == ("tool_use", "weather", {"city": "Ulm"})


async def test_thoughts_stand_before_the_answer_and_are_passed_over_when_they_come_back(client, engine):
    engine.rehearse(Reply("42", reasoning="hm hm"))
    thinking = {"type": "enabled", "budget_tokens": 1024}
    async with client.messages.stream(**{**ASK, "max_tokens": 2000}, thinking=thinking) as stream:
        whole = await stream.get_final_message()
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert whole.content[0].thinking == "hm hm"
    history = [*ASK["messages"], {"role": "assistant", "content": whole.content}, {"role": "user", "content": "why?"}]
    await client.messages.create(**{**ASK, "messages": history})
    assert [message.content for message in engine.requests[-1].messages] == ["hi", "42", "why?"]


async def test_pictures_and_settings_reach_the_model(create, engine):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    parts = [{"type": "text", "text": "what?", "cache_control": {"type": "ephemeral"}}, image]
    await create(
        model="script", max_tokens=100, messages=[{"role": "user", "content": parts}],
        system=[{"type": "text", "text": "be short"}], stop_sequences=["zz"],
        metadata={"user_id": "me"}, extra_body={"temperature": 0.25, "context_management": {"edits": []}, "new_field": 1},
        extra_headers={"anthropic-beta": "some-beta-2030-01-01"},
    )  # fmt: skip
    system, user = engine.requests[0].messages
    assert (system.content, user.content, len(user.images)) == ("be short", "what?", 1)
    assert (engine.requests[0].sampling.temperature, engine.requests[0].sampling.stop) == (0.25, ("zz",))


async def test_tokens_are_counted_without_an_answer(client, engine):
    counted = await client.messages.count_tokens(model="script", messages=ASK["messages"], system="be short")
    assert counted.input_tokens == 3
    assert engine.requests == []


async def test_models_are_listed_page_by_page_and_each_is_found(client):
    listed = [model async for model in client.models.list(limit=1)]
    assert {"script", "chat"} <= {model.id for model in listed}
    assert (await client.models.retrieve("script")).display_name


async def test_refusals_become_the_exceptions_the_sdk_has_for_them(create, engine):
    with pytest.raises(anthropic.NotFoundError, match="script"):
        await create(**{**ASK, "model": "scrpt"})
    with pytest.raises(anthropic.BadRequestError):
        await create(**{**ASK, "messages": [{"role": "user", "content": 7}]})
    engine.rehearse(Reply(error=ContextTooLong("9000 tokens do not fit into 8192", remedy="ask less")))
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        await create(**ASK)
    engine.rehearse(Reply(error=RateLimited("too many", remedy="wait", retry_after=7.0)))
    with pytest.raises(anthropic.RateLimitError) as busy:
        await create(**ASK)
    assert int(busy.value.response.headers["retry-after"]) >= 7
    engine.rehearse(Reply(error=ConnectionFailed("nobody is there", remedy="start it", cause="refused")))
    with pytest.raises(anthropic.InternalServerError):
        await create(**ASK)


async def test_a_stream_that_breaks_off_is_an_error_and_no_answer(client, engine):
    cut = ConnectionFailed("the engine is gone", remedy="start it", cause="cut")
    engine.rehearse(Reply("one two three", error=cut, fail_after=2))
    with pytest.raises(anthropic.APIStatusError, match="the engine is gone"):
        await _read_all(client)


async def test_a_key_is_asked_for_and_its_limits_hold(engine, tmp_path):
    database = Database.file(Paths.from_environment(os.environ).data / "records.db")
    _, secret = Keys(database).create("laptop", limits=KeyLimits(rpm=1))
    database.close()
    async with served(engine, root=tmp_path, flags={"server.require_keys": True}) as server:
        async with _client(server, "sk-wrong") as stranger:
            with pytest.raises(anthropic.AuthenticationError):
                await stranger.messages.create(**ASK)
        async with _client(server, secret) as client:
            assert (await client.messages.create(**ASK)).content
            with pytest.raises(anthropic.RateLimitError) as limited:
                await client.messages.create(**ASK)
            assert 50 < int(limited.value.response.headers["retry-after"]) <= 60


async def test_a_client_that_gives_up_ends_the_work(client, engine):
    engine.rehearse(Reply("one two three", hold=asyncio.Event(), hold_after=1))
    with pytest.raises(anthropic.APITimeoutError):
        await client.with_options(timeout=0.2).messages.create(**ASK)
    await until(lambda: engine.cancelled == 1)
    async with client.messages.stream(**ASK) as stream:
        assert await anext(stream.text_stream) == "one"
    await until(lambda: engine.cancelled == 2)


async def _read_all(client: anthropic.AsyncAnthropic) -> None:
    async for _ in await client.messages.create(**ASK, stream=True):
        pass
