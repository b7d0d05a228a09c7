"""What is being answered now, so that it can be ended by its id."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fireside.core.errors import Invalid
from fireside.records.keys import Role
from fireside.server.auth import Principal
from fireside.server.exchange import Exchange


@dataclass(slots=True)
class Entry:
    """``ended``: somebody asked for its end."""

    exchange: Exchange
    task: asyncio.Task[object]
    ended: bool = False


class Running:
    """The requests of our own API that are being answered, by their id."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    @contextmanager
    def entered(self, exchange: Exchange) -> Iterator[None]:
        """What is done inside can be ended by ``end``; then it raises ``Invalid`` (409)."""
        task = asyncio.current_task()
        assert task is not None
        entry = self._entries[exchange.request_id] = Entry(exchange, task)
        try:
            yield
        except asyncio.CancelledError:
            if not entry.ended or exchange.gone:
                raise
            task.uncancel()
            raise ended() from None
        finally:
            del self._entries[exchange.request_id]

    def end(self, request_id: str, principal: Principal) -> None:
        """Raises ``Invalid`` (404) for one that is not running, or is somebody else's."""
        entry = self._entries.get(request_id)
        if entry is None or not may_see(principal, entry.exchange):
            raise Invalid(
                f"no request {request_id[:80]} of yours is running", remedy="GET /api/v1/requests", http_status=404
            )
        if not entry.ended:
            entry.ended = True
            entry.task.cancel()

    def told(self, principal: Principal) -> list[dict[str, object]]:
        now = time.perf_counter()
        return [
            {
                "id": request_id,
                "route": each.exchange.route,
                "key": each.exchange.principal.name,
                "engine": each.exchange.story.engine,
                "model": each.exchange.story.model,
                "seconds": round(now - each.exchange.began, 3),
            }
            for request_id, each in self._entries.items()
            if may_see(principal, each.exchange)
        ]


def may_see(principal: Principal, exchange: Exchange) -> bool:
    """Administrators see everybody's requests."""
    return principal.role is Role.ADMIN or principal.id == exchange.principal.id


def ended() -> Invalid:
    return Invalid("the request was ended", http_status=409, cause="cancelled")
