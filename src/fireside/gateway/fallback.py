"""Try each candidate until one produces its first content.

After the first content there is no falling back: the reader has seen half an answer, and another model would start a different one. Until
then everything can still be put right, so pieces without content are held back.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from fireside.core.errors import ConnectionFailed, ContextTooLong, FiresideError, Invalid
from fireside.core.events import EventBus
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, Priority, Usage
from fireside.core.retry import Backoff
from fireside.core.streams import closing
from fireside.gateway import signals
from fireside.gateway.breaker import Breaker
from fireside.gateway.health import HealthBoard
from fireside.gateway.queue import Queue, Ticket
from fireside.gateway.recovery import FINAL, Action, Facts, Step, decide, shrink
from fireside.gateway.router import Candidate, Plan
from fireside.gateway.supersede import Line

Result = TypeVar("Result")

# An engine that sends more pieces than this without content is not about to fail; the reader shall see that something happens.
HELD_BACK = 64
# What remains of an answer after its last piece is an end marker; reading it lets the connection be used again.
LAST_WORDS_SECONDS = 1.0
COUNTING_SECONDS = 1.0
# Tokens a chat template adds to each message, at most, in the families we know.
TEMPLATE_TOKENS = 16


@dataclass(slots=True, eq=False)
class Call:
    """One request on its way through the gateway, and how far it has come. Times from ``time.perf_counter``, in seconds."""

    number: int
    kind: signals.Kind
    model: str
    priority: Priority
    session: str | None = None
    request: ChatRequest | CompletionRequest | None = None
    engine: str = ""
    began: float = field(default_factory=time.perf_counter)
    queued: float = 0.0
    first: float | None = None
    usage: Usage = field(default_factory=Usage)
    given: bool = False
    over: bool = False
    cached: bool = False
    line: Line = field(default_factory=Line)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands before one engine."""

    queue: Queue
    breaker: Breaker


@dataclass(frozen=True, slots=True)
class Policy:
    """``retries``: how often one engine is asked again. ``patience``: seconds. ``pull``, ``shrink``: what the user allows."""

    retries: int = 2
    patience: float = 2.0
    pull: bool = False
    shrink: bool = False
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.1, limit=2.0, jitter=0.5))


class Attempts:
    """Where one request stands among its candidates."""

    def __init__(
        self,
        call: Call,
        plan: Plan,
        *,
        policy: Policy,
        events: EventBus,
        pull: Callable[[Candidate], Awaitable[Candidate]],
    ) -> None:
        self._call = call
        self._left = list(plan.candidates)
        self._policy = policy
        self._events = events
        self._pull = pull
        self._retries = 0
        self._may_pull = policy.pull
        self._may_shrink = policy.shrink and isinstance(call.request, ChatRequest)
        self.failures = 0
        self._first_error: FiresideError | None = None
        self._waits = policy.backoff.waits()

    @property
    def candidate(self) -> Candidate:
        return self._left[0]

    @property
    def alone(self) -> bool:
        return len(self._left) == 1

    async def recover(self, error: FiresideError) -> None:
        """Make the next try possible. Raises when there is none: the first candidate's error, for that is the one the user chose."""
        self.failures += 1
        self._events.publish(signals.AttemptFailed(self._call.number, self.candidate.engine.name, error))
        action = decide(error, self._retries, self._facts(error))
        match action.step:
            case Step.RETRY:
                await self._again(action, error)
            case Step.PULL:
                await self._bring(error)
            case Step.SHRINK:
                self._shorten(error)
            case Step.NEXT:
                self._move_on(error)
            case Step.GIVE_UP:
                raise self._final(error)

    def _facts(self, error: FiresideError) -> Facts:
        others = self._left[1:]
        return Facts(
            started=self._call.given,
            others=bool(others),
            wider=any(_wider(other, self.candidate) for other in others),
            retries=self._policy.retries,
            patience=self._policy.patience,
            may_pull=self._may_pull,
            may_shrink=self._may_shrink,
        )

    async def _again(self, action: Action, error: FiresideError) -> None:
        self._retries += 1
        wait = next(self._waits, self._policy.backoff.limit) if action.wait is None else action.wait
        name = self.candidate.engine.name
        self._events.publish(signals.Retried(self._call.number, name, self._retries, wait, error))
        await asyncio.sleep(wait)

    async def _bring(self, missing: FiresideError) -> None:
        self._may_pull = False
        try:
            self._left[0] = await self._pull(self.candidate)
        except Invalid:
            # This engine cannot pull at all; then the model is simply missing here.
            await self.recover(missing)
        except FiresideError as error:
            await self.recover(error)

    def _shorten(self, error: FiresideError) -> None:
        self._may_shrink = False
        call, card = self._call, self.candidate.card
        window = _number(error.context.get("context_window")) or card.context_window
        tokens = _number(error.context.get("prompt_tokens"))
        assert isinstance(call.request, ChatRequest)
        shorter = shrink(call.request, tokens or 2 * window, window) if window else None
        if shorter is None:
            raise self._final(error)
        call.request, left_out = shorter
        self._events.publish(signals.Trimmed(call.number, self.candidate.engine.name, card.name, left_out))

    def _move_on(self, error: FiresideError) -> None:
        self._first_error = self._first_error or error
        source = self._left.pop(0)
        if isinstance(error, ContextTooLong):
            self._left = [other for other in self._left if _wider(other, source)]
        self._retries = 0
        self._waits = self._policy.backoff.waits()
        self._events.publish(signals.FellBack(self._call.number, source.label, self.candidate.label, error))

    def _final(self, error: FiresideError) -> FiresideError:
        """A request that is wrong is told so; otherwise the first engine's error says most."""
        return error if error.kind in FINAL else self._first_error or error


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
    """Raise ``ContextTooLong`` for a chat that cannot fit. Engines are asked to count only when it might not.

    A token is at least one byte in every tokenizer we know, so a prompt with fewer bytes than the window has tokens always fits.
    """
    window, request = candidate.card.context_window, call.request
    if not window or not isinstance(request, ChatRequest) or _most_tokens(request) < window:
        return
    tokens = None
    with contextlib.suppress(TimeoutError, FiresideError):
        async with asyncio.timeout(COUNTING_SECONDS):
            tokens = await candidate.engine.count_tokens(request, candidate.card)
    if tokens is not None and tokens >= window:
        raise ContextTooLong(
            f"the prompt has {tokens} tokens, {candidate.card.name} on {candidate.engine.name} takes {window}",
            remedy="ask about less at once, or use a model with a larger window: fireside models list",
            prompt_tokens=tokens,
            context_window=window,
        )


def _most_tokens(request: ChatRequest) -> int:
    said = sum(_bytes(message.content) + TEMPLATE_TOKENS for message in request.messages)
    called = sum(_bytes(call.arguments) for message in request.messages for call in message.tool_calls)
    return said + called + sum(_bytes(repr(tool)) for tool in request.tools)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _wider(other: Candidate, than: Candidate) -> bool:
    """Whether a longer prompt may fit there; an unknown window may."""
    return not other.card.context_window or other.card.context_window > than.card.context_window


def _cut(candidate: Candidate) -> ConnectionFailed:
    return ConnectionFailed(
        f"{candidate.engine.name} ended its answer without saying that it was finished",
        remedy="ask again; if it happens often: fireside doctor",
        cause="cut",
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
