"""Whether the server is well, for load balancers and for people."""

import asyncio
import logging
import os
import time

import aiohttp
import pytest

from fireside.engines.engine import EngineHealth
from fireside.engines.scripted import ScriptedEngine
from fireside.records.writer import WriterState
from fireside.server import health
from fireside.server.health import (
    HealthMonitor,
    disk_finding,
    engines_finding,
    index_finding,
    loop_finding,
    memory_finding,
    store_finding,
    writer_finding,
)
from support.privileges import as_nobody, open_folder
from support.servers import served


async def asked(server, path: str, *, method: str = "GET"):
    async with aiohttp.ClientSession() as session, session.request(method, server.address + path) as response:
        return response.status, await response.json() if method == "GET" else None


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(name="s")


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Every look is a new one."""
    monkeypatch.setattr(health, "FRESH", 0.0)


async def test_a_server_that_can_answer_is_live_and_ready(engine, tmp_path):
    async with served(engine, root=tmp_path) as server:
        assert await asked(server, "/healthz/live") == (200, {"live": True})
        well = {"ready": True, "reasons": [], "warnings": []}
        assert await asked(server, "/healthz/ready") == (200, well)
        assert await asked(server, "/healthz") == (200, {"live": True, **well})
        assert await asked(server, "/healthz/ready", method="HEAD") == (200, None)


async def test_without_an_engine_it_lives_and_is_not_ready_until_one_is_back(engine, tmp_path):
    async with served(engine, root=tmp_path) as server:
        assert (await asked(server, "/healthz/ready"))[0] == 200
        engine.break_off()
        status, told = await asked(server, "/healthz/ready")
        assert (status, told["ready"], told["reasons"]) == (503, False, ["engines"])
        assert (await asked(server, "/healthz/live"))[0] == 200
        assert (await asked(server, "/healthz"))[0] == 503
        engine._health = EngineHealth("ready")
        assert (await asked(server, "/healthz/ready"))[0] == 200


async def test_one_engine_of_several_is_enough(engine, tmp_path):
    other = ScriptedEngine(name="other")
    async with served(engine, other, root=tmp_path) as server:
        engine.break_off()
        assert (await asked(server, "/healthz/ready"))[0] == 200


async def test_a_server_that_is_about_to_end_is_not_ready(engine, tmp_path):
    async with served(engine, root=tmp_path) as server:
        await asked(server, "/healthz/ready")
        server.app.draining = True
        status, told = await asked(server, "/healthz/ready")
        assert (status, told["reasons"]) == (503, ["draining"])


async def test_nobody_needs_a_key_to_ask_and_nobody_is_told_more_than_names(engine, tmp_path):
    async with served(engine, root=tmp_path) as server:
        server.app.gatekeeper.keyring.required = True
        await asked(server, "/healthz")
        engine.break_off()
        status, told = await asked(server, "/healthz")
        assert (status, set(told)) == (503, {"live", "ready", "reasons", "warnings"})
        assert str(tmp_path) not in str(told)
        assert (await asked(server, "/metrics.json"))[0] == 401


async def test_a_change_is_one_line_in_the_log(engine, tmp_path, caplog):
    caplog.set_level(logging.INFO, "fireside.health")
    async with served(engine, root=tmp_path) as server:
        for _ in range(2):
            await asked(server, "/healthz/ready")
        engine.break_off()
        for _ in range(2):
            await asked(server, "/healthz/ready")
        engine._health = EngineHealth("ready")
        for _ in range(2):
            await asked(server, "/healthz/ready")
    assert [
        (record.levelname, record.getMessage()) for record in caplog.records if "engines" in record.getMessage()
    ] == [
        ("ERROR", "engines: no engine can answer: s is down"),
        ("INFO", "engines is well again: s can answer"),
    ]


async def test_many_probes_at_once_are_one_look(engine, tmp_path):
    looks = 0

    async def look() -> EngineHealth:
        nonlocal looks
        looks += 1
        return EngineHealth("ready")

    engine.health = look
    async with served(engine, root=tmp_path) as server:
        await asked(server, "/healthz")
        monitor = HealthMonitor(server.fireside, draining=lambda: False, writers=list)
        looks = 0
        await asyncio.gather(*(monitor.look() for _ in range(50)))
        await monitor.aclose()
    assert looks == 1


@pytest.mark.parametrize(
    ("states", "ok"),
    [
        (("ready",), True),
        (("down", "idle"), True),
        (("loading",), False),
        (("down", "loading"), False),
        ((), False),
    ],
)
def test_an_engine_that_answers_or_would_start_can_answer(states, ok):
    engines = {f"e{number}": EngineHealth(state, remedy="start it") for number, state in enumerate(states)}
    found = engines_finding(engines)
    assert (found.ok, found.critical) == (ok, True)
    assert ok or found.remedy


def test_a_folder_that_cannot_be_written_is_critical(tmp_path):
    assert store_finding(tmp_path / "new").ok
    (tmp_path / "file").touch()
    found = store_finding(tmp_path / "file")
    assert (found.ok, found.critical) == (False, True)
    with open_folder() as folder:
        folder.chmod(0o555)
        with as_nobody():
            assert not store_finding(folder).ok


def test_a_full_disk_is_told_before_it_is_full(tmp_path, monkeypatch):
    assert "GiB free" in disk_finding(tmp_path).detail
    monkeypatch.setattr(health, "DISK_BYTES", 1 << 60)
    found = disk_finding(tmp_path)
    assert (found.ok, found.critical, found.remedy) == (False, False, "make room: df -h")
    assert not disk_finding(tmp_path / "nowhere").ok


def test_little_memory_is_told(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 40 kB\n")
    assert not memory_finding(meminfo).ok
    meminfo.write_text("MemTotal: 1000 kB\nMemAvailable: 400 kB\n")
    assert memory_finding(meminfo).ok
    assert memory_finding(tmp_path / "nowhere").detail == "not known on this system"


def test_a_late_loop_lost_entries_and_an_old_index_are_told(tmp_path):
    assert (loop_finding(0.001).ok, loop_finding(2.0).ok) == (True, False)
    assert writer_finding(WriterState("audit", 0, 5, 0, "")).ok
    assert not writer_finding(WriterState("audit", 0, 5, 1, "")).ok
    assert "disk full" in writer_finding(WriterState("audit", 3, 5, 0, "disk full")).detail
    assert index_finding(tmp_path / "nowhere").detail == "there is none yet"
    (tmp_path / "index.db").touch()
    os.utime(tmp_path / "index.db", (time.time() - 7200,) * 2)
    assert index_finding(tmp_path).detail == "written 2.0 hours ago"


async def test_how_late_the_loop_is_is_measured_while_it_runs(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(health, "TICK_SECONDS", 0.005)
    beats = asyncio.Event()
    async with served(engine, root=tmp_path) as server:
        monitor = HealthMonitor(server.fireside, draining=lambda: False, writers=list, tick=lambda now: beats.set())
        monitor.start()
        async with asyncio.timeout(5):
            await monitor.look()
            beats.clear()
            await beats.wait()
            beats.clear()
            time.sleep(0.05)
            await beats.wait()
            await monitor.look()
        await monitor.aclose()
    assert monitor.lag >= 0.04
