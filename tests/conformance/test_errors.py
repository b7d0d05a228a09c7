"""Every way to fail is told by its kind, in one line, with a remedy, and leaves the engine whole."""

import asyncio

from fireside.core.errors import ErrorKind, FiresideError, ModelNotFound
from fireside.core.values import replace
from support.answers import check_error, failure, read
from support.subject import KINDS, MID_STREAM, RETRY_AFTER, Fault, Says, Subject


def facing(fault: Fault) -> Says:
    return Says(fault=fault, fault_after=2 if fault in MID_STREAM else 0)


async def test_the_error_is_of_its_kind(subject: Subject, fault: Fault):
    engine, request, card = await subject.run_into(facing(fault))
    answer, error = await failure(engine.chat(request, card))
    assert error.kind in KINDS[fault], repr(error)
    check_error(error)
    check_facts(error, fault)
    # What was said is not lost; before that nothing was, so that another engine may take over.
    assert any(delta.has_content for delta in answer.deltas) is (fault in MID_STREAM)


async def test_the_engine_works_again_after_the_error(subject: Subject, fault: Fault):
    engine, request, card = await subject.run_into(facing(fault))
    await failure(engine.chat(request, card))
    says = Says(text="Back again.")
    subject.check_said(await read(subject.engine.chat(subject.ask(says), subject.card)), says)


def check_facts(error: FiresideError, fault: Fault) -> None:
    """What somebody needs who decides whether to try again, and where."""
    if fault == "rate_limit":
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
