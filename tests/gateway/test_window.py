"""What does not fit is refused, cut at its far ends or given a smaller limit; and each of them is said."""

import pytest

from fireside.core.errors import ContextTooLong
from fireside.core.messages import Message, ToolSpec
from fireside.core.requests import ChatRequest, Delta, Sampling, Snippet, Usage
from fireside.engines.scripted import ScriptedEngine, scripted_card
from fireside.gateway.signals import Clamped, Trimmed
from fireside.gateway.window import cut
from support.gateways import Moody, ask, deltas_of, fill, opened, text_of


class Counting(Moody):
    """Counts words, and how often it was asked to; or does not, as many servers do not."""

    def __init__(self, window: int, *, can_count: bool = True, reads: int | None = None, **options: object) -> None:
        super().__init__("as you say", name="a", cards=[scripted_card("a", context_window=window)], **options)
        self.counted = 0
        self._can_count = can_count
        self._reads = reads

    async def count_tokens(self, request, card):
        self.counted += 1
        return await super().count_tokens(request, card) if self._can_count else None

    async def stream(self, request, card):
        self.requests.append(request)
        read = self._reads or 0
        yield [Delta("as you say"), Delta(finish_reason="stop", usage=Usage(prompt_tokens=read))]


def limits(engine: Counting) -> list[int | None]:
    return [request.sampling.max_tokens for request in engine.requests]


async def test_a_limit_that_fits_stays_and_nobody_counts():
    engine = Counting(8192)
    async with opened(engine) as (gateway, ears):
        await text_of(gateway.chat(ask("hi", sampling=Sampling(max_tokens=4096))))
        assert limits(engine) == [4096]
        assert engine.counted == 0
        assert ears.of(Clamped) == []


async def test_an_absurd_limit_becomes_what_fits_and_it_is_said_without_counting():
    engine = Counting(8192)
    async with opened(engine) as (gateway, ears):
        await text_of(gateway.chat(ask("hi", sampling=Sampling(max_tokens=1_000_000))))
        (clamped,) = ears.of(Clamped)
        assert (clamped.engine, clamped.model, clamped.asked) == ("a", "script", 1_000_000)
        assert limits(engine) == [clamped.given]
        assert 8100 <= clamped.given < 8192
        assert engine.counted == 0


async def test_near_the_edge_the_engine_counts_and_the_limit_is_exact():
    engine = Counting(1000)
    async with opened(engine) as (gateway, ears):
        await text_of(gateway.chat(ask("word " * 400, sampling=Sampling(max_tokens=700))))
        assert engine.counted == 1
        assert limits(engine) == [1000 - 401]
        assert ears.of(Clamped)[0].given == 1000 - 401


async def test_no_limit_stays_none():
    engine = Counting(1000)
    async with opened(engine) as (gateway, _):
        await text_of(gateway.chat(ask("word " * 400)))
        assert limits(engine) == [None]


async def test_where_nobody_can_count_an_absurd_limit_leaves_room_for_what_the_prompt_may_take():
    engine = Counting(1000, can_count=False)
    async with opened(engine) as (gateway, _):
        await text_of(gateway.chat(ask("word " * 350, sampling=Sampling(max_tokens=1000))))
        (given,) = limits(engine)
        assert 125 <= given < 650


async def test_an_unknown_window_clamps_nothing():
    engine = Counting(0)
    async with opened(engine) as (gateway, _):
        await text_of(gateway.chat(ask("hi", sampling=Sampling(max_tokens=1_000_000))))
        assert limits(engine) == [1_000_000]


async def test_tools_take_room_too():
    engine = Counting(1000)
    tools = tuple(ToolSpec(f"t{n}", "does " * 40, {"type": "object", "properties": {}}) for n in range(9))
    async with opened(engine) as (gateway, _):
        await text_of(gateway.chat(ask("hi", tools=tools, sampling=Sampling(max_tokens=600))))
        assert engine.counted == 1


