"""How much a key may ask: requests and tokens a minute, requests at a time, tokens a day and a month.

Everything is counted in memory, in a microsecond; nothing here waits. Tokens are reserved by an estimate when a request comes and settled
by what it really used. What other processes have spent comes in from outside (``learn``, ``server/shared_limits``).
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from fireside.core.errors import RateLimited
from fireside.records.keys import UNLIMITED, KeyLimits
from fireside.records.usage import Spent, day_of
from fireside.server.auth import Principal

Header = tuple[bytes, bytes]
Clock = Callable[[], float]
MINUTE = 60.0


class Bucket:
    """A token bucket: ``capacity`` at most, refilled at ``rate`` a second. Times are seconds of any one clock."""

    __slots__ = ("capacity", "level", "rate", "stamp")

    def __init__(self, capacity: float, rate: float) -> None:
        self.capacity = capacity
        self.rate = rate
        self.level = capacity
        self.stamp = 0.0

    def take(self, amount: float, now: float) -> float:
        """Take ``amount`` and return 0.0, or take nothing and return the seconds until it could be had.

        More than fits into the bucket is had from a full one, and owed.
        """
        self.refill(now)
        short = min(amount, self.capacity) - self.level
        if short <= 0:
            self.level -= amount
            return 0.0
        return short / self.rate

    def give_back(self, amount: float) -> None:
        """Less was used than taken; or, negative, more."""
        self.level = min(self.capacity, self.level + amount)

    def refill(self, now: float) -> None:
        if now > self.stamp:
            if self.stamp:
                self.level = min(self.capacity, self.level + (now - self.stamp) * self.rate)
            self.stamp = now

    def left(self, now: float) -> int:
        """What could be taken now."""
        self.refill(now)
        return max(0, int(self.level))

    def full_in(self) -> float:
        """Seconds until nothing of it is missing."""
        return (self.capacity - self.level) / self.rate


MakeBucket = Callable[[str, float, float], Bucket]


def share_of(processes: int) -> MakeBucket:
    """Buckets of one of several processes that know nothing of each other: each holds its part, so that together they keep the limit."""

    def bucket(_: str, capacity: float, rate: float) -> Bucket:
        return Bucket(capacity / processes, rate / processes)

    return bucket


local_bucket = share_of(1)


class Allowance:
    """What one key has left."""

    __slots__ = ("concurrency", "day", "limits", "requests", "running", "spent_day", "spent_month", "tokens")

    def __init__(self, name: str, limits: KeyLimits, bucket: MakeBucket) -> None:
        self.running = 0
        self.day = ""
        self.spent_day = self.spent_month = 0
        self.limits = UNLIMITED
        self.requests: Bucket | None = None
        self.tokens: Bucket | None = None
        self.configure(name, limits, bucket)

    def configure(self, name: str, limits: KeyLimits, bucket: MakeBucket) -> None:
        """Take over changed limits; what runs and what was spent stays."""
        if limits.rpm != self.limits.rpm:
            self.requests = bucket(f"{name}:requests", limits.rpm, limits.rpm / MINUTE) if limits.rpm else None
        if limits.tpm != self.limits.tpm:
            self.tokens = bucket(f"{name}:tokens", limits.tpm, limits.tpm / MINUTE) if limits.tpm else None
        self.concurrency = limits.concurrency
        self.limits = limits

    def turn(self, day: str) -> None:
        """A new day spends from a new budget."""
        if day != self.day:
            if day[:7] != self.day[:7]:
                self.spent_month = 0
            self.day, self.spent_day = day, 0


class Ticket:
    """Leave for one request. Settle it when the request is over, however it ends."""

    __slots__ = ("_allowance", "_reserved")

    def __init__(self, allowance: Allowance | None, reserved: float = 0) -> None:
        self._allowance = allowance
        self._reserved = reserved

    def settle(self, tokens: int) -> None:
        """``tokens``: what it used, prompt and answer; 0 when no model was asked. The second time nothing happens."""
        allowance, self._allowance = self._allowance, None
        if allowance is None:
            return
        allowance.running -= 1
        if allowance.tokens is not None:
            allowance.tokens.give_back(self._reserved - tokens)
        allowance.spent_day += tokens
        allowance.spent_month += tokens


FREE = Ticket(None)


class Limiter:
    """Says yes, or how long to wait. ``clock``: seconds that never go back; ``calendar``: seconds since 1970."""

    def __init__(
        self, *, bucket: MakeBucket = local_bucket, clock: Clock = time.monotonic, calendar: Clock = time.time
    ) -> None:
        self._bucket = bucket
        self._clock, self._calendar = clock, calendar
        self._allowances: dict[str, Allowance] = {}
        self._day, self._day_ends = "", 0.0

    def prepare(self, principals: Iterable[Principal]) -> None:
        """Know these keys before they come, and their limits as they are now."""
        for principal in principals:
            if principal.limits != UNLIMITED:
                self._allowance(principal)

    def admit(self, principal: Principal, tokens: float = 0) -> Ticket:
        """``tokens``: an estimate of what the request will use.

        Raises ``RateLimited`` with ``retry_after`` in seconds and ``cause``: concurrency, budget, requests or tokens.
        """
        if principal.limits is UNLIMITED or principal.limits == UNLIMITED:
            return FREE
        allowance, now = self._allowance(principal), self._clock()
        if allowance.concurrency is not None and allowance.running >= allowance.concurrency:
            raise refused(f"this key may ask {allowance.concurrency} at a time", "concurrency", 1.0)
        self._check_budget(allowance)
        if allowance.requests is not None and (wait := allowance.requests.take(1, now)):
            raise refused(f"this key may ask {allowance.limits.rpm} times a minute", "requests", wait)
        if allowance.tokens is not None and (wait := allowance.tokens.take(tokens, now)):
            if allowance.requests is not None:
                allowance.requests.give_back(1)
            raise refused(f"this key may use {allowance.limits.tpm} tokens a minute", "tokens", wait)
        allowance.running += 1
        return Ticket(allowance, tokens)

    def headers(self, principal: Principal) -> list[Header]:
        """What a reply says of the limits, as the IETF draft, its forerunner and OpenAI's clients name it; nothing where there are none."""
        allowance = self._allowances.get(principal.id)
        if allowance is None:
            return []
        now = self._clock()
        buckets = [("requests", allowance.requests), ("tokens", allowance.tokens)]
        known = [(name, bucket, bucket.left(now)) for name, bucket in buckets if bucket is not None]
        return headers_of(known) if known else []

    def learn(self, spent: Mapping[str, Spent]) -> None:
        """What keys have spent in all processes together, as far as it has been written down."""
        today = day_of(self._calendar())
        for key, allowance in self._allowances.items():
            found = spent.get(key, Spent())
            allowance.turn(today)
            allowance.spent_day = max(allowance.spent_day, found.day)
            allowance.spent_month = max(allowance.spent_month, found.month)

    def has_budgets(self) -> bool:
        """Whether anybody has to be told what was spent."""
        return any(each.limits.budget_day or each.limits.budget_month for each in self._allowances.values())

    def _allowance(self, principal: Principal) -> Allowance:
        allowance = self._allowances.get(principal.id)
        if allowance is None:
            allowance = self._allowances[principal.id] = Allowance(principal.id, principal.limits, self._bucket)
        elif allowance.limits is not principal.limits:
            allowance.configure(principal.id, principal.limits, self._bucket)
        return allowance

    def _check_budget(self, allowance: Allowance) -> None:
        limits = allowance.limits
        if limits.budget_day is None and limits.budget_month is None:
            return
        now = self._calendar()
        allowance.turn(self._today(now))
        if limits.budget_month is not None and allowance.spent_month >= limits.budget_month:
            raise refused(
                f"this key has used its {limits.budget_month} tokens of this month", "budget", month_left(now)
            )
        if limits.budget_day is not None and allowance.spent_day >= limits.budget_day:
            raise refused(f"this key has used its {limits.budget_day} tokens of today", "budget", self._day_ends - now)

    def _today(self, now: float) -> str:
        if not self._day_ends - 86_400 <= now < self._day_ends:
            self._day, self._day_ends = day_of(now), (now // 86_400 + 1) * 86_400
        return self._day


def refused(message: str, cause: str, wait: float) -> RateLimited:
    remedy = f"wait {duration(wait)}, or ask for more" if cause != "concurrency" else "wait for one of them to end"
    return RateLimited(message, remedy=remedy, retry_after=wait, cause=cause, http_status=429)


def month_left(now: float) -> float:
    """Seconds until the next month begins, UTC."""
    first = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return ((first + timedelta(days=32)).replace(day=1) - datetime.fromtimestamp(now, UTC)).total_seconds()


def headers_of(known: list[tuple[str, Bucket, int]]) -> list[Header]:
    """draft-ietf-httpapi-ratelimit-headers-10 (RateLimit-Policy, RateLimit), -06 (RateLimit-Limit ...), and x-ratelimit-*."""
    policies, states, headers = [], [], []
    for name, bucket, left in known:
        limit, full = int(bucket.capacity), bucket.full_in()
        policies.append(f'"{name}";q={limit};w=60')
        states.append(f'"{name}";r={left};t={round(full)}')
        headers += [
            (f"x-ratelimit-limit-{name}", str(limit)),
            (f"x-ratelimit-remaining-{name}", str(left)),
            (f"x-ratelimit-reset-{name}", duration(full)),
        ]
    # The forerunner knows one limit only: the one that is nearest to its end.
    _, bucket, left = min(known, key=lambda each: each[2] / each[1].capacity)
    headers += [
        ("ratelimit-policy", ", ".join(policies)),
        ("ratelimit", ", ".join(states)),
        ("ratelimit-limit", str(int(bucket.capacity))),
        ("ratelimit-remaining", str(left)),
        ("ratelimit-reset", str(round(bucket.full_in()))),
    ]
    return [(name.encode(), value.encode()) for name, value in headers]


def duration(seconds: float) -> str:
    """As Go writes it, which OpenAI's headers hold: 120ms, 1.5s, 6m0s, 2h5m0s."""
    if seconds < 0.9995:
        return f"{max(0, round(seconds * 1000))}ms"
    if seconds < 59.95:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
