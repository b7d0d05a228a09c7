"""Every way to fail is told by its kind, in one line, with a remedy, and leaves the engine whole."""

import asyncio
from dataclasses import replace

from fireside.core.errors import ErrorKind, ModelNotFound, RateLimited
from support.answers import check_error, failure, read
from support.subjects import KINDS, MID_STREAM, RETRY_AFTER, Fault, Says, Subject


def facing(fault: Fault) -> Says:
    return Says(fault=fault, fault_after=2 if fault in MID_STREAM else 0)


async def test_the_error_is_of_its_kind_and_carries_a_remedy(subject: Subject, fault: Fault):
    request, card = subject.run_into(facing(fault))
    _, error = await failure(subject.impatient.chat(request, card))
    assert error.kind in KINDS[fault], repr(error)
    check_error(error)


async def test_what_was_said_before_the_error_is_not_lost(subject: Subject, fault: Fault):
    """The beginning reaches the reader where there was one; before that nothing does, so that another engine may take over."""
    request, card = subject.run_into(facing(fault))
    answer, _ = await failure(subject.impatient.chat(request, card))
    assert any(delta.has_content for delta in answer.deltas) is (fault in MID_STREAM)


async def test_the_engine_works_again_after_the_error(subject: Subject, fault: Fault):
    request, card = subject.run_into(facing(fault))
    await failure(subject.impatient.chat(request, card))
    await subject.recover()
    says = Says(text="Back again.")
    subject.check_said(await read(subject.engine.chat(subject.ask(says), subject.card)), says)


async def test_the_facts_of_an_error_are_there_for_who_decides(subject: Subject, fault: Fault):
    request, card = subject.run_into(facing(fault))
    _, error = await failure(subject.impatient.chat(request, card))
    if isinstance(error, RateLimited) and fault == "rate_limit":
        assert error.context["retry_after"] == RETRY_AFTER
    if error.kind is ErrorKind.TIMEOUT:
        assert error.context["phase"] in ("connect", "load", "first_token", "stall", "total")
        assert (error.context["phase"] == "stall") is (fault == "stall")
    if error.kind is ErrorKind.CONNECTION:
        assert error.context["cause"]
    if fault in ("refused", "cut", "rate_limit", "silent", "busy"):
        assert error.retryable
    if fault in ("missing_model", "bad_request", "forbidden", "too_long"):
        assert not error.retryable


async def test_a_completion_fails_like_a_chat(subject: Subject):
    if subject.card.can("fim"):
        _, error = await failure(subject.engine.complete(subject.fill(), replace(subject.card, name="no-such-model")))
        assert isinstance(error, ModelNotFound)
        check_error(error)


async def test_one_failing_request_does_not_touch_another(subject: Subject):
    says = Says(text="Undisturbed.")
    request = subject.ask(says)
    missing = replace(subject.card, name="no-such-model")
    good, (_, error) = await asyncio.gather(
        read(subject.engine.chat(request, subject.card)), failure(subject.engine.chat(request, missing))
    )
    subject.check_said(good, says)
    assert isinstance(error, ModelNotFound)


async def test_an_unknown_model_is_named_in_the_error(subject: Subject):
    _, error = await failure(subject.engine.chat(subject.ask(), replace(subject.card, name="no-such-model")))
    assert "no-such-model" in error.message
