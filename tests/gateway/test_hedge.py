"""A second engine is asked when the first is late to begin: opt-in, within a budget, and never further away."""

import asyncio

import pytest

from fireside.core.errors import ConnectionFailed, FiresideError, OutOfResources
from fireside.engines.engine import Boundary
from fireside.engines.scripted import Reply
from fireside.gateway.hedge import Hedge
from fireside.gateway.signals import AttemptFailed, FirstToken, Hedged, HedgeWon, RequestFinished
from support.gateways import Moody, ask, deltas_of, opened, text_of, until

AT_ONCE = Hedge(after=0.001, budget=1)


def late(name: str, *, hold: asyncio.Event | None = None, **options: object) -> Moody:
    """An engine that says nothing until ``hold`` is set."""
    return Moody(Reply("late", hold=hold or asyncio.Event()), name=name, **options)


async def test_the_second_answers_and_the_first_is_cancelled_when_the_first_is_late():
    first, second = late("a"), Moody("quick", name="b")
    async with opened(first, second, hedge=AT_ONCE) as (gateway, ears):
        answer = await deltas_of(gateway.chat(ask()))
        assert ("".join(delta.text for delta in answer), answer[-1].engine) == ("quick", "b")
        assert (first.cancelled, first.running, second.cancelled) == (1, 0, 0)
        assert gateway.load() == {"a": (0, 0), "b": (0, 0)}
        assert ears.of(Hedged) == [Hedged(1, "script@a", "script@b")]
        assert ears.of(HedgeWon) == [HedgeWon(1, "script@a", "script@b")]
        assert [token.engine for token in ears.of(FirstToken)] == ["b"]
        assert [done.engine for done in ears.of(RequestFinished)] == ["b"]
        assert (gateway.metrics.counts["hedges"], gateway.metrics.counts["hedges_won"]) == (1, 1)


async def test_the_first_answers_after_all_when_it_speaks_first():
    hold = asyncio.Event()
    first, second = late("a", hold=hold), late("b")
    async with opened(first, second, hedge=AT_ONCE) as (gateway, ears):
        asked = asyncio.create_task(deltas_of(gateway.chat(ask())))
        await until(lambda: second.running)
        hold.set()
        assert (await asked)[-1].engine == "a"
        assert (second.cancelled, second.running) == (1, 0)
        assert ears.of(HedgeWon) == []


async def test_an_engine_in_time_is_not_hedged():
    second = Moody("no", name="b")
    async with opened(Moody("yes", name="a"), second, hedge=Hedge(after=5, budget=1)) as (gateway, ears):
        assert await text_of(gateway.chat(ask())) == "yes"
        assert second.requests == []
        assert ears.of(Hedged) == []


async def test_it_is_off_unless_it_is_wanted():
    hold = asyncio.Event()
    first, second = late("a", hold=hold), Moody("no", name="b")
    async with opened(first, second) as (gateway, _):
        asked = asyncio.create_task(text_of(gateway.chat(ask())))
        await until(lambda: first.running)
        hold.set()
        assert await asked == "late"
        assert second.requests == []


async def test_a_budget_holds_over_all_requests():
    first, second = Moody("first", name="a"), Moody("second", name="b")
    async with opened(first, second, hedge=Hedge(after=0.001, budget=0.25)) as (gateway, ears):
        for number in range(40):
            hold = asyncio.Event()
            first.rehearse(Reply("first", hold=hold))
            if number % 2:
                hold.set()
            else:
                asyncio.get_running_loop().call_later(0.005, hold.set)
            await text_of(gateway.chat(ask()))
        assert 5 <= len(ears.of(Hedged)) <= 10


async def test_p95_needs_answers_to_know_what_is_late():
    first, second = Moody("first", name="a"), Moody("second", name="b")
    async with opened(first, second, hedge=Hedge(budget=1)) as (gateway, ears):
        for _ in range(25):
            await text_of(gateway.chat(ask()))
        assert ears.of(Hedged) == []
        first.rehearse(Reply("never", hold=asyncio.Event()))
        assert await text_of(gateway.chat(ask())) == "second"
        assert len(ears.of(Hedged)) == 1


