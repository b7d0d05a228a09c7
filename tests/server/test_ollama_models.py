"""Ollama's routes about models, asked by its own Python client: list, show, pull, create, copy, delete; and its whole life with a GGUF."""

import hashlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from fireside.core.errors import ConnectionFailed
from fireside.core.messages import Message
from fireside.core.values import replace
from fireside.engines.engine import EngineHealth, PullProgress, Resident
from fireside.engines.scripted import ScriptedEngine, scripted_card
from fireside.models.store import ModelStore
from support.ollama_clients import OllamaClient, client_of
from support.servers import Served, served
from support.tiny import tiny_gguf

ASK = [{"role": "user", "content": "hi"}]
NUMBERED = [scripted_card("scripted", f"model-{number}") for number in range(30)]


class Pulling(ScriptedEngine):
    """Pulls as Ollama does, or breaks off in the middle."""

    breaks = False

    async def pull(self, name: str) -> AsyncIterator[PullProgress]:
        yield PullProgress("pulling manifest")
        yield PullProgress("pulling abababababab", 50, 100, "sha256:" + "ab" * 32)
        if self.breaks:
            raise ConnectionFailed("the registry is gone", remedy="try later")
        self._cards.append(scripted_card(self.name, name))
        yield PullProgress("success")


@pytest.fixture
def engine() -> Pulling:
    return Pulling("Hello", cards=[scripted_card("scripted")])


@pytest.fixture
async def server(engine, tmp_path) -> AsyncIterator[Served]:
    async with served(engine, root=tmp_path) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
async def client(request, server) -> AsyncIterator[OllamaClient]:
    async with client_of(server.address, sync=request.param == "sync") as opened:
        yield opened


async def names(client: OllamaClient) -> list[str]:
    return [model.model for model in (await client.call("list")).models]


# --- list, show, ps


async def test_every_model_and_alias_is_listed_by_its_exact_name(client):
    listed = (await client.call("list")).models
    assert [model.model for model in listed] == ["script", "chat", "complete", "embed"]
    assert all(len(model.digest) == 64 and model.modified_at and model.details.family for model in listed)


async def test_show_says_what_a_model_can_and_how_long_its_window_is(client):
    shown = await client.call("show", "script")
    assert shown.capabilities == ["completion", "tools", "insert", "vision", "embedding", "thinking"]
    assert shown.modelinfo["scripted.context_length"] == 8192
    assert shown.details.format == "gguf"
    assert (await client.call("show", "script:latest")).capabilities == shown.capabilities
    assert await client.refused("show", "nope") == (404, "model 'nope' not found")


async def test_show_takes_the_older_name_of_the_field(server):
    async with (
        aiohttp.ClientSession(server.address) as web,
        web.post("/api/show", json={"name": "script"}) as answer,
    ):
        assert (await answer.json())["capabilities"][0] == "completion"


async def test_an_editors_refresh_finds_every_model(tmp_path):
    engine = ScriptedEngine(cards=NUMBERED)
    async with served(engine, root=tmp_path) as server, aiohttp.ClientSession(server.address) as web:
        await (await web.get("/api/tags")).read()
        tags = await (await web.get("/api/tags")).json()
        shown = []
        for tag in tags["models"]:
            async with web.post("/api/show", json={"model": tag["name"]}) as answer:
                shown.append(await answer.json())
        assert len(shown) == 33


async def test_ps_lists_what_is_in_memory_as_its_engine_tells(tmp_path):
    resident = Resident("script", size=100, size_vram=60, context=4096, expires=time.time() + 60)
    health = EngineHealth("ready", loaded=("script", "other", "unknown"), residents=(resident,))
    cards = [scripted_card("scripted"), replace(scripted_card("scripted", "other"), size=7)]
    async with (
        served(ScriptedEngine(cards=cards, health=health), root=tmp_path) as server,
        client_of(server.address) as client,
    ):
        other, script = (await client.call("ps")).models
        assert (script.name, script.size, script.size_vram, script.context_length) == ("script", 100, 60, 4096)
        assert abs(script.expires_at.timestamp() - resident.expires) < 1
        assert (other.name, other.size, other.size_vram, other.context_length) == ("other", 7, 0, 8192)
        assert len(other.digest) == 64


async def test_nothing_in_memory_is_an_empty_list(client):
    assert (await client.call("ps")).models == []


# --- pull, push


async def test_a_pull_tells_how_far_it_is_and_the_model_is_there(client):
    first, middle, last = await client.call("pull", "new", stream=True)
    assert (first.status, last.status) == ("pulling manifest", "success")
    assert (middle.completed, middle.total, middle.digest) == (50, 100, "sha256:" + "ab" * 32)
    assert "new" in await names(client)
    assert (await client.call("pull", "newer")).status == "success"


