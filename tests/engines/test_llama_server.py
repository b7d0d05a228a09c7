import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import numpy
import pytest
import pytest_asyncio

from fireside.core.errors import ContextTooLong, Invalid
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, CompletionRequest, ResponseFormat, Sampling
from fireside.core.values import replace
from fireside.engines.llama_server import LlamaServerEngine
from fireside.models.card import ModelCard
from fireside.models.gguf_writer import Tensor, write
from support.answers import check_error, failure, read
from support.llama import EDIT, LONG, NOW, Bench, ask

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """One child for all that do it no harm."""
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


async def test_closing_a_stream_frees_its_slot(engine: LlamaServerEngine, card: ModelCard) -> None:
    # So small a model may have said everything before it is asked how it is.
    for _ in range(20):
        async with aclosing(engine.chat(ask(sampling=LONG), card)) as stream:
            await anext(stream)
            busy = (await engine.health()).busy
        if busy:
            break
    assert busy == 1
    async with asyncio.timeout(1):
        while (await engine.health()).busy:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("choice", ["required", "edit"])
async def test_a_call_that_must_be_made_is_made_by_random_weights_every_time(
    engine: LlamaServerEngine, card: ModelCard, choice: str
) -> None:
    for seed in range(12):
        sampling = Sampling(seed=seed, max_tokens=300, stop=(":",))
        request = ask(tools=(EDIT, NOW), tool_choice=choice, sampling=sampling)
        answer = await read(engine.chat(request, card))
        (call,) = answer.tool_calls
        assert (answer.text, answer.finish) == ("", "tool_calls")
        arguments = json.loads(call.arguments)
        if call.name == "edit":
            assert arguments["mode"] in ("insert", "replace")
            assert 1 <= arguments["range"]["start"] <= 99
            assert set(arguments) <= {"range", "text", "mode"}
        else:
            assert (call.name, arguments, choice) == ("now", {}, "required")


async def test_an_answer_held_to_a_schema_is_given_as_it_is_wherever_its_limit_cuts_it(
    engine: LlamaServerEngine, card: ModelCard
) -> None:
    schema = {"type": "object", "properties": {"words": {"type": "array", "items": {"type": "string"}}}}
    for seed in range(12):
        sampling = Sampling(seed=seed, max_tokens=40)
        answer = await read(engine.chat(ask(response_format=ResponseFormat(schema), sampling=sampling), card))
        assert answer.text.startswith("{")
        if answer.finish == "stop":
            assert isinstance(json.loads(answer.text), dict)
        else:
            assert answer.finish == "length"


async def test_half_a_call_is_an_error_and_never_a_call(engine: LlamaServerEngine, card: ModelCard) -> None:
    answer, error = await failure(
        engine.chat(ask(tools=(EDIT,), tool_choice="required", sampling=Sampling(max_tokens=6)), card)
    )
    assert isinstance(error, Invalid)
    assert not answer.tool_calls
    assert "not finished after 6 tokens" in error.message
    check_error(error)


async def test_a_forced_call_keeps_the_prompt_of_a_free_one(engine: LlamaServerEngine, card: ModelCard) -> None:
    free = await read(engine.chat(ask(tools=(EDIT, NOW), session="a"), card))
    forced = ask(tools=(EDIT, NOW), session="a", tool_choice="now", sampling=Sampling(max_tokens=200))
    usage = (await read(engine.chat(forced, card))).usage
    assert usage.prompt_tokens == free.usage.prompt_tokens
    assert usage.cached_tokens >= usage.prompt_tokens - 1


async def test_tokens_are_counted_exactly_as_the_server_will(engine: LlamaServerEngine, card: ModelCard) -> None:
    request = ask("def f(x):\n\treturn 'grüße 👍'\n", tools=(EDIT,))
    assert await engine.count_tokens(request, card) == (await read(engine.chat(request, card))).usage.prompt_tokens
    assert await engine.count_tokens("", card) == 0


