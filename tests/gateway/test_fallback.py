"""Another engine takes over before the first content, never after."""

import asyncio

import pytest

from fireside.core.errors import (
    ConnectionFailed,
    ContextTooLong,
    Invalid,
    ModelNotFound,
    NotPermitted,
    OutOfResources,
    RateLimited,
    TimedOut,
)
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, Delta, Usage
from fireside.engines.engine import EngineHealth
from fireside.engines.scripted import Reply, ScriptedEngine, scripted_card
from fireside.gateway.signals import (
    AttemptFailed,
    FellBack,
    FirstToken,
    Recovered,
    RequestCancelled,
    RequestFailed,
    RequestFinished,
    RequestStarted,
    Retried,
    Trimmed,
)
from support.gateways import Moody, Unpullable, ask, card, deltas_of, fill, opened, text_of, until

REFUSED = ConnectionFailed("nobody listens", cause="refused")


class Raw(ScriptedEngine):
    """Streams exactly the deltas it is given, even those no engine should; then raises ``error``, if any."""

    def __init__(self, *deltas: Delta, name: str = "raw", after: Exception | None = None) -> None:
        super().__init__(name=name)
        self.deltas, self.after, self.closed_streams, self.read_to_the_end = deltas, after, 0, False

    async def chat(self, request, card):
        try:
            for delta in self.deltas:
                yield delta
            self.read_to_the_end = True
            if self.after is not None:
                raise self.after
        finally:
            self.closed_streams += 1


async def test_falls_back_before_the_first_token():
    async with opened(ScriptedEngine(name="a", error=REFUSED), ScriptedEngine(name="b", says="hello")) as (
        gateway,
        ears,
    ):
        assert await text_of(gateway.chat(ask())) == "hello"
        assert ears.of(FellBack) == [FellBack(1, "script@a", "script@b", REFUSED)]
        assert ears.of(Recovered) == [Recovered(1, "b", "script", 1)]


async def test_never_falls_back_after_the_first_token():
    second = ScriptedEngine(name="b", says="another answer")
    first = ScriptedEngine(Reply("half an", error=ConnectionFailed("cable pulled"), fail_after=1), name="a")
    async with opened(first, second) as (gateway, ears):
        stream = gateway.chat(ask())
        assert (await anext(stream)).text == "half"
        with pytest.raises(ConnectionFailed, match="cable pulled"):
            await anext(stream)
        assert second.requests == []
        assert ears.of(FellBack) == []
        assert len(ears.of(RequestFailed)) == 1


async def test_says_in_order_what_happens():
    async with opened(ScriptedEngine(name="a", says="hello there")) as (gateway, ears):
        deltas = await deltas_of(gateway.chat(ask("one two")))
        assert [type(signal) for signal in ears.heard] == [RequestStarted, FirstToken, RequestFinished]
        finished = ears.of(RequestFinished)[0]
        assert (finished.engine, finished.model, finished.finish_reason) == ("a", "script", "stop")
        assert finished.usage == Usage(prompt_tokens=2, completion_tokens=2)
        assert 0 < finished.first_token <= finished.seconds
        assert (deltas[-1].engine, deltas[-1].model) == ("a", "script")


async def test_pieces_without_content_are_held_back_so_that_an_early_failure_still_falls_back():
    first = Raw(Delta(), Delta(usage=Usage(3)), name="a", after=ConnectionFailed("cut", retryable=False))
    async with opened(first, ScriptedEngine(name="b", says="hello")) as (gateway, _):
        deltas = await deltas_of(gateway.chat(ask()))
        assert [delta.text for delta in deltas] == ["hello", ""]
        assert deltas[-1].engine == "b"


async def test_what_was_held_back_comes_before_the_first_content():
    engine = Raw(Delta(), Delta(usage=Usage(3)), Delta(text="hi"), Delta(finish_reason="stop"))
    async with opened(engine) as (gateway, ears):
        deltas = await deltas_of(gateway.chat(ask()))
        assert deltas[:3] == [Delta(), Delta(usage=Usage(3)), Delta(text="hi")]
        assert ears.of(RequestFinished)[0].usage == Usage(3)


async def test_no_more_than_64_pieces_are_held_back():
    engine = Raw(*[Delta()] * 65, name="a", after=ConnectionFailed("cut", retryable=False))
    second = ScriptedEngine(name="b")
    async with opened(engine, second) as (gateway, _):
        with pytest.raises(ConnectionFailed):
            await deltas_of(gateway.chat(ask()))
        assert second.requests == []


async def test_an_empty_answer_that_is_finished_is_an_answer():
    second = ScriptedEngine(name="b")
    async with opened(Raw(Delta(finish_reason="stop"), name="a"), second) as (gateway, _):
        assert (await deltas_of(gateway.chat(ask())))[-1].engine == "a"
        assert second.requests == []


