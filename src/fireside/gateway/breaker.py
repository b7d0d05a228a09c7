"""A circuit breaker: an engine that fails again and again is left alone for a while, then tried with one request.

Closed (all pass) -> open after so many failures in a row (none pass) -> half-open after so many seconds (one passes, the probe) ->
closed again when the probe succeeds, open again when it fails. Knows one engine by name and nothing of requests.
"""

import time
from collections.abc import Callable
from typing import Literal

from fireside.core.errors import ConnectionFailed, ErrorKind, FiresideError
from fireside.core.events import EventBus
from fireside.gateway.signals import BreakerClosed, BreakerOpened

State = Literal["closed", "open", "half-open"]
# A full queue, a missing model or a bad request say nothing about whether the engine works.
COUNTED = frozenset((ErrorKind.CONNECTION, ErrorKind.TIMEOUT, ErrorKind.UNKNOWN))


class Breaker:
    """``failures``: how many in a row open it. ``seconds``: how long it stays open before a probe may pass."""

    def __init__(
        self,
        engine: str,
        *,
        events: EventBus,
        failures: int = 5,
        seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self._events = events
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._opened: float | None = None
        self._probing = False
        self._error: FiresideError | None = None

    @property
    def state(self) -> State:
        if self._opened is None:
            return "closed"
        return "half-open" if self._clock() >= self._opened + self._seconds else "open"

    @property
    def refuses(self) -> bool:
        """Whether a request that came now would be turned away."""
        return self._opened is not None and (self._probing or self.state == "open")

    def admit(self) -> bool:
        """Let a request pass; True when it is the probe. Hand the answer to ``leave`` when the request is over.

        Raises ``ConnectionFailed`` (cause "breaker", ``retry_after`` in seconds) while the engine is left alone.
        """
        if self._opened is None:
            return False
        if self.refuses:
            raise self._refusal(self._opened)
        self._probing = True
        return True

    def leave(self, probe: bool) -> None:
        """The request is over. A probe that neither succeeded nor failed (its reader left) makes room for another."""
        if probe:
            self._probing = False

    def succeeded(self) -> None:
        self._failures = 0
        if self._opened is not None:
            self._opened = None
            self._events.publish(BreakerClosed(self.engine))

    def failed(self, error: FiresideError) -> None:
        if error.kind not in COUNTED:
            return
        self._failures += 1
        self._error = error
        was_closed, probe_failed = self._opened is None, self._probing
        if (was_closed and self._failures >= self._limit) or probe_failed:
            self._opened = self._clock()
            self._events.publish(BreakerOpened(self.engine, self._failures, self._seconds, error))

    def invite(self) -> None:
        """Someone saw the engine answer: the next request may be the probe, without waiting for the time to pass."""
        if self._opened is not None:
            self._opened = min(self._opened, self._clock() - self._seconds)

    def _refusal(self, opened: float) -> ConnectionFailed:
        wait = max(0.0, opened + self._seconds - self._clock())
        said = self._error.message if self._error else "it does not answer"
        return ConnectionFailed(
            f"{self.engine} failed {self._failures} times in a row and is tried again in {wait:.0f} s: {said}",
            remedy=(self._error.remedy if self._error else "") or "fireside doctor",
            retryable=False,
            cause="breaker",
            retry_after=wait,
        )
