"""Every way an upstream can fail, through the real server: true statuses, no invented end, no second engine where none may be asked."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio

from fireside.core.events import EventBus
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.ledger import Ledger
from fireside.engines.openai import OpenAISettings, build
from fireside.engines.registry import EngineContext
from fireside.engines.transport import Transport
from fireside.gateway.gateway import Gateway
from support.doors import CHAT, DOORS, Door, Told
from support.servers import served
from support.upstreams import (
    BROKEN_STREAMS,
    FAULTS,
    HUGE,
    ODD_STREAMS,
    ROLE,
    SAID,
    TEXT,
    WELL,
    Act,
    Call,
    Fault,
    Mode,
    Upstream,
    breaks,
    event,
    refusal,
    reply,
    sse,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
GUARD = 10.0
SOON = 0.1
NAMES = ("connect_seconds", "load_seconds", "first_token_seconds", "stall_seconds")
HASTY, PATIENT = dict.fromkeys(NAMES, 0.1), dict.fromkeys(NAMES, GUARD)
# A model that is named is never replaced; one behind an alias may be. Only ``hasty`` has limits a test would wait for.
ALONE, REPLACEABLE = "coder@first", "chat"
HASTY_ALONE, HASTY_REPLACEABLE = "coder@hasty", "hasty"
GONE, GONE_REPLACEABLE = "coder@gone", "lost"


@dataclass
class House:
    """A server in front of upstreams, and a client. ``second`` may stand in for ``first``; nobody listens at a third one."""

    address: str
    client: aiohttp.ClientSession
    gateway: Gateway
    first: Upstream
    second: Upstream

    async def ask(self, door: Door, model: str, mode: Mode) -> tuple[int, bytes, aiohttp.ClientResponse]:
        async with asyncio.timeout(GUARD):
            body = door.asking(model, stream=mode == "stream")
            async with self.client.post(self.address + door.path, json=body) as answer:
                return answer.status, await answer.read(), answer

    async def told(self, door: Door, model: str) -> Told:
        """A stream, read to its end."""
        status, raw, _ = await self.ask(door, model, "stream")
        assert status == 200, raw
        return door.stream(raw)


@asynccontextmanager
async def open_house(folder, *, retries: int) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in ("HOME", "FIRESIDE_HOME"):
            patch.setenv(name, str(folder / "home"))
        transport = Transport(Egress(EgressSettings(), Ledger(folder / "egress.jsonl")))
        stack.push_async_callback(transport.aclose)
        first, second = [await stack.enter_async_context(Upstream(model)) for model in ("coder", "other")]
        context = EngineContext(transport.egress, transport, EventBus(), folder, {}.get)
        with socket.create_server(("127.0.0.1", 0)) as unused:
            nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        places = {"first": first.url, "hasty": first.url, "gone": nowhere, "second": second.url}
        engines = [
            build(name, OpenAISettings(base_url=url, **(HASTY if name == "hasty" else PATIENT)), context)
            for name, url in places.items()
        ]
        flags = {"models.chat": ALONE, "models.hasty": HASTY_ALONE, "models.lost": GONE, "gateway.retries": retries}
        flags |= {"gateway.breaker_failures": 1_000_000, "gateway.order": ["second"]}
        server = await stack.enter_async_context(served(*engines, root=folder, flags=flags))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        yield House(server.address, client, server.fireside.gateway, first, second)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("house"), retries=0) as house:
        yield house


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened_with_retries(tmp_path_factory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("house"), retries=2) as house:
        yield house


@pytest_asyncio.fixture(loop_scope="module")
async def house(opened: House) -> House:
    """Nobody is asked twice. All upstreams are well, and known to be."""
    return await _well(opened)


@pytest_asyncio.fixture(loop_scope="module")
async def stubborn(opened_with_retries: House) -> House:
    """The same, but an engine may be asked again."""
    return await _well(opened_with_retries)


async def _well(house: House) -> House:
    for upstream in (house.first, house.second):
        upstream.will(WELL)
    await house.gateway.health()
    return house


MODES = [(fault, mode) for fault in FAULTS for mode in fault.modes]
ONE_OF_EACH = [
    fault
    for fault in FAULTS
    if str(fault)
    in ("reset-before-the-head", "no-answer-at-all", "400-as-JSON", "429", "500-as-a-page", "truncated-JSON")
]


@pytest.mark.parametrize(("fault", "mode"), MODES, ids=str)
async def test_an_upstream_fault_has_its_own_status_when_nobody_else_can_answer(fault: Fault, mode: Mode, house: House):
    house.first.will(fault.act)
    status, raw, answer = await house.ask(CHAT, HASTY_ALONE if fault.silent else ALONE, mode)
    assert (status, answer.content_type) == (fault.status, "application/json"), raw
    assert CHAT.error(json.loads(raw))


@pytest.mark.parametrize(("fault", "mode"), MODES, ids=str)
async def test_another_engine_answers_unless_the_request_is_wrong(fault: Fault, mode: Mode, house: House):
    house.first.will(fault.act)
    status, raw, _ = await house.ask(CHAT, HASTY_REPLACEABLE if fault.silent else REPLACEABLE, mode)
    assert len(house.second.asked) == fault.moves_on
    if fault.moves_on:
        assert (status, _text(CHAT, mode, raw)) == (200, TEXT)
    else:
        assert status == fault.status


@pytest.mark.parametrize("mode", ["whole", "stream"])
@pytest.mark.parametrize("fault", ONE_OF_EACH, ids=str)
@pytest.mark.parametrize("door", DOORS[1:], ids=str)
async def test_every_dialect_tells_the_fault_in_its_own_words(door: Door, fault: Fault, mode: Mode, house: House):
    house.first.will(fault.act)
    status, raw, answer = await house.ask(door, HASTY_ALONE if fault.silent else ALONE, mode)
    assert (status, answer.content_type) == (fault.status, "application/json"), raw
    assert door.error(json.loads(raw))


@pytest.mark.parametrize("mode", ["whole", "stream"])
@pytest.mark.parametrize("door", DOORS, ids=str)
async def test_a_server_that_is_not_there_is_a_bad_gateway_and_another_stands_in(door: Door, mode: Mode, house: House):
    status, raw, _ = await house.ask(door, GONE, mode)
    assert status == 502
    assert door.error(json.loads(raw))
    status, raw, _ = await house.ask(door, GONE_REPLACEABLE, mode)
    assert (status, _text(door, mode, raw)) == (200, TEXT)


@pytest.mark.parametrize("broken", BROKEN_STREAMS)
@pytest.mark.parametrize("door", DOORS, ids=str)
async def test_a_stream_that_breaks_ends_with_an_error_and_no_invented_reason(door: Door, broken: str, house: House):
    house.first.will(BROKEN_STREAMS[broken])
    told = await house.told(door, HASTY_REPLACEABLE if broken == "silence" else REPLACEABLE)
    assert (told.text, told.finished, len(told.errors)) == ("hello", False, 1)
    assert (len(house.first.asked), len(house.second.asked)) == (1, 0)


@pytest.mark.parametrize("odd", ODD_STREAMS.values(), ids=list(ODD_STREAMS))
async def test_an_unusual_stream_is_understood(odd: Act, house: House):
    house.first.will(odd)
    assert await house.told(CHAT, ALONE) == Told(TEXT, finished=True)


@pytest.mark.parametrize("door", DOORS, ids=str)
async def test_a_very_large_event_arrives_whole(door: Door, house: House):
    house.first.will(sse(ROLE, event({"content": HUGE}), *SAID[3:]))
    assert await house.told(door, ALONE) == Told(HUGE, finished=True)


@pytest.mark.parametrize("mode", ["whole", "stream"])
@pytest.mark.parametrize("door", DOORS, ids=str)
async def test_an_upstream_that_fails_every_second_time_is_asked_again(door: Door, mode: Mode, stubborn: House):
    stubborn.first.will(*(act for _ in range(3) for act in (refusal(429, Retry_After=0), WELL)))
    for _ in range(3):
        status, raw, _ = await stubborn.ask(door, ALONE, mode)
        assert (status, _text(door, mode, raw)) == (200, TEXT)
    assert len(stubborn.first.asked) == 6


@pytest.mark.parametrize("mode", ["whole", "stream"])
async def test_a_fault_of_the_server_is_tried_again_after_a_pause(mode: Mode, stubborn: House):
    stubborn.first.will(refusal(500), WELL)
    status, raw, _ = await stubborn.ask(CHAT, ALONE, mode)
    assert (status, _text(CHAT, mode, raw)) == (200, TEXT)


async def test_a_short_retry_after_is_waited_for_at_the_same_engine(stubborn: House):
    stubborn.first.will(refusal(429, "slow down", Retry_After=0), WELL)
    assert (await stubborn.told(CHAT, REPLACEABLE)).text == TEXT
    assert (len(stubborn.first.asked), len(stubborn.second.asked)) == (2, 0)


@pytest.mark.parametrize("mode", ["whole", "stream"])
@pytest.mark.parametrize("door", DOORS, ids=str)
async def test_a_long_retry_after_is_handed_on_to_the_client(door: Door, mode: Mode, stubborn: House):
    stubborn.first.will(refusal(429, "slow down", Retry_After=60))
    status, _, answer = await stubborn.ask(door, ALONE, mode)
    assert (status, answer.headers["Retry-After"]) == (429, "60")
    assert len(stubborn.first.asked) == 1


@pytest.mark.parametrize("mode", ["whole", "stream"])
@pytest.mark.parametrize("door", DOORS, ids=str)
async def test_a_wrong_request_is_asked_once_even_where_retries_are_allowed(door: Door, mode: Mode, stubborn: House):
    stubborn.first.will(refusal(400))
    assert (await stubborn.ask(door, REPLACEABLE, mode))[0] == 400
    assert (len(stubborn.first.asked), len(stubborn.second.asked)) == (1, 0)


PHASES: dict[str, tuple[Mode, Act]] = {
    "not streamed": ("whole", breaks("silence")),
    "not streamed, half of it there": ("whole", reply(200, b'{"choices"', length=500, then="silence")),
    "before the head": ("stream", breaks("silence")),
    "before the first word": ("stream", sse(ROLE, then="silence")),
    "mid-stream": ("stream", sse(ROLE, event({"content": "hello"}), then="silence")),
}


@pytest.mark.parametrize(("mode", "act"), PHASES.values(), ids=list(PHASES))
@pytest.mark.parametrize("door", DOORS, ids=str)
async def test_a_client_that_leaves_is_gone_upstream_within_100_ms(door: Door, mode: Mode, act: Act, house: House):
    house.first.will(act)
    asking = asyncio.ensure_future(house.ask(door, ALONE, mode))
    async with asyncio.timeout(GUARD):
        await house.first.silent.wait()
    asking.cancel()
    async with asyncio.timeout(SOON):
        await house.first.left.wait()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_slow_first_byte_is_waited_for(house: House):
    now = asyncio.Event()

    async def slow(call: Call) -> None:
        call.silent.set()
        await now.wait()
        await WELL(call)

    house.first.will(slow)
    asking = asyncio.ensure_future(house.told(CHAT, ALONE))
    async with asyncio.timeout(GUARD):
        await house.first.silent.wait()
    assert not asking.done()
    now.set()
    assert await asking == Told(TEXT, finished=True)


def _text(door: Door, mode: Mode, raw: bytes) -> str:
    return door.whole(json.loads(raw)) if mode == "whole" else door.stream(raw).text
