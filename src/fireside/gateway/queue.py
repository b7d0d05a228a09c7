"""Who may use an engine now, and who waits: one bounded queue per engine.

Typing goes before chat, chat before agents, agents before batch; first come, first served within a class. Every ``ageing`` seconds of
waiting are worth one class, so a batch request is passed over for a while but never for ever. Where there are several slots, one is kept
for typing: who waits for the next letters never waits behind a long answer. Knows nothing of engines or answers.
"""

import asyncio
import time
from bisect import insort
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from fireside.core.errors import FiresideError, RateLimited
from fireside.core.requests import Priority

# Weight of the newest answer in the running mean of how long answers take (an exponential moving average).
NEWEST = 0.2


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's place. Create it, ``enter`` with it, and ``leave`` with it whatever happened."""

    priority: Priority = Priority.CHAT
    rank: tuple[float, int] = (0.0, 0)
    since: float | None = None
    place: int = 0
    error: FiresideError | None = None
    moved: asyncio.Event | None = field(default=None, repr=False)


class Queue:
    """``parallel``: requests at once; ``kept``: how many of these slots only typing may take, where that leaves one for the others.

    ``max_waiting``: how many may wait. ``ageing``: seconds of waiting worth one class.
    """

    def __init__(
        self,
        engine: str,
        *,
        parallel: int = 2,
        kept: int = 0,
        max_waiting: int = 64,
        ageing: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self.parallel = parallel
        self._kept = kept
        self._max_waiting = max_waiting
        self._ageing = ageing
        self._clock = clock
        self._running: set[Ticket] = set()
        self._others = 0
        self._waiting: list[Ticket] = []
        self._arrivals = 0
        self._mean_seconds = 1.0

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def load(self) -> float:
        """Requests here per request the engine takes at once; 1 and more means a newcomer waits."""
        return (len(self._running) + len(self._waiting)) / self.parallel

    def limit(self, parallel: int, max_waiting: int, *, kept: int = 0) -> None:
        """Change the limits; more room is used at once, running requests are never cut off."""
        self.parallel, self._max_waiting, self._kept = parallel, max_waiting, kept
        self._admit()

    def enter(self, ticket: Ticket) -> bool:
        """Take a slot when one is free (True), else join the line (False): then walk ``positions``.

        Raises ``RateLimited`` (``retry_after`` in seconds) when the line is full. The last in a full line gives way to a newcomer of a
        more urgent class, and is told the same.
        """
        # Whoever waits could not take a slot that is free now, so nobody is passed by.
        if self._fits(ticket.priority):
            self._seat(ticket)
            return True
        if len(self._waiting) >= self._max_waiting:
            self._make_room(ticket)
        self._arrivals += 1
        ticket.rank = (self._clock() + self._ageing * ticket.priority, self._arrivals)
        ticket.moved = asyncio.Event()
        insort(self._waiting, ticket, key=_rank)
        self._tell()
        return False

    async def positions(self, ticket: Ticket) -> AsyncIterator[int]:
        """The place in line, 1 first, each time it changes; ends when the slot is the ticket's. Raises ``RateLimited`` if displaced."""
        last = 0
        while ticket.since is None:
            if ticket.error is not None:
                raise ticket.error
            assert ticket.moved is not None
            ticket.moved.clear()
            if ticket.place != last:
                last = ticket.place
                yield last
            else:
                await ticket.moved.wait()

    def leave(self, ticket: Ticket) -> None:
        """Give the slot or the place in line back. Harmless when the ticket holds neither."""
        if ticket in self._running:
            self._running.remove(ticket)
            self._others -= ticket.priority != Priority.TYPING
            taken = self._clock() - (ticket.since or 0.0)
            self._mean_seconds += NEWEST * (taken - self._mean_seconds)
            self._admit()
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
            self._tell()

    def _fits(self, priority: Priority) -> bool:
        if len(self._running) >= self.parallel:
            return False
        return priority == Priority.TYPING or self._others < max(1, self.parallel - self._kept)

    def _admit(self) -> None:
        while len(self._running) < self.parallel:
            ticket = next((each for each in self._waiting if self._fits(each.priority)), None)
            if ticket is None:
                break
            self._waiting.remove(ticket)
            self._seat(ticket)
            assert ticket.moved is not None
            ticket.moved.set()
        self._tell()

    def _seat(self, ticket: Ticket) -> None:
        ticket.since = self._clock()
        self._running.add(ticket)
        self._others += ticket.priority != Priority.TYPING

    def _make_room(self, ticket: Ticket) -> None:
        last = self._waiting[-1] if self._waiting else None
        if last is None or last.priority <= ticket.priority:
            raise self._full()
        self._waiting.pop()
        last.error = self._full()
        assert last.moved is not None
        last.moved.set()

    def _full(self) -> RateLimited:
        wait = round(self._mean_seconds * (len(self._waiting) + 1) / self.parallel, 1)
        return RateLimited(
            f"{self.engine} is busy: {len(self._running)} requests running and {len(self._waiting)} waiting",
            remedy=f"try again in {wait:.0f} s, or raise gateway.max_waiting",
            retry_after=wait,
            cause="queue",
        )

    def _tell(self) -> None:
        """Number the line anew, and wake those whose place has changed."""
        for place, ticket in enumerate(self._waiting, 1):
            if ticket.place != place:
                ticket.place = place
                assert ticket.moved is not None
                ticket.moved.set()


def _rank(ticket: Ticket) -> tuple[float, int]:
    return ticket.rank
