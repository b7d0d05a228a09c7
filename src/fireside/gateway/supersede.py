"""A newer request makes an older one pointless: the older stream ends at once with the finish reason "cancelled".

A completion asked for two keystrokes ago must not hold the slot the newest one needs. Knows keys and streams, nothing else.
"""

import asyncio

from fireside.core.requests import Delta
from fireside.core.streams import closing
from fireside.gateway.batches import Batches


class Line:
    """One stream that a newer one may end."""

    def __init__(self) -> None:
        self.superseded = False
        self._waits: asyncio.Task[object] | None = None

    def supersede(self) -> None:
        self.superseded = True
        if self._waits is not None:
            self._waits.cancel()

    async def next(self, stream: Batches) -> list[Delta] | None:
        """The stream's next batch; ``None`` when it is superseded meanwhile. Raises ``StopAsyncIteration`` at its end.

        Breaks off this one await, without harm to the task that waits: what ``asyncio.timeout`` does, for a tenth of its price.
        """
        task = asyncio.current_task()
        assert task is not None
        before, self._waits = task.cancelling(), task
        try:
            return await anext(stream)
        except asyncio.CancelledError:
            # Somebody else may have cancelled the task as well; then it is theirs.
            if self.superseded and task.cancelling() - 1 <= before:
                return None
            raise
        finally:
            self._waits = None
            if self.superseded:
                task.uncancel()


class Supersession:
    """The newest stream of every key."""

    def __init__(self) -> None:
        self._newest: dict[str, Line] = {}

    async def guard(self, key: str, line: Line, stream: Batches) -> Batches:
        """``stream``, as the newest under ``key``: an older one is ended now, and this one when a newer one comes."""
        older = self._newest.get(key)
        self._newest[key] = line
        if older is not None:
            older.supersede()
        try:
            async with closing(stream):
                while not line.superseded:
                    try:
                        batch = await line.next(stream)
                    except StopAsyncIteration:
                        return
                    if batch is None:
                        break
                    yield batch
                    if batch[-1].finish_reason is not None:
                        return
            yield [Delta(finish_reason="cancelled")]
        finally:
            if self._newest.get(key) is line:
                del self._newest[key]
