"""One limit for several processes and machines, kept in Redis or Valkey. No request ever waits for it.

Each process holds a lease: a share of what the shared bucket has, fetched ahead in the background. It spends from the lease in memory, and
ten times a second (at once when the lease runs low) gives back what is left and takes its share anew, so that all leases together are
never more than the bucket held. When Redis is gone each process goes on with its part of the limit, and ``problem`` says so.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from fireside.core.errors import Invalid
from fireside.server.limits import Bucket

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript

log = logging.getLogger("fireside.server")

PERIOD = 0.1
# A bucket nobody asks for is looked at so often: processes come and go, and shares change with them.
IDLE_PERIOD = 0.5
RETRY_SECONDS = 1.0
ANSWER_SECONDS = 1.0
MEMBER_SECONDS = 6.0
AT_ONCE = 200
# So many renewals a client has for coming back and finding what it was refused.
PATIENCE = 50
LEAST = 1.0
# With one hash tag all keys lie on one node of a cluster, as a script needs it.
NAMESPACE = "{fireside}:limits"

# KEYS: the processes, then the buckets. ARGV: this process, how long one is remembered, then for each bucket its capacity, its rate, what
# is given back, and the least that is wanted. Answers with the number of processes, then for each bucket what is leased and what is left.
LEASE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('EXPIRE', KEYS[1], 60)
local processes = redis.call('ZCARD', KEYS[1])
local answer = {tostring(processes)}
for number = 2, #KEYS do
  local first = 3 + (number - 2) * 4
  local capacity, rate = tonumber(ARGV[first]), tonumber(ARGV[first + 1])
  local returned, wanted = tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  local kept = redis.call('HMGET', KEYS[number], 'level', 'stamp')
  local level, stamp = tonumber(kept[1]) or capacity, tonumber(kept[2]) or now
  level = math.min(capacity, level + math.max(0, now - stamp) * rate + returned)
  local lease = math.max(0, math.min(level, math.max(level / processes, wanted)))
  level = level - lease
  redis.call('HSET', KEYS[number], 'level', string.format('%.6f', level), 'stamp', string.format('%.6f', now))
  redis.call('EXPIRE', KEYS[number], math.ceil(capacity / rate) + 60)
  answer[#answer + 1] = string.format('%.6f', lease)
  answer[#answer + 1] = string.format('%.6f', level)
end
return answer
"""


class SharedBucket(Bucket):
    """A lease on a bucket that others use, too. Before the first lease, and while Redis is gone, a bucket of this process alone."""

    __slots__ = ("_shared", "is_leased", "is_used", "name", "patience", "rest", "share", "wanted", "whole")

    def __init__(self, name: str, capacity: float, rate: float, shared: "SharedLimits") -> None:
        super().__init__(capacity, rate)
        self.name = name
        self.whole = (capacity, rate)
        self.is_leased = self.is_used = False
        self.rest = self.share = 0.0
        self.wanted, self.patience = LEAST, 0
        self._shared = shared

    def take(self, amount: float, now: float) -> float:
        wait = super().take(amount, now)
        self.is_used = True
        if wait:
            # Others may hold it: ask for that much, so that it is here when the client comes back.
            self.wanted, self.patience = min(self.capacity, max(self.wanted, amount)), PATIENCE
            self._shared.hurry()
            return max(PERIOD, wait - self.rest / self.rate)
        if amount >= self.wanted:
            self.wanted = LEAST
        if self.is_leased and self.level < self.share / 4:
            self._shared.hurry()
        return 0.0

    def refill(self, now: float) -> None:
        # A lease is not refilled here: Redis refills the bucket it is taken from.
        if self.is_leased:
            self.stamp = now
        else:
            super().refill(now)

    def left(self, now: float) -> int:
        return super().left(now) + int(self.rest)

    def full_in(self) -> float:
        return max(0.0, super().full_in() - self.rest / self.rate)

    def lease(self, amount: float, rest: float, spent: float) -> None:
        """``spent``: what has been taken since the old lease was given back."""
        self.is_leased = True
        self.patience -= 1
        if self.patience <= 0:
            self.wanted = LEAST
        self.capacity, self.rate = self.whole
        self.share, self.rest, self.level = amount, rest, amount - spent

    def go_alone(self, processes: int) -> None:
        """Redis is gone: each process has its part, so that together they still keep the limit."""
        self.is_leased, self.rest = False, 0.0
        self.capacity, self.rate = self.whole[0] / processes, self.whole[1] / processes
        self.level = min(self.level, self.capacity)


