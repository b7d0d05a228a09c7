"""A call that must be made, at servers that take ``tool_choice`` for a wish: asked for by a schema, read back as a call."""

import json
from collections.abc import AsyncIterator

import pytest

from fireside.core.errors import Invalid
from fireside.core.events import EventBus
from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, Sampling
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.ledger import Ledger
from fireside.engines.openai import OpenAIEngine, OpenAISettings, build
from fireside.engines.registry import EngineContext
from fireside.engines.transport import Transport
from support.answers import read
from support.fake_http import FakeReply
from support.fake_openai import FakeOpenAI

READ = ToolSpec("read_file", "", {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]})
NOW = ToolSpec("now", "", {"type": "object", "properties": {}, "additionalProperties": False})
CALL = '{"name": "read_file", "arguments": {"path": "a.py"}}'


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI("I would rather talk.", models={"qwen2.5-coder": 8192}) as server:
        yield server


@pytest.fixture
async def engine(fake, tmp_path) -> AsyncIterator[OpenAIEngine]:
    transport = Transport(Egress(EgressSettings(), Ledger(tmp_path / "egress.jsonl")))
    context = EngineContext(transport.egress, transport, EventBus(), tmp_path, {}.get)
    try:
        yield build("gpu", OpenAISettings(base_url=fake.url), context)
    finally:
        await transport.aclose()


async def asked(engine: OpenAIEngine, choice: str, **fields: object):
    (card,) = await engine.models()
    request = ChatRequest((Message("user", "hi"),), tools=(READ, NOW), tool_choice=choice, **fields)
    return await read(engine.chat(request, card))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("choice", "names"), [("required", {"read_file", "now"}), ("now", {"now"})])
async def test_a_demanded_call_is_made_by_a_model_that_would_rather_talk(engine, fake, choice, names, stream):
    answer = await asked(engine, choice, stream=stream, sampling=Sampling(stop=("}",)))
    (call,) = answer.tool_calls
    assert call.name in names
    assert isinstance(json.loads(call.arguments), dict)
    assert (answer.text, answer.finish) == ("", "tool_calls")
    body = fake.asked("/v1/chat/completions")[-1]
    assert (body["tool_choice"], len(body["tools"])) == ("none", 2)
    assert body["response_format"]["type"] == "json_schema"
    assert "stop" not in body


@pytest.mark.parametrize("text", [CALL, f"```json\n{CALL}\n```", f"<tool_call>{CALL}</tool_call>"])
async def test_a_server_that_passes_over_the_schema_may_still_call(engine, fake, text):
    fake.rehearse(FakeReply(text, pieces=[text]))
    fake.constrains = False
    answer = await asked(engine, "required")
    assert [(call.name, json.loads(call.arguments)) for call in answer.tool_calls] == [("read_file", {"path": "a.py"})]


async def test_a_call_that_was_cut_is_an_error(engine, fake):
    fake.rehearse(FakeReply(CALL, pieces=[CALL[:30], CALL[30:]]))
    with pytest.raises(Invalid):
        await asked(engine, "required", sampling=Sampling(max_tokens=1))


async def test_a_tool_that_is_not_offered_is_refused_before_anybody_is_asked(engine, fake):
    with pytest.raises(Invalid, match="read_file"):
        await asked(engine, "fly")
    assert fake.asked("/v1/chat/completions") == []


async def test_openai_itself_is_asked_in_its_own_words(engine, fake):
    engine.documented = True
    fake.rehearse(FakeReply("", tool_calls=(ToolCall("a", "now", "{}"),)))
    answer = await asked(engine, "required")
    assert [call.name for call in answer.tool_calls] == ["now"]
    assert fake.asked("/v1/chat/completions")[-1]["tool_choice"] == "required"
    assert "response_format" not in fake.asked("/v1/chat/completions")[-1]
