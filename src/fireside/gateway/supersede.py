"""A newer request makes an older one pointless: the older stream ends at once with the finish reason "cancelled".

A completion asked for two keystrokes ago must not hold the slot the newest one needs. Knows keys and streams, nothing else.
"""

import asyncio
from collections.abc import AsyncIterator

from fireside.core.requests import Delta
from fireside.core.streams import closing


class Line:
    """One stream that a newer one may end."""

    def __init__(self) -> None:
        self.superseded = False
        self._scope: asyncio.Timeout | None = None

    def supersede(self) -> None:
        self.superseded = True
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def follow(self, stream: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
        """The stream's deltas until it ends or is superseded.

        ``asyncio.timeout`` is used for what it does best: break off one await, and only that, without harm to the task that waits.
        """
        async with closing(stream):
            while not self.superseded:
                self._scope = scope = asyncio.timeout(None)
                try:
                    async with scope:
                        delta = await anext(stream)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if not scope.expired():
                        raise
                    break
                finally:
                    self._scope = None
                yield delta
                if delta.finish_reason is not None:
                    return
        yield Delta(finish_reason="cancelled")


class Supersession:
    """The newest stream of every key."""

    def __init__(self) -> None:
        self._newest: dict[str, Line] = {}

    async def guard(self, key: str, line: Line, stream: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
        """``stream``, as the newest under ``key``: an older one is ended now, and this one when a newer one comes."""
        older = self._newest.get(key)
        self._newest[key] = line
        if older is not None:
            older.supersede()
        try:
            async with closing(line.follow(stream)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            if self._newest.get(key) is line:
                del self._newest[key]