class SharedLimits:
    """Every shared bucket of this process, and the task that keeps their leases. A ``Limiter`` makes its buckets with ``bucket``.

    ``problem``: why limits are not shared now, or "". ``processes``: how many share them. ``turns``: how often Redis has answered.
    """

    def __init__(self, url: str, *, namespace: str = NAMESPACE) -> None:
        self.problem = ""
        self.processes = 1
        self.turns = 0
        self._url = url
        self._namespace = namespace
        self._member = secrets.token_hex(8)
        self._buckets: list[SharedBucket] = []
        self._hurry = asyncio.Event()
        self._redis: Redis | None = None
        self._script: AsyncScript | None = None
        self._task: asyncio.Task[None] | None = None

    def bucket(self, name: str, capacity: float, rate: float) -> Bucket:
        made = SharedBucket(name, capacity, rate, self)
        # A key whose limit was changed gets another bucket; the old one is used by nobody any more.
        self._buckets = [*(each for each in self._buckets if each.name != name), made]
        self.hurry()
        return made

    def leases(self) -> dict[str, float]:
        """What this process holds of each bucket, for whoever wants to look."""
        return {bucket.name: bucket.level for bucket in self._buckets if bucket.is_leased}

    def hurry(self) -> None:
        """Renew the leases now, not at the next tenth of a second."""
        self._hurry.set()

    async def start(self) -> None:
        """Take the first leases. A Redis that is not there is noted, not raised; raises ``Invalid`` for what is no address of one."""
        self._redis = connect(self._url)
        self._script = self._redis.register_script(LEASE)
        await self._renew(self._buckets)
        self._task = asyncio.create_task(self._follow(), name="shared limits")

    async def aclose(self) -> None:
        """Give everything back."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._redis is not None:
            await self._give_all_back()
            await self._redis.aclose()

    async def _follow(self) -> None:
        loop, looked = asyncio.get_running_loop(), 0.0
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), RETRY_SECONDS if self.problem else PERIOD)
            if self.problem and self._hurry.is_set():
                # Nobody is there to hurry.
                self._hurry.clear()
                await asyncio.sleep(RETRY_SECONDS)
            self._hurry.clear()
            now = loop.time()
            everyone = self.problem or now - looked > IDLE_PERIOD
            looked = now if everyone else looked
            await self._renew([each for each in self._buckets if everyone or each.is_used or not each.is_leased])

    async def _renew(self, buckets: Sequence[SharedBucket]) -> None:
        from redis.exceptions import RedisError

        try:
            for first in range(0, len(buckets), AT_ONCE):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._lease(buckets[first : first + AT_ONCE])
        except (RedisError, OSError, TimeoutError) as error:
            self._lose(error)
        else:
            self.turns += 1
            if self.problem:
                log.info("limits are shared again")
            self.problem = ""

    async def _lease(self, buckets: Sequence[SharedBucket]) -> None:
        """Give back what is left of these leases, and take new ones."""
        assert self._script is not None
        before = [bucket.level for bucket in buckets]
        arguments: list[str | float] = [self._member, MEMBER_SECONDS]
        for bucket in buckets:
            # What was spent while there was no lease is owed.
            returned = bucket.level if bucket.is_leased else bucket.level - bucket.capacity
            arguments += [*bucket.whole, returned, bucket.wanted]
            bucket.is_used = False
        names = [f"{self._namespace}:{bucket.name}" for bucket in buckets]
        answer = await self._script(keys=[f"{self._namespace}:processes", *names], args=arguments)
        numbers = [float(each) for each in answer]
        self.processes = max(1, int(numbers[0]))
        for number, bucket in enumerate(buckets):
            # While Redis was answering, requests went on spending from the old lease.
            spent = before[number] - bucket.level
            bucket.lease(numbers[1 + 2 * number], numbers[2 + 2 * number], spent)

    def _lose(self, error: Exception) -> None:
        if not self.problem:
            log.warning("limits are not shared with other processes now: %s", error)
        self.problem = f"Redis does not answer: {error}" if str(error) else "Redis does not answer"
        for bucket in self._buckets:
            if bucket.is_leased:
                bucket.go_alone(self.processes)

    async def _give_all_back(self) -> None:
        """A process that ends keeps nothing: what it takes back at last is taken by the others at their next turn."""
        from redis.exceptions import RedisError

        assert self._redis is not None
        leased = [bucket for bucket in self._buckets if bucket.is_leased]
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                for bucket in leased:
                    await self._redis.hincrbyfloat(f"{self._namespace}:{bucket.name}", "level", bucket.level)
                await self._redis.zrem(f"{self._namespace}:processes", self._member)


def connect(url: str) -> "Redis":
    """A client that gives up quickly. Opens no connection yet. Raises ``Invalid``."""
    try:
        from redis.asyncio import Redis
    except ModuleNotFoundError as error:
        raise Invalid("the client for Redis is not installed", remedy="pip install 'fireside[team]'") from error
    try:
        return Redis.from_url(
            url, socket_connect_timeout=ANSWER_SECONDS, socket_timeout=ANSWER_SECONDS, decode_responses=True
        )
    except ValueError as error:
        # The text may hold a password: it is not repeated.
        raise Invalid("this is not the address of a Redis", remedy="write it like redis://box:6379/0") from error
