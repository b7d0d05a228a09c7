"""Several processes at one address, seen from outside as one server."""

import asyncio
import os
import re
import signal
import subprocess

import aiohttp
import pytest

from fireside.core.errors import RateLimited
from fireside.engines.processes import birth
from fireside.records.database import Database
from fireside.records.keys import KeyLimits, Keys
from fireside.server.auth import Principal
from fireside.server.limits import Limiter, share_of
from fireside.server.snapshots import Family, added
from support.fake_http import Faults
from support.fake_openai import FakeOpenAI
from support.serving import engine, serving, settings, started, streaming

TWO = ("--workers", "2", "--quiet")
COUNTED = re.compile(r'fireside_requests_total\{route="/v1/models",status="200"\} ([\d.]+)')


@pytest.fixture
async def fake():
    async with FakeOpenAI("Hello there, you.") as made:
        settings(engine(made))
        yield made


def children(running) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(running.process.pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


async def both(running) -> list[int]:
    for number in (1, 2):
        await running.said(f"(worker {number})")
    return children(running)


async def counted(running) -> float:
    found = COUNTED.search((await running.get("/metrics"))[1])
    return float(found[1]) if found else 0.0


async def test_they_share_one_address_and_whoever_is_asked_counts_for_all(fake):
    async with serving(*TWO) as running:
        assert len(await both(running)) == 2
        # Each on a connection of its own, so that both workers get some.
        answers = await asyncio.gather(*(running.get("/v1/models") for _ in range(16)))
        assert [status for status, _ in answers] == [200] * 16
        assert {await counted(running) for _ in range(4)} == {16.0}
        text = (await running.get("/metrics"))[1]
        assert 'fireside_engine_up{engine="box"} 1.0' in text
        assert "fireside_ready 1.0" in text
        assert await running.end() == 0


async def test_one_that_dies_is_started_again_and_what_it_counted_is_not_forgotten(fake):
    async with serving(*TWO) as running:
        first, second = await both(running)
        await asyncio.gather(*(running.get("/v1/models") for _ in range(12)))
        assert await counted(running) == 12.0
        os.kill(first, signal.SIGKILL)
        await running.said("was ended by SIGKILL; it is started again")
        await running.said("(worker 1)", 2)
        assert second in children(running)
        assert len(children(running)) == 2
        assert await counted(running) == 12.0
        assert await running.end() == 0


async def test_a_signal_drains_them_all(fake):
    gate = asyncio.Event()
    fake.faults = Faults(hold_after=1, gate=gate)
    async with serving(*TWO) as running, streaming(running) as answer:
        pids = await both(running)
        running.send(signal.SIGTERM)
        await running.said("ending; answers still running: 1")
        gate.set()
        assert await answer == "Hello there, you."
        assert await running.ended() == 0
        assert not any(birth(pid) for pid in pids)


async def test_ctrl_c_twice_ends_them_all_at_once(fake):
    fake.faults = Faults(hold_after=1, gate=asyncio.Event())
    async with serving(*TWO) as running, streaming(running):
        await both(running)
        running.send(signal.SIGINT)
        await running.said("ending; answers still running: 1")
        assert await running.end(signal.SIGINT) == 130


async def test_they_end_when_the_process_that_started_them_is_killed(fake):
    async with serving(*TWO) as running:
        pids = await both(running)
        running.process.kill()
        async with asyncio.timeout(10):
            while any(birth(pid) for pid in pids):
                await asyncio.sleep(0.01)


async def test_a_changed_file_and_a_hang_up_reach_them_all(fake):
    async with serving(*TWO) as running:
        await both(running)
        running.send(signal.SIGHUP)
        await running.said("nothing changed", 2)
        settings(engine(fake) + "[server]\nallowed_hosts = ['box.example']\n")
        running.send(signal.SIGHUP)
        await running.said("settings changed: server.allowed_hosts", 2)
        for _ in range(8):
            assert (await running.get("/v1/models", Host="box.example"))[0] == 200


async def test_a_key_made_anywhere_is_known_to_all(fake, own_home):
    settings(engine(fake) + "[server]\nrequire_keys = true\n")
    keys = Keys(Database.file(own_home / "fireside" / "data" / "records.db"))
    keys.create("first")
    async with serving(*TWO) as running:
        await both(running)
        _, secret = keys.create("later", limits=KeyLimits(rpm=1000))
        async with asyncio.timeout(20):
            known = 0
            while known < 8:
                async with aiohttp.ClientSession() as session:
                    headers = {"Authorization": f"Bearer {secret}"}
                    async with session.get(f"{running.address}/v1/models", headers=headers) as response:
                        known = known + 1 if response.status == 200 else 0
        keys.database.close()


async def test_where_the_system_does_not_share_connections_they_take_them_from_one_socket(fake):
    as_elsewhere = (
        "import sys; import fireside.server.listening as listening; listening.SHARES = False;"
        "from fireside.cli.main import main; main(sys.argv[1:])"
    )
    async with serving(*TWO, program=("-c", as_elsewhere)) as running:
        first, _ = await both(running)
        os.kill(first, signal.SIGKILL)
        # What waits at the socket is answered by the other one, and by the next.
        answers = await asyncio.gather(*(running.get("/v1/models") for _ in range(8)))
        assert [status for status, _ in answers] == [200] * 8
        await running.said("(worker 1)", 2)
        assert (await running.chat())[0] == 200
        assert await running.end() == 0


async def test_a_signal_that_comes_before_they_answer_ends_them_too(fake):
    async with started(*TWO) as running:
        async with asyncio.timeout(20):
            while not (pids := children(running)):
                await asyncio.sleep(0.01)
        assert await running.end() == 0
        assert not any(birth(pid) for pid in pids)


async def test_what_keeps_one_from_starting_is_told_once(fake):
    async with started(*TWO, "--host", "0.0.0.0") as running:
        assert await running.ended() == 1
        assert len([line for line in running.lines if "there is no key" in line]) == 1


async def test_an_address_that_others_share_already_is_taken(fake):
    async with serving(*TWO) as running:
        port = running.address.rpartition(":")[2]
        async with started(*TWO, "--port", port) as second:
            assert await second.ended() == 1
            assert f"127.0.0.1:{port} is taken" in second.lines[0]


def test_workers_that_know_nothing_of_each_other_keep_a_limit_together():
    principal = Principal(id="k", limits=KeyLimits(rpm=60))
    limiters = [Limiter(bucket=share_of(3), clock=lambda: 1.0) for _ in range(3)]
    let_in = 0
    for limiter in limiters:
        for _ in range(60):
            try:
                limiter.admit(principal)
                let_in += 1
            except RateLimited:
                break
    assert let_in == 60


def test_counts_are_added_up_and_what_all_see_alike_is_not():
    one = [
        Family("fireside_requests", "counter", "", [("fireside_requests_total", (("route", "/a"),), 3.0)]),
        Family("fireside_ready", "gauge", "", [("fireside_ready", (), 1.0)]),
        Family("fireside_loop_lag_seconds", "gauge", "", [("fireside_loop_lag_seconds", (), 0.5)]),
    ]
    two = [
        Family("fireside_requests", "counter", "", [("fireside_requests_total", (("route", "/a"),), 4.0)]),
        Family("fireside_ready", "gauge", "", [("fireside_ready", (), 0.0)]),
        Family("fireside_loop_lag_seconds", "gauge", "", [("fireside_loop_lag_seconds", (), 0.25)]),
    ]
    assert [each.samples[0][2] for each in added([*one, *two])] == [7.0, 0.0, 0.5]
