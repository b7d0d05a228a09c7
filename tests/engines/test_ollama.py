"""The Ollama engine against a server that keeps Ollama's contract, and breaks it on demand."""

import json

import pytest

from fireside.core.errors import (
    ContextTooLong,
    Invalid,
    ModelNotFound,
    NotPermitted,
)
from fireside.core.events import EventBus
from fireside.core.messages import Message, ToolSpec
from fireside.core.requests import ChatRequest, CompletionRequest, Sampling
from fireside.core.values import replace
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.engine import Boundary
from fireside.engines.ledger import Ledger
from fireside.engines.ollama import OllamaSettings, build
from fireside.engines.registry import EngineContext
from fireside.engines.transport import Transport
from support.answers import check_error, failure, read
from support.fake_ollama import EMBEDDER, FakeModel, FakeOllama, FakeReply
from support.ollama_engine import CODER, EMBED, ask, engine_at

WEATHER = ToolSpec("weather", "", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
TIME = ToolSpec("time", "", {"type": "object", "properties": {}})


@pytest.fixture
async def fake():
    async with FakeOllama() as server:
        yield server


@pytest.fixture
async def engine(fake, tmp_path):
    async with engine_at(fake.url, tmp_path) as built:
        yield built


def options_of(fake: FakeOllama, path: str = "/api/chat") -> dict:
    return fake.asked(path)[-1]["options"]


# --- answers


async def test_an_answer_streams_and_ends_with_its_usage(fake, engine):
    answer = await read(engine.chat(ask(), CODER))
    assert answer.text == "Hello from a fake."
    assert answer.finish == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1, 4)
    assert answer.usage.load_seconds == 0.1


async def test_a_limit_ends_with_length_and_unicode_survives_any_cut(fake, engine):
    fake.rehearse("Grüße 👋🏽 aus 東京 und weiter")
    fake.faults.split = 1
    answer = await read(engine.chat(ask(sampling=Sampling(max_tokens=4)), CODER))
    assert answer.text == "Grüße 👋🏽 aus 東京"
    assert answer.finish == "length"


async def test_tools_are_called_with_whole_arguments(fake, engine):
    fake.rehearse(FakeReply("Let me look.", tool_calls=[("weather", {"city": "Ulm"}), ("time", {})]))
    answer = await read(engine.chat(ask(tools=(WEATHER, TIME)), CODER))
    assert [(call.name, json.loads(call.arguments)) for call in answer.tool_calls] == [
        ("weather", {"city": "Ulm"}),
        ("time", {}),
    ]
    assert answer.finish == "tool_calls"


@pytest.mark.parametrize("choice", ["required", "weather"])
async def test_a_forced_call_is_had_by_a_schema_because_ollama_ignores_tool_choice(fake, engine, choice):
    answer = await read(engine.chat(ask(tools=(WEATHER,), tool_choice=choice), CODER))
    assert answer.text == ""
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("weather", '{"city":"text"}')]
    assert answer.finish == "tool_calls"


async def test_a_forced_call_cut_by_its_limit_is_refused_never_half_given(fake, engine):
    request = ask(tools=(WEATHER,), tool_choice="weather", sampling=Sampling(max_tokens=2))
    with pytest.raises(Invalid, match="not finished after 2 tokens"):
        await read(engine.chat(request, CODER))


async def test_a_choice_of_a_tool_that_is_not_offered_is_refused(engine):
    with pytest.raises(Invalid, match="offered: weather"):
        await read(engine.chat(ask(tools=(WEATHER,), tool_choice="rain"), CODER))


async def test_what_a_model_cannot_is_refused_before_sending(fake, engine):
    card = replace(CODER, capabilities=frozenset(("chat",)))
    with pytest.raises(Invalid, match="cannot call tools"):
        await read(engine.chat(ask(tools=(WEATHER,)), card))
    with pytest.raises(Invalid, match="cannot see images"):
        await read(engine.chat(ChatRequest((Message("user", "?", images=(b"png",)),)), card))
    with pytest.raises(Invalid, match="at least one message"):
        await read(engine.chat(ChatRequest(()), card))
    assert fake.requests == []


