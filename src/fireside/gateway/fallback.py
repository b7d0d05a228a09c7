"""Try each candidate until one produces its first content.

After the first content there is no falling back: the reader has seen half an answer, and another model would start a different one. Until
then everything can still be put right, so pieces without content are held back.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from copy import copy
from typing import TypeVar

from fireside.core.errors import ConnectionFailed, FiresideError, TimedOut
from fireside.core.requests import Delta
from fireside.core.streams import closing, read_out
from fireside.gateway import signals
from fireside.gateway.attempts import Attempts, Call
from fireside.gateway.batches import Batches, asked
from fireside.gateway.gates import Gates, Seat
from fireside.gateway.health import HealthBoard
from fireside.gateway.hedge import Hedging, Runner, first_to_speak
from fireside.gateway.pace import Slow, comes_in_pieces, kept_up
from fireside.gateway.plans import Candidate
from fireside.gateway.prefixes import Prefixes
from fireside.gateway.window import check_read, fitted

Result = TypeVar("Result")

# An engine that sends more pieces than this without content is not about to fail; the reader shall see that something happens.
HELD_BACK = 64
# What remains of an answer after its last piece is an end marker; reading it lets the connection be used again.
LAST_WORDS_SECONDS = 1.0


class Pipeline:
    """Carries calls through gate, engine and recovery. ``hedging``, ``slow``: what the user allows; it may change at any time."""

    def __init__(self, gates: Gates, *, board: HealthBoard) -> None:
        self._gates = gates
        self._board = board
        self._prefixes = Prefixes()
        self.hedging: Hedging | None = None
        self.slow: Slow | None = None

    async def stream(self, call: Call, attempts: Attempts) -> Batches:
        """The answer in batches; its last piece names engine and model. Raises the typed error when nobody can answer, or in mid-answer."""
        while True:
            try:
                async with closing(self._source(call, attempts)) as batches:
                    async for batch in batches:
                        call.heard(batch)
                        if not call.given:
                            _open(call, attempts, batch)
                        if batch[-1].finish_reason is not None:
                            check_read(call, attempts.candidate)
                        yield batch
                return
            except FiresideError as error:
                if call.given:
                    call.say(signals.AttemptFailed(call.number, call.engine, error))
                    raise
                await attempts.recover(error)

    async def once(self, call: Call, attempts: Attempts, work: Callable[[Candidate], Awaitable[Result]]) -> Result:
        """The result of ``work`` from the first candidate that can; the same recovery as for a stream."""
        while True:
            candidate = attempts.candidate
            try:
                async with Seat(call, candidate, self._gates.of(candidate.engine), self._board, alone=attempts.alone):
                    return await work(candidate)
            except FiresideError as error:
                await attempts.recover(error)

    def _source(self, call: Call, attempts: Attempts) -> Batches:
        """One try: on the first candidate alone, or on two where a late first word is hedged."""
        if self.hedging is not None and (after := self.hedging.after) is not None:
            other = self.hedging.second(call, attempts)
            if other is not None:
                return self._race(call, attempts, other, after)
        return self._attempt(call, attempts.candidate, alone=attempts.alone)

    async def _race(self, call: Call, attempts: Attempts, other: Candidate, after: float) -> Batches:
        """The first candidate's answer; or the other's, when the first is late and the other speaks first."""
        source, twin = attempts.candidate, copy(call)
        runners = [Runner(self._attempt(call, source, alone=False))]
        try:
            winner = runners[0]
            await asyncio.wait((winner.begun,), timeout=after)
            if not winner.begun.done():
                self._hedge(call, source, other)
                runners.append(Runner(self._attempt(twin, other, alone=False)))
                winner = await first_to_speak(*runners)
                _settle(call, twin, attempts, other, runners, won=winner is not runners[0])
                for runner in runners:
                    if runner is not winner:
                        await runner.aclose()
            async with closing(winner.batches()) as batches:
                async for batch in batches:
                    yield batch
        finally:
            for runner in runners:
                await runner.aclose()

    def _hedge(self, call: Call, source: Candidate, other: Candidate) -> None:
        if self.hedging is not None:
            self.hedging.spend()
        call.say(signals.Hedged(call.number, source.label, other.label))

    async def _attempt(self, call: Call, candidate: Candidate, *, alone: bool) -> Batches:
        """One try on one engine. The slot is free again before the reader gets the last piece."""
        gate, request = self._gates.of(candidate.engine), call.request
        assert request is not None
        turn = await self._prefixes.turn(candidate, request)
        try:
            async with Seat(call, candidate, gate, self._board, alone=alone):
                began = time.perf_counter()
                answer = asked(candidate.engine, await fitted(call, candidate), candidate.card)
                if self.slow is not None and comes_in_pieces(request):
                    answer = kept_up(answer, self.slow, candidate.engine.name)
                last: list[Delta] | None = None
                held: list[Delta] | None = []
                async with closing(answer) as batches:
                    async for batch in batches:
                        finished = batch[-1].finish_reason is not None
                        if held is not None:
                            held += batch
                            if not finished and not _has_content(batch) and len(held) <= HELD_BACK:
                                continue
                            gate.began(time.perf_counter() - began)
                            if turn is not None:
                                turn.computed()
                            batch, held = held, None
                        if finished:
                            last = batch
                            break
                        yield batch
                    if last is None:
                        raise _cut(candidate)
                    # The answer is complete; whatever happens to the connection now does not make it less so.
                    await read_out(batches, LAST_WORDS_SECONDS)
        except TimedOut as error:
            if error.context.get("phase") == "slow":
                gate.crawled()
            raise
        finally:
            if turn is not None:
                turn.leave()
        last[-1] = _signed(last[-1], candidate)
        yield last


def _open(call: Call, attempts: Attempts, batch: Sequence[Delta]) -> None:
    """The reader gets something: from here on there is no falling back."""
    call.given = True
    name, model = attempts.candidate.engine.name, attempts.candidate.card.name
    if _has_content(batch):
        call.first = call.seconds
        call.say(signals.FirstToken(call.number, name, model, call.first))
    if attempts.failures:
        call.say(signals.Recovered(call.number, name, model, attempts.failures))


def _settle(
    call: Call, twin: Call, attempts: Attempts, other: Candidate, runners: Sequence[Runner], *, won: bool
) -> None:
    """After a race: say who lost by failing, and go on with who won."""
    source = attempts.candidate
    for candidate, runner in zip((source, other), runners, strict=True):
        error = runner.begun.result() if runner.begun.done() else None
        # When both failed, the first's failure is the one to recover from.
        if isinstance(error, FiresideError) and (won or candidate is other):
            attempts.failed(candidate, error)
    if won:
        attempts.prefer(other)
        call.engine, call.queued, call.counted = twin.engine, twin.queued, twin.counted
        call.say(signals.HedgeWon(call.number, source.label, other.label))


def _has_content(batch: Iterable[Delta]) -> bool:
    return any(delta.has_content for delta in batch)


def _signed(last: Delta, candidate: Candidate) -> Delta:
    """The last piece with the name of who answered. Written out, for ``dataclasses.replace`` costs more than the rest of the walk."""
    return Delta(
        last.text,
        last.reasoning,
        last.tool_call,
        last.finish_reason,
        last.usage,
        candidate.engine.name,
        candidate.card.name,
        last.logprobs,
    )


def _cut(candidate: Candidate) -> ConnectionFailed:
    return ConnectionFailed(
        f"{candidate.engine.name} ended its answer without saying that it was finished",
        remedy="ask again; if it happens often: fireside doctor",
        cause="cut",
    )
