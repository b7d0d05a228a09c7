"""Embeddings for the index from models behind the gateway, asked for from any thread."""

import asyncio
import math
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from fireside.app.embed_prompts import prompt_of
from fireside.app.embedding import GatewayEmbedder, choose_embedder, own_gateway, written
from fireside.app.loop_thread import LoopThread
from fireside.core.errors import ConnectionFailed, ContextTooLong, FiresideError, Invalid, ModelNotFound, NotPermitted
from fireside.core.events import EventBus
from fireside.core.requests import Vectors
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.ledger import Ledger
from fireside.engines.llama_server import LlamaServerSettings
from fireside.engines.ollama import OllamaSettings
from fireside.engines.openai import OpenAISettings
from fireside.engines.registry import EngineContext, build_engine
from fireside.engines.scripted import ScriptedEngine
from fireside.engines.transport import Transport
from fireside.gateway.gateway import Gateway
from fireside.gateway.settings import GatewaySettings
from fireside.index.embedder import Passage
from fireside.index.settings import IndexSettings
from fireside.index.vector_cache import CachedEmbedder
from fireside.models.card import ModelCard
from support.fake_ollama import FakeModel, FakeOllama
from support.fake_openai import FakeOpenAI
from support.gateways import card
from support.tiny import tiny_gguf

NOMIC = "nomic-embed-text"


class Embedding(ScriptedEngine):
    """Embeds at once: (length, count of "e", 1). ``window``: characters it takes, told as tokens. ``largest``: texts at a time so far."""

    def __init__(self, *cards: ModelCard, window: int = 1 << 30, tells: bool = True, name: str = "a") -> None:
        super().__init__(name=name, cards=list(cards) or [card("m", name, "embed")])
        self.window = window
        self.tells = tells
        self.texts: list[str] = []
        self.largest = 0
        self.dimensions = 3
        self.entered = threading.Event()
        self.hold: asyncio.Event | None = None
        self.cancelled = threading.Event()

    async def embed(self, texts, card) -> Vectors:
        self.entered.set()
        if self.hold is not None:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        longest = max(len(text) for text in texts)
        if longest > self.window:
            told = {"prompt_tokens": longest, "context_window": self.window} if self.tells else {}
            raise ContextTooLong("too long", remedy="less", **told)
        self.texts += texts
        self.largest = max(self.largest, len(texts))
        return [[float(len(text)), float(text.count("e")), *[1.0] * (self.dimensions - 2)] for text in texts]


def with_gateway(*engines: ScriptedEngine, **settings: object) -> Callable[[], object]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Gateway]:
        gateway = Gateway(engines, settings=GatewaySettings(**settings), events=EventBus())
        try:
            yield gateway
        finally:
            await gateway.aclose()

    return opened


def behind_engines(folder: Path, engines: dict[str, object], *allowed: str) -> Callable[[], object]:
    """As the house builds it: real engines under the privacy guard, in a gateway of the embedder's own."""
    egress = Egress(EgressSettings(allow_hosts=allowed), Ledger(folder / "egress.jsonl"))
    context = EngineContext(egress, Transport(egress), EventBus(), folder / "runtime", lambda name: None)

    def build(own: EngineContext) -> Gateway:
        built = [build_engine(type(one).__struct_config__.tag, name, one, own) for name, one in engines.items()]
        return Gateway(built, settings=GatewaySettings(retries=0), events=own.events)

    return lambda: own_gateway(context, build)


@contextmanager
def embedding(opened: Callable[[], object], model: str = "m", **more: object) -> Iterator[GatewayEmbedder]:
    embedder = GatewayEmbedder(model, opened, **more)
    try:
        yield embedder
    finally:
        embedder.close()
        embedder.close()
        assert not [thread for thread in threading.enumerate() if thread.name == f"the model {model}"]


def passages(*texts: str) -> list[Passage]:
    return [Passage("src/a.py", "f", text) for text in texts]


def test_nothing_is_asked_before_the_first_question():
    engine = Embedding()
    with embedding(with_gateway(engine)):
        assert not engine.entered.is_set()


def test_every_passage_has_its_vector_of_length_one_in_order():
    engine = Embedding()
    with embedding(with_gateway(engine)) as embedder:
        texts = ["x" * (number % 7) + "e" * number for number in range(150)]
        rows = embedder.passages(passages(*texts))
        assert rows.shape == (150, 3)
        assert rows.dtype == np.float32
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(150), abs=1e-6)
        wanted = [[len(text) + 11, text.count("e"), 1] for text in texts]
        assert np.allclose(rows, [np.array(one) / np.linalg.norm(one) for one in wanted], atol=1e-6)
        assert engine.largest <= 16
        assert embedder.query("where").shape == (3,)
        assert embedder.passages([]).shape == (0, 3)
        assert not embedder.query("  ").any()
        assert embedder.cheap is False


