"""An event bus: parts say what happened, others listen. Publishing never blocks and never raises into the publisher.

An event is any object; a listener subscribes to a class (and so to its subclasses). A listener that raises loses that one event; the
failure is counted and kept for ``fireside doctor``, and the publisher goes on.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import TypeVar

Event = TypeVar("Event")
log = logging.getLogger(__name__)


class EventBus:
    """Synchronous, in-process; listeners must be quick (append, count, put_nowait). Safe to publish from any thread."""

    def __init__(self) -> None:
        self._listeners: tuple[tuple[type[object], Callable[[object], None]], ...] = ()
        self._hearing: dict[type[object], tuple[Callable[[object], None], ...]] = {}
        self.failures: deque[BaseException] = deque(maxlen=32)

    def subscribe(self, kind: type[Event], listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``listener`` for each event that is a ``kind``. Returns the function that ends the subscription."""
        entry: tuple[type[object], Callable[[object], None]] = (kind, listener)  # type: ignore[assignment]
        self._listeners, self._hearing = (*self._listeners, entry), {}

        def unsubscribe() -> None:
            self._listeners, self._hearing = tuple(other for other in self._listeners if other is not entry), {}

        return unsubscribe

    def publish(self, event: object) -> None:
        # Which listeners a class of events concerns is looked up once; it changes only with a subscription.
        known = self._hearing
        hearing = known.get(type(event))
        if hearing is None:
            known[type(event)] = hearing = tuple(one for kind, one in self._listeners if isinstance(event, kind))
        for listener in hearing:
            self.deliver(listener, event)

    def deliver(self, listener: Callable[[Event], None], event: Event) -> None:
        """Tell one listener; its failure is kept, like that of any other."""
        try:
            listener(event)
        except Exception as error:  # noqa: BLE001  a listener's fault must never reach the publisher
            self.failures.append(error)
            log.warning("listener %r failed on %s: %s", listener, type(event).__name__, error)