async def test_a_finish_reason_is_never_invented():
    async with opened(Raw(Delta(text="half"))) as (gateway, _):
        with pytest.raises(ConnectionFailed, match="without saying that it was finished") as caught:
            await deltas_of(gateway.chat(ask()))
        assert caught.value.context["cause"] == "cut"


async def test_a_broken_line_after_the_last_piece_does_not_spoil_the_answer():
    engine = Raw(Delta(text="done"), Delta(finish_reason="stop"), after=ConnectionFailed("late"))
    async with opened(engine) as (gateway, ears):
        assert await text_of(gateway.chat(ask())) == "done"
        assert ears.of(RequestFailed) == []


async def test_what_comes_after_the_last_piece_is_read_so_that_the_connection_can_be_used_again():
    engine = Raw(Delta(text="done"), Delta(finish_reason="stop"))
    async with opened(engine) as (gateway, _):
        await deltas_of(gateway.chat(ask()))
        assert (engine.read_to_the_end, engine.closed_streams) == (True, 1)


async def test_a_reset_connection_is_tried_again_on_the_same_engine():
    reset = ConnectionFailed("reset", cause="reset")
    engine = ScriptedEngine(Reply(error=reset), Reply(text="hello"), name="a")
    async with opened(engine) as (gateway, ears):
        assert await text_of(gateway.chat(ask())) == "hello"
        assert [(retried.attempt, retried.error) for retried in ears.of(Retried)] == [(1, reset)]
        assert 0.05 <= ears.of(Retried)[0].wait <= 0.1


async def test_every_engine_is_asked_again_as_often_as_the_first():
    reset = ConnectionFailed("reset", cause="reset")
    second = ScriptedEngine(Reply(error=reset), Reply(text="hello"), name="b")
    async with opened(ScriptedEngine(name="a", error=reset), second, retries=1) as (gateway, ears):
        assert await text_of(gateway.chat(ask())) == "hello"
        assert [(retried.engine, retried.attempt) for retried in ears.of(Retried)] == [("a", 1), ("b", 1)]


async def test_a_short_retry_after_is_waited_for_as_named():
    engine = ScriptedEngine(Reply(error=RateLimited("busy", retry_after=0.01)), Reply(text="hello"), name="a")
    async with opened(engine, ScriptedEngine(name="b")) as (gateway, ears):
        assert await text_of(gateway.chat(ask())) == "hello"
        assert ears.of(Retried)[0].wait == 0.01


@pytest.mark.parametrize("error", [Invalid("temperature must be a number"), NotPermitted("not your model")])
async def test_a_request_that_is_wrong_is_not_sent_to_anyone_else(error):
    second = ScriptedEngine(name="b")
    async with opened(ScriptedEngine(name="a", error=error), second) as (gateway, _):
        with pytest.raises(type(error)):
            await deltas_of(gateway.chat(ask()))
        assert second.requests == []


@pytest.mark.parametrize(
    "error", [TimedOut("slow"), OutOfResources("no memory"), ModelNotFound("gone"), RateLimited("busy", retry_after=60)]
)
async def test_what_one_engine_cannot_do_now_another_may(error):
    async with opened(ScriptedEngine(name="a", error=error), ScriptedEngine(name="b", says="hello")) as (gateway, _):
        assert await text_of(gateway.chat(ask())) == "hello"


async def test_when_all_fail_the_error_is_that_of_the_first_choice():
    engines = [ScriptedEngine(name="a", error=REFUSED), ScriptedEngine(name="b", error=TimedOut("slow"))]
    async with opened(*engines) as (gateway, ears):
        with pytest.raises(ConnectionFailed, match="nobody listens"):
            await deltas_of(gateway.chat(ask()))
        assert [failed.engine for failed in ears.of(AttemptFailed)] == ["a", "b"]
        assert len(ears.of(RequestFailed)) == 1


async def test_with_fallback_off_only_the_chosen_model_is_asked():
    second = ScriptedEngine(name="b")
    aliases = {"chat": "script@a"}
    async with opened(ScriptedEngine(name="a", error=REFUSED), second, aliases=aliases, fallback=False, retries=0) as (
        gateway,
        _,
    ):
        with pytest.raises(ConnectionFailed):
            await deltas_of(gateway.chat(ask()))
        assert second.requests == []


async def test_a_model_named_in_the_request_is_never_replaced():
    second = ScriptedEngine(name="b")
    async with opened(ScriptedEngine(name="a", error=REFUSED), second, retries=0) as (gateway, _):
        with pytest.raises(ConnectionFailed):
            await deltas_of(gateway.chat(ask(model="script@a")))
        assert second.requests == []