async def test_a_pull_that_breaks_off_ends_with_an_error_line(client, engine):
    engine.breaks = True
    status, words = await client.refused("pull", "new", stream=True)
    assert (status, words) == (-1, "the registry is gone; try later")
    assert await client.refused("pull", "new") == (502, "the registry is gone; try later")


async def test_a_push_is_an_error_line_for_nothing_leaves(client):
    status, words = await client.refused("push", "script", stream=True)
    assert status == -1
    assert "sends no model anywhere" in words
    assert (await client.refused("push", "script"))[0] == 501
    assert await client.refused("push", "nope") == (404, "model 'nope' not found")


# --- create, copy, delete


async def test_a_model_made_of_another_one_has_its_own_words_and_options(client, engine):
    steps = await client.call(
        "create",
        "mine",
        from_="script",
        system="Be brief",
        parameters={"temperature": 0.25, "num_predict": 50},
        messages=[{"role": "user", "content": "one"}, {"role": "assistant", "content": "1"}],
        stream=True,
    )
    assert [step.status for step in steps][-2:] == ["writing manifest", "success"]
    assert (await client.call("chat", "mine:latest", ASK, options={"temperature": 0.5})).message.content == "Hello"
    (request,) = engine.requests
    assert [message.content for message in request.messages] == ["Be brief", "one", "1", "hi"]
    assert (request.sampling.temperature, request.sampling.max_tokens) == (0.5, 50)
    shown = await client.call("show", "mine")
    assert shown.details.parent_model == "script"
    assert 'SYSTEM """Be brief"""' in shown.modelfile
    assert "mine" in await names(client)


async def test_a_system_text_of_the_request_takes_the_place_of_the_models(client, engine):
    await client.call("create", "mine", from_="script", system="old")
    await client.call("chat", "mine", [{"role": "system", "content": "new"}, *ASK])
    assert engine.requests[0].messages == (Message("system", "new"), Message("user", "hi"))


async def test_a_model_made_of_a_made_one_keeps_what_it_does_not_say(client, engine):
    await client.call("create", "one", from_="script", system="Be brief", parameters={"temperature": 0.25})
    await client.call("create", "two", from_="one", parameters={"temperature": 0.75})
    await client.call("chat", "two", ASK)
    (request,) = engine.requests
    assert (request.model, request.messages[0].content, request.sampling.temperature) == ("script", "Be brief", 0.75)


async def test_a_copy_is_the_same_model_under_another_name_and_stays_when_the_first_goes(client):
    await client.call("create", "mine", from_="script", system="Be brief")
    assert (await client.call("copy", "mine", "again")).status == "success"
    assert (await client.call("delete", "mine")).status == "success"
    assert await client.refused("show", "mine") == (404, "model 'mine' not found")
    assert 'SYSTEM """Be brief"""' in (await client.call("show", "again")).modelfile
    await client.call("copy", "script", "third")
    assert (await client.call("chat", "third", ASK)).message.content == "Hello"


async def test_what_cannot_be_created_copied_or_deleted_is_refused(client):
    assert await client.refused("create", "x") == (400, "neither 'from' or 'files' was specified")
    assert await client.refused("create", "x", from_="nope") == (404, "model 'nope' not found")
    assert (await client.refused("create", "x", files={"a": "sha256:" + "0" * 64}))[0] == 400
    assert (await client.refused("create", "x", from_="script", quantize="q4_K_M"))[0] == 400
    assert (await client.refused("create", "x/../y", from_="script"))[0] == 400
    assert await client.refused("copy", "nope", "x") == (404, "model 'nope' not found")
    assert await client.refused("delete", "nope") == (404, "model 'nope' not found")
    status, words = await client.refused("delete", "script")
    assert (status, "ollama rm script" in words) == (400, True)
    assert (await client.refused("delete", "chat"))[0] == 404


# --- files


