"""The Anthropic engine against a fake that is as strict as the API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fireside.core.errors import (
    ConnectionFailed,
    ContextTooLong,
    Invalid,
    ModelNotFound,
    NotPermitted,
    TimedOut,
    Unknown,
)
from fireside.core.events import EventBus
from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, CompletionRequest
from fireside.engines.anthropic import AnthropicEngine, AnthropicSettings, build
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.engine import Boundary
from fireside.engines.ledger import Ledger
from fireside.engines.model_list import ModelSettings
from fireside.engines.registry import EngineContext
from fireside.engines.transport import Transport
from support.answers import GUARD, check_error, failure, read
from support.fake_anthropic import FakeAnthropic
from support.fake_http import FakeReply, Faults

ASK = ChatRequest((Message("user", "hi"),))
LOOK = ToolSpec("look", "Look at a file", {"type": "object"})


@asynccontextmanager
async def engine_at(url: str, tmp_path, **settings) -> AsyncIterator[AnthropicEngine]:
    transport = Transport(Egress(EgressSettings(), Ledger(tmp_path / "egress.jsonl")))
    context = EngineContext(transport.egress, transport, EventBus(), tmp_path, {"anthropic": "key"}.get)
    try:
        yield build("claude", AnthropicSettings(base_url=url, **settings), context)
    finally:
        await transport.aclose()


@pytest.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic("one two three", api_key="key") as server:
        yield server


@pytest.fixture
async def engine(fake, tmp_path) -> AsyncIterator[AnthropicEngine]:
    async with engine_at(fake.url, tmp_path) as made:
        yield made


async def card_of(engine: AnthropicEngine):
    return (await engine.models())[0]


async def test_it_is_a_cloud_unless_it_is_here(tmp_path, engine):
    assert engine.boundary is Boundary.MACHINE
    async with engine_at(AnthropicSettings().base_url, tmp_path) as far:
        assert far.boundary is Boundary.CLOUD
        assert far.api.base.url == "https://api.anthropic.com/v1"


async def test_models_come_with_what_they_can(fake, tmp_path):
    fake.models = {"claude-3-5-haiku-20241022": 200_000, "claude-opus-4-7": 1_000_000}
    async with engine_at(fake.url, tmp_path, models={"mine": ModelSettings(context_window=10)}) as engine:
        old, new, mine = await engine.models()
    assert old.capabilities == {"chat", "tools", "vision"}
    assert new.capabilities == {"chat", "tools", "vision", "thinking", "json_schema"}
    assert (new.context_window, mine.context_window) == (1_000_000, 10)


async def test_a_chat_is_answered(engine, fake):
    fake.cached = 1
    answer = await read(engine.chat(ASK, await card_of(engine)))
    assert (answer.text, answer.finish) == ("one two three", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.cached_tokens, answer.usage.completion_tokens) == (1, 1, 3)


async def test_thoughts_and_calls_come_out(engine, fake):
    call = ToolCall("toolu_1", "look", '{"path": "x"}')
    fake.rehearse(FakeReply("I look.", reasoning="hm", tool_calls=(call,)))
    request = ChatRequest(ASK.messages, tools=(LOOK,), reasoning="low")
    answer = await read(engine.chat(request, await card_of(engine)))
    assert (answer.reasoning, answer.text, answer.tool_calls, answer.finish) == ("hm", "I look.", (call,), "tool_calls")


async def test_a_connection_serves_one_chat_after_another(engine, fake):
    card = await card_of(engine)
    for _ in range(3):
        await read(engine.chat(ASK, card))
    assert len(fake.peers) == 1


BROKEN = {
    "reset before an answer": (Faults(reset=True), ConnectionFailed, "reset"),
    "reset in the middle": (Faults(cut_after=1), ConnectionFailed, "cut"),
    "ended in the middle": (Faults(end_after=1), ConnectionFailed, "cut"),
    "no stop reason": (Faults(no_finish=True), ConnectionFailed, "cut"),
    "an event that is not JSON": (Faults(broken_after=1), ConnectionFailed, "protocol"),
    "a web page": (Faults(html=200), ConnectionFailed, "protocol"),
    "an error in the stream": (
        Faults(error_after=1, error_event={"type": "error", "error": {"type": "api_error", "message": "no"}}),
        Unknown,
        None,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_breaks_is_a_typed_error_never_a_stop(engine, fake, case):
    card = await card_of(engine)
    fake.faults, kind, cause = BROKEN[case]
    _, error = await failure(engine.chat(ASK, card))
    assert type(error) is kind
    assert error.context.get("cause") == cause
    check_error(error)


@pytest.mark.parametrize("faults", [Faults(crlf=True), Faults(comments=True), Faults(split=1), Faults(no_end=True)])
async def test_other_ways_to_write_a_stream_are_read(engine, fake, faults):
    fake.rehearse("né 👍 end")
    fake.faults = faults
    assert (await read(engine.chat(ASK, await card_of(engine)))).text == "né 👍 end"


async def test_pings_do_not_put_off_the_first_token(fake, tmp_path):
    async with engine_at(fake.url, tmp_path, first_token_seconds=0.2, stall_seconds=60.0) as engine:
        card = await card_of(engine)
        fake.faults = Faults(hold_after=0)
        _, error = await failure(engine.chat(ASK, card))
    assert (type(error), error.context["phase"]) == (TimedOut, "first_token")


async def test_closing_a_stream_reaches_the_server(engine, fake):
    card = await card_of(engine)
    fake.faults = Faults(hold_after=1)
    async with asyncio.timeout(GUARD):
        stream = engine.chat(ASK, card)
        await anext(stream)
        await stream.aclose()
        await fake.aborted.wait()


async def test_a_prompt_that_is_too_long_names_the_numbers(engine, fake):
    fake.models = dict.fromkeys(fake.models, 5)
    _, error = await failure(engine.chat(ChatRequest((Message("user", "word " * 9),)), await card_of(engine)))
    assert isinstance(error, ContextTooLong)
    assert (error.context["prompt_tokens"], error.context["context_window"]) == (9, 5)


async def test_an_unknown_model_is_named(engine, fake):
    card = await card_of(engine)
    fake.models = {"claude-other-4-5": 10}
    _, error = await failure(engine.chat(ASK, card))
    assert isinstance(error, ModelNotFound)
    assert card.name in error.message


async def test_tokens_are_counted_by_the_server(engine):
    card = await card_of(engine)
    assert await engine.count_tokens("one two three", card) == 6
    assert await engine.count_tokens(ChatRequest((Message("system", "Be brief."), *ASK.messages)), card) == 7
    assert await engine.count_tokens("", card) == 0


async def test_there_are_no_completions_no_embeddings_and_no_pulls(engine):
    card = await card_of(engine)
    _, error = await failure(engine.complete(CompletionRequest("a"), card))
    assert isinstance(error, Invalid)
    with pytest.raises(Invalid):
        await engine.embed(["a"], card)
    with pytest.raises(Invalid):
        await anext(engine.pull("m"))


async def test_warming_costs_nothing(engine, fake):
    card = await card_of(engine)
    await engine.warm(ASK, card)
    assert fake.asked("/v1/messages") == []


async def test_the_key_goes_in_its_own_header(engine, fake):
    await engine.models()
    assert fake.requests[0].headers["x-api-key"] == "key"
    assert "Authorization" not in fake.requests[0].headers
    fake.api_key = "another"
    with pytest.raises(NotPermitted):
        await engine.models()
    assert (await engine.health()).state == "down"


async def test_a_server_near_by_is_asked_how_it_is_and_a_cloud_is_not(engine, tmp_path):
    assert (await engine.health()).state == "ready"
    async with engine_at(AnthropicSettings().base_url, tmp_path) as far:
        assert "privacy.allow_hosts" in (await far.health()).remedy
        far.api.transport.egress.settings = EgressSettings(allow_hosts=("api.anthropic.com",))
        assert (await far.health()).state == "idle"
        assert far.api.transport.egress.ledger.verify().entries == 0