async def test_thinking_is_asked_for_by_level_and_told_apart(fake, engine):
    fake.rehearse(FakeReply("42", thinking="six by seven"))
    answer = await read(engine.chat(ask(reasoning="high"), CODER))
    assert (answer.reasoning, answer.text) == ("six by seven", "42")
    assert fake.asked("/api/chat")[-1]["think"] == "high"
    quick = await read(engine.chat(ask(), CODER))
    assert quick.reasoning == ""
    assert fake.asked("/api/chat")[-1]["think"] is False


async def test_think_is_not_mentioned_to_a_model_that_cannot(fake, engine):
    await read(engine.chat(ask(reasoning="high"), replace(CODER, capabilities=frozenset(("chat",)))))
    assert "think" not in fake.asked("/api/chat")[-1]


async def test_fill_in_the_middle_is_sent_raw_and_never_as_a_suffix(fake, engine):
    fake.rehearse("return 1<END>junk")
    request = CompletionRequest("def f():\n    ", "\n\nprint(f())", sampling=Sampling(stop=("\n\n",)), max_tokens=9)
    answer = await read(engine.complete(request, CODER))
    body = fake.asked("/api/generate")[-1]
    assert answer.text == "return 1"
    assert body["raw"] is True
    assert "suffix" not in body
    assert body["prompt"].index("<P>def f()") < body["prompt"].index("<S>\n\nprint") < body["prompt"].index("<M>")
    stop = ["\n\n", "<END>", "<P>", "<S>", "<M>"]
    assert body["options"] == {"temperature": 0.0, "num_predict": 9, "stop": stop, "num_ctx": 8192}


async def test_a_raw_prompt_goes_as_it_is_whatever_the_model_can(fake, engine):
    fake.rehearse("and so on")
    request = CompletionRequest("Once <S> upon", raw=True, max_tokens=9, sampling=Sampling(temperature=0.7))
    answer = await read(engine.complete(request, replace(CODER, fim=None)))
    body = fake.asked("/api/generate")[-1]
    assert (answer.text, body["prompt"], body["raw"]) == ("and so on", "Once <S> upon", True)
    assert body["options"] == {"temperature": 0.7, "num_predict": 9, "num_ctx": 8192}


async def test_a_request_says_how_long_the_model_stays_else_the_settings_do(fake, engine):
    await read(engine.chat(ask(), CODER))
    await read(engine.chat(ask(keep_alive=0), CODER))
    await engine.warm(ChatRequest((), keep_alive=-1), CODER)
    assert [body["keep_alive"] for body in fake.asked("/api/chat")] == ["5m", 0]
    assert fake.asked("/api/generate")[-1]["keep_alive"] == -1


async def test_what_is_in_memory_is_told_with_its_size_and_when_it_leaves(fake, engine):
    await read(engine.chat(ask(), CODER))
    (resident,) = (await engine.health()).residents
    assert (resident.name, resident.context) == (CODER.name, 8192)
    assert resident.size > 0
    assert resident.expires is not None


async def test_a_model_without_fill_in_tokens_is_refused(engine):
    with pytest.raises(Invalid, match="cannot fill in"):
        await read(engine.complete(CompletionRequest("x"), replace(CODER, fim=None)))


async def test_texts_become_vectors_in_order(fake, engine):
    assert await engine.embed(["a b", "c"], EMBED) == [[3.0, 2.0, 1.0], [1.0, 1.0, 1.0]]
    assert fake.asked("/api/embed")[-1]["truncate"] is False
    assert options_of(fake, "/api/embed") == {"num_ctx": 2048}
    assert await engine.embed([], EMBED) == []


async def test_a_model_that_does_not_embed_names_one_that_does(fake, engine):
    can_by_its_card = replace(CODER, capabilities=frozenset(("embed",)))
    for card in (CODER, can_by_its_card):
        with pytest.raises(Invalid, match="does not embed") as caught:
            await engine.embed(["x"], card)
        assert "nomic-embed-text" in caught.value.remedy
    fake.models.remove(EMBEDDER)
    with pytest.raises(Invalid) as caught:
        await engine.embed(["x"], CODER)
    assert caught.value.remedy.startswith("fireside models pull")


# --- the context


async def test_the_context_size_is_always_sent_and_rises_in_steps_but_never_falls(fake, engine):
    sizes = []
    for words in (1, 6_000, 1, 20_000, 1):
        await read(engine.chat(ask("word " * words), CODER))
        sizes.append(options_of(fake)["num_ctx"])
    assert sizes == [8192, 16384, 16384, 32768, 32768]


