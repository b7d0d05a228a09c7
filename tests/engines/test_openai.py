"""The OpenAI engine against a server that keeps the contract, and breaks it on demand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fireside.core.errors import (
    ConnectionFailed,
    FiresideError,
    Invalid,
    ModelNotFound,
    NotPermitted,
    TimedOut,
    Unknown,
)
from fireside.core.events import EventBus
from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, CompletionRequest, Sampling
from fireside.core.values import replace
from fireside.engines.base_url import base_url
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.engine import Boundary
from fireside.engines.ledger import Ledger
from fireside.engines.model_list import ModelSettings, cards_of
from fireside.engines.openai import OpenAIEngine, OpenAISettings, build
from fireside.engines.registry import EngineContext
from fireside.engines.transport import Transport
from support.answers import GUARD, check_error, failure, read
from support.fake_http import FakeReply, Faults
from support.fake_openai import FakeOpenAI
from support.subjects import nowhere

ASK = ChatRequest((Message("user", "hi"),))
QUICK = {"connect_seconds": 0.2, "load_seconds": 0.2, "first_token_seconds": 0.2, "stall_seconds": 0.2}


@asynccontextmanager
async def engine_at(
    url: str, tmp_path, secrets: dict[str, str] | None = None, **settings
) -> AsyncIterator[OpenAIEngine]:
    transport = Transport(Egress(EgressSettings(), Ledger(tmp_path / "egress.jsonl")))
    context = EngineContext(transport.egress, transport, EventBus(), tmp_path, (secrets or {}).get)
    try:
        yield build("gpu", OpenAISettings(base_url=url, **settings), context)
    finally:
        await transport.aclose()


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI(
        "one two three", models={"qwen2.5-coder": 8192, "my-embed": 512, "unheard-of": 4096}
    ) as server:
        yield server


@pytest.fixture
async def engine(fake, tmp_path) -> AsyncIterator[OpenAIEngine]:
    async with engine_at(fake.url, tmp_path) as made:
        yield made


# The address

ADDRESSES = {
    "http://gpu:8000": ("http://gpu:8000/v1", 1),
    "http://gpu:8000/": ("http://gpu:8000/v1", 1),
    "http://gpu:8000/v1": ("http://gpu:8000/v1", 0),
    "http://gpu:8000/v1/": ("http://gpu:8000/v1", 0),
    "http://gpu:8000//v1//": ("http://gpu:8000/v1", 0),
    "http://gpu:8000/v1/chat/completions": ("http://gpu:8000/v1", 1),
    "http://gpu:8000/v1/models/": ("http://gpu:8000/v1", 1),
    "http://gpu:8000/v1/chat/completions?x=1": ("http://gpu:8000/v1", 2),
    "gpu:8000": ("http://gpu:8000/v1", 2),
    " 'gpu:8000/v1' ": ("http://gpu:8000/v1", 1),
    "192.168.1.20:1234": ("http://192.168.1.20:1234/v1", 2),
    "[::1]:8000": ("http://[::1]:8000/v1", 2),
    "http://gpu": ("http://gpu/v1", 2),
    "https://gpu/v1": ("https://gpu/v1", 0),
    "api.openai.com": ("https://api.openai.com/v1", 2),
    "https://api.openai.com/v1": ("https://api.openai.com/v1", 0),
    "https://openrouter.ai/api/v1": ("https://openrouter.ai/api/v1", 0),
    "https://host/v1beta/openai": ("https://host/v1beta/openai", 0),
    "https://host/proxy": ("https://host/proxy/v1", 1),
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_an_address_is_understood_and_what_was_changed_is_said(text):
    found = base_url(text)
    assert (found.url, len(found.notes)) == ADDRESSES[text]


@pytest.mark.parametrize(
    "text", ["", "  ", "http://", "ftp://gpu", "http://gpu:port", "http://gpu:99999", "http://a b", "://x"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(Invalid) as caught:
        base_url(text)
    check_error(caught.value)


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://gpu:8000/v1", "http://gpu:8000"),
        ("http://gpu/llm/v1", "http://gpu/llm"),
        ("https://host/v1beta/openai", "https://host"),
    ],
)
def test_the_root_of_a_server_is_before_its_version(url, root):
    assert base_url(url).root == root


@pytest.mark.parametrize(
    ("url", "given", "boundary"),
    [
        ("http://127.0.0.1:8000", "auto", Boundary.MACHINE),
        ("http://gpu-box:8000", "auto", Boundary.NETWORK),
        ("http://100.101.102.103:8000", "auto", Boundary.NETWORK),
        ("https://api.openai.com", "auto", Boundary.CLOUD),
        ("https://llm.corp.example", "auto", Boundary.CLOUD),
        ("https://llm.corp.example", "network", Boundary.NETWORK),
        ("http://127.0.0.1:8000", "cloud", Boundary.CLOUD),
    ],
)
async def test_the_boundary_is_where_the_host_is_or_what_was_said(tmp_path, url, given, boundary):
    async with engine_at(url, tmp_path, boundary=given) as engine:
        assert engine.boundary is boundary


async def test_a_promise_to_stay_in_the_network_is_kept_at_the_socket(tmp_path):
    async with engine_at("http://203.0.113.7:8000", tmp_path, boundary="network") as engine:
        engine.api.transport.egress.settings = EgressSettings(allow_hosts=("203.0.113.7",))
        with pytest.raises(NotPermitted):
            await engine.models()


class WithoutVersion(FakeOpenAI):
    def routes(self):
        return {route.replace("/v1", "/api"): handler for route, handler in super().routes().items()}


async def test_a_server_without_v1_is_found(tmp_path):
    async with WithoutVersion("one two three") as fake, engine_at(f"{fake.url}/api", tmp_path) as engine:
        assert engine.api.base.url.endswith("/api/v1")
        card, _ = await engine.models()
        assert engine.api.base.url.endswith("/api")
        assert "only there an API answers" in engine.notes[-1]
        assert (await read(engine.chat(ASK, card))).text == "one two three"


# Models


async def test_models_come_with_their_windows_and_families(engine):
    coder, embedder, unknown = await engine.models()
    assert (coder.context_window, coder.family, coder.fim is not None) == (8192, "qwen2.5-coder", True)
    assert coder.capabilities == {"chat", "tools", "json_schema", "fim"}
    assert embedder.capabilities == {"embed"}
    assert unknown.capabilities == {"chat", "tools", "json_schema"}


async def test_the_settings_go_before_what_the_server_says(fake, tmp_path):
    models = {
        "unheard-of": ModelSettings(context_window=1000, capabilities=("chat", "vision")),
        "unlisted": ModelSettings(),
    }
    async with engine_at(fake.url, tmp_path, models=models) as engine:
        cards = {card.name: card for card in await engine.models()}
    assert cards["unheard-of"].context_window == 1000
    assert cards["unheard-of"].capabilities == {"chat", "vision"}
    assert "unlisted" in cards


LISTINGS = {
    "LM Studio": ({"id": "m", "max_context_length": 4096}, 4096),
    "llama.cpp": ({"id": "m", "meta": {"n_ctx_train": 32768, "n_ctx": 8192}}, 8192),
    "OpenRouter": ({"id": "m", "context_length": 131072}, 131072),
    "Groq": ({"id": "m", "context_window": 131072}, 131072),
    "OpenAI": ({"id": "m", "object": "model", "owned_by": "system"}, 0),
}


@pytest.mark.parametrize("server", LISTINGS)
def test_windows_are_read_in_every_dialect(server):
    entry, window = LISTINGS[server]
    (card,) = cards_of({"data": [entry]}, "e", {}, suffix=True)
    assert card.context_window == window


def test_openrouter_tells_what_a_model_can():
    entry = {
        "id": "m",
        "supported_parameters": ["tools", "reasoning"],
        "architecture": {"input_modalities": ["text", "image"]},
    }
    (card,) = cards_of({"data": [entry]}, "e", {}, suffix=True)
    assert card.capabilities == {"chat", "tools", "thinking", "vision"}


@pytest.mark.parametrize("listed", [{}, {"data": None}, {"data": ["m", {}, {"id": ""}]}])
def test_a_strange_list_has_no_models(listed):
    assert cards_of(listed, "e", {}, suffix=True) == []


# Chat


async def card_of(engine: OpenAIEngine, name: str = "qwen2.5-coder"):
    return next(card for card in await engine.models() if card.name == name)


async def test_a_chat_is_answered(engine, fake):
    answer = await read(engine.chat(ASK, await card_of(engine)))
    assert (answer.text, answer.finish, answer.usage.completion_tokens) == ("one two three", "stop", 3)


@pytest.mark.parametrize("split", [0, 3])
async def test_a_connection_serves_one_chat_after_another(engine, fake, split):
    card = await card_of(engine)
    fake.faults.split = split
    for _ in range(3):
        await read(engine.chat(ASK, card))
    assert len(fake.peers) == 1


async def test_a_server_that_does_not_stream_is_understood(engine, fake):
    fake.streams = False
    call = ToolCall("a", "look", '{"path": "x"}')
    fake.rehearse(FakeReply("I look.", tool_calls=(call,)))
    look = ToolSpec("look", "", {"type": "object"})
    answer = await read(engine.chat(ChatRequest(ASK.messages, tools=(look,)), await card_of(engine)))
    assert (answer.text, answer.tool_calls, answer.finish) == ("I look.", (call,), "tool_calls")


STRANGE = {
    "CRLF": Faults(crlf=True),
    "comments": Faults(comments=True),
    "single bytes": Faults(split=1),
    "CRLF and comments in threes": Faults(crlf=True, comments=True, split=3),
    "no [DONE]": Faults(no_end=True),
}


@pytest.mark.parametrize("case", STRANGE)
async def test_other_ways_to_write_a_stream_are_read(engine, fake, case):
    fake.rehearse("né 👍 𝔘 end")
    fake.faults = STRANGE[case]
    assert (await read(engine.chat(ASK, await card_of(engine)))).text == "né 👍 𝔘 end"


async def test_a_very_large_event_is_read(engine, fake):
    fake.rehearse(FakeReply(pieces=["x" * 2_000_000]))
    assert len((await read(engine.chat(ASK, await card_of(engine)))).text) == 2_000_000


BROKEN = {
    "reset before an answer": (Faults(reset=True), ConnectionFailed, "reset"),
    "reset in the middle": (Faults(cut_after=1), ConnectionFailed, "cut"),
    "closed in the middle": (Faults(close_after=1), ConnectionFailed, "cut"),
    "ended in the middle": (Faults(end_after=1), ConnectionFailed, "cut"),
    "no finish reason": (Faults(no_finish=True), ConnectionFailed, "cut"),
    "no finish reason and no [DONE]": (Faults(no_finish=True, no_end=True), ConnectionFailed, "cut"),
    "an event that is not JSON": (Faults(broken_after=1), ConnectionFailed, "protocol"),
    "a web page": (Faults(html=200), ConnectionFailed, "protocol"),
    "an empty body": (Faults(body=b""), ConnectionFailed, "protocol"),
    "JSON that breaks off": (Faults(body=b'{"choices": ['), ConnectionFailed, "protocol"),
    "JSON without a reason": (Faults(body=b'{"choices": []}'), ConnectionFailed, "cut"),
    "an error under 200": (Faults(body=b'{"error": {"message": "no"}}'), Unknown, None),
    "an error in the stream": (Faults(error_after=1, error_event={"error": {"message": "no"}}), Unknown, None),
    "a redirect": (Faults(redirect="https://evil.example.com"), Invalid, None),
    "a web page under 500": (Faults(html=500), Unknown, None),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_breaks_is_a_typed_error_never_a_stop(engine, fake, case):
    card = await card_of(engine)
    fake.faults, kind, cause = BROKEN[case]
    _, error = await failure(engine.chat(ASK, card))
    assert type(error) is kind
    assert error.context.get("cause") == cause
    check_error(error)


@pytest.mark.parametrize(
    ("faults", "phase"),
    [
        (Faults(hold_head=asyncio.Event()), "load"),
        (Faults(hold_after=0), "first_token"),
        (Faults(hold_after=1), "stall"),
    ],
)
async def test_each_phase_has_its_limit(fake, tmp_path, faults, phase):
    async with engine_at(fake.url, tmp_path, **QUICK) as engine:
        card = await card_of(engine)
        fake.faults = Faults(hold_head=asyncio.Event()) if faults.hold_head else faults
        _, error = await failure(engine.chat(ASK, card))
    assert (type(error), error.context["phase"]) == (TimedOut, phase)


async def test_closing_a_stream_reaches_the_server(engine, fake):
    card = await card_of(engine)
    fake.faults = Faults(hold_after=1)
    async with asyncio.timeout(GUARD):
        stream = engine.chat(ASK, card)
        await anext(stream)
        assert (await engine.health()).busy == 1
        await stream.aclose()
        await fake.aborted.wait()
    assert (await engine.health()).busy == 0


async def test_a_server_that_stays_after_its_last_event_keeps_nobody_waiting(engine, fake):
    """The last piece comes at once; the rest of the body is waited for only for a moment."""
    card = await card_of(engine)
    fake.faults = Faults(no_end=False)
    write = fake._write

    async def stay(response, event):
        await write(response, event)
        if b"[DONE]" in event:
            await asyncio.Event().wait()

    fake._write = stay
    async with asyncio.timeout(2):
        assert (await read(engine.chat(ASK, card))).finish == "stop"


async def test_what_a_model_cannot_do_is_refused_before_anything_is_sent(engine, fake):
    embedder = await card_of(engine, "my-embed")
    sent = len(fake.requests)
    _, error = await failure(engine.chat(ASK, embedder))
    assert isinstance(error, Invalid)
    check_error(error)
    assert len(fake.requests) == sent


async def test_reasoning_is_asked_only_of_a_model_that_thinks(fake, tmp_path):
    thinks = {"unheard-of": ModelSettings(capabilities=("chat", "thinking"))}
    async with engine_at(fake.url, tmp_path, models=thinks) as engine:
        fake.rehearse(FakeReply("four", reasoning="two and two"))
        request = ChatRequest(ASK.messages, reasoning="low")
        answer = await read(engine.chat(request, await card_of(engine, "unheard-of")))
        assert (answer.reasoning, answer.text) == ("two and two", "four")
        await read(engine.chat(request, await card_of(engine)))
    asked = [body.get("reasoning_effort") for body in fake.asked("/v1/chat/completions")]
    assert asked == ["low", None]


# Keys


async def test_the_key_is_sent_and_read_anew_each_time(fake, tmp_path):
    fake.api_key = "first"
    secrets = {"gpu": "first"}
    async with engine_at(fake.url, tmp_path, secrets, key_name="gpu") as engine:
        await engine.models()
        fake.api_key = secrets["gpu"] = "second"
        await engine.models()
        secrets["gpu"] = "wrong"
        with pytest.raises(NotPermitted) as caught:
            await engine.models()
    assert "second" not in str(caught.value.as_dict())


async def test_a_key_that_is_not_set_is_asked_for_before_anything_is_sent(fake, tmp_path):
    async with engine_at(fake.url, tmp_path, key_name="gpu") as engine:
        with pytest.raises(NotPermitted) as caught:
            await engine.models()
        assert caught.value.remedy == "fireside config secret set gpu"
        assert (await engine.health()).state == "down"
    assert fake.requests == []


async def test_openai_itself_has_its_usual_key_and_no_other_host_gets_it(tmp_path):
    for url, name in (
        ("https://api.openai.com", "openai"),
        ("https://api.openai.com.evil.org", ""),
        ("http://gpu:8000", ""),
    ):
        async with engine_at(url, tmp_path) as engine:
            assert engine.api.key.name == name
            assert engine.documented is (name == "openai")


async def test_headers_of_ones_own_are_sent(fake, tmp_path):
    async with engine_at(
        fake.url, tmp_path, headers={"X-Team": "a"}, host_header="gpu.local", organization="org"
    ) as engine:
        await engine.models()
    headers = fake.requests[0].headers
    assert (headers["X-Team"], headers["Host"], headers["OpenAI-Organization"]) == ("a", "gpu.local", "org")


# Completions, embeddings, counting


async def test_code_is_filled_in_with_the_tokens_of_the_family(engine, fake):
    fake.rehearse("a + b")
    answer = await read(engine.complete(CompletionRequest("return ", "\n", max_tokens=8), await card_of(engine)))
    assert answer.text == "a + b"
    (body,) = fake.asked("/v1/completions")
    assert body["prompt"].startswith("<|fim_prefix|>return<|fim_suffix|>\n<|fim_middle|>")
    assert "<|endoftext|>" in body["stop"]
    assert (body["temperature"], body["max_tokens"]) == (0.0, 8)
    assert "suffix" not in body


@pytest.mark.parametrize("said", ["  a + b", " a + b", "a + b"])
async def test_a_blank_before_the_cursor_is_neither_sent_nor_said_twice(engine, fake, said):
    fake.rehearse(said)
    answer = await read(engine.complete(CompletionRequest("return ", "\n"), await card_of(engine)))
    assert answer.text == said.removeprefix(" ")
    assert "return<|" in fake.asked("/v1/completions")[0]["prompt"]


async def test_without_tokens_of_its_own_the_server_gets_the_suffix(fake, tmp_path):
    async with engine_at(fake.url, tmp_path, models={"unheard-of": ModelSettings(capabilities=("fim",))}) as engine:
        request = CompletionRequest("return ", "\n", sampling=Sampling(temperature=0.5), heal=False)
        await read(engine.complete(request, await card_of(engine, "unheard-of")))
        (body,) = fake.asked("/v1/completions")
        assert (body["prompt"], body["suffix"], body["temperature"]) == ("return ", "\n", 0.5)
        fake.suffix = False
        _, error = await failure(engine.complete(request, await card_of(engine, "unheard-of")))
    assert isinstance(error, Invalid)


@pytest.mark.parametrize("encoded", [False, True])
async def test_vectors_come_in_the_order_of_the_texts(engine, fake, encoded):
    fake.base64 = encoded
    texts = ["x" * (number % 7) for number in range(150)]
    vectors = await engine.embed(texts, await card_of(engine, "my-embed"))
    assert [vector[0] for vector in vectors] == [float(len(text) or 1) for text in texts]
    assert len(fake.asked("/v1/embeddings")) == 3


async def test_nothing_to_embed_asks_nobody(engine, fake):
    card = await card_of(engine, "my-embed")
    assert await engine.embed([], card) == []
    assert fake.asked("/v1/embeddings") == []


async def test_tokens_are_counted_where_the_server_can(engine):
    card = await card_of(engine)
    assert await engine.count_tokens("one two three", card) == 3
    assert await engine.count_tokens(ASK, card) == 1
    assert await engine.count_tokens("", card) == 0


async def test_a_server_that_cannot_count_is_asked_once(tmp_path):
    async with FakeOpenAI(has_tokenize=False) as fake, engine_at(fake.url, tmp_path) as engine:
        card = (await engine.models())[0]
        assert [await engine.count_tokens("one two", card) for _ in range(3)] == [None] * 3
        assert len(fake.asked("/tokenize")) <= 1


async def test_warming_says_one_token(engine, fake):
    await engine.warm(ASK, await card_of(engine))
    (body,) = fake.asked("/v1/chat/completions")
    assert body["max_tokens"] == 1


async def test_a_pull_is_refused(engine):
    with pytest.raises(Invalid):
        await anext(engine.pull("m"))


# Health


async def test_a_server_that_answers_is_ready(engine):
    health = await engine.health()
    assert health.state == "ready"
    assert "3 models" in health.detail
    assert "/v1 was added" in health.detail


async def test_a_server_without_a_health_route_is_ready_too(tmp_path):
    async with FakeOpenAI(has_health=False) as fake, engine_at(fake.url, tmp_path) as engine:
        assert (await engine.health()).state == "ready"


@pytest.mark.parametrize("status", [200, 500])
async def test_a_web_page_is_down_with_its_reason(engine, fake, status):
    fake.faults.html = status
    health = await engine.health()
    assert health.state == "down"
    assert health.remedy


async def test_nobody_there_is_down_with_its_reason(tmp_path):
    async with engine_at(nowhere(), tmp_path) as engine:
        health = await engine.health()
    assert health.state == "down"
    assert "nothing listens" in health.detail


async def test_a_cloud_is_never_asked_how_it_is(tmp_path):
    async with engine_at("https://api.openai.com", tmp_path, {"openai": "key"}) as engine:
        assert "privacy.allow_hosts" in (await engine.health()).remedy
        engine.api.transport.egress.settings = EgressSettings(allow_hosts=("api.openai.com",))
        assert (await engine.health()).state == "idle"
        assert engine.api.transport.egress.ledger.verify().entries == 0


async def test_an_unknown_model_is_named(engine):
    card = await card_of(engine)
    _, error = await failure(engine.chat(ASK, replace(card, name="no-such")))
    assert isinstance(error, ModelNotFound)
    assert "no-such" in error.message


async def test_eight_at_once_are_answered(engine):
    card = await card_of(engine)
    answers = await asyncio.gather(*(read(engine.chat(ASK, card)) for _ in range(8)))
    assert {answer.text for answer in answers} == {"one two three"}


async def test_a_cancelled_model_list_harms_nothing(engine, fake):
    task = asyncio.create_task(engine.models())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises((asyncio.CancelledError, FiresideError)):
        await task
    assert len(await engine.models()) == 3