def test_vectors_of_nothing_or_of_no_number_are_zero():
    class Odd(Embedding):
        async def embed(self, texts, card):
            return [[math.nan, 1.0, 1.0] if "bad" in text else [0.0, 0.0, 0.0] for text in texts]

    with embedding(with_gateway(Odd())) as embedder:
        assert not embedder.passages(passages("bad", "none")).any()


async def test_it_can_be_asked_inside_a_running_loop_and_from_its_threads():
    with embedding(with_gateway(Embedding())) as embedder:
        assert embedder.dimensions == 3
        found = await asyncio.gather(*(asyncio.to_thread(embedder.query, "e" * number) for number in range(1, 8)))
        assert [row[1] > 0 for row in found] == [True] * 7


def test_ctrl_c_breaks_off_what_is_being_asked():
    engine = Embedding()
    with embedding(with_gateway(engine)) as embedder:
        assert embedder.dimensions == 3
        engine.entered.clear()
        engine.hold = asyncio.Event()

        def interrupt() -> None:
            engine.entered.wait(5)
            os.kill(os.getpid(), signal.SIGINT)

        presser = threading.Thread(target=interrupt)
        presser.start()
        with pytest.raises(KeyboardInterrupt):
            embedder.query("where")
        presser.join()
        assert engine.cancelled.wait(5)
        engine.hold = None
        assert embedder.query("where").any()


def test_closing_breaks_off_what_another_thread_asks_and_refuses_more():
    engine = Embedding()
    errors: list[FiresideError] = []
    with embedding(with_gateway(engine)) as embedder:
        assert embedder.dimensions == 3
        engine.entered.clear()
        engine.hold = asyncio.Event()

        def ask() -> None:
            try:
                embedder.query("where")
            except FiresideError as error:
                errors.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        assert engine.entered.wait(5)
        embedder.close()
        asking.join(5)
        assert [type(error) for error in errors] == [ConnectionFailed]
        with pytest.raises(ConnectionFailed):
            embedder.query("again")


def test_what_goes_wrong_while_opening_is_raised_where_it_was_asked():
    @asynccontextmanager
    async def broken() -> AsyncIterator[Gateway]:
        raise Invalid("no such engine")
        yield

    with embedding(broken) as embedder:
        for _ in range(2):
            with pytest.raises(Invalid, match="no such engine"):
                _ = embedder.id


