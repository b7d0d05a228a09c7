"""OpenAI's own Python SDK against the server: what it asks for, what it makes of the answers, and of the refusals."""

import asyncio
import os
from collections.abc import AsyncIterator

import openai
import pydantic
import pytest

from fireside.config.paths import Paths
from fireside.core.errors import ConnectionFailed, ContextTooLong, RateLimited
from fireside.core.messages import ToolCall
from fireside.core.requests import Delta, Logprob, Usage
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.records.database import Database
from fireside.records.keys import KeyLimits, Keys
from support.gateways import until
from support.openai_clients import OpenAIClient, client_of
from support.servers import Served, served

ASK = {"model": "script", "messages": [{"role": "user", "content": "hi"}]}
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells the weather", "parameters": SCHEMA}}
CALL = Reply(tool_calls=(ToolCall("c", "weather", '{"city": "Ulm"}'),))


class City(pydantic.BaseModel):
    city: str


class Certain(ScriptedEngine):
    """Says how likely its one word was."""

    async def chat(self, request, card):
        self.requests.append(request)
        yield Delta("Hello", logprobs=(Logprob("Hello", -0.5, (("Hello", -0.5), ("Bye", -2.0))),))
        yield Delta(finish_reason="stop", usage=Usage(prompt_tokens=3, completion_tokens=1))

    complete = chat


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("Hello you there")


@pytest.fixture
async def server(engine, tmp_path) -> AsyncIterator[Served]:
    async with served(engine, root=tmp_path) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
async def client(request, server) -> AsyncIterator[OpenAIClient]:
    async with client_of(server.v1, sync=request.param == "sync") as opened:
        yield opened


@pytest.fixture
async def plain(server) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(server.v1) as opened:
        yield opened.sdk


# --- chat


async def test_a_chat_is_answered_whole(client):
    answer = await client.call("chat.completions.create", **ASK)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == (
        "assistant",
        "Hello you there",
        "stop",
    )
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert (answer.object, answer.model) == ("chat.completion", "script")