async def test_a_prompt_one_token_too_long_is_refused_with_both_numbers(bench: Bench) -> None:
    engine = bench.engine(context=256)
    (card,) = await engine.models()
    empty = await engine.count_tokens(ask(""), card)
    assert empty is not None
    assert (await read(engine.chat(ask("7" * (255 - empty)), card))).usage.prompt_tokens == 255
    _, error = await failure(engine.chat(ask("7" * (257 - empty)), card))
    assert isinstance(error, ContextTooLong)
    assert error.context["prompt_tokens"] == 257
    assert error.context["context_window"] == card.context_window == 256
    assert "engines.embedded.context" in error.remedy


async def test_an_image_is_refused_where_nobody_can_see_it(engine: LlamaServerEngine, card: ModelCard) -> None:
    _, error = await failure(engine.chat(ChatRequest((Message("user", "?", images=(b"\x89PNG",)),)), card))
    assert "cannot see images" in error.message


async def test_the_second_turn_computes_only_what_is_new(engine: LlamaServerEngine, card: ModelCard) -> None:
    first = ask("tell me about berths " * 40, session="s")
    once = await read(engine.chat(first, card))
    messages = (*first.messages, Message("assistant", "no"), Message("user", "more"))
    twice = await read(engine.chat(replace(first, messages=messages), card))
    assert twice.usage.cached_tokens >= once.usage.prompt_tokens * 0.95


async def test_warming_computes_the_prompt(engine: LlamaServerEngine, card: ModelCard) -> None:
    request = ask("a long and steady beginning " * 30, session="s")
    await engine.warm(request, card)
    usage = (await read(engine.chat(request, card))).usage
    assert usage.cached_tokens == usage.prompt_tokens - 1


async def test_control_tokens_in_code_do_not_break_out_of_a_completion(
    engine: LlamaServerEngine, card: ModelCard
) -> None:
    plain = await read(engine.complete(CompletionRequest("a = ''", max_tokens=4), card))
    armed = await read(engine.complete(CompletionRequest("a = '<|fim_suffix|>'", max_tokens=4), card))
    assert armed.usage.prompt_tokens > plain.usage.prompt_tokens + 4


async def test_texts_are_embedded_and_one_that_is_too_long_is_named(bench: Bench) -> None:
    engine = bench.engine(context=256)
    (card,) = await engine.models()
    embedder = replace(card, capabilities=frozenset({"embed"}))
    first, empty, again = await engine.embed(["some text", "", "some text"], embedder)
    (alone,) = await engine.embed(["some text"], embedder)
    assert len(first) == len(empty) == 256
    assert again == pytest.approx(first, abs=1e-3)
    assert alone == pytest.approx(first, abs=1e-3)
    assert first != pytest.approx(empty, abs=0.1)
    with pytest.raises(ContextTooLong) as caught:
        await engine.embed(["word " * 300], embedder)
    assert caught.value.context["context_window"] == 256
    check_error(caught.value)


@pytest.mark.slow
async def test_an_adapter_changes_what_is_said(bench: Bench, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.gguf"
    ones = {part: numpy.full(shape, 0.5, numpy.float32) for part, shape in (("a", (4, 256)), ("b", (256, 4)))}
    tensors = [
        Tensor(f"blk.{layer}.attn_q.weight.lora_{part}", values.shape, "F32", lambda values=values: values)  # type: ignore[misc]
        for layer in (0, 1)
        for part, values in ones.items()
    ]
    about = {
        "general.architecture": "qwen2",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 4.0,
    }
    write(adapter, about, tensors)
    said = {}
    for scale in (None, 0.0, 8.0):
        engine = bench.engine(loras={} if scale is None else {str(adapter): scale})
        (card,) = await engine.models()
        said[scale] = (await read(engine.chat(ask(sampling=Sampling(max_tokens=24, temperature=0.0)), card))).text
    assert said[None] == said[0.0] != said[8.0]
