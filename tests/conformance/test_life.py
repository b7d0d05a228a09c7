"""What an engine says of itself, how it is warmed, shared and closed."""

import asyncio
import time
from contextlib import aclosing
from typing import get_args

import pytest

from fireside.core.errors import FiresideError, Invalid, ModelNotFound
from fireside.core.messages import Message
from fireside.core.requests import Sampling
from fireside.core.values import replace
from fireside.engines.engine import Boundary, PullProgress
from fireside.models.card import Capability
from support.answers import GUARD, check_error, read
from support.subject import Says, Subject


async def test_cards_are_complete(subject: Subject):
    cards = await subject.engine.models()
    assert subject.card in cards
    assert len({card.name for card in cards}) == len(cards)
    for card in cards:
        assert card.name
        assert card.engine == subject.engine.name
        assert card.context_window >= 0
        assert card.capabilities <= set(get_args(Capability))


async def test_the_card_of_a_chat_model_knows_its_window(subject: Subject):
    assert subject.card.can("chat")
    assert subject.card.context_window > 0


async def test_the_engine_has_a_name_and_a_boundary(subject: Subject):
    assert subject.engine.name
    assert isinstance(subject.engine.boundary, Boundary)


async def test_a_working_engine_is_healthy(subject: Subject):
    subject.arrange(Says())
    health = await subject.engine.health()
    assert health.state in ("ready", "idle", "loading")


async def test_looking_at_the_health_is_quick(subject: Subject):
    subject.arrange(Says())
    await subject.engine.health()
    started = time.perf_counter()
    health = await subject.engine.health()
    assert time.perf_counter() - started < 1.5
    assert health.latency < 1.5


async def test_health_answers_while_the_engine_is_busy(subject: Subject):
    stream = subject.engine.chat(subject.ask(Says(hold_after=1), sampling=Sampling(max_tokens=2000)), subject.card)
    async with asyncio.timeout(GUARD), aclosing(stream):
        await anext(stream)
        assert (await subject.engine.health()).state in ("ready", "loading")
    await subject.idle()


async def test_without_its_backend_an_engine_is_down_and_says_what_to_do(fresh: Subject):
    await fresh.vanish()
    async with asyncio.timeout(5):
        health = await fresh.engine.health()
    assert health.state == "down"
    assert health.detail
    assert health.remedy
    assert "\n" not in health.detail


async def test_without_its_backend_every_question_is_a_typed_error(fresh: Subject):
    request = fresh.ask()
    await fresh.vanish()
    with pytest.raises(FiresideError) as caught:
        await read(fresh.engine.chat(request, fresh.card))
    check_error(caught.value)


async def test_tokens_are_counted_or_honestly_unknown(subject: Subject):
    count = await subject.engine.count_tokens("def add(a, b):\n    return a + b\n", subject.card)
    assert count is None or 0 < count < 100


async def test_more_text_has_more_tokens(subject: Subject):
    few = await subject.engine.count_tokens("one two", subject.card)
    many = await subject.engine.count_tokens("one two " * 50, subject.card)
    assert (few is None) == (many is None)
    assert few is None or many is None or many > few


async def test_a_request_counts_at_least_its_text(subject: Subject):
    text = "one two three " * 10
    request = replace(
        subject.ask(), messages=(Message("system", "Be brief."), Message("user", text)), response_format=None
    )
    alone, whole = (
        await subject.engine.count_tokens(text, subject.card),
        await subject.engine.count_tokens(request, subject.card),
    )
    assert alone is None or whole is None or whole >= alone


async def test_the_empty_text_has_no_tokens_to_speak_of(subject: Subject):
    assert await subject.engine.count_tokens("", subject.card) in (None, 0, 1)


async def test_warming_changes_no_answer(subject: Subject):
    says = Says(text="Warm.")
    request = subject.ask(says)
    async with asyncio.timeout(GUARD):
        await subject.engine.warm(request, subject.card)
    subject.check_said(await read(subject.engine.chat(request, subject.card)), says)


async def test_warming_a_model_that_is_not_there_is_a_typed_error_or_nothing(subject: Subject):
    try:
        async with asyncio.timeout(GUARD):
            await subject.engine.warm(subject.ask(), replace(subject.card, name="no-such-model"))
    except FiresideError as error:
        check_error(error)


async def test_a_pull_shows_its_progress_or_is_refused(subject: Subject):
    try:
        progress = await pulled(subject, "a-new-model")
    except FiresideError as error:
        check_error(error)
    else:
        assert progress
        assert all(0 <= step.completed <= (step.total or step.completed) for step in progress)


async def test_eight_at_once_are_all_answered(subject: Subject):
    says = Says(text="All at once.")
    request = subject.ask(says)
    answers = await asyncio.gather(*(read(subject.engine.chat(request, subject.card)) for _ in range(8)))
    for answer in answers:
        subject.check_said(answer, says)


async def test_two_streams_may_be_read_in_turns(subject: Subject):
    request = subject.ask(Says(text="one two three four"))
    pieces: list[list[str]] = [[], []]
    async with asyncio.timeout(GUARD):
        streams = [subject.engine.chat(request, subject.card) for _ in range(2)]
        open_ones = dict(enumerate(streams))
        while open_ones:
            for number, stream in list(open_ones.items()):
                try:
                    pieces[number].append((await anext(stream)).text)
                except StopAsyncIteration:
                    del open_ones[number]
    assert "".join(pieces[0]) == "".join(pieces[1]) or not subject.programmable
    assert all(pieces)


async def test_cancelling_one_of_several_leaves_the_others_alone(subject: Subject):
    says = Says(text="Left alone.")
    request = subject.ask(says)
    doomed = asyncio.ensure_future(read(subject.engine.chat(request, subject.card)))
    others = [asyncio.ensure_future(read(subject.engine.chat(request, subject.card))) for _ in range(3)]
    await asyncio.sleep(0)
    doomed.cancel()
    for other in others:
        subject.check_said(await other, says)
    assert isinstance((await asyncio.gather(doomed, return_exceptions=True))[0], asyncio.CancelledError)
    await subject.idle()


async def test_closing_twice_is_as_good_as_once(fresh: Subject):
    await read(fresh.engine.chat(fresh.ask(), fresh.card))
    await fresh.engine.aclose()
    await fresh.engine.aclose()


async def test_an_engine_nobody_asked_closes_too(fresh: Subject):
    await fresh.engine.aclose()


async def test_a_pull_of_nothing_is_refused(subject: Subject):
    with pytest.raises((Invalid, ModelNotFound)) as caught:
        await pulled(subject, "")
    check_error(caught.value)


async def pulled(subject: Subject, name: str) -> list[PullProgress]:
    async with asyncio.timeout(GUARD), aclosing(subject.engine.pull(name)) as pulling:
        return [step async for step in pulling]