async def test_a_chat_is_streamed_with_its_usage_only_when_asked(client):
    chunks = await client.call("chat.completions.create", **ASK, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello you there"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    *_, last = await client.call("chat.completions.create", **ASK, stream=True, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage.completion_tokens > 0


async def test_a_turn_with_a_tool_goes_there_and_back(client, engine):
    engine.rehearse(CALL, Reply("Rain."))
    (call,) = (await client.call("chat.completions.create", **ASK, tools=[TOOL])).choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Ulm"}')
    history = [
        *ASK["messages"],
        {"role": "assistant", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    answer = await client.call("chat.completions.create", model="script", messages=history, tools=[TOOL])
    assert answer.choices[0].message.content == "Rain."
    _, assistant, tool = engine.requests[-1].messages
    assert assistant.tool_calls[0].id == tool.tool_call_id == call.id


async def test_the_stream_helper_puts_a_call_together(plain, engine):
    engine.rehearse(CALL)
    async with plain.chat.completions.stream(**ASK, tools=[TOOL]) as stream:
        kinds = [event.type async for event in stream]
        whole = await stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    assert whole.choices[0].message.tool_calls[0].function.arguments == '{"city": "Ulm"}'
    assert whole.choices[0].finish_reason == "tool_calls"


async def test_a_call_printed_as_text_arrives_as_a_call(client, engine):
    engine.rehearse(Reply('<tool_call>\n{"name": "Weather", "arguments": {"city": "Ulm",}}\n</tool_call>'))
    message = (await client.call("chat.completions.create", **ASK, tools=[TOOL])).choices[0].message
    assert (message.tool_calls[0].function.name, message.content) == ("weather", None)


async def test_an_answer_is_parsed_into_a_model(client, engine):
    engine.rehearse(Reply('{"city": "Ulm"}'))
    answer = await client.call("chat.completions.parse", **ASK, response_format=City)
    assert answer.choices[0].message.parsed == City(city="Ulm")
    assert engine.requests[0].response_format.schema["required"] == ["city"]


async def test_log_probabilities_and_their_alternatives_arrive(tmp_path):
    async with served(Certain(), root=tmp_path) as server, client_of(server.v1) as client:
        answer = await client.call("chat.completions.create", **ASK, logprobs=True, top_logprobs=2)
        (token,) = answer.choices[0].logprobs.content
        assert (token.token, token.logprob) == ("Hello", -0.5)
        assert [(each.token, each.logprob) for each in token.top_logprobs] == [("Hello", -0.5), ("Bye", -2.0)]
        first, *_ = await client.call("chat.completions.create", **ASK, logprobs=True, stream=True)
        assert first.choices[0].delta.role == "assistant"
        answer = await client.call("completions.create", model="script", prompt="x", logprobs=2)
        assert answer.choices[0].logprobs.tokens == ["Hello"]
        assert answer.choices[0].logprobs.token_logprobs == [-0.5]


async def test_pictures_settings_and_several_choices_reach_the_model(client, engine):
    parts = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    answer = await client.call(
        "chat.completions.create",
        model="script",
        messages=[{"role": "developer", "content": "be short"}, {"role": "user", "content": parts}],
        n=2, temperature=0.25, top_p=0.5, seed=7, stop=["zz"], max_completion_tokens=2, frequency_penalty=0.5,
        reasoning_effort="low", user="me", metadata={"a": "b"}, store=False,
    )  # fmt: skip
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert {choice.finish_reason for choice in answer.choices} == {"length"}
    system, user = engine.requests[0].messages
    assert (system.role, user.content, len(user.images)) == ("system", "what?", 1)
    sampling = engine.requests[0].sampling
    assert (sampling.temperature, sampling.stop, sampling.frequency_penalty) == (0.25, ("zz",), 0.5)


# --- responses


async def test_a_response_is_answered_whole_and_in_parts(client):
    answer = await client.call("responses.create", model="script", input="hi", instructions="be short")
    assert (answer.output_text, answer.status) == ("Hello you there", "completed")
    events = await client.call("responses.create", model="script", input="hi", stream=True)
    assert events[0].type == "response.created"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello you there"
    assert (events[-1].type, events[-1].response.output_text) == ("response.completed", "Hello you there")
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_the_stream_helper_of_responses_puts_the_answer_together(plain, engine):
    engine.rehearse(Reply("42", reasoning="hm"), CALL)
    async with plain.responses.stream(model="script", input="hi") as stream:
        kinds = [event.type async for event in stream]
        whole = await stream.get_final_response()
    assert (whole.output_text, kinds[-1]) == ("42", "response.completed")
    assert [item.type for item in whole.output] == ["reasoning", "message"]
    tool = {"type": "function", **TOOL["function"]}
    async with plain.responses.stream(model="script", input="hi", tools=[tool]) as stream:
        (call,) = (await stream.get_final_response()).output
    assert (call.type, call.name, call.arguments) == ("function_call", "weather", '{"city": "Ulm"}')


async def test_a_response_with_tools_of_every_kind_takes_its_history_along(client, engine):
    history = [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": '{"city": "Ulm"}'},
        {"type": "function_call_output", "call_id": "c", "output": "rain"},
    ]
    tools = [{"type": "function", **TOOL["function"]}, {"type": "web_search"}]
    answer = await client.call("responses.create", model="script", input=history, tools=tools, store=False)
    assert answer.output_text == "Hello you there"
    assert [tool.name for tool in engine.requests[0].tools] == ["weather"]
    assert [message.role for message in engine.requests[0].messages] == ["user", "assistant", "tool"]


async def test_a_response_is_parsed_into_a_model(client, engine):
    engine.rehearse(Reply('{"city": "Ulm"}'))
    answer = await client.call("responses.parse", model="script", input="hi", text_format=City)
    assert answer.output_parsed == City(city="Ulm")


# --- completions, embeddings, models


async def test_a_completion_fills_in_the_middle(client, engine):
    answer = await client.call("completions.create", model="script", prompt="def add(", suffix="\n", max_tokens=50)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("Hello you there", "stop")
    assert (engine.requests[0].prefix, engine.requests[0].suffix) == ("def add(", "\n")
    chunks = await client.call("completions.create", model="script", prompt=["a", "b"], stream=True)
    for index in (0, 1):
        said = [choice.text for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert "".join(said) == "Hello you there"


async def test_embeddings_are_the_same_as_numbers_and_as_bytes(client):
    packed = await client.call("embeddings.create", model="script", input=["one", "two"])
    plain = await client.call("embeddings.create", model="script", input=["one", "two"], encoding_format="float")
    assert [item.index for item in packed.data] == [0, 1]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert packed.data[0].embedding != packed.data[1].embedding


async def test_models_are_listed_and_each_is_found(client):
    listed = {model.id for model in (await client.call("models.list")).data}
    assert {"script", "chat"} <= listed
    for name in listed:
        assert (await client.call("models.retrieve", name)).id == name


# --- what goes wrong


async def test_refusals_become_the_exceptions_the_sdk_has_for_them(client, engine):
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.call("chat.completions.create", model="scrpt", messages=ASK["messages"])
    assert "script" in unknown.value.body["message"], "the closest name is told"
    with pytest.raises(openai.NotFoundError):
        await client.call("models.retrieve", "scrpt")
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.call("chat.completions.create", model="script", messages=[{"role": "user", "content": 7}])
    assert wrong.value.param == "messages[0].content"
    engine.rehearse(Reply(error=ContextTooLong("9000 tokens do not fit into 8192", remedy="ask less")))
    with pytest.raises(openai.BadRequestError) as long:
        await client.call("chat.completions.create", **ASK)
    assert long.value.code == "context_length_exceeded"
    engine.rehearse(Reply(error=ConnectionFailed("nobody is there", remedy="start it", cause="refused")))
    with pytest.raises(openai.InternalServerError):
        await client.call("responses.create", model="script", input="hi")


async def test_a_busy_engine_says_when_to_come_back(client, engine):
    engine.rehearse(Reply(error=RateLimited("too many", remedy="wait", retry_after=7.0)))
    with pytest.raises(openai.RateLimitError) as busy:
        await client.call("chat.completions.create", **ASK)
    assert int(busy.value.response.headers["retry-after"]) >= 7


async def test_a_stream_that_breaks_off_is_an_error_and_no_answer(client, engine):
    cut = ConnectionFailed("the engine is gone", remedy="start it", cause="cut")
    engine.rehearse(Reply("one two three", error=cut, fail_after=2))
    with pytest.raises(openai.APIError, match="the engine is gone"):
        await client.call("chat.completions.create", **ASK, stream=True)


async def test_a_key_is_asked_for_and_its_limits_hold(engine, tmp_path):
    database = Database.file(Paths.from_environment(os.environ).data / "records.db")
    _, secret = Keys(database).create("laptop", limits=KeyLimits(rpm=1))
    database.close()
    async with served(engine, root=tmp_path, flags={"server.require_keys": True}) as server:
        async with client_of(server.v1, key="sk-wrong") as stranger:
            with pytest.raises(openai.AuthenticationError):
                await stranger.call("chat.completions.create", **ASK)
        async with client_of(server.v1, key=secret) as client:
            assert (await client.call("chat.completions.create", **ASK)).choices
            with pytest.raises(openai.RateLimitError) as limited:
                await client.call("chat.completions.create", **ASK)
            assert 50 < int(limited.value.response.headers["retry-after"]) <= 60


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_gives_up_ends_the_work(plain, engine, stream):
    engine.rehearse(Reply("one two three", hold=asyncio.Event(), hold_after=1))
    with pytest.raises(openai.APITimeoutError):
        await _read(plain.with_options(timeout=0.2), stream)
    await until(lambda: engine.cancelled == 1)


async def _read(client: openai.AsyncOpenAI, stream: bool) -> None:
    answer = await client.chat.completions.create(**ASK, stream=stream)
    if stream:
        async for _ in answer:
            pass