def test_a_loop_thread_is_made_once_for_many_askers():
    made: list[int] = []

    @asynccontextmanager
    async def thing() -> AsyncIterator[int]:
        made.append(threading.get_ident())
        yield 7

    async def answer(value: int) -> int:
        return value

    shared = LoopThread("shared", thing)
    answers: list[int] = []
    askers = [threading.Thread(target=lambda: answers.append(shared.run(answer))) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    shared.close()
    assert (answers, len(made)) == ([7] * 8, 1)


# --- what a model takes


@pytest.mark.parametrize("tells", [True, False])
def test_what_is_too_long_is_cut_counted_and_told_once(tells):
    said: list[str] = []
    engine = Embedding(card("m", "a", "embed", context_window=100), window=120, tells=tells)
    with embedding(with_gateway(engine), say=said.append) as embedder:
        texts = ["short", "y" * 200, "x" * 90, "z" * 5_000, "short too"]
        assert embedder.passages(passages(*texts)).shape == (5, 3)
        assert embedder.truncated == 2
        assert max(len(text) for text in engine.texts) <= 120
        assert max(len(text) for text in engine.texts) > 50
        assert embedder.passages(passages(*texts)).shape == (5, 3)
        assert embedder.truncated == 4
        assert embedder.query("q" * 5_000).any()
        assert embedder.truncated == 4
    assert len(said) == 1
    assert "100 tokens" in said[0]


def test_a_model_that_takes_nothing_is_an_error():
    engine = Embedding(window=4)
    with embedding(with_gateway(engine)) as embedder:
        assert embedder.dimensions == 3
        with pytest.raises(ContextTooLong):
            embedder.passages(passages("x" * 100))


@pytest.mark.parametrize(
    ("model", "query", "passage"),
    [
        ("nomic-embed-text:latest", "search_query: ", "search_document: "),
        ("nomic-ai/nomic-embed-code", "Represent this query for searching relevant code: ", ""),
        ("intfloat/multilingual-e5-large", "query: ", "passage: "),
        ("BAAI/bge-base-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("bge-m3", "", ""),
        ("mxbai-embed-large", "Represent this sentence for searching relevant passages: ", ""),
        ("snowflake-arctic-embed2", "query: ", ""),
        ("all-minilm", "", ""),
        ("jina-embeddings-v2-base-code", "", ""),
    ],
)
def test_a_family_is_told_question_and_passage_apart_in_its_own_words(model, query, passage):
    prompt = prompt_of(model)
    assert (prompt.query, prompt.passage) == (query, passage)


def test_the_words_of_the_family_go_before_the_texts():
    engine = Embedding(card("nomic-embed-text", "a", "embed"))
    with embedding(with_gateway(engine), "nomic-embed-text") as embedder:
        embedder.passages([Passage("src/a.py", "Shop.buy", "def buy(): ...")])
        embedder.query("how to buy")
    assert engine.texts[1:] == ["search_document: src/a.py Shop.buy\ndef buy(): ...", "search_query: how to buy"]
    assert "qwen" not in prompt_of("qwen3-embedding:0.6b").query
    assert prompt_of("qwen3-embedding:0.6b").query.startswith("Instruct: ")


def test_a_passage_is_written_with_what_it_has():
    assert written(Passage("a.md", "", "text")) == "a.md\ntext"
    assert written(Passage("", "", "text")) == "\ntext"


# --- which model


def id_of(*cards: ModelCard, model: str = "m", dimensions: int = 3) -> str:
    engine = Embedding(*cards, name=cards[0].engine)
    engine.dimensions = dimensions
    with embedding(with_gateway(engine), model) as embedder:
        return embedder.id


def test_the_id_changes_with_everything_that_changes_vectors():
    base = card("m", "a", "embed", sha256="1" * 64)
    ids = [
        id_of(base),
        id_of(card("m", "a", "embed", sha256="2" * 64)),
        id_of(card("m", "a", "embed", sha256="1" * 64, quantization="Q8_0")),
        id_of(base, dimensions=4),
        id_of(card("m", "a", "embed", size=5)),
        id_of(card("m", "a", "embed", size=6)),
        id_of(card("m", "b", "embed", size=6)),
        id_of(card("n", "a", "embed", size=6), model="n"),
    ]
    assert len(set(ids)) == len(ids)
    assert id_of(base) == ids[0]
    assert id_of(card("m", "b", "embed", sha256="1" * 64)) == ids[0]


def test_of_two_engines_with_the_model_the_first_is_asked_for_everything():
    one, two = Embedding(name="a"), Embedding(name="b")
    with embedding(with_gateway(one, two)) as embedder:
        embedder.passages(passages(*["text"] * 100))
        assert embedder.id.startswith("m@a#")
    assert two.texts == []


@pytest.mark.parametrize("ask", [lambda one: one.passages(passages("text")), lambda one: one.query("text")])
def test_a_model_that_is_exchanged_under_its_name_never_mixes_its_vectors(ask):
    engine = Embedding()
    with embedding(with_gateway(engine)) as embedder:
        before = embedder.id
        assert ask(embedder).shape[-1] == 3
        engine.dimensions = 5
        with pytest.raises(Invalid) as caught:
            ask(embedder)
        assert caught.value.retryable
        assert embedder.id != before
        assert embedder.dimensions == ask(embedder).shape[-1] == 5


async def test_a_model_pulled_anew_at_ollama_has_a_new_id(tmp_path):
    class Newer(FakeModel):
        digest = "sha256:" + "2" * 64

    async with FakeOllama() as fake:
        opened = behind_engines(tmp_path, {"ollama": OllamaSettings(url=fake.url)})
        with embedding(opened, NOMIC) as embedder:
            first = await asyncio.to_thread(lambda: embedder.id)
        fake.models = [Newer(NOMIC + ":latest", capabilities=("embedding",))]
        with embedding(opened, NOMIC) as embedder:
            assert await asyncio.to_thread(lambda: embedder.id) != first


@pytest.mark.parametrize(
    ("model", "error", "remedy"),
    [
        ("nomic-embed-text", ModelNotFound, "ollama pull nomic-embed-text"),
        ("nomic-embed-text@a", ModelNotFound, "fireside models pull nomic-embed-text@a"),
        ("m2", ModelNotFound, "did you mean m"),
        ("talker", Invalid, "m"),
        ("m@nowhere", FiresideError, "fireside"),
    ],
)
def test_a_model_that_cannot_be_had_is_an_error_with_a_remedy(model, error, remedy):
    engine = Embedding(card("m", "a", "embed"), card("talker", "a", "chat"))
    with embedding(with_gateway(engine), model) as embedder, pytest.raises(error) as caught:
        _ = embedder.id
    assert remedy in caught.value.remedy


def test_an_engine_that_is_down_is_an_error_and_works_once_it_is_up():
    class Down(Embedding):
        down = True

        async def embed(self, texts, card):
            if self.down:
                raise ConnectionFailed("refused", remedy="ollama serve")
            return await super().embed(texts, card)

    engine = Down()
    with embedding(with_gateway(engine, retries=0), "m@a") as embedder:
        with pytest.raises(ConnectionFailed) as caught:
            embedder.passages(passages("text"))
        assert caught.value.remedy == "ollama serve"
        engine.down = False
        assert embedder.passages(passages("text")).shape == (1, 3)


# --- engines as they are


async def test_ollama_embeds_and_what_is_too_long_for_it_is_cut(tmp_path):
    async with FakeOllama() as fake:
        with embedding(behind_engines(tmp_path, {"ollama": OllamaSettings(url=fake.url)}), NOMIC) as embedder:
            rows = await asyncio.to_thread(embedder.passages, passages("def f(): ...", "a " * 3_500, "b"))
            assert rows.shape == (3, 3)
            assert embedder.truncated == 1
        assert fake.asked("/api/embed")[-1]["truncate"] is False


async def test_an_openai_server_embeds(tmp_path):
    async with FakeOpenAI() as fake:
        opened = behind_engines(tmp_path, {"box": OpenAISettings(base_url=f"{fake.url}/v1")})
        with embedding(opened, "fake-embed@box") as embedder:
            rows = await asyncio.to_thread(embedder.passages, passages(*["text"] * 70))
            assert rows.shape == (70, 3)
            assert embedder.id.startswith("fake-embed@box#")


@pytest.mark.slow
def test_a_real_model_file_embeds_in_the_embedded_engine(tmp_path):
    path = tmp_path / "tiny-embed.gguf"
    path.symlink_to(tiny_gguf())
    settings = LlamaServerSettings(models=(str(path),), context=512)
    with embedding(behind_engines(tmp_path, {"embedded": settings}), "tiny-embed") as embedder:
        texts = ["def add(a, b): return a + b", "class Shop: ...", "word " * 3_000]
        rows = embedder.passages(passages(*texts))
        assert rows.shape == (3, 256)
        assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 1], abs=1e-3)
        assert rows[0] @ embedder.passages(passages(texts[0]))[0] == pytest.approx(1, abs=1e-3)
        assert embedder.truncated == 1


