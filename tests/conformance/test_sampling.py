"""How tokens are drawn, and where they stop."""

import pytest

from fireside.core.requests import Sampling
from fireside.core.values import replace
from support.answers import read
from support.subject import Says, Subject

WORDS = "one two three four five six seven eight"


async def said(subject: Subject, text: str = WORDS, **sampling: object):
    request = subject.ask(Says(text=text), content="Count.")
    free = replace(request, response_format=None, sampling=Sampling(**({"max_tokens": 24} | sampling)))
    return await read(subject.engine.chat(free, subject.card))


@pytest.mark.parametrize("limit", [1, 3, 6])
async def test_the_answer_ends_at_the_limit_of_tokens(subject: Subject, limit):
    answer = await said(subject, max_tokens=limit)
    assert answer.finish == "length" or not subject.programmable
    assert answer.usage.completion_tokens <= limit + 1


async def test_an_answer_shorter_than_the_limit_ends_by_itself(subject: Subject):
    answer = await said(subject, text="Short.", max_tokens=50)
    assert answer.finish == "stop" or not subject.programmable


async def test_a_stop_sequence_ends_the_answer_and_is_not_part_of_it(subject: Subject):
    answer = await said(subject, stop=("four",))
    assert "four" not in answer.text
    if subject.programmable:
        assert answer.text.rstrip() == "one two three"
        assert answer.finish == "stop"


async def test_the_first_of_several_stop_sequences_ends_the_answer(subject: Subject):
    answer = await said(subject, stop=("six", "three", "seven"))
    assert not {"six", "three", "seven"} & set(answer.text.split())
    assert answer.text.rstrip() == "one two" or not subject.programmable


async def test_a_stop_sequence_that_never_comes_changes_nothing(subject: Subject):
    answer = await said(subject, stop=("never said",), max_tokens=24)
    assert answer.text == WORDS or not subject.programmable


async def test_temperature_zero_says_the_same_twice(subject: Subject):
    assert (await said(subject, temperature=0.0)).text == (await said(subject, temperature=0.0)).text


async def test_the_same_seed_says_the_same_twice(subject: Subject):
    assert (await said(subject, seed=7, temperature=0.9)).text == (await said(subject, seed=7, temperature=0.9)).text


async def test_every_knob_may_be_turned_at_once(subject: Subject):
    answer = await said(
        subject,
        temperature=0.7,
        top_p=0.9,
        top_k=20,
        min_p=0.05,
        repeat_penalty=1.1,
        seed=3,
        max_tokens=8,
        stop=("\n\n",),
    )
    assert answer.finish in ("stop", "length")


async def test_nothing_asked_leaves_the_choice_to_the_engine(subject: Subject):
    answer = await read(subject.engine.chat(subject.ask(Says(text="Free."), sampling=Sampling()), subject.card))
    assert answer.finish is not None