async def test_a_small_model_never_gets_more_context_than_it_was_made_for(fake, engine):
    await read(engine.chat(ask("word " * 1000), replace(CODER, context_window=3000)))
    assert options_of(fake)["num_ctx"] == 3000


async def test_a_fixed_context_size_stays(fake, tmp_path):
    async with engine_at(fake.url, tmp_path, num_ctx=4096) as engine:
        (card, _) = await engine.models()
        await read(engine.chat(ask("word " * 3000), card))
        assert card.context_window == 4096
        assert options_of(fake)["num_ctx"] == 4096


async def test_a_prompt_that_surely_does_not_fit_is_refused_before_sending(fake, engine):
    with pytest.raises(ContextTooLong) as caught:
        await read(engine.chat(ask("word " * 50_000), CODER))
    assert caught.value.context["prompt_tokens"] >= 40_000
    assert caught.value.context["context_window"] == 32768
    assert fake.requests == []
    check_error(caught.value)


async def test_silent_truncation_is_an_error_even_after_the_answer(fake, engine):
    fake.faults.truncate_to = 40
    answer, error = await failure(engine.chat(ask("word " * 1000), CODER))
    assert answer.text == "Hello from a fake."
    assert isinstance(error, ContextTooLong)
    assert error.context["truncated"] is True
    check_error(error)


async def test_a_fill_in_prompt_is_watched_for_truncation_too(fake, engine):
    fake.faults.truncate_to = 40
    _, error = await failure(engine.complete(CompletionRequest("word " * 1000), CODER))
    assert isinstance(error, ContextTooLong)


async def test_an_old_servers_low_count_alone_proves_nothing(fake, engine):
    fake.version = "0.11.4"
    fake.faults.truncate_to = 40
    assert (await read(engine.chat(ask("word " * 1000), CODER))).finish == "stop"


async def test_a_server_that_loads_with_less_context_is_found_out_whatever_its_version(fake, engine):
    fake.version = "0.11.4"
    fake.faults.context_limit = 512
    fake.faults.truncate_to = 500
    _, error = await failure(engine.chat(ask("word " * 1000), CODER))
    assert isinstance(error, ContextTooLong)
    assert error.context["context_window"] == 512


async def test_half_a_context_read_of_a_prompt_that_likely_did_not_fit_is_truncation(fake, engine):
    card = replace(CODER, context_window=4096)
    fake.faults.truncate_to = 2050
    _, error = await failure(engine.chat(ask("1234567 " * 2000), card))
    assert isinstance(error, ContextTooLong)


@pytest.mark.parametrize("nested", [True, False])
async def test_a_refusal_of_an_over_long_prompt_is_read_however_it_is_wrapped(fake, engine, nested):
    fake.faults.nested = nested
    _, error = await failure(engine.chat(ask("1 " * 9000), replace(CODER, context_window=8192)))
    assert isinstance(error, ContextTooLong)
    if nested:
        assert (error.context["prompt_tokens"], error.context["context_window"]) == (9000, 8192)
    check_error(error)


async def test_a_text_too_long_to_embed_is_refused_not_cut(fake, engine):
    with pytest.raises(ContextTooLong):
        await engine.embed(["1 " * 3000], EMBED)


# --- models


async def test_cards_tell_what_each_model_can(fake, engine):
    coder, embedder = await engine.models()
    assert coder.capabilities == {"chat", "tools", "fim", "vision", "json_schema", "thinking"}
    assert (coder.context_window, coder.parameters, coder.quantization) == (32768, 7_600_000_000, "Q4_K_M")
    assert coder.fim.prefix == "<|fim_prefix|>"
    assert embedder.capabilities == {"embed"}
    assert embedder.context_window == 2048


async def test_a_model_is_asked_about_once_until_it_changes(fake, engine):
    await engine.models()
    await engine.models()
    assert len(fake.asked("/api/show")) == 2
    fake.models.append(FakeModel("llama3.2:1b"))
    await engine.models()
    assert len(fake.asked("/api/show")) == 3