async def test_a_file_is_sent_once_and_looked_for_first(server, tmp_path):
    data = b"some bytes"
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    async with aiohttp.ClientSession(server.address) as web:
        statuses = []
        for method in ("HEAD", "POST", "HEAD", "POST"):
            async with web.request(method, f"/api/blobs/{digest}", data=data if method == "POST" else None) as answer:
                statuses.append(answer.status)
        assert statuses == [404, 201, 200, 200]


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "md5:1", "sha256:../../x"])
async def test_a_file_that_is_not_what_its_digest_says_leaves_nothing_behind(server, digest):
    async with (
        aiohttp.ClientSession(server.address) as web,
        web.post(f"/api/blobs/{digest}", data=b"other bytes") as answer,
    ):
        assert answer.status == 400
        assert "error" in await answer.json()
    root = server.fireside.store.root
    assert [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")] == []


async def test_a_file_that_is_no_model_is_refused_with_its_reason(client, tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF but not really")
    digest = await client.call("create_blob", path)
    status, words = await client.refused("create", "x", files={"x.gguf": digest}, stream=True)
    assert (status, "truncated" in words or "GGUF" in words) == (-1, True)
    assert "x" not in await names(client)


# --- the whole life of a GGUF, on the embedded engine


@pytest.fixture
async def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OllamaClient]:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    flags = {"engines.embedded.context": 512}
    async with served(root=tmp_path, flags=flags) as server, client_of(server.address) as client:
        yield client


async def test_a_gguf_is_sent_asked_measured_and_deleted(embedded: OllamaClient):
    client, path = embedded, tiny_gguf()
    digest = await client.call("create_blob", path)
    assert digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    steps = await client.call("create", "tiny", files={"tiny.gguf": digest}, stream=True)
    assert [step.status for step in steps] == [
        "parsing GGUF",
        f"creating new layer {digest}",
        "writing manifest",
        "success",
    ]
    (tag,) = [model for model in (await client.call("list")).models if model.model == "tiny"]
    assert (tag.digest, tag.size) == (digest.removeprefix("sha256:"), path.stat().st_size)
    shown = await client.call("show", "tiny")
    assert shown.modelinfo["general.parameter_count"] > 1_000_000
    assert shown.capabilities == ["completion", "tools", "insert"]
    assert ".Suffix" in shown.template

    answer = await client.call(
        "chat", "tiny", ASK, options={"num_predict": 8, "temperature": 0}, logprobs=True, top_logprobs=2
    )
    assert (answer.eval_count, answer.done_reason) == (8, "length")
    assert len(answer.logprobs) == 8
    assert all(each.logprob <= 0 and len(each.top_logprobs) == 2 for each in answer.logprobs)
    steady = {"num_predict": 5, "temperature": 0}  # whole characters; of halves llama-server tells no probabilities
    *pieces, last = await client.call("generate", "tiny", "hi", options=steady, logprobs=True, stream=True)
    assert sum(len(piece.logprobs or ()) for piece in pieces) == 5
    assert (last.eval_count, last.done_reason) == (5, "length")
    assert all(last[name] > 0 for name in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"))
    raw = await client.call("generate", "tiny", "<|fim_prefix|>def f(", raw=True, options={"num_predict": 3})
    assert raw.eval_count == 3
    status, words = await client.refused("generate", "tiny", "word " * 2000)
    assert (status, words.partition(":")[0]) == (400, "the prompt is longer than the context length")

    (running,) = (await client.call("ps")).models
    assert (running.name, running.context_length) == ("tiny", 512)
    assert (await client.call("generate", "tiny", keep_alive=0)).done_reason == "unload"
    assert (await client.call("ps")).models == []
    assert (await client.call("copy", "tiny", "second")).status == "success"
    assert (await client.call("delete", "tiny")).status == "success"
    assert "second" in await names(client)
    assert await client.refused("show", "tiny") == (404, "model 'tiny' not found")


async def test_texts_are_embedded_and_long_ones_cut_by_a_real_engine(embedded: OllamaClient):
    client = embedded
    digest = await client.call("create_blob", tiny_gguf())
    await client.call("create", "tiny-embed", files={"x.gguf": digest})
    assert (await client.call("show", "tiny-embed")).capabilities == ["embedding"]
    answer = await client.call("embed", "tiny-embed", ["some text", "another", "word " * 2000])
    assert {len(vector) for vector in answer.embeddings} == {256}
    assert sum(number**2 for number in answer.embeddings[0]) == pytest.approx(1, abs=1e-4)
    refused = await client.refused("embed", "tiny-embed", "word " * 2000, truncate=False)
    assert refused == (400, "the input length exceeds the context length")


async def test_all_that_a_file_says_is_shown_when_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    async with served(root=tmp_path) as server, aiohttp.ClientSession(server.address) as web:
        store: ModelStore = server.fireside.store
        store.add(tiny_gguf(), "tiny")
        async with web.post("/api/show", json={"model": "tiny", "verbose": True}) as answer:
            shown = json.loads(await answer.read())
        assert shown["model_info"]["general.architecture"] == "qwen2"
        assert shown["model_info"]["qwen2.context_length"] == 8192
        assert shown["model_info"]["qwen2.embedding_length"] == 256
        assert shown["template"].startswith("{%- if tools %}")
