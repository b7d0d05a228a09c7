"""What may be answered from memory, and what may not."""

import pytest

from fireside.core.errors import OutOfResources
from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, Delta, Priority, ResponseFormat, Sampling, Usage
from fireside.core.values import replace
from fireside.engines.engine import Boundary
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.gateway.cache import ResponseCache
from fireside.gateway.signals import CacheHit, FirstToken
from support.gateways import ask, card, deltas_of, fill, opened, text_of

ZERO = Sampling(temperature=0)
BASE = ChatRequest((Message("user", "hi"),), sampling=ZERO)
CARD = card("m", "a", sha256="abc")


def key(request=BASE, model=CARD, boundary=Boundary.MACHINE):
    return ResponseCache().key(request, model, boundary)


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [(Sampling(), False), (Sampling(temperature=0.2), False), (ZERO, True), (Sampling(temperature=0.7, seed=1), True)],
)
def test_only_what_is_repeatable_has_a_key(sampling, kept):
    assert (key(replace(BASE, sampling=sampling)) is not None) is kept


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, messages=(Message("user", "hi!"),)),
        replace(BASE, messages=(Message("user", "hi", images=(b"png",)),)),
        replace(BASE, sampling=replace(ZERO, max_tokens=5)),
        replace(BASE, sampling=replace(ZERO, stop=("x",))),
        replace(BASE, tools=(ToolSpec("t", "", {"type": "object"}),)),
        replace(BASE, response_format=ResponseFormat({"type": "object"})),
        replace(BASE, reasoning="high"),
        replace(BASE, tool_choice="none"),
    ],
)
def test_whatever_shapes_the_answer_is_in_the_key(other):
    assert key(other) != key()


def test_who_asks_and_how_urgently_is_not_in_the_key():
    assert key(replace(BASE, session="s", priority=Priority.BATCH, supersedes="x", model="m@a")) == key()


def test_the_same_weights_under_another_name_share_a_key_and_other_weights_do_not():
    assert key(model=replace(CARD, name="alias", engine="b")) == key()
    assert key(model=replace(CARD, sha256="def")) != key()
    assert key(model=replace(CARD, sha256="")) != key(model=replace(CARD, sha256="", size=5))


def test_the_two_sides_of_the_privacy_boundary_share_nothing():
    assert key(boundary=Boundary.CLOUD) != key()


def test_the_least_recently_used_answer_makes_room():
    cache = ResponseCache(max_bytes=4 * 900)
    answer = [Delta(text="x" * 600), Delta(finish_reason="stop")]
    for name in (b"1", b"2", b"3", b"4"):
        cache.put(name, answer)
    cache.get(b"1")
    cache.put(b"5", answer)
    assert [name for name in (b"1", b"2", b"3", b"4", b"5") if cache.get(name)] == [b"1", b"3", b"4", b"5"]
    assert cache.size <= 4 * 900


def test_keeping_the_same_answer_twice_counts_it_once():
    cache = ResponseCache()
    answer = [Delta(text="x"), Delta(finish_reason="stop", usage=Usage(5))]
    cache.put(b"1", answer)
    size = cache.size
    cache.put(b"1", answer)
    assert (cache.size, len(cache)) == (size, 1)
    cache.clear()
    assert (cache.size, len(cache)) == (0, 0)


@pytest.mark.parametrize(
    "answer", [[Delta(text="x" * 3000), Delta(finish_reason="stop")], [Delta(finish_reason="cancelled")]]
)
def test_an_answer_too_large_or_unfinished_is_not_kept(answer):
    cache = ResponseCache(max_bytes=4000)
    cache.put(b"1", answer)
    assert len(cache) == 0


async def test_the_same_question_is_answered_once_and_replayed_as_it_was_streamed():
    engine = ScriptedEngine(Reply("one two", tool_calls=(ToolCall("1", "read", "{}"),)), name="a")
    async with opened(engine) as (gateway, ears):
        first = await deltas_of(gateway.chat(ask(sampling=ZERO)))
        again = await deltas_of(gateway.chat(ask(sampling=ZERO)))
        assert [replace(delta, usage=None) for delta in again] == [replace(delta, usage=None) for delta in first]
        assert again[-1].usage == replace(first[-1].usage, cached_tokens=first[-1].usage.prompt_tokens)
        assert len(engine.requests) == 1
        assert ears.of(CacheHit) == [CacheHit(2, "a", "script")]
        assert len(ears.of(FirstToken)) == 1
        assert gateway.metrics.counts["cache_hits"] == 1


async def test_completions_are_remembered_too():
    engine = ScriptedEngine(name="a")
    async with opened(engine) as (gateway, _):
        await deltas_of(gateway.complete(fill(sampling=ZERO)))
        await deltas_of(gateway.complete(fill(sampling=ZERO)))
        await deltas_of(gateway.complete(fill(sampling=ZERO, suffix="other")))
        assert len(engine.requests) == 2


async def test_an_answer_of_a_stand_in_is_not_remembered_as_the_first_choices():
    first = ScriptedEngine(Reply(error=OutOfResources("no memory")), Reply(text="first"), name="a")
    async with opened(first, ScriptedEngine(name="b", says="stand-in")) as (gateway, _):
        assert (await deltas_of(gateway.chat(ask(sampling=ZERO))))[0].text == "stand-in"
        assert len(gateway.cache) == 0


async def test_a_stream_that_was_closed_half_way_is_not_remembered():
    async with opened(ScriptedEngine(name="a", says="one two")) as (gateway, _):
        stream = gateway.chat(ask(sampling=ZERO))
        await anext(stream)
        await stream.aclose()
        assert len(gateway.cache) == 0


async def test_a_session_that_refuses_is_neither_looked_up_nor_kept():
    engine = ScriptedEngine(name="a")
    async with opened(engine) as (gateway, _):
        gateway.cache.refuse("private")
        for _ in range(2):
            await deltas_of(gateway.chat(ask(sampling=ZERO, session="private")))
        assert len(engine.requests) == 2
        assert len(gateway.cache) == 0


async def test_no_bytes_turn_it_off():
    engine = ScriptedEngine(name="a")
    async with opened(engine, cache_bytes=0) as (gateway, _):
        for _ in range(2):
            await deltas_of(gateway.chat(ask(sampling=ZERO)))
        assert len(engine.requests) == 2


async def test_a_request_with_a_number_no_key_can_hold_is_answered_and_not_kept():
    engine = ScriptedEngine("first", "second", name="a")
    tool = ToolSpec("f", "", {"type": "object", "maxProperties": 10**40})
    async with opened(engine) as (gateway, _):
        for word in ("first", "second"):
            answer = gateway.chat(ask(sampling=Sampling(temperature=0), tools=(tool,)))
            assert await text_of(answer) == word