async def test_an_engine_that_is_down_is_passed_over_and_it_is_said():
    first = Moody(name="a", listing_error=REFUSED)
    async with opened(first, ScriptedEngine(name="b", says="hello"), aliases={"chat": "big@a"}) as (gateway, ears):
        assert await text_of(gateway.chat(ask())) == "hello"
        assert ears.of(FellBack) == [FellBack(1, "big@a", "script@b", REFUSED)]


async def test_a_prompt_too_long_for_one_model_goes_to_one_with_a_larger_window():
    small = ScriptedEngine(name="a", cards=[scripted_card("a", context_window=8)])
    smaller = ScriptedEngine(name="b", cards=[scripted_card("b", context_window=4)])
    large = ScriptedEngine(name="c", cards=[scripted_card("c", context_window=800)], says="hello")
    async with opened(small, smaller, large) as (gateway, ears):
        assert await text_of(gateway.chat(ask("word " * 20))) == "hello"
        assert small.requests == []
        assert [(fell.source, fell.target) for fell in ears.of(FellBack)] == [("script@a", "script@c")]
        assert isinstance(ears.of(FellBack)[0].error, ContextTooLong)


async def test_a_prompt_too_long_for_all_is_an_error_with_its_figures():
    engine = ScriptedEngine(name="a", cards=[scripted_card("a", context_window=8)])
    async with opened(engine) as (gateway, _):
        with pytest.raises(ContextTooLong) as caught:
            await deltas_of(gateway.chat(ask("word " * 20)))
        assert caught.value.context["prompt_tokens"] > caught.value.context["context_window"] == 8
        assert engine.requests == []


async def test_a_prompt_that_likely_fits_is_not_counted():
    class Counting(ScriptedEngine):
        counted = 0

        async def count_tokens(self, request, card):
            self.counted += 1
            return await super().count_tokens(request, card)

    engine = Counting(name="a", cards=[scripted_card("a", context_window=100)])
    async with opened(engine) as (gateway, _):
        await deltas_of(gateway.chat(ask("x" * 250)))
        assert engine.counted == 0
        await deltas_of(gateway.chat(ask("é" * 150)))
        assert engine.counted == 1


LONG = ChatRequest(tuple(Message("user" if index % 2 == 0 else "assistant", "word " * 10) for index in range(9)))


async def test_a_conversation_loses_its_oldest_turns_only_when_allowed_and_says_so():
    engine = ScriptedEngine(name="a", cards=[scripted_card("a", context_window=64)], says="hello")
    async with opened(engine, shrink_context=True) as (gateway, ears):
        assert await text_of(gateway.chat(LONG)) == "hello"
        trimmed = ears.of(Trimmed)[0]
        assert len(engine.requests[0].messages) == 9 - trimmed.messages < 9
        assert engine.requests[0].messages[-1] == LONG.messages[-1]


async def test_a_conversation_is_shortened_only_once():
    class Greedy(ScriptedEngine):
        async def count_tokens(self, request, card):
            return 10 * card.context_window

    async with opened(Greedy(name="a", cards=[scripted_card("a", context_window=20)]), shrink_context=True) as (
        gateway,
        ears,
    ):
        request = ChatRequest(tuple(Message("user", "x" * length) for length in (9000, 9000, 1000, 1)))
        with pytest.raises(ContextTooLong):
            await deltas_of(gateway.chat(request))
        assert len(ears.of(Trimmed)) == 1


async def test_a_conversation_is_never_shortened_unasked():
    engine = ScriptedEngine(name="a", cards=[scripted_card("a", context_window=64)])
    async with opened(engine) as (gateway, ears):
        with pytest.raises(ContextTooLong):
            await deltas_of(gateway.chat(LONG))
        assert ears.of(Trimmed) == []


async def test_a_missing_model_is_pulled_when_allowed_and_once_for_all_who_miss_it():
    engine = ScriptedEngine(name="a", cards=[], says="hello")
    async with opened(engine, pull_missing=True, aliases={"chat": "new@a"}) as (gateway, _):
        answers = await asyncio.gather(*(text_of(gateway.chat(ask())) for _ in range(3)))
        assert answers == ["hello"] * 3
        assert [each.name for each in await engine.models()] == ["new"]


async def test_a_missing_model_is_not_pulled_unasked():
    engine = ScriptedEngine(name="a", says="hello")
    async with opened(engine, aliases={"chat": "new@a"}, fallback=False) as (gateway, _):
        with pytest.raises(ModelNotFound):
            await deltas_of(gateway.chat(ask()))
        assert [each.name for each in await engine.models()] == ["script"]


