"""Who asks and whether they may now: keys, limits, usage and the audit log at one gate.

On the way of a request everything is in memory; a task beside looks every two seconds whether keys were changed and budgets spent.
"""

import asyncio
import time
from contextlib import suppress

from fireside.app.records import POSTGRES_PORT, REDIS_PORT, Records, check_reach
from fireside.app.serving import ServerSettings
from fireside.core.errors import FiresideError, NotPermitted, RateLimited
from fireside.engines.egress import Egress
from fireside.records.request import RequestRecord
from fireside.records.settings import AuditSettings
from fireside.records.usage import Spent, spent
from fireside.server.auth import Keyring, Principal, keys_required
from fireside.server.exchange import Exchange
from fireside.server.limits import FREE, Limiter, share_of
from fireside.server.shared_limits import SharedLimits
from fireside.server.story import Header

LOOK_SECONDS = 2.0
# Of a prompt in English or in code; what was really used settles it.
BYTES_PER_TOKEN = 4


class Gates:
    """``egress``: asked whether the database and Redis may be reached. ``running``: requests that were let in and are not over."""

    def __init__(self, records: Records, settings: ServerSettings, *, egress: Egress) -> None:
        self.keyring = Keyring(records.keys, required=must_show_keys(settings, settings.host))
        self.shared = SharedLimits(settings.redis) if settings.redis else None
        self.limiter = Limiter(bucket=self.shared.bucket if self.shared else share_of(settings.workers))
        self.records = records
        self.running = 0
        self._host, self._redis, self._egress = settings.host, settings.redis, egress
        self._following: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Know everybody before the first request.

        Raises ``NotPermitted`` where others could reach a server that has no key, and what is wrong with the database.
        """
        await check_reach(self.records.address, self._egress, port=POSTGRES_PORT)
        await check_reach(self._redis, self._egress, port=REDIS_PORT)
        await asyncio.to_thread(self.keyring.load)
        self.keyring.check_bind(self._host)
        self.limiter.prepare(self.keyring.principals())
        if self.shared is not None:
            await self.shared.start()
        await self._learn()
        self._following = asyncio.create_task(self._follow(), name="keys")

    def configure(self, settings: ServerSettings, audit: AuditSettings) -> None:
        """Take over what can change while the server runs. Where it listens cannot."""
        self.keyring.required = must_show_keys(settings, self._host)
        self.records.audit.settings = audit

    async def close(self) -> None:
        """Write down what is left."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        if self.shared is not None:
            await self.shared.aclose()
        await asyncio.to_thread(self.records.close)

    def authenticate(self, exchange: Exchange, right: str) -> Principal:
        """Raises ``NotPermitted``: with ``http_status`` 401 for nobody we know, 403 for somebody without this right."""
        try:
            principal = self.keyring.authenticate(exchange.headers)
        except NotPermitted as error:
            self.records.audit.refused("login_refused", str(error.context["cause"]), client_of(exchange))
            raise
        if right and right not in principal.rights:
            self.records.audit.refused("not_permitted", exchange.route, principal.name)
            raise NotPermitted(f"this key may not use {exchange.path}", remedy=f"ask for a key with the right {right}")
        return principal

    def enter(self, exchange: Exchange) -> list[Header]:
        """Count a request; what its reply's head says of the limits. Raises ``RateLimited``."""
        principal = exchange.principal
        length = exchange.headers.get(b"content-length", b"")
        estimate = int(length) // BYTES_PER_TOKEN if length.isdigit() else 0
        try:
            exchange.ticket = self.limiter.admit(principal, estimate)
        except RateLimited as error:
            exchange.extra += self.limiter.headers(principal)
            self.records.audit.refused("limit_reached", str(error.context["cause"]), principal.name)
            raise
        self.running += 1
        return [] if exchange.ticket is FREE else self.limiter.headers(principal)

    def leave(self, exchange: Exchange) -> None:
        """The request is over: settle its tokens, and write it down."""
        self.running -= 1
        record = record_of(exchange)
        exchange.ticket.settle(record.prompt_tokens + record.completion_tokens)
        self.records.request(record)

    async def _follow(self) -> None:
        # Loading SQLAlchemy takes 0.15 s and 24 MB: now, beside the first requests, and not in the middle of many.
        await asyncio.to_thread(self.records.open)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await asyncio.to_thread(self.keyring.refresh):
                self.limiter.prepare(self.keyring.principals())
            await self._learn()

    async def _learn(self) -> None:
        if self.limiter.has_budgets():
            self.limiter.learn(await asyncio.to_thread(self._spent))

    def _spent(self) -> dict[str, Spent]:
        try:
            return dict(spent(self.records.database, time.time()))
        except FiresideError:
            # The keyring has met the same database a moment ago and says what is wrong with it; what was spent here still counts.
            return {}


def must_show_keys(settings: ServerSettings, host: str) -> bool:
    """A proxy brings others to this machine: then not everybody who comes from here is its owner."""
    return keys_required([host], require_keys=settings.require_keys or bool(settings.trusted_proxies))


def client_of(exchange: Exchange) -> str:
    return exchange.peer[0] if exchange.peer else ""


def record_of(exchange: Exchange) -> RequestRecord:
    """What is remembered of a request: no word of what was asked or answered."""
    story, usage, principal = exchange.story, exchange.story.usage, exchange.principal
    seconds = time.perf_counter() - exchange.began
    return RequestRecord(
        time=time.time() - seconds,
        route=exchange.route,
        # Nothing was sent: the client had gone before.
        status=exchange.status or 499,
        seconds=seconds,
        request_id=exchange.request_id,
        key_id=principal.id,
        key_name=principal.name if principal.id else "",
        client=client_of(exchange),
        model=story.model,
        engine=story.engine,
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
        cached_tokens=usage.cached_tokens if usage else 0,
        error=story.failure.kind if story.failure else "",
    )
