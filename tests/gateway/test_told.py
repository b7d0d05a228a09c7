"""Who asks can hear what is said about the own request, and about no other."""

import asyncio

import pytest

from fireside.core.errors import ConnectionFailed, FiresideError
from fireside.core.events import EventBus
from fireside.core.requests import Sampling
from fireside.engines.engine import PullProgress
from fireside.engines.scripted import Reply, ScriptedEngine, scripted_card
from fireside.gateway.gateway import Gateway
from fireside.gateway.settings import GatewaySettings
from fireside.gateway.signals import (
    CacheHit,
    FellBack,
    FirstToken,
    PullAwaited,
    Queued,
    RequestFailed,
    RequestFinished,
    RequestSignal,
    RequestStarted,
)
from support.gateways import Moody, ask, opened, until

REFUSED = ConnectionFailed("refused", cause="refused")


async def drain(batches) -> None:
    async for _ in batches:
        pass


def kinds(heard: list[RequestSignal]) -> list[type]:
    return [type(signal) for signal in heard]


async def test_who_asks_hears_of_the_own_request_and_of_no_other():
    hold = asyncio.Event()
    engine = ScriptedEngine(Reply("first", hold=hold), Reply("second"), name="a")
    mine: list[RequestSignal] = []
    async with opened(engine, parallel={"a": 1}) as (gateway, ears):
        other = asyncio.create_task(drain(gateway.stream(ask())))
        await until(lambda: engine.running)
        own = asyncio.create_task(drain(gateway.stream(ask(), told=mine.append)))
        await until(lambda: Queued in kinds(mine))
        hold.set()
        await asyncio.gather(other, own)
    assert kinds(mine) == [RequestStarted, Queued, FirstToken, RequestFinished]
    assert {signal.request for signal in mine} == {2}
    assert [signal for signal in ears.heard if getattr(signal, "request", 0) == 2] == mine


async def test_a_fallback_a_failure_and_an_answer_from_the_cache_are_told():
    heard: list[RequestSignal] = []
    async with opened(ScriptedEngine(name="a", error=REFUSED), ScriptedEngine(name="b"), retries=0) as (gateway, _):
        await drain(gateway.stream(ask(sampling=Sampling(temperature=0)), told=heard.append))
        assert FellBack in kinds(heard)
        heard.clear()
        with pytest.raises(FiresideError):
            await drain(gateway.stream(ask(model="gone"), told=heard.append))
        assert kinds(heard) == [RequestStarted, RequestFailed]
    async with opened(ScriptedEngine(name="a")) as (gateway, _):
        await drain(gateway.stream(ask(sampling=Sampling(temperature=0))))
        heard.clear()
        await drain(gateway.stream(ask(sampling=Sampling(temperature=0)), told=heard.append))
        assert kinds(heard) == [RequestStarted, CacheHit, RequestFinished]


async def test_vectors_tell_who_made_them():
    heard: list[RequestSignal] = []
    async with opened(ScriptedEngine(name="a")) as (gateway, _):
        await gateway.embed(["text"], told=heard.append)
    assert isinstance(heard[-1], RequestFinished)
    assert (heard[-1].engine, heard[-1].model) == ("a", "script")


async def test_all_who_wait_for_one_pull_hear_how_far_it_is():
    engine = Moody(name="a")
    first: list[RequestSignal] = []
    second: list[RequestSignal] = []
    async with opened(engine, pull_missing=True) as (gateway, _):
        await asyncio.gather(
            drain(gateway.stream(ask(model="new@a"), told=first.append)),
            drain(gateway.stream(ask(model="new@a"), told=second.append)),
        )
    for heard in (first, second):
        assert [s.progress.status for s in heard if isinstance(s, PullAwaited)] == ["pulling", "success"]


class Pulling(Moody):
    """A pull that goes on when told."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.go_on = asyncio.Event()
        self.pulls = 0

    async def pull(self, name):
        self.pulls += 1
        yield PullProgress("pulling", 50, 100)
        await self.go_on.wait()
        self._cards.append(scripted_card(self.name, name))


async def test_one_who_leaves_does_not_stop_a_pull_for_those_who_wait():
    engine = Pulling(name="a")
    first: list[RequestSignal] = []
    second: list[RequestSignal] = []
    async with opened(engine, pull_missing=True) as (gateway, _):
        leaves = asyncio.create_task(drain(gateway.stream(ask(model="new@a"), told=first.append)))
        await until(lambda: PullAwaited in kinds(first))
        # Who comes later hears at once how far it is.
        stays = asyncio.create_task(drain(gateway.stream(ask(model="new@a"), told=second.append)))
        await until(lambda: PullAwaited in kinds(second))
        leaves.cancel()
        await asyncio.gather(leaves, return_exceptions=True)
        engine.go_on.set()
        await stays
        assert engine.pulls == 1
        assert isinstance(second[-1], RequestFinished)
        assert (second[-1].engine, second[-1].model) == ("a", "new")


async def test_an_ear_that_fails_does_not_harm_the_answer():
    def fail(signal: RequestSignal) -> None:
        raise ValueError("not today")

    events = EventBus()
    gateway = Gateway([ScriptedEngine(name="a", says="all the same")], settings=GatewaySettings(), events=events)
    batches = [batch async for batch in gateway.stream(ask(), told=fail)]
    await gateway.aclose()
    assert "".join(delta.text for batch in batches for delta in batch) == "all the same"
    assert len(events.failures) == 3
