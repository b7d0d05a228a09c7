"""A prompt that does not fit is refused with numbers, never cut in silence."""

from fireside.core.errors import ContextTooLong
from fireside.core.messages import Message
from fireside.core.requests import Sampling
from fireside.core.values import replace
from support.answers import check_error, failure, read
from support.subject import Says, Subject


async def test_a_prompt_that_does_not_fit_is_refused(subject: Subject):
    engine, request, card = await subject.run_into(Says(fault="too_long"))
    answer, error = await failure(engine.chat(request, card))
    assert isinstance(error, ContextTooLong)
    assert not error.retryable
    assert answer.text == ""
    check_error(error)


async def test_the_refusal_names_the_numbers(subject: Subject):
    engine, request, card = await subject.run_into(Says(fault="too_long"))
    _, error = await failure(engine.chat(request, card))
    window, prompt = error.context.get("context_window"), error.context.get("prompt_tokens")
    assert isinstance(window, int)
    assert isinstance(prompt, int)
    assert prompt > window > 0


async def test_a_prompt_that_only_just_does_not_fit_is_refused_too(subject: Subject):
    """Where a prompt is half a window too long everybody notices; the silent cuts happen at the border."""
    _, error = await failure(subject.engine.chat(subject.ask(content=subject.words(1.01)), subject.card))
    assert isinstance(error, ContextTooLong)


async def test_many_messages_that_do_not_fit_together_are_refused(subject: Subject):
    _, request, card = await subject.run_into(Says(fault="too_long"))
    words = request.messages[-1].content.split(" ")
    parts = [" ".join(words[start : start + 200]) for start in range(0, len(words), 200)]
    turns = tuple(Message("user" if number % 2 == 0 else "assistant", part) for number, part in enumerate(parts))
    _, error = await failure(subject.engine.chat(replace(request, messages=(*turns, Message("user", "Well?"))), card))
    assert isinstance(error, ContextTooLong)


async def test_a_long_prompt_that_fits_is_answered(subject: Subject):
    says = Says(text="It fits.")
    request = subject.ask(says, content=subject.words(0.2))
    answer = await read(subject.engine.chat(request, subject.card))
    subject.check_said(answer, says)
    assert answer.usage.prompt_tokens > subject.card.context_window * 0.19


async def test_after_a_refusal_the_next_prompt_is_answered(subject: Subject):
    engine, request, card = await subject.run_into(Says(fault="too_long"))
    await failure(engine.chat(request, card))
    answer = await read(subject.engine.chat(subject.ask(sampling=Sampling(max_tokens=8)), subject.card))
    assert answer.finish is not None
