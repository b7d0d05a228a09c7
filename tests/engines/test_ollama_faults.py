"""What goes wrong with an Ollama server: each failure has its kind, its remedy, and frees what it held."""

import asyncio

import pytest

from fireside.core.errors import (
    ConnectionFailed,
    ContextTooLong,
    Invalid,
    NotPermitted,
    OutOfResources,
    RateLimited,
    TimedOut,
    Unknown,
)
from support.answers import GUARD, check_error, failure, read
from support.fake_ollama import FakeOllama, Faults
from support.ollama_engine import CODER, ask, engine_at


@pytest.fixture
async def fake():
    async with FakeOllama() as server:
        yield server


@pytest.fixture
async def engine(fake, tmp_path):
    async with engine_at(fake.url, tmp_path) as built:
        yield built


async def wait_for(event: asyncio.Event) -> None:
    async with asyncio.timeout(GUARD):
        await event.wait()


FAULTS = {
    "busy": (Faults(busy=9), RateLimited, True),
    "error line": (Faults(error_line_after=2), Unknown, True),
    "cut": (Faults(cut_after=2), ConnectionFailed, True),
    "ended without done": (Faults(end_after=2), ConnectionFailed, True),
    "broken line": (Faults(broken_after=2), ConnectionFailed, True),
    "reset": (Faults(reset=True), ConnectionFailed, True),
    "host check": (Faults(forbidden=True), NotPermitted, False),
    "html": (Faults(html=True), ConnectionFailed, False),
    "no memory": (
        Faults(error=(500, "model requires more system memory (9 GiB) than is available")),
        OutOfResources,
        False,
    ),
    "rate limit": (Faults(error=(429, "slow down"), error_headers={"Retry-After": "7"}), RateLimited, True),
    "bad request": (Faults(error=(400, "invalid options: temperature")), Invalid, False),
    "lost capability": (Faults(error=(400, '"m" does not support thinking')), Invalid, False),
    "shifted": (Faults(error=(500, "no user query found")), ContextTooLong, False),
    "runner timed out": (
        Faults(error=(500, "timed out waiting for llama runner to start - progress 0.3")),
        TimedOut,
        False,
    ),
    "no such route": (Faults(error=(404, "404 page not found")), ConnectionFailed, False),
    "moved": (Faults(error=(308, "moved"), error_headers={"Location": "https://elsewhere"}), ConnectionFailed, False),
    "https": (Faults(error=(400, "Client sent an HTTP request to an HTTPS server.")), ConnectionFailed, False),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_failure_has_its_kind_and_its_remedy(fake, engine, fault):
    fake.faults, kind, retryable = FAULTS[fault]
    _, error = await failure(engine.chat(ask(), CODER))
    assert type(error) is kind, error
    assert error.retryable is retryable
    check_error(error)


async def test_a_busy_server_says_when_and_then_answers(fake, engine):
    fake.faults = Faults(error=(429, "slow down"), error_headers={"Retry-After": "7"})
    _, error = await failure(engine.chat(ask(), CODER))
    assert error.context["retry_after"] == 7.0
    fake.faults = Faults(busy=1)
    _, error = await failure(engine.chat(ask(), CODER))
    assert isinstance(error, RateLimited)
    assert (await read(engine.chat(ask(), CODER))).finish == "stop"


async def test_a_refused_host_is_cured_by_the_host_header(fake, tmp_path):
    fake.faults.host_check = True
    async with engine_at(fake.url, tmp_path, host_header="box.tail1234.ts.net") as engine:
        with pytest.raises(NotPermitted) as caught:
            await engine.models()
    assert "host_header localhost:11434" in caught.value.remedy
    assert caught.value.context["cause"] == "host"
    async with engine_at(fake.url, tmp_path, host_header="localhost:11434") as engine:
        assert await engine.models()


async def test_nothing_listening_is_told_with_the_command_that_starts_it(tmp_path):
    async with engine_at("127.0.0.1:1", tmp_path) as engine:
        _, error = await failure(engine.chat(ask(), CODER))
    assert error.context["cause"] == "refused"
    assert "ollama serve" in error.remedy


async def test_a_load_that_takes_too_long_is_not_to_be_retried_at_once(fake, tmp_path):
    fake.faults.hold_load = asyncio.Event()
    async with engine_at(fake.url, tmp_path, load_seconds=0.05, connect_seconds=0.05) as engine:
        _, error = await failure(engine.chat(ask(), CODER))
    assert isinstance(error, TimedOut)
    assert error.context["phase"] == "load"
    assert error.retryable is False
    await wait_for(fake.aborted)


async def test_a_slow_load_is_waited_for(fake, engine):
    fake.faults.hold_load = asyncio.Event()
    answer = asyncio.create_task(read(engine.chat(ask(), CODER)))
    await wait_for(fake.waiting)
    assert (await engine.health()).busy == 1
    fake.faults.hold_load.set()
    assert (await answer).finish == "stop"


@pytest.mark.parametrize(("after", "phase"), [(0, "first_token"), (2, "stall")])
async def test_silence_is_told_by_its_phase(fake, tmp_path, after, phase):
    fake.faults.hold_after = after
    async with engine_at(fake.url, tmp_path, first_token_seconds=0.05, stall_seconds=0.05) as engine:
        _, error = await failure(engine.chat(ask(), CODER))
    assert isinstance(error, TimedOut)
    assert error.context["phase"] == phase


@pytest.mark.parametrize("during", ["load", "answer"])
async def test_leaving_early_is_noticed_by_the_server_at_once(fake, engine, during):
    if during == "load":
        fake.faults.hold_load = asyncio.Event()
        task = asyncio.create_task(read(engine.chat(ask(), CODER)))
        await wait_for(fake.waiting)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        fake.faults.hold_after = 2
        stream = engine.chat(ask(), CODER)
        assert (await anext(stream)).text == "Hello"
        await stream.aclose()
    await wait_for(fake.aborted)
    assert (await engine.health()).busy == 0