async def test_a_clamp_for_one_model_is_not_one_for_its_stand_in():
    small = ScriptedEngine(
        name="a",
        cards=[scripted_card("a", context_window=1000)],
        error=ContextTooLong("no", prompt_tokens=1, context_window=1000),
    )
    large = Counting(9000)
    large.name = "b"
    large._cards = [scripted_card("b", context_window=9000)]
    async with opened(small, large) as (gateway, _):
        await text_of(gateway.chat(ask("hi", sampling=Sampling(max_tokens=5000))))
        assert limits(large) == [5000]


async def test_an_engine_that_read_half_of_a_counted_prompt_cut_it_and_that_is_an_error():
    engine = Counting(1000, reads=300)
    async with opened(engine, retries=0) as (gateway, _):
        with pytest.raises(ContextTooLong, match="read 300 of the prompt's 901 tokens"):
            await text_of(gateway.chat(ask("word " * 900)))


async def test_an_engine_that_counts_a_little_differently_did_not_cut():
    async with opened(Counting(1000, reads=700)) as (gateway, _):
        assert await text_of(gateway.chat(ask("word " * 900))) == "as you say"


async def test_a_few_words_of_code_are_not_taken_for_the_rest_of_a_cut_prompt():
    async with opened(Counting(1000, reads=4)) as (gateway, _):
        assert await text_of(gateway.complete(fill("def a(", suffix="return 1", max_tokens=990))) == "as you say"


async def test_code_that_does_not_fit_loses_what_is_far_from_the_cursor_and_it_is_said():
    engine = Counting(200)
    prefix, suffix = "".join(f"before {n}\n" for n in range(200)), "".join(f"after {n}\n" for n in range(200))
    request = fill(prefix, suffix=suffix, neighbours=(Snippet("far.py", "far " * 50),), max_tokens=20)
    async with opened(engine) as (gateway, ears):
        await text_of(gateway.complete(request))
    (sent,) = engine.requests
    assert sent.neighbours == ()
    assert prefix.endswith(sent.prefix)
    assert sent.prefix.endswith("before 199\n")
    assert suffix.startswith(sent.suffix)
    assert sent.suffix.startswith("after 0\n")
    assert 100 <= len(sent.prefix.split()) + len(sent.suffix.split()) <= 180
    assert sent.max_tokens == 20
    assert ears.of(Trimmed)[0].characters > 3000


async def test_code_that_fits_is_sent_as_it_is():
    engine = Counting(2000)
    request = fill("x = 1\n" * 100, suffix="y\n", neighbours=(Snippet("far.py", "far"),))
    async with opened(engine) as (gateway, ears):
        await text_of(gateway.complete(request))
        assert engine.requests == [request]
        assert ears.of(Trimmed) == []


async def test_a_raw_prompt_is_never_cut():
    engine = Counting(200)
    async with opened(engine, retries=0) as (gateway, _):
        with pytest.raises(ContextTooLong, match="takes 200"):
            await text_of(gateway.complete(fill("word " * 300, suffix="", raw=True)))
        assert engine.requests == []


def test_neighbours_go_first_and_the_last_of_them_before_the_first():
    request = fill("p" * 10, suffix="s" * 10, neighbours=(Snippet("a", "1" * 9), Snippet("b", "2" * 9)))
    assert [each.path for each in cut(request, 30).neighbours] == ["a"]
    assert cut(request, 29).neighbours == ()
    assert (len(cut(request, 8).prefix), len(cut(request, 8).suffix)) == (6, 2)
    assert (len(cut(fill("p", suffix="s" * 50), 20).prefix), len(cut(fill("p", suffix="s" * 50), 20).suffix)) == (1, 19)


async def test_a_conversation_over_the_window_is_refused_before_it_is_sent():
    engine = Counting(100)
    chat = ChatRequest(tuple(Message("user", "word " * 50) for _ in range(4)))
    async with opened(engine, retries=0) as (gateway, _):
        with pytest.raises(ContextTooLong) as caught:
            await deltas_of(gateway.chat(chat))
    assert caught.value.context["context_window"] == 100
    assert engine.requests == []
