"""Ollama's routes over a real connection: its own Python client, a scripted model, and bodies no client sends."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from fireside.core.errors import ConnectionFailed, ContextTooLong
from fireside.core.messages import Message, ToolCall
from fireside.core.requests import ChatRequest, CompletionRequest, Vectors
from fireside.core.values import replace
from fireside.engines.scripted import Reply, ScriptedEngine, scripted_card
from support.gateways import card, until
from support.ollama_clients import OllamaClient, client_of
from support.servers import Served, served

ASK = [{"role": "user", "content": "hi"}]
PNG = b"\x89PNG\r\n\x1a\n"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
BUSY = "server busy, please try again.  maximum pending requests exceeded"


class Narrow(ScriptedEngine):
    """Embeds only texts of few tokens, a token a word. ``told``: whether it says how many there were."""

    window = 10
    told = True

    async def embed(self, texts, card) -> Vectors:
        longest = max(len(text.split()) for text in texts)
        if longest > self.window:
            facts = {"prompt_tokens": longest, "context_window": self.window} if self.told else {}
            raise ContextTooLong("a text is too long", remedy="cut it", **facts)
        self.embedded = list(texts)
        return await super().embed(texts, card)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("Hello you there", cards=[scripted_card("scripted")])


@pytest.fixture
async def server(engine, tmp_path) -> AsyncIterator[Served]:
    async with served(engine, root=tmp_path) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
async def client(request, server) -> AsyncIterator[OllamaClient]:
    async with client_of(server.address, sync=request.param == "sync") as opened:
        yield opened


@pytest.fixture
async def web(server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.address) as session:
        yield session


async def error_of(answer: aiohttp.ClientResponse) -> tuple[int, str]:
    body = json.loads(await answer.read())
    return answer.status, body["error"]


# --- chat


async def test_a_chat_is_answered_whole(client, engine):
    answer = await client.call("chat", "script", ASK)
    assert (answer.message.role, answer.message.content) == ("assistant", "Hello you there")
    assert (answer.model, answer.done, answer.done_reason) == ("script", True, "stop")
    assert all(answer[name] > 0 for name in (*DURATIONS, "eval_count", "prompt_eval_count"))
    assert engine.requests[0].stream is False


async def test_a_chat_is_streamed_piece_by_piece(client):
    *pieces, last = await client.call("chat", "script", ASK, stream=True)
    assert [piece.message.content for piece in pieces] == ["Hello", " you", " there"]
    assert not any(piece.done for piece in pieces)
    assert (last.done, last.done_reason, last.message.content) == (True, "stop", "")
    assert all(last[name] > 0 for name in DURATIONS)


async def test_a_tool_is_called_with_an_object(client, engine):
    engine.rehearse(Reply(tool_calls=(ToolCall("c", "weather", '{"city": "Ulm"}'),)))
    (whole,) = (await client.call("chat", "script", ASK, tools=[WEATHER])).message.tool_calls
    assert (whole.function.name, whole.function.arguments) == ("weather", {"city": "Ulm"})
    called, last = await client.call("chat", "script", ASK, tools=[WEATHER], stream=True)
    assert called.message.tool_calls[0].function.arguments == {"city": "Ulm"}
    assert last.done_reason == "stop"
    assert engine.requests[0].tools[0].parameters["required"] == ["city"]


async def test_a_call_printed_as_text_is_a_call_here_too(client, engine):
    engine.rehearse(Reply('{"name": "weather", "arguments": {"city": "Ulm"}}'))
    message = (await client.call("chat", "script", ASK, tools=[WEATHER])).message
    assert message.tool_calls[0].function.arguments == {"city": "Ulm"}
    assert not message.content


async def test_a_whole_turn_with_tools_keeps_its_order(client, engine):
    history = [
        *ASK,
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Ulm"}}}]},
        {"role": "tool", "content": "rain", "tool_name": "weather"},
    ]  # fmt: skip
    await client.call("chat", "script", history, tools=[WEATHER])
    user, assistant, tool = engine.requests[0].messages
    assert (user.content, assistant.tool_calls[0].name, tool.content) == ("hi", "weather", "rain")
    assert tool.tool_call_id == assistant.tool_calls[0].id


async def test_pictures_options_and_formats_reach_the_model(client, engine):
    await client.call(
        "chat",
        "script",
        [{"role": "user", "content": "see", "images": [base64.b64encode(PNG).decode()]}],
        format={"type": "object"},
        options={"temperature": 0.1, "num_predict": 2, "stop": ["zzz"], "num_ctx": 1024},
        keep_alive="10m",
        logprobs=True,
        top_logprobs=3,
    )
    (request,) = engine.requests
    assert request.messages[0].images == (PNG,)
    assert (request.sampling.temperature, request.sampling.max_tokens) == (0.1, 2)
    assert (request.sampling.stop, request.sampling.logprobs) == (("zzz",), 3)
    assert request.response_format.schema == {"type": "object"}
    assert request.keep_alive == 600.0


async def test_an_answer_at_its_limit_says_so(client):
    answer = await client.call("chat", "script", ASK, options={"num_predict": 2})
    assert (answer.message.content, answer.done_reason) == ("Hello you", "length")


@pytest.mark.parametrize(
    ("think", "reasoning"), [(None, "medium"), (True, "medium"), (False, "off"), ("high", "high"), ("low", "low")]
)
async def test_a_thinking_model_thinks_unless_told_not_to(client, engine, think, reasoning):
    engine.rehearse(Reply("42", reasoning="hm"))
    answer = await client.call("chat", "script", ASK, think=think)
    assert engine.requests[0].reasoning == reasoning
    assert answer.message.thinking == (None if think is False else "hm")


@pytest.mark.parametrize("name", ["script", "script:latest", "chat", "chat:latest", "script@scripted"])
async def test_a_model_answers_to_all_its_names_and_by_the_one_it_was_called(client, name):
    assert (await client.call("chat", name, ASK)).model == name


async def test_an_error_before_the_first_piece_has_its_status_and_after_it_a_line(client, engine):
    engine.rehearse(Reply("one two three", error=ConnectionFailed("it broke", cause="cut"), fail_after=2))
    assert await client.refused("chat", "script", ASK) == (502, "it broke")
    status, words = await client.refused("chat", "script", ASK, stream=True)
    assert (status, words) == (-1, "it broke")  # what the client says of an error line
    engine.rehearse(Reply(error=ConnectionFailed("gone", cause="refused"), fail_after=0))
    assert await client.refused("chat", "script", ASK, stream=True) == (502, "gone")


async def test_no_messages_load_the_model_and_keep_alive_0_unloads_it(client, engine):
    assert (await client.call("chat", "script", [])).done_reason == "load"
    (loaded,) = await client.call("generate", "script", "", stream=True)
    assert (loaded.response, loaded.done, loaded.done_reason) == ("", True, "load")
    assert (await client.call("generate", "script", keep_alive=0)).done_reason == "unload"
    assert (await client.call("chat", "script", keep_alive="0s")).done_reason == "unload"
    assert [request.keep_alive for request in engine.warmed] == [None, None, 0, 0]
    assert engine.requests == []


# --- generate


async def test_a_prompt_is_answered_whole_and_streamed(client, engine):
    answer = await client.call("generate", "script", "hi", system="Be brief")
    assert (answer.response, answer.done_reason) == ("Hello you there", "stop")
    assert all(answer[name] > 0 for name in (*DURATIONS, "eval_count"))
    *pieces, last = await client.call("generate", "script", "hi", stream=True)
    assert "".join(piece.response for piece in pieces) == "Hello you there"
    assert last.context
    assert engine.requests[0].messages == (Message("system", "Be brief"), Message("user", "hi"))


async def test_a_context_sent_back_goes_on_with_the_conversation(client, engine):
    first = await client.call("generate", "script", "one")
    await client.call("generate", "script", "two", context=first.context)
    assert [message.content for message in engine.requests[1].messages] == ["one", "Hello you there", "two"]


async def test_a_suffix_is_code_to_fill_in(client, engine):
    await client.call("generate", "script", "def f():", "return 1", options={"num_predict": 5})
    (request,) = engine.requests
    assert isinstance(request, CompletionRequest)
    assert (request.prefix, request.suffix, request.raw, request.max_tokens) == ("def f():", "return 1", False, 5)


async def test_a_raw_prompt_goes_as_it_is_and_may_be_answered_at_length(client, engine):
    answer = await client.call("generate", "script", "<P>def", raw=True)
    (request,) = engine.requests
    assert (request.prefix, request.raw) == ("<P>def", True)
    assert 8000 < request.max_tokens <= 8192
    assert answer.context is None


async def test_a_model_that_only_completes_is_given_the_prompt_without_a_conversation(tmp_path):
    engine = ScriptedEngine("x", cards=[card("base", "scripted", "fim")])
    async with served(engine, root=tmp_path) as server, client_of(server.address) as client:
        assert (await client.call("generate", "base", "hi")).response == "x"
        assert engine.requests[0].raw
        assert (await client.call("generate", "base", "")).done_reason == "load"
        assert await client.refused("chat", "base", ASK) == (400, '"base" does not support chat')


# --- what a model cannot


@pytest.mark.parametrize(
    ("method", "fields", "lacking"),
    [
        ("chat", {"messages": ASK, "tools": [WEATHER]}, "tools"),
        ("chat", {"messages": ASK, "think": True}, "thinking"),
        ("chat", {"messages": ASK, "think": "low"}, "thinking"),
        ("chat", {"messages": [{"role": "user", "content": "", "images": [PNG]}]}, "vision"),
        ("generate", {"prompt": "hi", "think": True}, "thinking"),
        ("generate", {"prompt": "hi", "suffix": "x"}, "insert"),
    ],
)
async def test_what_a_model_cannot_is_refused_in_ollamas_words(tmp_path, method, fields, lacking):
    engine = ScriptedEngine("x", cards=[card("plain", "scripted", "chat"), card("vec", "scripted", "embed")])
    async with served(engine, root=tmp_path) as server, client_of(server.address) as client:
        assert await client.refused(method, "plain", **fields) == (400, f'"plain" does not support {lacking}')
        assert await client.refused("chat", "vec", ASK) == (400, '"vec" does not support chat')
        assert await client.refused("generate", "vec", "x") == (400, '"vec" does not support generate')
        assert await client.refused("embed", "plain", "x") == (501, '"plain" does not support embeddings')
        assert (await client.call("chat", "plain", ASK, think=False)).message.content == "x"
        assert engine.requests[-1].reasoning is None


# --- errors


async def test_an_unknown_model_is_404_and_the_closest_names_stand_beside(client, web):
    for method, arguments in (("chat", ("scrip", ASK)), ("generate", ("scrip", "x")), ("embed", ("scrip", "x"))):
        assert await client.refused(method, *arguments) == (404, "model 'scrip' not found")
    async with web.post("/api/chat", json={"model": "scrip", "messages": ASK}) as answer:
        assert "script" in (await answer.json())["remedy"]


async def test_bogus_think_values_are_refused_in_ollamas_words(client):
    words = 'invalid think value: "ultra" (must be "high", "medium", "low", "max", true, or false)'
    assert await client.refused("chat", "script", ASK, think="ultra") == (400, words)


@pytest.mark.parametrize("path", ["chat", "generate", "embed", "embeddings", "show", "pull", "create", "copy"])
async def test_bad_bodies_are_400_in_ollamas_shape(web, path):
    for body, words in ((b"", "missing request body"), (b"{", "not JSON"), (b"[]", "JSON object"), (b"{}", "required")):
        async with web.post(f"/api/{path}", data=body) as answer:
            status, said = await error_of(answer)
            assert answer.content_type == "application/json"
        assert (status, words in said) == (400, True), said


async def test_the_words_for_no_body_and_no_model_are_exact(web):
    async with web.post("/api/chat", data=b"") as answer:
        assert await error_of(answer) == (400, "missing request body")
    async with web.post("/api/chat", json={"model": "", "messages": ASK}) as answer:
        assert await error_of(answer) == (400, "model is required")


async def test_a_route_that_is_not_there_is_an_error_in_ollamas_shape(web):
    async with web.get("/api/nowhere") as answer:
        assert (await error_of(answer))[0] == 404
    async with web.get("/api/chat") as answer:
        assert (await error_of(answer))[0] == 405


async def test_a_prompt_that_is_too_long_is_refused_and_never_cut(client):
    for fields in ({}, {"options": {"num_ctx": 999}}, {"stream": True}):
        status, words = await client.refused("chat", "script", [{"role": "user", "content": "x " * 9000}], **fields)
        assert (status, words.partition(":")[0]) == (400, "the prompt is longer than the context length")


async def test_a_full_line_is_503_in_ollamas_words(tmp_path):
    held = asyncio.Event()
    engine = ScriptedEngine(Reply("slow", hold=held))
    flags = {"gateway.parallel": {"scripted": 1}, "gateway.max_waiting": 0, "gateway.patience": 0}
    async with served(engine, root=tmp_path, flags=flags) as server, client_of(server.address) as client:
        first = asyncio.ensure_future(client.call("chat", "script", ASK))
        await until(lambda: engine.running)
        assert await client.refused("chat", "script", ASK) == (503, BUSY)
        held.set()
        assert (await first).message.content == "slow"


async def test_a_client_that_leaves_frees_the_model(server, engine):
    engine.rehearse(Reply("one two three", hold=asyncio.Event(), hold_after=1))
    async with aiohttp.ClientSession(server.address) as web:
        async with web.post("/api/chat", json={"model": "script", "messages": ASK}) as answer:
            await answer.content.readline()
            assert engine.running == 1
        await until(lambda: not engine.running)
    assert engine.cancelled == 1


async def test_a_stream_is_ndjson_and_a_whole_answer_json(web):
    for stream, kind in ((True, "application/x-ndjson"), (False, "application/json")):
        async with web.post("/api/chat", json={"model": "script", "messages": ASK, "stream": stream}) as answer:
            assert answer.content_type == kind
    async with web.post("/api/chat", json={"model": "script", "messages": ASK}) as answer:
        assert answer.content_type == "application/x-ndjson"


# --- embeddings


async def test_texts_become_vectors(client):
    answer = await client.call("embed", "script", ["a", "b", "a"])
    assert len(answer.embeddings) == 3
    assert answer.embeddings[0] == answer.embeddings[2] != answer.embeddings[1]
    assert answer.total_duration > 0
    assert answer.load_duration > 0
    assert answer.prompt_eval_count > 0
    short = await client.call("embed", "script", "a", dimensions=4)
    assert len(short.embeddings[0]) == 4
    assert sum(number**2 for number in short.embeddings[0]) == pytest.approx(1)
    old = await client.call("embeddings", "script", "a")
    assert list(old.embedding) == pytest.approx(answer.embeddings[0], abs=1e-6)


async def test_nothing_to_embed_gives_nothing(client):
    assert (await client.call("embed", "script", [])).embeddings == []
    assert (await client.call("embed", "script", "")).embeddings == []
    assert (await client.call("embeddings", "script", "")).embedding == []


@pytest.mark.parametrize("told", [True, False])
async def test_a_text_that_is_too_long_is_cut_unless_it_must_not(tmp_path, told):
    engine = Narrow(cards=[replace(scripted_card("scripted"), context_window=10)])
    engine.told = told
    async with served(engine, root=tmp_path) as server, client_of(server.address) as client:
        answer = await client.call("embed", "script", ["short", "word " * 400])
        assert len(answer.embeddings) == 2
        short, long = engine.embedded
        assert short == "short"
        assert 2 <= len(long.split()) <= 10
        refused = await client.refused("embed", "script", "word " * 400, truncate=False)
        assert refused == (400, "the input length exceeds the context length")


# --- whether it is there


async def test_whoever_looks_whether_it_runs_sees_ollama(web):
    for path in ("/", "/api/version", "/api/status"):
        async with web.get(path) as answer:
            assert answer.status == 200
            body = await answer.read()
        async with web.head(path) as answer:
            assert (answer.status, answer.headers["content-length"]) == (200, str(len(body)))
        if path == "/":
            assert body == b"Ollama is running"


async def test_a_request_carries_its_session_and_the_urgency_of_an_agent(web, engine):
    body = {"model": "script", "messages": ASK, "tools": [WEATHER]}
    async with web.post("/api/chat", json=body, headers={"x-session-id": "one"}) as answer:
        await answer.read()
        assert answer.headers["x-fireside-engine"] == "scripted"
    (request,) = engine.requests
    assert isinstance(request, ChatRequest)
    assert (request.session, request.priority.name) == ("/one", "AGENT")