async def test_models_of_ollamas_cloud_are_neither_listed_nor_asked(fake, engine):
    fake.models += [FakeModel("gpt-oss:120b-cloud"), FakeModel("big", remote_host="https://ollama.com")]
    assert [card.name for card in await engine.models()] == [CODER.name, EMBED.name]
    with pytest.raises(NotPermitted, match=r"ollama\.com"):
        await read(engine.chat(ask(), replace(CODER, name="gpt-oss:120b-cloud")))
    assert fake.asked("/api/chat") == []


async def test_a_missing_model_names_the_closest_and_the_command(fake, engine):
    _, error = await failure(engine.chat(ask(), replace(CODER, name="qwen2.5-codr:7b")))
    assert isinstance(error, ModelNotFound)
    assert "did you mean qwen2.5-coder:7b?" in error.message
    assert error.remedy == "fireside models pull qwen2.5-codr:7b@ollama"


async def test_a_pull_shows_its_progress_and_the_model_is_there(fake, engine):
    fake.pullable = ["llama3.2:1b"]
    steps = [step async for step in engine.pull("llama3.2:1b")]
    assert steps[0].status == "pulling manifest"
    assert [(step.completed, step.total) for step in steps if step.total] == [(0, 100), (50, 100), (100, 100)]
    assert steps[-1].status == "success"
    assert "llama3.2:1b" in [card.name for card in await engine.models()]


@pytest.mark.parametrize(
    ("name", "kind"), [("no-such", ModelNotFound), ("https://evil.example/x.gguf", Invalid), ("x:cloud", NotPermitted)]
)
async def test_what_cannot_be_pulled_is_told(engine, name, kind):
    with pytest.raises(kind) as caught:
        async for _ in engine.pull(name):
            pass
    check_error(caught.value)


async def test_warming_loads_the_model_with_the_size_a_question_will_use(fake, engine):
    await engine.warm(ChatRequest(()), CODER)
    assert fake.loaded == {CODER.name: 8192}
    assert fake.asked("/api/generate")[-1]["keep_alive"] == "5m"
    await engine.warm(ask("system"), CODER)
    assert options_of(fake) == {"num_predict": 1, "num_ctx": 8192}
    assert await engine.count_tokens("text", CODER) is None


@pytest.mark.parametrize(("setting", "sent"), [("-1", -1), ("0", 0), ("1h30m", "1h30m"), ("300", 300)])
async def test_keep_alive_is_a_number_or_a_duration(fake, tmp_path, setting, sent):
    async with engine_at(fake.url, tmp_path, keep_alive=setting) as engine:
        await read(engine.chat(ask(), CODER))
    assert fake.asked("/api/chat")[-1]["keep_alive"] == sent


async def test_health_tells_idle_from_ready_and_down(fake, engine, tmp_path):
    assert (await engine.health()).state == "idle"
    await read(engine.chat(ask(), CODER))
    health = await engine.health()
    assert (health.state, health.loaded) == ("ready", (CODER.name,))
    assert "0.33.1" in health.detail
    async with engine_at("127.0.0.1:1", tmp_path) as nobody:
        health = await nobody.health()
    assert health.state == "down"
    assert "ollama serve" in health.remedy


async def test_no_origin_is_ever_sent_and_the_host_can_be_chosen(fake, engine, tmp_path):
    fake.pullable = ["x"]
    await engine.models()
    await engine.health()
    await read(engine.chat(ask(), CODER))
    await read(engine.complete(CompletionRequest("x"), CODER))
    await engine.embed(["x"], EMBED)
    assert [step async for step in engine.pull("x")]
    async with engine_at(fake.url, tmp_path, host_header="localhost:11434") as other:
        await other.models()
    assert len({seen.path for seen in fake.requests}) >= 7
    assert not [seen for seen in fake.requests if "Origin" in seen.headers]
    assert fake.requests[-1].headers["Host"] == "localhost:11434"


def test_how_far_a_server_is_shows_in_its_address(tmp_path):
    transport = Transport(Egress(EgressSettings(), Ledger(tmp_path / "egress.jsonl")))
    context = EngineContext(transport.egress, transport, EventBus(), tmp_path, lambda name: None)
    far = {url: build("o", OllamaSettings(url=url), context).boundary for url in ("", "100.64.0.9", "ollama.com")}
    assert list(far.values()) == [Boundary.MACHINE, Boundary.NETWORK, Boundary.CLOUD]
