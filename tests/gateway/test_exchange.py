"""Engines come and go while requests are under way."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from fireside.core.errors import ConnectionFailed, FiresideError, ModelNotFound
from fireside.engines.scripted import Reply
from fireside.gateway.settings import GatewaySettings
from support.gateways import Moody, ask, card, deltas_of, opened, text_of, until


@asynccontextmanager
async def talking(gateway, engine: Moody, hold: asyncio.Event):
    """An answer that ends when ``hold`` is set."""
    task = asyncio.create_task(text_of(gateway.chat(ask(model=f"script@{engine.name}"))))
    await until(lambda: engine.running)
    yield task
    hold.set()
    await task


async def test_a_new_engine_answers_at_once_and_an_old_one_is_asked_no_more():
    old, new = Moody("old", name="a"), Moody("new", name="b")
    async with opened(old) as (gateway, _):
        assert await text_of(gateway.chat(ask())) == "old"
        gateway.exchange([new])
        assert await text_of(gateway.chat(ask())) == "new"
        assert [each.engine for each in await gateway.models()] == ["b"]
        assert set(await gateway.health()) == set(gateway.load()) == {"b"}
        with pytest.raises(ModelNotFound):
            await text_of(gateway.chat(ask(model="script@a")))
        await until(lambda: old.closed)
    assert (old.closed, new.closed) == (1, 1)


async def test_an_engine_that_goes_is_closed_when_its_last_stream_ends():
    hold = asyncio.Event()
    old = Moody(Reply("all of it", hold=hold), name="a")
    async with opened(old) as (gateway, _):
        async with talking(gateway, old, hold) as task:
            gateway.exchange([Moody("new", name="b")])
            assert await text_of(gateway.chat(ask())) == "new"
            assert not old.closed
        assert task.result() == "all of it"
        await until(lambda: old.closed)
    assert old.closed == 1


async def test_an_engine_that_stays_keeps_its_streams_its_line_and_its_breaker():
    hold = asyncio.Event()
    stays = Moody(Reply("first", hold=hold), Reply("second"), name="a")
    async with opened(stays, Moody(name="b"), parallel={"a": 1}) as (gateway, _):
        async with talking(gateway, stays, hold) as task:
            waits = asyncio.create_task(text_of(gateway.chat(ask(model="script@a"))))
            await until(lambda: gateway.load()["a"] == (1, 1))
            breaker = gateway._gates.named("a").breaker
            gateway.exchange([stays])
            assert gateway.load() == {"a": (1, 1)}
            assert gateway._gates.named("a").breaker is breaker
        assert (task.result(), await waits) == ("first", "second")
        assert not stays.closed


async def test_a_newer_engine_of_the_same_name_takes_over_and_hears_nothing_of_the_olders_end():
    hold = asyncio.Event()
    old = Moody(Reply("half", error=ConnectionFailed("gone"), fail_after=1, hold=hold, hold_after=1), name="a")
    new = Moody("new", name="a")
    async with opened(old) as (gateway, _):
        task = asyncio.create_task(text_of(gateway.chat(ask())))
        await until(lambda: old.running)
        gateway.exchange([new])
        hold.set()
        with pytest.raises(FiresideError):
            await task
        assert (await gateway.health())["a"].state == "ready"
        assert await text_of(gateway.chat(ask())) == "new"


async def test_a_list_that_an_engine_gives_too_late_is_not_its_successors():
    listed = asyncio.Event()

    class Late(Moody):
        async def models(self):
            await listed.wait()
            return await super().models()

    old, new = Late(name="a", cards=[card("old", "a")]), Moody(name="a", cards=[card("new", "a")])
    async with opened(old) as (gateway, _):
        asks = asyncio.create_task(gateway.models())
        await asyncio.sleep(0)
        gateway.exchange([new])
        assert [each.name for each in await gateway.models()] == ["new"]
        listed.set()
        await asks
        assert [each.name for each in await gateway.models()] == ["new"]


async def test_settings_and_aliases_can_change_with_the_engines():
    a, b = Moody("a", name="a"), Moody("b", name="b")
    async with opened(a, aliases={"chat": "script@a"}) as (gateway, _):
        gateway.exchange([a, b], settings=GatewaySettings(parallel={"b": 5}), aliases={"chat": "script@b"})
        assert await text_of(gateway.chat(ask())) == "b"
        gateway.exchange([a, b])
        assert (await deltas_of(gateway.chat(ask())))[-1].engine == "b"
        assert gateway._gates.named("b").queue.parallel == 5


async def test_all_engines_are_closed_in_the_end_also_those_that_still_answer():
    hold = asyncio.Event()
    old = Moody(Reply("never", hold=hold), name="a")
    async with opened(old) as (gateway, _):
        task = asyncio.create_task(text_of(gateway.chat(ask())))
        await until(lambda: old.running)
        gateway.exchange([])
        await gateway.aclose()
        assert old.closed == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
