"""Two workers over a real PostgreSQL and a real Redis: neither is on the way of a request, even when both stand still."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fireside.records.database import Database
from fireside.records.keys import KeyLimits, Keys
from fireside.records.usage import report
from support.fake_openai import FakeOpenAI
from support.services import postgres, redis
from support.serving import engine, serving, settings

pytestmark = pytest.mark.team
SLOW = 2.0
TWO = ("--workers", "2", "--quiet")


@pytest.fixture
def database() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture
def shared() -> Iterator[str]:
    with redis() as url:
        yield url


@pytest.fixture
async def fake(database, shared):
    async with FakeOpenAI("Hello there, you.") as made:
        together = f'[records]\ndatabase = "{database}"\n[server]\nredis = "{shared}"\nrequire_keys = true\n'
        settings(engine(made) + together)
        yield made


@pytest.fixture
def keys(database) -> Iterator[Keys]:
    made = Keys(Database(database))
    yield made
    made.database.close()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def postgres_pids(database: str) -> list[int]:
    """The server process and all it has started."""
    opened = Database(database)
    row = opened.read("SELECT pg_backend_pid() AS pid")[0]
    stat = Path(f"/proc/{row['pid']}/stat").read_text().rpartition(")")[2].split()
    opened.close()
    parent = int(stat[1])
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [parent, *map(int, children)]


def redis_pid(shared: str) -> int:
    from redis import Redis

    with Redis.from_url(shared) as client:
        return int(client.info("server")["process_id"])


@contextmanager
def standing_still(*pids: int) -> Iterator[None]:
    """They take connections, and never answer."""

    def tell(number: signal.Signals) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    tell(signal.SIGSTOP)
    try:
        yield
    finally:
        tell(signal.SIGCONT)


async def warned(running, *checks: str) -> None:
    async with asyncio.timeout(30):
        while not set(checks) <= set(json.loads((await running.get("/healthz/ready"))[1])["warnings"]):
            await asyncio.sleep(0.1)


async def asked_for_a_while(running, secret: str) -> None:
    """Every request is answered, and soon. Meanwhile the workers share out anew what a limit holds."""
    begun = time.monotonic()
    while time.monotonic() - begun < SLOW:
        asked = time.monotonic()
        status, body = await running.chat(**bearer(secret))
        assert status == 200, body
        assert time.monotonic() - asked < SLOW


async def test_requests_go_on_while_database_and_redis_stand_still_and_health_says_so(fake, keys, database, shared):
    key, secret = keys.create("anna", limits=KeyLimits(rpm=100_000))
    async with serving(*TWO) as running:
        await running.said("(worker 2)")
        await asked_for_a_while(running, secret)
        with standing_still(redis_pid(shared), *postgres_pids(database)):
            await asked_for_a_while(running, secret)
            assert (await running.chat(**bearer("fsd_nobody")))[0] == 401
            await warned(running, "limits", "keys")
        assert await running.end() == 0
    # What was counted meanwhile was written when the database came back.
    asked = sum(seen.path.endswith("/chat/completions") for seen in fake.requests)
    assert sum(row.requests for row in report(keys.database) if row.key_id == key.id) == asked


async def test_two_workers_hold_one_limit_together(fake, keys):
    _, secret = keys.create("anna", limits=KeyLimits(rpm=10))
    async with serving(*TWO) as running:
        await running.said("(worker 2)")
        statuses = [(await running.chat(**bearer(secret)))[0] for _ in range(20)]
        assert 8 <= statuses.count(200) <= 11
        assert set(statuses) == {200, 429}
        assert await running.end() == 0
