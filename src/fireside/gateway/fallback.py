"""Try each candidate until one produces its first content.

After the first content there is no falling back: the reader has seen half an answer, and another model would start a different one. Until
then everything can still be put right, so pieces without content are held back.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from fireside.core.errors import ConnectionFailed, ContextTooLong, FiresideError
from fireside.core.events import EventBus
from fireside.core.requests import ChatRequest, Delta
from fireside.core.streams import closing
from fireside.gateway import signals
from fireside.gateway.attempts import Attempts, Call
from fireside.gateway.breaker import Breaker
from fireside.gateway.faults import typed
from fireside.gateway.health import HealthBoard
from fireside.gateway.queue import Queue, Ticket
from fireside.gateway.router import Candidate

Result = TypeVar("Result")

# An engine that sends more pieces than this without content is not about to fail; the reader shall see that something happens.
HELD_BACK = 64
# What remains of an answer after its last piece is an end marker; reading it lets the connection be used again.
LAST_WORDS_SECONDS = 1.0
# Code and prose run to three or four bytes a token; a chat template adds a handful of tokens to each message.
BYTES_A_TOKEN = 3
TEMPLATE_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands before one engine."""

    queue: Queue
    breaker: Breaker


class Pipeline:
    """Carries calls through gate, engine and recovery."""

    def __init__(
        self,
        gates: Mapping[str, Gate],
        *,
        board: HealthBoard,
        events: EventBus,
    ) -> None:
        self._gates = gates
        self._board = board
        self._events = events

    async def stream(self, call: Call, attempts: Attempts) -> AsyncIterator[Delta]:
        """The answer's deltas; the last one names engine and model. Raises the typed error when nobody can answer, or in mid-answer."""
        while True:
            try:
                async with closing(self._attempt(call, attempts)) as deltas:
                    async for delta in deltas:
                        yield delta
                return
            except FiresideError as error:
                if call.given:
                    self._events.publish(signals.AttemptFailed(call.number, call.engine, error))
                    raise
                await attempts.recover(error)

    async def once(self, call: Call, attempts: Attempts, work: Callable[[Candidate], Awaitable[Result]]) -> Result:
        """The result of ``work`` from the first candidate that can; the same recovery as for a stream."""
        while True:
            try:
                async with self._seat(call, attempts) as candidate:
                    return await work(candidate)
            except FiresideError as error:
                await attempts.recover(error)

    @contextlib.asynccontextmanager
    async def _seat(self, call: Call, attempts: Attempts) -> AsyncIterator[Candidate]:
        """A slot at the candidate's engine, and a word to its breaker and health about how it went. Raises ``FiresideError``."""
        candidate = attempts.candidate
        engine = call.engine = candidate.engine.name
        gate = self._gates[engine]
        if attempts.alone and gate.breaker.refuses:
            # Nobody else can answer: it is worth a second to see whether the engine is back (a look that succeeds invites a probe).
            await self._board.look(engine, refresh=True)
        probe = gate.breaker.admit()
        ticket = Ticket(call.priority)
        try:
            await self._wait(call, gate.queue, ticket)
            with typed(engine):
                yield candidate
            gate.breaker.succeeded()
            self._board.succeeded(engine, candidate.card.name)
        except FiresideError as error:
            gate.breaker.failed(error)
            self._board.failed(engine, error)
            raise
        finally:
            gate.queue.leave(ticket)
            gate.breaker.leave(probe)

    async def _wait(self, call: Call, queue: Queue, ticket: Ticket) -> None:
        if queue.enter(ticket):
            return
        came = time.perf_counter()
        try:
            async with closing(queue.positions(ticket)) as positions:
                async for position in positions:
                    self._events.publish(signals.Queued(call.number, queue.engine, position, call.session))
        finally:
            call.queued += time.perf_counter() - came

    async def _attempt(self, call: Call, attempts: Attempts) -> AsyncIterator[Delta]:
        """One try on one engine. The slot is free again before the reader gets the last piece."""
        last = None
        async with self._seat(call, attempts) as candidate:
            await _check_window(call, candidate)
            async with closing(_ask(call, candidate)) as deltas:
                held: list[Delta] = []
                async for delta in deltas:
                    if delta.usage is not None:
                        call.usage = delta.usage
                    if not call.given:
                        if _says_nothing_yet(delta) and len(held) < HELD_BACK:
                            held.append(delta)
                            continue
                        self._open(call, candidate, attempts, delta)
                        for early in held:
                            yield early
                    if delta.finish_reason is not None:
                        last = replace(delta, engine=candidate.engine.name, model=candidate.card.name)
                        break
                    yield delta
                if last is None:
                    raise _cut(candidate)
                await _read_to_the_end(deltas)
        yield last

    def _open(self, call: Call, candidate: Candidate, attempts: Attempts, delta: Delta) -> None:
        call.given = True
        name, model = candidate.engine.name, candidate.card.name
        if delta.has_content:
            call.first = call.seconds
            self._events.publish(signals.FirstToken(call.number, name, model, call.first))
        if attempts.failures:
            self._events.publish(signals.Recovered(call.number, name, model, attempts.failures))


def _ask(call: Call, candidate: Candidate) -> AsyncIterator[Delta]:
    if isinstance(call.request, ChatRequest):
        return candidate.engine.chat(call.request, candidate.card)
    assert call.request is not None
    return candidate.engine.complete(call.request, candidate.card)


def _says_nothing_yet(delta: Delta) -> bool:
    return not delta.has_content and delta.finish_reason is None


async def _read_to_the_end(deltas: AsyncIterator[Delta]) -> None:
    """The answer is complete; whatever happens to the connection now does not make it less so."""
    with contextlib.suppress(TimeoutError, FiresideError):
        async with asyncio.timeout(LAST_WORDS_SECONDS):
            async for _ in deltas:
                pass


async def _check_window(call: Call, candidate: Candidate) -> None:
    """Raise ``ContextTooLong`` for a chat that does not fit, before an engine spends time on it.

    Engines are asked to count only when it is likely; one that slips through is refused by its engine, which never cuts a prompt.
    """
    window, request = candidate.card.context_window, call.request
    if not window or not isinstance(request, ChatRequest) or _likely_tokens(request) < window:
        return
    tokens = await candidate.engine.count_tokens(request, candidate.card)
    if tokens is not None and tokens >= window:
        raise ContextTooLong(
            f"the prompt has {tokens} tokens, {candidate.card.name} on {candidate.engine.name} takes {window}",
            remedy="ask about less at once, or use a model with a larger window: fireside models list",
            prompt_tokens=tokens,
            context_window=window,
        )


def _likely_tokens(request: ChatRequest) -> int:
    said = sum(_bytes(message.content) for message in request.messages)
    called = sum(_bytes(call.arguments) for message in request.messages for call in message.tool_calls)
    shown = sum(_bytes(repr(tool)) for tool in request.tools)
    return (said + called + shown) // BYTES_A_TOKEN + TEMPLATE_TOKENS * len(request.messages)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _cut(candidate: Candidate) -> ConnectionFailed:
    return ConnectionFailed(
        f"{candidate.engine.name} ended its answer without saying that it was finished",
        remedy="ask again; if it happens often: fireside doctor",
        cause="cut",
    )
