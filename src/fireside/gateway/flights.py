"""Single flight: whoever asks for work that is already under way waits for it instead of starting it again.

One waiter that leaves does not stop the work for the others; the last one that leaves does. Knows nothing of what the work is.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fireside.core.errors import FiresideError

Result = TypeVar("Result")
Work = Callable[[], Coroutine[Any, Any, Result]]
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Flight(Generic[Result]):
    task: asyncio.Task[Result]
    waiting: int = 0
    detached: bool = False


class Flights(Generic[Result]):
    """All work of one sort, by key."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[Result]] = {}
        self._tasks: set[asyncio.Task[Result]] = set()

    async def join(self, key: Hashable, work: Work[Result]) -> Result:
        """The result of the work under ``key``, started now unless it is under way. Raises what the work raises."""
        flight = self._flights.get(key) or self._launch(key, work)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.detached and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()

    def start(self, key: Hashable, work: Work[Result]) -> asyncio.Task[Result]:
        """Start the work unless it is under way, and let it go on even when nobody waits. Its task is for looking only."""
        flight = self._flights.get(key) or self._launch(key, work)
        flight.detached = True
        return flight.task

    async def aclose(self) -> None:
        """Cancel everything under way and wait until it is over."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _launch(self, key: Hashable, work: Work[Result]) -> _Flight[Result]:
        flight = _Flight(asyncio.ensure_future(work()))
        self._flights[key] = flight
        self._tasks.add(flight.task)
        flight.task.add_done_callback(lambda task: self._landed(key, flight))
        return flight

    def _landed(self, key: Hashable, flight: _Flight[Result]) -> None:
        self._forget(key, flight)
        self._tasks.discard(flight.task)
        # Reading the exception keeps asyncio quiet about work nobody waited for; an untyped one is a defect and must be seen.
        error = None if flight.task.cancelled() else flight.task.exception()
        if error is not None and not isinstance(error, FiresideError):
            log.error("%r failed", key, exc_info=error)

    def _forget(self, key: Hashable, flight: _Flight[Result]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
