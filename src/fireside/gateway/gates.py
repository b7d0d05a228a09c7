"""What stands before each engine: its queue, its breaker, and how quick it was of late. Nobody asks an engine without a seat.

Knows when an answer begins and how it ends, and nothing of what it says.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType

from fireside.core.errors import ConnectionFailed
from fireside.core.streams import closing
from fireside.engines.engine import Engine
from fireside.gateway import signals
from fireside.gateway.attempts import Call
from fireside.gateway.balance import Standing
from fireside.gateway.breaker import Breaker
from fireside.gateway.faults import as_typed
from fireside.gateway.health import HealthBoard
from fireside.gateway.plans import Candidate
from fireside.gateway.queue import Queue, Ticket

# Weight of the newest answer in the running mean of how long answers take to begin (an exponential moving average).
NEWEST = 0.2
# How quick an engine was is forgotten after so many seconds without an answer from it; so is that it crawled.
FORGOTTEN = 60.0


class Gate:
    """One engine's. ``retired``: called when the last request has left, for an engine that nobody shall ask any more."""

    def __init__(
        self, engine: Engine, queue: Queue, breaker: Breaker, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.engine = engine
        self.queue = queue
        self.breaker = breaker
        self._clock = clock
        self._first_token = 0.0
        self._answered = 0.0
        self._crawled: float | None = None
        self.retired: Callable[[], None] | None = None

    def began(self, seconds: float) -> None:
        """An answer began so many seconds after it was asked for."""
        now = self._clock()
        known = self._first_token if now - self._answered < FORGOTTEN else 0.0
        self._first_token = known + NEWEST * (seconds - known) if known else seconds
        self._answered = now

    def crawled(self) -> None:
        """An answer was given up for being slow."""
        self._crawled = self._clock()

    @property
    def idle(self) -> bool:
        return not (self.queue.running or self.queue.waiting)

    def standing(self) -> Standing:
        now = self._clock()
        return Standing(
            self.queue.load,
            self.breaker.refuses,
            self._first_token if now - self._answered < FORGOTTEN else 0.0,
            self._crawled is not None and now - self._crawled < FORGOTTEN,
        )


class Gates:
    """Those of all engines. ``build``: makes a gate for an engine that has none. ``close``: called once for an engine that was exchanged,
    when its last request is over."""

    def __init__(
        self, engines: Iterable[Engine], build: Callable[[Engine], Gate], *, close: Callable[[Engine], None]
    ) -> None:
        self._build = build
        self._close = close
        self._gates: dict[str, Gate] = {}
        self._leaving: list[Gate] = []
        self.exchange(engines)

    def __iter__(self) -> Iterator[Gate]:
        return iter(self._gates.values())

    def named(self, name: str) -> Gate | None:
        return self._gates.get(name)

    def of(self, engine: Engine) -> Gate:
        """Raises ``ConnectionFailed`` (cause "removed") for an engine that is not asked any more."""
        gate = self._gates.get(engine.name)
        if gate is None or gate.engine is not engine:
            gate = next((each for each in self._leaving if each.engine is engine), None)
        if gate is None:
            raise ConnectionFailed(
                f"{engine.name} was taken out of the configuration",
                remedy="ask again",
                retryable=False,
                cause="removed",
            )
        return gate

    @property
    def leaving(self) -> list[Engine]:
        """Engines that nobody shall ask any more, and that still answer."""
        return [gate.engine for gate in self._leaving]

    def exchange(self, engines: Iterable[Engine]) -> None:
        """Take over another set of engines. Those that stay keep their gates; the others' gates stay until their last request is over."""
        before, self._gates = self._gates, {}
        for engine in engines:
            known = before.get(engine.name)
            same = known is not None and known.engine is engine
            self._gates[engine.name] = before.pop(engine.name) if same else self._build(engine)
        self._leaving += before.values()
        for gate in before.values():
            gate.retired = partial(self._emptied, gate)
            if gate.idle:
                gate.retired()

    def _emptied(self, gate: Gate) -> None:
        """The last request has left an engine that nobody shall ask any more."""
        gate.retired = None
        self._leaving = [each for each in self._leaving if each is not gate]
        self._close(gate.engine)


class Seat:
    """``async with``: a slot at the candidate's engine, and a word to its breaker and its health about how it went.

    Raises ``FiresideError`` when there is none; any fault inside becomes one. ``alone``: nobody else can answer.
    """

    __slots__ = ("_alone", "_board", "_call", "_candidate", "_gate", "_probe", "_ticket")

    def __init__(self, call: Call, candidate: Candidate, gate: Gate, board: HealthBoard, *, alone: bool) -> None:
        self._call = call
        self._candidate = candidate
        self._gate = gate
        self._board = board
        self._alone = alone
        self._ticket = Ticket(call.priority)
        self._probe = False

    async def __aenter__(self) -> None:
        gate, self._call.engine = self._gate, self._candidate.engine.name
        if self._alone and gate.breaker.refuses:
            # It is worth a second to see whether the engine is back (a look that succeeds invites a probe).
            await self._board.look(self._call.engine, refresh=True)
        self._probe = gate.breaker.admit()
        try:
            if not gate.queue.enter(self._ticket):
                await self._wait(gate.queue)
        except BaseException as error:
            self._end(error)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    async def _wait(self, queue: Queue) -> None:
        call, came = self._call, time.perf_counter()
        try:
            async with closing(queue.positions(self._ticket)) as positions:
                async for position in positions:
                    call.say(signals.Queued(call.number, queue.engine, position, call.session))
        finally:
            call.queued += time.perf_counter() - came

    def _end(self, error: BaseException | None) -> None:
        breaker, name, retired = self._gate.breaker, self._candidate.engine.name, self._gate.retired
        try:
            if error is None:
                breaker.succeeded()
                if retired is None:
                    self._board.succeeded(name, self._candidate.card.name)
            elif isinstance(error, Exception):
                known = as_typed(name, error)
                breaker.failed(known)
                if retired is None:
                    self._board.failed(name, known)
                if known is not error:
                    raise known from error
        finally:
            self._gate.queue.leave(self._ticket)
            breaker.leave(self._probe)
            if retired is not None and self._gate.idle:
                retired()
