"""What a conversation may be made of."""

import base64

import pytest

from fireside.core.errors import Invalid
from fireside.core.messages import Message
from fireside.core.requests import Sampling
from support.answers import check_error, failure, read
from support.subject import Says, Subject

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
CONVERSATIONS = {
    "a system prompt and a question": (Message("system", "Be brief."), Message("user", "Hi")),
    "many turns": tuple(Message("user" if n % 2 == 0 else "assistant", f"turn {n}") for n in range(41)),
    "an empty assistant turn": (Message("user", "Hi"), Message("assistant", ""), Message("user", "Well?")),
    "two questions in a row": (Message("user", "Hi"), Message("user", "Still there?")),
    "blanks only": (Message("user", " \n\t "),),
    "a very long line": (Message("user", "x" * 1500),),
    "many lines": (Message("user", "\n" * 500 + "end"),),
    "a system prompt in the middle": (
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("system", "Be brief."),
        Message("user", "Go on"),
    ),
}


@pytest.mark.parametrize("case", CONVERSATIONS)
async def test_is_answered(subject: Subject, case):
    says = Says(text="Understood.")
    answer = await read(subject.engine.chat(subject.ask(says, messages=CONVERSATIONS[case]), subject.card))
    subject.check_said(answer, says)


async def test_a_conversation_without_a_message_is_refused(subject: Subject):
    _, error = await failure(subject.engine.chat(subject.ask(messages=()), subject.card))
    assert isinstance(error, Invalid)
    check_error(error)


async def test_an_image_is_seen_or_refused_but_never_dropped(subject: Subject):
    request = subject.ask(
        messages=(Message("user", "What is this?", images=(PIXEL,)),), sampling=Sampling(max_tokens=16)
    )
    if subject.card.can("vision"):
        assert (await read(subject.engine.chat(request, subject.card))).finish is not None
        return
    _, error = await failure(subject.engine.chat(request, subject.card))
    assert isinstance(error, Invalid)
    check_error(error)


async def test_usage_counts_prompt_and_answer(subject: Subject):
    usage = (await read(subject.engine.chat(subject.ask(), subject.card))).usage
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0


async def test_what_was_cached_is_part_of_the_prompt(subject: Subject):
    request = subject.ask(content="The same long beginning. " * 20)
    for _ in range(2):
        usage = (await read(subject.engine.chat(request, subject.card))).usage
        assert 0 <= usage.cached_tokens <= usage.prompt_tokens


async def test_times_are_seconds(subject: Subject):
    usage = (await read(subject.engine.chat(subject.ask(), subject.card))).usage
    for seconds in (usage.load_seconds, usage.prompt_seconds, usage.completion_seconds):
        assert seconds is None or 0 <= seconds < 20


async def test_usage_comes_once_at_the_end_or_grows(subject: Subject):
    answer = await read(subject.engine.chat(subject.ask(), subject.card))
    told = [delta.usage.completion_tokens for delta in answer.deltas if delta.usage is not None]
    assert told == sorted(told)