def test_nothing_leaves_for_a_host_that_was_not_allowed(tmp_path):
    settings = OpenAISettings(base_url="https://8.8.8.8/v1", boundary="cloud")
    with (
        embedding(behind_engines(tmp_path, {"cloud": settings}), "text-embed@cloud") as embedder,
        pytest.raises(NotPermitted),
    ):
        _ = embedder.id
    assert not (tmp_path / "egress.jsonl").exists()


# --- the choice


@pytest.fixture
def choose(tmp_path):
    engine = Embedding()

    def choice(**settings: object):
        return choose_embedder(
            IndexSettings(**settings), built_in=lambda: "ours", opened=with_gateway(engine), cache=tmp_path / "cache"
        )

    choice.engine = engine
    return choice


def test_built_in_or_none_need_no_gateway(choose):
    assert choose() == "ours"
    assert choose(embedder="none") is None


def test_a_model_is_asked_through_the_cache_of_all_checkouts(choose):
    for _ in range(2):
        embedder = choose(embedder="m")
        assert isinstance(embedder, CachedEmbedder)
        assert embedder.passages(passages("one", "two")).shape == (2, 3)
        embedder.close()
    assert [text for text in choose.engine.texts if text != "def"] == [written(one) for one in passages("one", "two")]


def test_without_room_for_a_cache_there_is_none(choose, tmp_path):
    embedder = choose(embedder="m", vector_cache_bytes=0)
    assert isinstance(embedder, GatewayEmbedder)
    embedder.passages(passages("one"))
    embedder.close()
    assert not (tmp_path / "cache").exists()
