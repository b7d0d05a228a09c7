"""One limit for several processes, over a real Redis that may also go away."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import pytest

from fireside.core.errors import Invalid, RateLimited
from fireside.records.keys import KeyLimits
from fireside.server.auth import Principal
from fireside.server.limits import Limiter
from fireside.server.shared_limits import SharedLimits, connect
from support.services import free_port, redis, redis_at

pytestmark = pytest.mark.team
LAPTOP = Principal(id="key_1", limits=KeyLimits(rpm=60))
AGENT = Principal(id="key_2", limits=KeyLimits(tpm=60_000))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis() as one:
        yield one


@pytest.fixture
def namespace() -> str:
    return "{" + uuid.uuid4().hex + "}"


@asynccontextmanager
async def process(url: str, namespace: str) -> AsyncIterator[tuple[SharedLimits, Limiter]]:
    """What one server process has."""
    shared = SharedLimits(url, namespace=namespace)
    limiter = Limiter(bucket=shared.bucket)
    limiter.prepare([LAPTOP, AGENT])
    await shared.start()
    try:
        yield shared, limiter
    finally:
        await shared.aclose()


def admitted(limiter: Limiter, principal: Principal = LAPTOP, tokens: float = 0, tries: int = 1) -> int:
    count = 0
    for _ in range(tries):
        try:
            limiter.admit(principal, tokens)
        except RateLimited:
            continue
        count += 1
    return count


async def leases_renewed(shared: SharedLimits, turns: int = 2) -> None:
    """Wait until Redis has been asked again, this often."""
    async with asyncio.timeout(10):
        for _ in range(turns):
            before = shared.turns
            shared.hurry()
            while shared.turns == before:
                await asyncio.sleep(0.002)


async def test_a_process_alone_has_the_whole_limit_at_once(url, namespace):
    async with process(url, namespace) as (_, limiter):
        assert admitted(limiter, tries=80) == 60


async def test_processes_together_never_pass_the_limit_and_together_reach_it(url, namespace):
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(process(url, namespace)) for _ in range(3)]
        loop = asyncio.get_running_loop()
        began, total = loop.time(), 0
        for _ in range(25):
            for shared, limiter in processes:
                total += admitted(limiter, tries=3)
                await leases_renewed(shared, 1)
        assert 58 <= total <= 60 + (loop.time() - began) + 1


async def test_what_one_process_leaves_another_gets(url, namespace):
    async with process(url, namespace) as (_, first), process(url, namespace) as (two, second):
        assert admitted(first, tries=5) == 5
        loop, count = asyncio.get_running_loop(), 0
        began = loop.time()
        while count < 50:
            # Without the other's share it would be 28, and one more a second.
            assert loop.time() - began < 10
            count += admitted(second, tries=60)
            await leases_renewed(two, 1)


async def test_a_large_request_is_let_in_when_its_client_comes_back(url, namespace):
    async with process(url, namespace) as (one, first), process(url, namespace):
        await until(lambda: one.leases()["key_2:tokens"] <= 30_000)
        assert admitted(first, AGENT, 50_000) == 0
        await until(lambda: admitted(first, AGENT, 50_000) == 1)


async def test_unused_tokens_come_back_to_all(url, namespace):
    async with process(url, namespace) as (shared, limiter):
        ticket = limiter.admit(AGENT, 60_000)
        await leases_renewed(shared)
        ticket.settle(1000)
        await leases_renewed(shared)
        assert admitted(limiter, AGENT, 58_000) == 1


async def test_a_process_that_ends_gives_back_what_it_held(url, namespace):
    async with process(url, namespace) as (_, limiter):
        assert admitted(limiter, tries=10) == 10
    async with process(url, namespace) as (shared, limiter):
        assert shared.processes == 1
        assert 50 <= admitted(limiter, tries=80) <= 52


async def test_without_redis_each_process_keeps_its_part_and_shares_again_afterwards(namespace):
    port = free_port()
    with ExitStack() as stack:
        stack.enter_context(redis_at(port))
        url = f"redis://127.0.0.1:{port}/0"
        async with process(url, namespace) as (one, first), process(url, namespace) as (two, _):
            await until(lambda: one.leases()["key_1:requests"] <= 30 and two.processes == 2)
            stack.close()
            one.hurry()
            await until(lambda: bool(one.problem))
            assert 25 <= admitted(first, tries=80) <= 32
            assert "Redis" in one.problem
            with redis_at(port):
                await until(lambda: not one.problem)
                await until(lambda: not two.problem)


async def test_a_redis_that_is_not_there_at_the_start_is_no_reason_not_to_start(namespace):
    async with process(f"redis://127.0.0.1:{free_port()}/0", namespace) as (shared, limiter):
        assert shared.problem
        assert admitted(limiter, tries=80) == 60


def test_an_address_that_is_none_is_refused_and_not_repeated():
    with pytest.raises(Invalid) as caught:
        connect("http://user:secret@box")
    assert "secret" not in str(caught.value)


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)
