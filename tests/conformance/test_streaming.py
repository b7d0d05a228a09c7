"""An answer comes in pieces, in order, and ends once."""

import asyncio
from contextlib import aclosing

import pytest

from fireside.core.requests import Sampling
from support.answers import GUARD, read
from support.subject import Says, Subject

TEXTS = {
    "one piece": "Hello",
    "a few pieces": "Hello, how are you today?",
    "many small pieces": " ".join(f"w{number}" for number in range(60)),
    "a single character": "x",
    "a leading blank": "  indented",
    "a leading line end": "\n\nafter two lines",
    "trailing blanks": "before blanks   ",
    "code": "def f(x):\n    return x + 1\n",
}


@pytest.mark.parametrize("case", TEXTS)
async def test_pieces_join_to_the_whole_answer(subject: Subject, case):
    says = Says(text=TEXTS[case])
    subject.check_said(await read(subject.engine.chat(subject.ask(says), subject.card)), says)


async def test_a_long_answer_arrives_whole(subject: Subject):
    says = Says(text=" ".join(str(number) for number in range(4000 if subject.programmable else 120)))
    subject.check_said(await read(subject.engine.chat(subject.ask(says), subject.card)), says)


async def test_one_very_large_piece_arrives_whole(subject: Subject):
    says = Says(text="x" * (300_000 if subject.programmable else 300))
    subject.check_said(await read(subject.engine.chat(subject.ask(says), subject.card)), says)


async def test_an_empty_answer_is_an_answer(subject: Subject):
    answer = await read(subject.engine.chat(subject.ask(Says(text="")), subject.card))
    subject.check_said(answer, Says(text=""))
    assert answer.finish == "stop" or not subject.programmable


async def test_no_delta_is_empty(subject: Subject):
    answer = await read(subject.engine.chat(subject.ask(), subject.card))
    idle = [
        delta
        for delta in answer.deltas
        if not delta.has_content and delta.finish_reason is None and delta.usage is None
    ]
    assert idle == []


async def test_pieces_are_handed_on_as_they_come(subject: Subject):
    """What is there is given at once; nobody waits for the end."""
    stream = subject.engine.chat(subject.ask(Says(hold_after=2), sampling=Sampling(max_tokens=2000)), subject.card)
    async with asyncio.timeout(GUARD), aclosing(stream):
        first = await anext(stream)
        assert first.has_content
        assert first.finish_reason is None
    await subject.idle()


async def test_nothing_follows_the_last_delta(subject: Subject):
    stream = subject.engine.chat(subject.ask(), subject.card)
    await read(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_reasoning_is_kept_apart_from_the_answer(subject: Subject):
    says = Says(text="The answer is four.", reasoning="two and two make four")
    if not subject.card.can("thinking"):
        answer = await read(subject.engine.chat(subject.ask(Says(text=says.text), reasoning="off"), subject.card))
        assert answer.reasoning == ""
        return
    answer = await read(subject.engine.chat(subject.ask(says, reasoning="medium"), subject.card))
    subject.check_said(answer, says)
    kinds = ["reasoning" if delta.reasoning else "text" for delta in answer.deltas if delta.has_content]
    assert kinds == sorted(kinds), "thoughts come before the answer"


async def test_a_stream_is_not_started_before_it_is_read(subject: Subject):
    stream = subject.engine.chat(subject.ask(), subject.card)
    await stream.aclose()
    await subject.idle()


async def test_the_same_request_can_be_sent_again(subject: Subject):
    request = subject.ask()
    first = await read(subject.engine.chat(request, subject.card))
    second = await read(subject.engine.chat(request, subject.card))
    assert first.finish == second.finish
    assert bool(first.text) == bool(second.text)