async def test_where_nothing_can_be_pulled_the_next_engine_answers():
    first = Unpullable(name="a", cards=[])
    with_model = ScriptedEngine(name="b", says="hello")
    async with opened(first, with_model, pull_missing=True, aliases={"chat": "new@a"}) as (gateway, ears):
        assert await text_of(gateway.chat(ask())) == "hello"
        assert isinstance(ears.of(FellBack)[0].error, ModelNotFound)


async def test_closing_the_stream_closes_the_engines_stream_and_frees_the_slot():
    engine = Raw(*[Delta(text="word ")] * 100, name="a")
    async with opened(engine) as (gateway, ears):
        stream = gateway.chat(ask())
        await anext(stream)
        await stream.aclose()
        assert engine.closed_streams == 1
        assert gateway.load() == {"a": (0, 0)}
        assert len(ears.of(RequestCancelled)) == 1


async def test_cancelling_the_reader_before_the_first_token_frees_the_slot():
    engine = ScriptedEngine(Reply(text="late", hold=asyncio.Event()), name="a")
    async with opened(engine) as (gateway, ears):
        reader = asyncio.create_task(text_of(gateway.chat(ask())))
        await until(lambda: engine.running == 1)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert (engine.running, engine.cancelled) == (0, 1)
        assert gateway.load() == {"a": (0, 0)}
        assert ears.of(RequestCancelled)[0].superseded is False


async def test_the_slot_is_free_before_the_reader_has_the_last_piece():
    async with opened(ScriptedEngine(name="a", says="hello")) as (gateway, _):
        stream = gateway.chat(ask())
        async for delta in stream:
            if delta.finish_reason:
                assert gateway.load() == {"a": (0, 0)}


async def test_an_engine_that_keeps_failing_is_left_alone_and_tried_again_when_it_is_seen_alive():
    engine = Moody(Reply(error=REFUSED), Reply(error=REFUSED), Reply(text="back"), name="a")
    async with opened(engine, retries=0, breaker_failures=2, breaker_seconds=3600) as (gateway, _):
        engine.state = EngineHealth("down")
        for _ in range(3):
            with pytest.raises(ConnectionFailed):
                await deltas_of(gateway.chat(ask()))
        assert len(engine.requests) == 2
        engine.state = EngineHealth("ready")
        assert await text_of(gateway.chat(ask())) == "back"


async def test_a_probe_whose_reader_leaves_does_not_keep_the_breaker_open():
    replies = [Reply(error=REFUSED), Reply(text="late", hold=asyncio.Event()), Reply(text="back")]
    engine = Moody(*replies, name="a")
    async with opened(engine, retries=0, breaker_failures=1, breaker_seconds=0) as (gateway, _):
        with pytest.raises(ConnectionFailed):
            await deltas_of(gateway.chat(ask()))
        probe = asyncio.create_task(text_of(gateway.chat(ask())))
        await until(lambda: engine.running)
        with pytest.raises(ConnectionFailed, match="in a row"):
            await deltas_of(gateway.chat(ask()))
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        assert await text_of(gateway.chat(ask())) == "back"


async def test_when_the_stand_in_breaks_off_in_mid_answer_the_error_is_its_own():
    second = ScriptedEngine(Reply("half an", error=ConnectionFailed("cable pulled"), fail_after=1), name="b")
    async with opened(ScriptedEngine(name="a", error=REFUSED), second) as (gateway, ears):
        with pytest.raises(ConnectionFailed, match="cable pulled"):
            await deltas_of(gateway.chat(ask()))
        assert ears.of(AttemptFailed)[-1].engine == "b"


async def test_completions_take_the_same_way():
    async with opened(ScriptedEngine(name="a", error=REFUSED), ScriptedEngine(name="b", says="main():")) as (
        gateway,
        ears,
    ):
        deltas = await deltas_of(gateway.complete(fill()))
        assert "".join(delta.text for delta in deltas) == "main():"
        assert ears.of(RequestFinished)[0].kind == "complete"


async def test_embeddings_are_retried_and_moved_but_only_to_the_same_model():
    class Deaf(ScriptedEngine):
        async def embed(self, texts, card):
            raise REFUSED

    same = ScriptedEngine(name="b", cards=[card("e5", "b", "embed")])
    async with opened(Deaf(name="a", cards=[card("e5", "a", "embed")]), same, retries=0) as (gateway, _):
        assert len(await gateway.embed(["x", "y"])) == 2
    other = ScriptedEngine(name="b", cards=[card("bge", "b", "embed")])
    async with opened(Deaf(name="a", cards=[card("e5", "a", "embed")]), other, retries=0) as (gateway, _):
        with pytest.raises(ConnectionFailed):
            await gateway.embed(["x"])
        assert gateway.load() == {"a": (0, 0), "b": (0, 0)}
