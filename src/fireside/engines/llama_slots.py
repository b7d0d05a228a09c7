"""Which of a server's slots a request goes to. A slot remembers the prompt it read last, so a conversation should come back to its own.

The last slot is kept for typing, where there is more than one: who waits for the next letters never waits behind a chat. Only idle slots
are named; otherwise the server chooses, so that a free slot is never passed by.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

ANY = -1
SESSIONS = 64


class Slots:
    """The slots of one server, ``count`` of them. ``busy`` are the ones this process uses now."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._chat = range(max(1, count - 1))
        self._sessions: OrderedDict[str, int] = OrderedDict()
        self._used: list[int] = list(self._chat)
        self.busy: set[int] = set()

    @contextmanager
    def hold(self, session: str | None, *, typing: bool = False) -> Iterator[int]:
        """The number of a slot for one request, or ``ANY``."""
        slot = self._choose(session, typing)
        self.busy.add(slot)
        try:
            yield slot
        finally:
            self.busy.discard(slot)

    def _choose(self, session: str | None, typing: bool) -> int:
        if typing:
            last = self._count - 1
            return ANY if last in self.busy else last
        own = self._sessions.get(session) if session is not None else None
        slot = own if own is not None and own not in self.busy else self._least_used()
        if slot == ANY:
            return ANY
        self._used.remove(slot)
        self._used.append(slot)
        if session is not None:
            self._sessions[session] = slot
            self._sessions.move_to_end(session)
            if len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
        return slot

    def _least_used(self) -> int:
        """The free chat slot that was used longest ago."""
        return next((slot for slot in self._used if slot not in self.busy), ANY)
