"""Ollama's API met from both sides: our engine for Ollama servers asks our own server; and what keys of less than an administrator may."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from fireside.config.paths import Paths
from fireside.core.errors import ConnectionFailed, ContextTooLong, Invalid, ModelNotFound, RateLimited
from fireside.core.messages import ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, CompletionRequest, Sampling
from fireside.engines.engine import EngineHealth, Resident
from fireside.engines.ollama import OllamaEngine
from fireside.engines.scripted import Reply, ScriptedEngine, scripted_card
from fireside.models.card import ModelCard
from fireside.records.database import Database
from fireside.records.keys import Keys, Role, Scopes
from support.answers import failure, read
from support.gateways import card as a_card
from support.ollama_engine import ask, engine_at
from support.servers import Served, served

WEATHER = ToolSpec("weather", "", {"type": "object", "properties": {"city": {"type": "string"}}})
CARDS = [scripted_card("scripted"), a_card("no-thinker", "scripted", "chat", "tools", "json_schema")]
HEALTH = EngineHealth("ready", loaded=("script",), residents=(Resident("script", context=8192),))


@dataclass
class Pair:
    """``near``: asks ``server``, where ``far`` answers."""

    near: OllamaEngine
    far: ScriptedEngine
    server: Served

    async def card(self, name: str = "script") -> ModelCard:
        return next(each for each in await self.near.models() if each.name == name)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    far = ScriptedEngine("Hello you there", cards=CARDS, health=HEALTH)
    async with (
        served(far, root=tmp_path, flags={"gateway.retries": 0}) as server,
        engine_at(server.address, tmp_path) as near,
    ):
        yield Pair(near, far, server)


async def test_what_our_server_lists_our_engine_understands(pair: Pair):
    found = {each.name: each for each in await pair.near.models()}
    assert set(found) == {"script", "no-thinker", "chat", "complete", "embed"}
    assert found["script"].context_window == 8192
    assert found["script"].capabilities >= {"chat", "tools", "vision", "thinking", "embed"}
    assert found["no-thinker"].capabilities == {"chat", "tools", "json_schema"}
    health = await pair.near.health()
    assert (health.state, health.loaded) == ("ready", ("script",))
    assert health.residents[0].context == 8192


async def test_answers_thoughts_calls_and_limits_survive_the_way(pair: Pair):
    card = await pair.card()
    answer = await read(pair.near.chat(ask(), card))
    assert (answer.text, answer.finish, answer.usage.completion_tokens) == ("Hello you there", "stop", 3)
    assert pair.far.requests[-1].reasoning == "off"
    pair.far.rehearse(Reply("42", reasoning="hm", tool_calls=(ToolCall("c", "weather", '{"city":"Ulm"}'),)))
    answer = await read(pair.near.chat(ask(tools=(WEATHER,), reasoning="high", keep_alive=60), card))
    assert (answer.reasoning, answer.text, answer.finish) == ("hm", "42", "tool_calls")
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("weather", '{"city":"Ulm"}')]
    assert (pair.far.requests[-1].reasoning, pair.far.requests[-1].keep_alive) == ("high", 60.0)
    pair.far.rehearse(Reply("one two three"))
    assert (await read(pair.near.chat(ask(sampling=Sampling(max_tokens=2)), card))).finish == "length"


async def test_a_raw_prompt_and_vectors_survive_the_way(pair: Pair):
    card = await pair.card()
    answer = await read(pair.near.complete(CompletionRequest("<P>def", raw=True, max_tokens=9), card))
    assert answer.text == "Hello you there"
    assert (pair.far.requests[-1].prefix, pair.far.requests[-1].raw) == ("<P>def", True)
    (here,), (there,) = await pair.near.embed(["text"], card), await pair.far.embed(["text"], CARDS[0])
    assert here == pytest.approx(there, abs=1e-6)


async def test_loading_and_unloading_survive_the_way(pair: Pair):
    card = await pair.card()
    await pair.near.warm(ChatRequest(()), card)
    await pair.near.warm(ChatRequest((), keep_alive=0), card)
    assert [request.keep_alive for request in pair.far.warmed] == [300.0, 0]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ContextTooLong("too long", remedy="ask less"), ContextTooLong),
        (RateLimited("full", cause="queue", retry_after=1.0), RateLimited),
        (Invalid("no such thing"), Invalid),
        (ModelNotFound("gone"), ModelNotFound),
        (ConnectionFailed("cut", cause="cut"), ConnectionFailed),
    ],
)
async def test_an_error_of_there_is_the_same_error_here(pair: Pair, error, kind):
    card = await pair.card()
    pair.far.rehearse(Reply(error=error, fail_after=0))
    _, failed = await failure(pair.near.chat(ask(), card))
    assert isinstance(failed, kind), failed


async def test_an_error_in_the_middle_is_one_here_too(pair: Pair):
    card = await pair.card()
    pair.far.rehearse(Reply("one two three", error=ConnectionFailed("cut", cause="cut"), fail_after=2))
    answer, failed = await failure(pair.near.chat(ask(), card))
    assert (answer.text, failed is not None) == ("one two", True)


async def test_what_is_pulled_through_us_is_pulled_there(pair: Pair):
    assert [step.status async for step in pair.near.pull("new")] == ["pulling", "success"]
    assert "new" in [each.name for each in await pair.near.models()]


# --- keys


async def test_a_users_key_asks_models_but_changes_none(tmp_path: Path):
    keys = Keys(Database.file(Paths.from_environment(os.environ).data / "records.db"))
    _, key = keys.create("laptop", role=Role.USER, scopes=Scopes(models=("script", "mine")))
    keys.database.close()
    engine = ScriptedEngine("Hello", cards=[scripted_card("scripted"), scripted_card("scripted", "other")])

    async with (
        served(engine, root=tmp_path, flags={"server.require_keys": True}) as server,
        aiohttp.ClientSession(server.address, headers={"Authorization": f"Bearer {key}"}) as web,
    ):

        async def status(path: str, method: str = "POST", **body: object) -> int:
            async with web.request(method, path, json=body) as answer:
                assert answer.status == 200 or "error" in await answer.json()
                return answer.status

        hi = {"messages": [{"role": "user", "content": "hi"}]}
        for name, expected in (("script", 200), ("script:latest", 200), ("other", 403)):
            assert await status("/api/chat", model=name, **hi) == expected
            assert await status("/api/chat", model=name) == expected
            assert await status("/api/generate", model=name, prompt="x", raw=True) == expected
            assert await status("/api/embed", model=name, input="x") == expected
        assert await status("/api/tags", "GET") == 200
        assert await status("/api/pull", model="script") == 200
        assert await status("/api/pull", model="missing") == 403
        for path, body in (
            ("/api/create", {"model": "mine", "from": "script"}),
            ("/api/copy", {"source": "script", "destination": "x"}),
            ("/api/push", {"model": "script"}),
            ("/api/blobs/sha256:" + "0" * 64, {}),
        ):
            assert await status(path, **body) == 403
        assert await status("/api/delete", "DELETE", model="script") == 403
        async with aiohttp.ClientSession(server.address) as stranger, stranger.get("/api/tags") as answer:
            assert answer.status == 401
            assert "key" in (await answer.json())["error"]


async def test_a_model_that_could_be_pulled_is_not_yet_there(tmp_path: Path):
    async with (
        served(ScriptedEngine("Hello"), root=tmp_path, flags={"gateway.pull_missing": True}) as server,
        aiohttp.ClientSession(server.address) as web,
    ):
        async with web.post("/api/show", json={"model": "new"}) as answer:
            assert answer.status == 404
        async with web.post(
            "/api/chat", json={"model": "new", "messages": [{"role": "user", "content": "hi"}]}
        ) as answer:
            assert (answer.status, (await answer.text()).count("Hello")) == (200, 1)
