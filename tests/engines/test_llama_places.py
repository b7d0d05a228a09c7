import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fireside.core.errors import ConnectionFailed, NotPermitted
from fireside.engines.engine import Boundary
from fireside.models.card import ModelCard
from support.answers import failure, read
from support.children import gone
from support.llama import LONG, Bench, ask, running


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.aclose()


async def test_nothing_is_started_before_somebody_asks(bench: Bench) -> None:
    engine = bench.engine()
    (card,) = await engine.models()
    health = await engine.health()
    assert (health.state, health.loaded) == ("idle", ())
    assert not bench.runtime.exists()
    await read(engine.chat(ask(), card))
    health = await engine.health()
    assert (health.state, health.loaded, health.busy) == ("ready", (card.name,), 0)


async def test_a_child_killed_in_mid_stream_is_a_typed_error_at_once_and_the_next_request_works(bench: Bench) -> None:
    engine = bench.engine()
    (card,) = await engine.models()
    async with running(engine, card) as child:
        stream = engine.chat(ask(sampling=LONG), card)
        await anext(stream)
        os.kill(child.pids.server_pid, signal.SIGKILL)
        _, error = await failure(stream)
    assert isinstance(error, ConnectionFailed)
    assert error.context["cause"] == "cut"
    assert (await read(engine.chat(ask(), card))).finish is not None


async def test_a_server_killed_between_two_requests_is_not_noticed(bench: Bench) -> None:
    engine = bench.engine()
    (card,) = await engine.models()
    async with running(engine, card) as child:
        await read(engine.chat(ask(), card))
    os.kill(child.pids.server_pid, signal.SIGKILL)
    assert (await read(engine.chat(ask(), card))).finish is not None


async def test_after_an_idle_exit_the_next_request_starts_a_child_again(bench: Bench) -> None:
    engine = bench.engine(idle_seconds=0.2)
    (card,) = await engine.models()
    async with running(engine, card) as child:
        await read(engine.chat(ask(), card))
    await gone(child.pids.pid, child.pids.server_pid)
    assert (await engine.health()).state == "idle"
    assert (await read(engine.chat(ask(), card))).finish is not None


async def test_two_engines_share_a_child_and_one_may_leave(bench: Bench) -> None:
    first, second = bench.engine(), bench.engine()
    (card,) = await first.models()
    async with running(first, card) as one, running(second, card) as two:
        assert one == two
    await first.aclose()
    assert (await read(second.chat(ask(), card))).finish is not None


async def test_a_server_at_a_url_is_described_and_asked(bench: Bench) -> None:
    own = bench.engine()
    (card,) = await own.models()
    async with running(own, card) as child:
        bench.secrets["key"] = child.api_key
        engine = bench.engine(url=child.base_url + "/v1/", key_name="key")
        (found,) = await engine.models()
        assert engine.boundary == Boundary.MACHINE
        assert found.context_window == 2048
        assert found.capabilities >= {"chat", "tools", "json_schema"}
        assert (await engine.health()).state == "ready"
        assert (await read(engine.chat(ask(), found))).finish is not None
        bench.secrets["key"] = "wrong"
        with pytest.raises(NotPermitted):
            await bench.engine(url=child.base_url, key_name="key").models()


async def test_a_url_where_nothing_listens_is_down_and_never_started(bench: Bench) -> None:
    engine = bench.engine(url="http://127.0.0.1:9")
    health = await engine.health()
    assert health.state == "down"
    assert health.remedy
    with pytest.raises(ConnectionFailed):
        await read(engine.chat(ask(), ModelCard("any", "embedded", capabilities=frozenset({"chat"}))))
