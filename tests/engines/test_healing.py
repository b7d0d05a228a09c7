"""The answer goes on where the user stopped typing, and never repeats what stands there."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest
import pytest_asyncio

from fireside.core.errors import Invalid
from fireside.core.requests import CompletionRequest, Delta, Logprob, Sampling
from fireside.core.values import replace
from fireside.engines.healing import Healed, blanks_back, grammar, taken_back
from fireside.engines.llama_models import Shelf
from fireside.engines.llama_places import Embedded
from fireside.engines.llama_server import LlamaServerEngine
from fireside.models.card import ModelCard
from fireside.models.gguf_writer import Tensor, write
from support.answers import read
from support.llama import Bench
from support.tiny import tiny_gguf

PREFIXES = [
    "x = ret",
    "def f(th",
    "a\n        ",
    "x = ",
    's = "e',
    "a\\t\\",
    "größe = ü",
    "self.wid",
    "n = 12",
    "a\tth",
]


def said(end: str, *pieces: str) -> str:
    healing = Healed(end)
    return "".join(healing.take(Delta(text=piece)).text for piece in pieces)


@pytest.mark.parametrize(
    ("end", "pieces", "left"),
    [
        (" ret", [" return", " x"], "urn x"),
        (" ret", [" ", "r", "et", "urn"], "urn"),
        (" ret", ["return"], "urn"),
        (" ret", [" fun", " x"], ""),
        (" ret", [" re"], ""),
        ("    ", ["    x"], "x"),
        ("    ", ["      x"], "  x"),
        ("    ", ["  x"], "x"),
        ("    ", ["x", "y"], "xy"),
        ("", ["x"], "x"),
    ],
)
def test_what_was_taken_back_is_taken_off_the_answer(end: str, pieces: list[str], left: str):
    assert said(end, *pieces) == left


def test_tokens_that_touch_what_was_taken_back_say_nothing_of_the_answer():
    healing = Healed(" ret")
    first = healing.take(Delta(text=" return", logprobs=(Logprob(" return", -9.0),)))
    after = healing.take(Delta(text=" x", logprobs=(Logprob(" x", -0.1),)))
    assert (first.text, first.logprobs) == ("urn", ())
    assert after.logprobs == (Logprob(" x", -0.1),)


def test_nothing_is_taken_back_that_a_stop_text_could_end_in():
    request = CompletionRequest("if x:\n    ", sampling=Sampling(stop=("\n",)))
    assert taken_back(request) == ""
    assert taken_back(replace(request, sampling=Sampling(stop=("foo",)))) == "\n    "


@pytest.mark.parametrize("changes", [{"raw": True}, {"heal": False}, {"max_tokens": 2}])
def test_some_requests_are_left_as_they_are(changes: dict[str, object]):
    request = replace(CompletionRequest("x = ret "), **changes)  # type: ignore[arg-type]
    assert taken_back(request) == blanks_back(request) == ""


def test_only_blanks_are_taken_back_where_nothing_can_be_held():
    assert blanks_back(CompletionRequest("x = ret")) == ""
    assert blanks_back(CompletionRequest("a\n \t ")) == " \t "


# With the real engine

running = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    yield bench
    await bench.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(bench: Bench) -> LlamaServerEngine:
    return bench.engine()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def card(engine: LlamaServerEngine) -> ModelCard:
    (card,) = await engine.models()
    return card


@running
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_random_weights_begin_with_what_was_taken_back_and_it_is_said_once(
    engine: LlamaServerEngine, card: ModelCard, prefix: str
):
    end = taken_back(CompletionRequest(prefix, "\n"))
    body = {"prompt": prefix[: len(prefix) - len(end)], "grammar": grammar(end), "max_tokens": 16, "temperature": 0}
    whole = await engine._json("/v1/completions", body, card, "complete")
    choices = whole["choices"]
    assert isinstance(choices, list)
    assert choices[0]["text"].startswith(end)
    healing = Healed(end)
    assert healing.take(Delta(text=choices[0]["text"])).text == choices[0]["text"].removeprefix(end)


@running
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_an_answer_of_the_built_in_engine_goes_on_after_the_cursor(
    engine: LlamaServerEngine, card: ModelCard, prefix: str
):
    tokens = await engine._place.tokens(card)
    request = CompletionRequest(prefix, "\n", max_tokens=24, sampling=Sampling(seed=1, logprobs=0))
    end = taken_back(request, tokens)
    answer = await read(engine.complete(request, card))
    shorter = replace(request, prefix=prefix[: len(prefix) - len(end)], heal=False)
    free = await read(engine.complete(shorter, card))
    # Where the model would have begun so anyway, both are one; where it would not, it was held to.
    if end and free.text.startswith(end):
        assert answer.text == free.text.removeprefix(end)
    assert answer.finish in ("stop", "length")


@running
async def test_a_token_may_reach_over_the_cursor(engine: LlamaServerEngine, card: ModelCard):
    """The vocabulary has ``etc``-like triples, so a prompt that ends in two letters of one is never the end of a token."""
    tokens = await engine._place.tokens(card)
    assert tokens is not None
    assert tokens.taken("x = re") >= 2
    healed = await read(engine.complete(CompletionRequest("x = re", "\n", max_tokens=16), card))
    assert healed.usage is not None
    assert healed.usage.completion_tokens <= 16


# A LoRA laid over a model


@dataclass
class Kept:
    """A model of the store, with an adapter."""

    name: str
    path: Path
    sha256: str
    adapter: Path | None


@dataclass
class Store:
    models: list[Kept]

    def list(self) -> list[Kept]:
        return self.models


def lora(path: Path, *, strength: float, architecture: str = "qwen2") -> Path:
    """Changes the output of the feed-forward layers of the tiny model, by a random matrix of rank 4."""
    draw = numpy.random.default_rng(5)
    tensors = []
    for layer in range(2):
        name = f"blk.{layer}.ffn_down.weight"
        a = draw.standard_normal((4, 384)).astype("float32")
        b = (strength * draw.standard_normal((256, 4))).astype("float32")
        tensors.append(Tensor(f"{name}.lora_a", a.shape, "F32", lambda a=a: a))
        tensors.append(Tensor(f"{name}.lora_b", b.shape, "F32", lambda b=b: b))
    facts = {
        "general.type": "adapter",
        "general.architecture": architecture,
        "adapter.type": "lora",
        "adapter.lora.alpha": 4.0,
    }
    return write(path, facts, tensors)


async def likelihoods(engine: LlamaServerEngine) -> list[float]:
    (card,) = await engine.models()
    request = CompletionRequest("x = 1\ny = ", "\n", max_tokens=8, sampling=Sampling(logprobs=0))
    found: list[float] = []
    async with aclosing(engine.complete(request, card)) as deltas:
        async for delta in deltas:
            found += [each.logprob for each in delta.logprobs]
    return found


def distance(one: list[float], other: list[float]) -> float:
    """Of the first tokens; the greatest."""
    assert one
    assert other
    return max(abs(a - b) for a, b in zip(one[:4], other[:4], strict=True))


def with_adapter(bench: Bench, adapter: Path | None) -> tuple[LlamaServerEngine, Store]:
    """An engine whose only model is the tiny one of a store."""
    engine, store = bench.engine(models=()), Store([Kept("mine", tiny_gguf(), "", adapter)])
    place = engine._place
    assert isinstance(place, Embedded)
    place.shelf = Shelf("embedded", store, (), context=2048)
    return engine, store


@running
async def test_an_adapter_changes_what_the_model_says_and_one_of_no_strength_does_not(bench: Bench, tmp_path: Path):
    engine, store = with_adapter(bench, None)
    base = await likelihoods(engine)
    store.models[0].adapter = lora(tmp_path / "none.gguf", strength=0.0)
    assert distance(await likelihoods(engine), base) < 0.001
    # Without a new start of Fireside: the next request has the new adapter.
    store.models[0].adapter = lora(tmp_path / "strong.gguf", strength=20.0)
    (card,) = await engine.models()
    assert card.adapter.endswith("strong.gguf")
    assert distance(await likelihoods(engine), base) > 0.05


@running
async def test_an_adapter_written_over_is_in_use_at_the_next_request(bench: Bench, tmp_path: Path):
    engine, _ = with_adapter(bench, lora(tmp_path / "mine.gguf", strength=0.0))
    before = await likelihoods(engine)
    lora(tmp_path / "mine.gguf", strength=20.0)
    assert distance(await likelihoods(engine), before) > 0.05


@running
async def test_an_adapter_of_another_architecture_is_named_before_anything_is_started(bench: Bench, tmp_path: Path):
    engine, _ = with_adapter(bench, lora(tmp_path / "other.gguf", strength=1.0, architecture="llama"))
    assert await engine.models() == []
    card = ModelCard("mine", "embedded", capabilities=frozenset(("fim", "chat")), fim=None)
    with pytest.raises(Invalid, match=r"other\.gguf is for llama") as caught:
        await engine.count_tokens("x", card)
    assert caught.value.remedy