async def test_a_request_that_supersedes_is_never_hedged():
    hold = asyncio.Event()
    first, second = late("a", hold=hold), Moody("no", name="b")
    async with opened(first, second, hedge=AT_ONCE) as (gateway, _):
        asked = asyncio.create_task(text_of(gateway.chat(ask(supersedes="document"))))
        await until(lambda: first.running)
        asyncio.get_running_loop().call_later(0.01, hold.set)
        assert await asked == "late"
        assert second.requests == []


@pytest.mark.parametrize(("near", "far"), [(Boundary.MACHINE, Boundary.NETWORK), (Boundary.CLOUD, Boundary.CLOUD)])
async def test_a_hedge_never_reaches_further_than_the_first_and_never_into_the_cloud(near, far):
    hold = asyncio.Event()
    first, second = late("a", hold=hold, boundary=near), Moody("no", name="b", boundary=far)
    async with opened(first, second, hedge=AT_ONCE, cloud=True) as (gateway, _):
        asked = asyncio.create_task(text_of(gateway.chat(ask())))
        await until(lambda: first.running)
        asyncio.get_running_loop().call_later(0.01, hold.set)
        assert await asked == "late"
        assert second.requests == []


async def test_a_second_that_fails_leaves_the_first_to_answer():
    hold = asyncio.Event()
    first, second = late("a", hold=hold), Moody(Reply(error=OutOfResources("no memory")), name="b")
    async with opened(first, second, hedge=AT_ONCE) as (gateway, ears):
        asked = asyncio.create_task(text_of(gateway.chat(ask())))
        await until(lambda: second.requests)
        hold.set()
        assert await asked == "late"
        assert [failed.engine for failed in ears.of(AttemptFailed)] == ["b"]


async def test_a_first_that_fails_late_leaves_the_second_to_answer():
    hold, other = asyncio.Event(), asyncio.Event()
    first = Moody(Reply("x", error=ConnectionFailed("gone", cause="cut"), hold=hold, fail_after=1), name="a")
    second = late("b", hold=other)
    async with opened(first, second, hedge=AT_ONCE, retries=0) as (gateway, ears):
        first.rehearse(Reply(hold=hold, error=ConnectionFailed("gone", cause="cut"), fail_after=1))
        asked = asyncio.create_task(deltas_of(gateway.chat(ask())))
        await until(lambda: second.running)
        hold.set()
        await until(lambda: not first.running)
        other.set()
        assert (await asked)[-1].engine == "b"
        assert [failed.engine for failed in ears.of(AttemptFailed)] == ["a"]


async def test_when_both_fail_the_first_ones_error_is_told():
    hold = asyncio.Event()
    first = Moody(Reply(hold=hold, error=ConnectionFailed("first gone"), fail_after=1), name="a")
    second = Moody(Reply(error=ConnectionFailed("second gone")), name="b")
    async with opened(first, second, hedge=AT_ONCE, retries=0) as (gateway, _):
        asked = asyncio.create_task(text_of(gateway.chat(ask())))
        await until(lambda: second.requests)
        hold.set()
        with pytest.raises(FiresideError, match="first gone"):
            await asked
        assert len(second.requests) == 1


async def test_who_leaves_meanwhile_frees_both():
    first, second = late("a"), late("b")
    async with opened(first, second, hedge=AT_ONCE) as (gateway, _):
        asked = asyncio.create_task(text_of(gateway.chat(ask())))
        await until(lambda: first.running and second.running)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert (first.cancelled, second.cancelled) == (1, 1)
        assert gateway.load() == {"a": (0, 0), "b": (0, 0)}


async def test_a_busy_or_resting_second_is_not_asked():
    hold = asyncio.Event()
    first, second = late("a", hold=hold), late("b", hold=hold)
    async with opened(first, second, hedge=AT_ONCE, parallel={"b": 1}) as (gateway, ears):
        busy = asyncio.create_task(text_of(gateway.chat(ask(model="script@b"))))
        await until(lambda: second.running)
        asked = asyncio.create_task(text_of(gateway.chat(ask())))
        await until(lambda: first.running)
        asyncio.get_running_loop().call_later(0.01, hold.set)
        await asyncio.gather(busy, asked)
        assert ears.of(Hedged) == []
