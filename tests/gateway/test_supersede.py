"""A newer request ends an older one with the same key, at once."""

import asyncio

import pytest

from fireside.core.errors import TimedOut
from fireside.core.requests import Delta
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.gateway.signals import RequestCancelled
from support.gateways import deltas_of, fill, opened, until

CANCELLED = [Delta(finish_reason="cancelled")]


def slow() -> Reply:
    return Reply(text="late", hold=asyncio.Event())


async def test_a_running_completion_ends_as_cancelled_and_its_slot_serves_the_newer():
    engine = ScriptedEngine(slow(), Reply(text="newest"), name="a")
    async with opened(engine, parallel={"a": 1}) as (gateway, ears):
        older = asyncio.create_task(deltas_of(gateway.complete(fill(supersedes="buffer"))))
        await until(lambda: engine.running == 1)
        newer = await deltas_of(gateway.complete(fill(supersedes="buffer")))
        assert await older == CANCELLED
        assert newer[0].text == "newest"
        assert engine.cancelled == 1
        assert ears.of(RequestCancelled)[0].superseded is True
        assert gateway.load() == {"a": (0, 0)}


async def test_a_queued_completion_never_reaches_the_engine():
    engine = ScriptedEngine(slow(), Reply(text="newest"), name="a")
    async with opened(engine, parallel={"a": 1}) as (gateway, _):
        holder = asyncio.create_task(deltas_of(gateway.complete(fill("holder"))))
        await until(lambda: engine.running == 1)
        queued = asyncio.create_task(deltas_of(gateway.complete(fill("old", supersedes="buffer"))))
        await until(lambda: gateway.load() == {"a": (1, 1)})
        newest = asyncio.create_task(deltas_of(gateway.complete(fill("new", supersedes="buffer"))))
        assert await queued == CANCELLED
        holder.cancel()
        assert (await newest)[0].text == "newest"
        assert [request.prefix for request in engine.requests] == ["holder", "new"]


async def test_in_mid_answer_the_older_keeps_what_was_said():
    engine = ScriptedEngine(Reply(text="one two three", pace=0.001), Reply(text="newest"), name="a")
    async with opened(engine) as (gateway, _):
        stream = gateway.complete(fill(supersedes="buffer"))
        first = await anext(stream)
        await deltas_of(gateway.complete(fill(supersedes="buffer")))
        assert [first, *await deltas_of(stream)] == [Delta(text="one"), *CANCELLED]


async def test_other_keys_and_requests_without_one_are_left_alone():
    hold = asyncio.Event()
    engine = ScriptedEngine(
        Reply(text="kept", hold=hold), Reply(text="kept", hold=hold), Reply(text="newest"), name="a"
    )
    async with opened(engine, parallel={"a": 3}) as (gateway, _):
        others = [
            asyncio.create_task(deltas_of(gateway.complete(fill(supersedes=key)))) for key in ("other buffer", None)
        ]
        await until(lambda: engine.running == 2)
        await deltas_of(gateway.complete(fill(supersedes="buffer")))
        hold.set()
        assert [(await task)[0].text for task in others] == ["kept", "kept"]


async def test_a_finished_answer_is_not_cancelled_afterwards():
    async with opened(ScriptedEngine(name="a", says="done")) as (gateway, _):
        stream = gateway.complete(fill(supersedes="buffer"))
        async for delta in stream:
            if delta.finish_reason:
                assert delta.finish_reason == "stop"
                await deltas_of(gateway.complete(fill(supersedes="buffer")))


async def test_the_reader_being_cancelled_is_not_mistaken_for_being_superseded():
    engine = ScriptedEngine(slow(), name="a")
    async with opened(engine) as (gateway, ears):
        reader = asyncio.create_task(deltas_of(gateway.complete(fill(supersedes="buffer"))))
        await until(lambda: engine.running == 1)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert ears.of(RequestCancelled)[0].superseded is False


async def test_the_engines_own_errors_pass_through():
    async with opened(ScriptedEngine(name="a", error=TimedOut("slow"))) as (gateway, _):
        with pytest.raises(TimedOut):
            await deltas_of(gateway.complete(fill(supersedes="buffer")))


async def test_a_reader_that_is_superseded_and_cancelled_is_cancelled():
    engine = ScriptedEngine(slow(), name="a")
    async with opened(engine) as (gateway, _):
        reader = asyncio.create_task(deltas_of(gateway.complete(fill(supersedes="buffer"))))
        await until(lambda: engine.running == 1)
        newer = asyncio.create_task(deltas_of(gateway.complete(fill(supersedes="buffer"))))
        await asyncio.sleep(0)
        reader.cancel()
        newer.cancel()
        await asyncio.gather(newer, return_exceptions=True)
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert gateway.load() == {"a": (0, 0)}
