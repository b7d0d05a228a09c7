"""Settings that change under a running server: nobody's answer is broken off, and nothing is half taken over."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from fireside.records import audit
from fireside.server.reload import told
from support.fake_http import Faults
from support.fake_openai import FakeOpenAI
from support.serving import engine, serving, settings, streaming


@pytest.fixture
async def fake():
    async with FakeOpenAI("Hello there, you.") as made:
        settings(engine(made))
        yield made


@pytest.fixture
async def other():
    async with FakeOpenAI("From the other one.", models={"other-model": 4096}) as made:
        yield made


def hold(fake: FakeOpenAI) -> asyncio.Event:
    gate = asyncio.Event()
    fake.faults = Faults(hold_after=1, gate=gate)
    return gate


async def models(running) -> set[str]:
    async with aiohttp.ClientSession() as session, session.get(f"{running.address}/v1/models") as response:
        return {each["id"] for each in (await response.json())["data"]}


async def test_an_answer_ends_properly_though_its_engine_was_taken_out_meanwhile(fake, other):
    gate = hold(fake)
    async with serving("--quiet") as running, streaming(running) as answer:
        settings(engine(other, "elsewhere"))
        running.send(signal.SIGHUP)
        await running.said("settings changed")
        assert (await running.chat("other-model"))[1]["choices"][0]["message"]["content"] == "From the other one."
        assert (await running.chat("fake-coder"))[0] == 404
        gate.set()
        assert await answer == "Hello there, you."
        assert await running.end() == 0


async def test_a_changed_file_is_obeyed_by_itself(fake, other):
    async with serving("--quiet") as running:
        assert "other-model" not in await models(running)
        settings(engine(fake) + engine(other, "elsewhere"))
        await running.said("settings changed")
        assert {"fake-coder", "other-model"} <= await models(running)


async def test_an_engine_that_stays_is_not_touched(fake, other):
    """Its stream, its place in line and what is known of it are as before; only its neighbour is new."""
    gate = hold(fake)
    async with serving("--quiet") as running, streaming(running) as answer:
        settings(engine(fake) + engine(other, "elsewhere"))
        running.send(signal.SIGHUP)
        await running.said("settings changed")
        text = (await running.get("/metrics"))[1]
        assert 'fireside_engine_running{engine="box"} 1.0' in text
        gate.set()
        assert await answer == "Hello there, you."


async def test_an_engine_moves_to_another_address(fake):
    async with FakeOpenAI("From the new address.") as moved, serving("--quiet") as running:
        assert (await running.chat())[1]["choices"][0]["message"]["content"] == "Hello there, you."
        settings(engine(moved))
        running.send(signal.SIGHUP)
        await running.said("settings changed: engines.box.base_url")
        assert (await running.chat())[1]["choices"][0]["message"]["content"] == "From the new address."


async def test_an_alias_points_elsewhere(fake):
    settings(engine(fake) + '[models]\nfast = "fake-coder@box"\n')
    async with serving("--quiet") as running:
        assert (await running.chat("fast"))[0] == 200
        settings(engine(fake) + '[models]\nquick = "fake-coder@box"\n')
        running.send(signal.SIGHUP)
        await running.said("settings changed: models.fast, models.quick")
        assert (await running.chat("quick"))[0] == 200
        assert (await running.chat("fast"))[0] == 404


async def test_hosts_and_origins_are_taken_over(fake):
    async with serving("--quiet") as running:
        assert (await running.get("/v1/models", Host="box.example", Origin="https://page.example"))[0] == 403
        lists = "[server]\nallowed_hosts = ['box.example']\nallowed_origins = ['https://page.example']\n"
        settings(engine(fake) + lists)
        running.send(signal.SIGHUP)
        await running.said("settings changed")
        assert (await running.get("/v1/models", Host="box.example", Origin="https://page.example"))[0] == 200


async def test_keys_can_be_asked_for_from_now_on(fake):
    async with serving("--quiet") as running:
        assert (await running.chat())[0] == 200
        settings(engine(fake) + "[server]\nrequire_keys = true\n")
        running.send(signal.SIGHUP)
        await running.said("settings changed: server.require_keys")
        assert (await running.chat())[0] == 401


@pytest.mark.parametrize(
    "wrong",
    ["[server]\nbody_limit = 'many'\n", "this is no TOML", "[server]\nno_such_key = 1\n", "[engines.x]\nkind = 'no'\n"],
)
async def test_an_invalid_file_leaves_everything_as_it_was_and_is_told_once(fake, wrong):
    async with serving("--quiet") as running:
        good = engine(fake)
        settings(good + wrong)
        running.send(signal.SIGHUP)
        await running.said("the settings stay as they were")
        assert (await running.chat())[0] == 200
        settings(good + "[server]\nwait_seconds = 1\n")
        running.send(signal.SIGHUP)
        await running.said("settings changed: server.wait_seconds")
        assert (await running.chat())[0] == 200
        assert sum("the settings stay as they were" in line for line in running.lines) == 1


async def test_proxies_that_are_none_leave_everything_as_it_was(fake):
    async with serving("--quiet") as running:
        settings(engine(fake) + "[server]\ntrusted_proxies = ['box']\n")
        running.send(signal.SIGHUP)
        assert "server.trusted_proxies" in await running.said("the settings stay as they were")
        assert (await running.chat())[0] == 200


async def test_what_has_to_wait_for_the_next_start_is_said(fake):
    async with serving("--quiet") as running:
        settings(engine(fake) + "[server]\nworkers = 3\nlog_requests = true\n")
        running.send(signal.SIGHUP)
        assert "server.workers: in force from the next start on" in await running.said("next start")
        assert (await running.chat())[0] == 200
        await running.said("POST /v1/chat/completions 200")


async def test_a_change_is_in_the_audit_log_by_its_keys_alone(fake):
    async with serving("--quiet") as running:
        settings(engine(fake) + "[server]\nallowed_hosts = ['secret.example']\n")
        running.send(signal.SIGHUP)
        await running.said("settings changed")
        assert await running.end() == 0
    folder = Path(os.environ["FIRESIDE_HOME"]) / "data" / "audit"
    found = [each for each in audit.entries(folder) if each["event"] == "config_changed"]
    assert [each["keys"] for each in found] == ["server.allowed_hosts"]
    assert "secret.example" not in (folder / "server.jsonl").read_text()


async def test_requests_no_longer_audited_are_not_written_down(fake):
    async with serving("--quiet") as running:
        assert (await running.chat())[0] == 200
        settings(engine(fake) + "[audit]\nrequests = false\n")
        running.send(signal.SIGHUP)
        await running.said("settings changed: audit.requests")
        assert (await running.chat())[0] == 200
        assert await running.end() == 0
    folder = Path(os.environ["FIRESIDE_HOME"]) / "data" / "audit"
    assert len([each for each in audit.entries(folder) if each["event"] == "request"]) == 1


def test_an_engine_that_came_is_told_by_its_name_and_one_that_changed_by_what_changed():
    came = {"engines.gpu.kind", "engines.gpu.base_url", "engines.gpu.parallel", "models", "models.chat"}
    assert told(frozenset(came | {"engines.box.url"})) == ["engines.box.url", "engines.gpu", "models.chat"]
