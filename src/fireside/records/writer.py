"""Write entries down in the background, in batches. Whoever has an entry never waits, and never fails, because of a disk or a database.

One thread a sink. When a sink cannot write, its entries wait in a bounded queue; what does not fit is counted, and the sink is told
how many are missing where they would have stood.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from fireside.core.errors import FiresideError

Entry = TypeVar("Entry")
Written = TypeVar("Written", contravariant=True)
log = logging.getLogger(__name__)

MOST_AT_ONCE = 2048
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 5.0


class Sink(Protocol[Written]):
    """Where entries go. ``lost``: how many are missing behind these. Raises ``OSError`` or ``FiresideError``: then none was written."""

    def write(self, entries: Sequence[Written], lost: int) -> None: ...


@dataclass(frozen=True, slots=True)
class WriterState:
    """``pending``: entries not yet written. ``lost``: those that never will be. ``problem``: why the last attempt failed, or ""."""

    name: str
    pending: int
    written: int
    lost: int
    problem: str


class Writer(Generic[Entry]):
    """``seconds``: how long an entry waits at most for others to be written with it, or until there are ``batch`` of them.

    ``capacity``: how many entries may wait.
    """

    def __init__(
        self, name: str, sink: Sink[Entry], *, seconds: float = 0.5, batch: int = 1024, capacity: int = 20_000
    ) -> None:
        self.name = name
        self._sink = sink
        self._seconds, self._batch, self._capacity = seconds, batch, capacity
        self._queue: deque[Entry] = deque()
        self._held: list[Entry] = []
        self._lost = self._told = self._written = 0
        self._problem = ""
        self._is_awake = False
        self._wake, self._enough, self._closing = threading.Event(), threading.Event(), threading.Event()
        self._flushing = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, entry: Entry) -> None:
        """Hand an entry over, from any thread. Takes a fraction of a microsecond, whatever the disk does."""
        waiting = len(self._queue)
        if waiting >= self._capacity:
            self._lost += 1
            return
        self._queue.append(entry)
        if not self._is_awake:
            self._is_awake = True
            self._begin()
            self._wake.set()
        elif waiting == self._batch:
            self._enough.set()

    def state(self) -> WriterState:
        pending = len(self._queue) + len(self._held)
        return WriterState(self.name, pending, self._written, self._lost, self._problem)

    def flush(self) -> bool:
        """Write everything now, in this thread. Returns whether nothing is left; ``state`` says why."""
        with self._flushing:
            # What is put from here on wakes the thread again.
            self._wake.clear()
            self._is_awake = False
            self._enough.clear()
            while self._held or self._queue or self._lost > self._told:
                if not self._write():
                    return False
            return True

    def close(self) -> None:
        """Write what is left, as far as that goes within a few seconds."""
        self._closing.set()
        self._wake.set()
        self._enough.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
        left = len(self._queue) + len(self._held)
        if left:
            log.error("%s: %d entries could not be written: %s", self.name, left, self._problem or "no time left")

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"fireside-{self.name}", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._enough.wait(self._seconds)
            if not self.flush() and not self._closing.wait(RETRY_SECONDS):
                self._wake.set()
        self.flush()

    def _write(self) -> bool:
        """One batch. Returns whether it was written; it is kept otherwise."""
        if not self._held:
            count = min(len(self._queue), MOST_AT_ONCE)
            self._held = [self._queue.popleft() for _ in range(count)]
        # What is missing was to come behind all that waits now.
        lost = 0 if self._queue else self._lost - self._told
        try:
            self._sink.write(self._held, lost)
        except (FiresideError, OSError) as error:
            self._note(str(error))
            return False
        except Exception as error:  # noqa: BLE001  a fault of ours must not end the thread: all that comes later would be lost
            self._note(f"unexpected {type(error).__name__}: {error}")
            return False
        self._written += len(self._held)
        self._held = []
        self._told += lost
        self._problem = ""
        return True

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s cannot be written, and waits: %s", self.name, problem)
        self._problem = problem
