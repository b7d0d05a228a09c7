"""Answers in pieces, through the repair, and what came out."""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from fireside.core.messages import ToolCall
from fireside.core.requests import ChatRequest, Delta, FinishReason
from fireside.gateway.repair import Repaired, repaired


@dataclass
class Outcome:
    text: str = ""
    reasoning: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    finish: FinishReason | None = None
    faults: list[str] = field(default_factory=list)
    deltas: list[Delta] = field(default_factory=list)


async def answered(
    request: ChatRequest, *batches: Sequence[Delta], finish: FinishReason = "stop", end: bool = True
) -> Outcome:
    """What becomes of these batches and, unless ``end`` is False, a last piece with the finish reason."""
    heard: list[Repaired] = []

    async def stream() -> AsyncIterator[list[Delta]]:
        for batch in batches:
            yield list(batch)
        if end:
            yield [Delta(finish_reason=finish)]

    outcome = Outcome()
    async for batch in repaired(request, stream(), heard=heard.append):
        assert batch, "an empty batch"
        outcome.deltas += batch
    for delta in outcome.deltas:
        outcome.text += delta.text
        outcome.reasoning += delta.reasoning
        outcome.calls += [delta.tool_call] if delta.tool_call else []
        outcome.finish = delta.finish_reason or outcome.finish
    outcome.faults = [each.fault for each in heard]
    return outcome


def in_pieces(text: str, size: int | random.Random) -> list[list[Delta]]:
    """One batch a piece; ``size``: of all pieces, or dice to draw each."""
    pieces, at = [], 0
    while at < len(text):
        step = size if isinstance(size, int) else size.choice((1, 1, 2, 3, 4, 5, 8, 13, 40))
        pieces.append([Delta(text=text[at : at + step])])
        at += step
    return pieces
