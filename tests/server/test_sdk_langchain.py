"""LangChain's package for Ollama against the server: talk, tools, forms, embeddings, and its old way of plain texts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import ollama
import pydantic
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM

from fireside.core.messages import ToolCall
from fireside.engines.scripted import Reply, ScriptedEngine
from support.servers import Served, served

CALL = Reply(tool_calls=(ToolCall("c", "weather", '{"city": "Ulm"}'),))


class City(pydantic.BaseModel):
    """A city and its river."""

    name: str
    river: str


def weather(city: str) -> str:
    """Tells the weather."""
    return f"rain in {city}"


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("Hello you there")


@pytest.fixture
async def server(engine, tmp_path):
    async with served(engine, root=tmp_path) as running:
        yield running


@asynccontextmanager
async def opened(kind: type, server: Served, model: str = "script", **fields: object) -> AsyncIterator:
    """Of these classes none closes its connections, so a test does it for them. Made in a thread, for some ask the server at once."""
    made = await asyncio.to_thread(kind, model=model, base_url=server.address, **fields)
    try:
        yield made
    finally:
        made._client.close()
        await made._async_client.close()


@pytest.fixture
async def model(server: Served) -> AsyncIterator[ChatOllama]:
    async with opened(ChatOllama, server, temperature=0.25, num_ctx=2048, validate_model_on_init=True) as made:
        yield made


@pytest.mark.parametrize("blocks", [True, False])
async def test_a_question_is_answered(model, engine, blocks):
    asked = [SystemMessage("be short"), HumanMessage("hi")]
    answer = await (asyncio.to_thread(model.invoke, asked) if blocks else model.ainvoke(asked))
    assert (answer.content, answer.response_metadata["done_reason"]) == ("Hello you there", "stop")
    assert answer.usage_metadata["output_tokens"] > 0
    (request,) = engine.requests
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.sampling.temperature == 0.25


async def test_an_answer_is_streamed_piece_by_piece(model):
    pieces = [piece.content async for piece in model.astream("hi")]
    assert [piece for piece in pieces if piece] == ["Hello", " you", " there"]


async def test_a_turn_with_a_tool_goes_there_and_back(model, engine):
    engine.rehearse(CALL, Reply("Rain."))
    bound = model.bind_tools([weather])
    called = await bound.ainvoke("hi")
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Ulm"})
    history = [HumanMessage("hi"), called, ToolMessage(weather(**call["args"]), tool_call_id=call["id"])]
    assert (await bound.ainvoke(history)).content == "Rain."
    _, assistant, tool = engine.requests[-1].messages
    assert (assistant.tool_calls[0].name, tool.content) == ("weather", "rain in Ulm")


async def test_a_call_printed_as_text_arrives_as_a_call(model, engine):
    engine.rehearse(Reply('<tool_call>\n{"name": "weather", "arguments": {"city": "Ulm"}}\n</tool_call>'))
    answer: AIMessage = await model.bind_tools([weather]).ainvoke("hi")
    assert [call["args"] for call in answer.tool_calls] == [{"city": "Ulm"}]
    assert answer.content == ""


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_an_answer_takes_the_form_that_is_asked_for(model, engine, method):
    said = '{"name": "Ulm", "river": "Danube"}'
    engine.rehearse(Reply(tool_calls=(ToolCall("c", "City", said),)) if method == "function_calling" else Reply(said))
    answer = await model.with_structured_output(City, method=method).ainvoke("hi")
    assert answer == City(name="Ulm", river="Danube")


async def test_a_thinking_model_shows_its_thoughts_when_asked(server, engine):
    engine.rehearse(Reply("42", reasoning="hm hm"))
    async with opened(ChatOllama, server, reasoning=True) as model:
        answer = await model.ainvoke("hi")
    assert (answer.content, answer.additional_kwargs["reasoning_content"]) == ("42", "hm hm")


async def test_texts_become_vectors(server):
    async with opened(OllamaEmbeddings, server) as embeddings:
        one, other = await embeddings.aembed_documents(["one", "other"])
        assert one != other
        assert await embeddings.aembed_query("one") == pytest.approx(one)
        assert await asyncio.to_thread(embeddings.embed_query, "one") == pytest.approx(one)


async def test_plain_texts_are_gone_on_with(server):
    async with opened(OllamaLLM, server) as model:
        assert await model.ainvoke("Once upon") == "Hello you there"
        assert "".join([piece async for piece in model.astream("Once upon")]) == "Hello you there"


async def test_a_model_that_is_not_there_is_said_at_once(server):
    async with opened(ChatOllama, server, model="scrpt") as model:
        with pytest.raises(ollama.ResponseError, match="not found") as refused:
            await model.ainvoke("hi")
    assert refused.value.status_code == 404
