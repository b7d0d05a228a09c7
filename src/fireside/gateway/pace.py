"""An answer that crawls is given up: before its first content another engine may do better, afterwards it ends with an error.

Knows how fast an answer comes and nothing else. Waiting for the first piece is not counted: a long prompt takes its time.
"""

import asyncio
from typing import Annotated

import msgspec

from fireside.core.errors import TimedOut
from fireside.core.requests import ChatRequest, Delta
from fireside.core.streams import closing
from fireside.gateway.batches import Batches
from fireside.gateway.plans import Request

Positive = Annotated[float, msgspec.Meta(gt=0)]


class Slow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer that brings fewer ``characters_per_second`` over so many ``seconds`` is too slow."""

    characters_per_second: Positive
    seconds: Positive = 5.0


def comes_in_pieces(request: Request) -> bool:
    """Whether the speed of an answer can be seen while it comes: a tool call, or JSON that must fit a schema, is held back until whole."""
    if not request.stream:
        return False
    return not isinstance(request, ChatRequest) or not (request.tools or request.response_format)


async def kept_up(batches: Batches, slow: Slow, engine: str) -> Batches:
    """The batches as long as they come fast enough. Raises ``TimedOut`` (phase "slow") otherwise. Time the reader takes does not count."""
    clock = asyncio.get_running_loop().time
    written, waited = 0, 0.0
    async with closing(batches):
        async for batch in batches:
            yield batch
            break
        while True:
            # Only when the time is up does it fall behind for certain; before, the next piece may still bring enough.
            allowed = max(slow.seconds, written / slow.characters_per_second)
            since = clock()
            try:
                async with asyncio.timeout(allowed - waited) as scope:
                    batch = await anext(batches)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not scope.expired():
                    raise
                raise _too_slow(slow, engine, written, allowed) from None
            waited += clock() - since
            written += sum(map(_length, batch))
            if waited >= slow.seconds:
                written, waited = 0, 0.0
            yield batch


def _length(delta: Delta) -> int:
    return len(delta.text) + len(delta.reasoning)


def _too_slow(slow: Slow, engine: str, written: int, seconds: float) -> TimedOut:
    return TimedOut(
        f"{engine} wrote {written} characters in {seconds:.0f} s, fewer than {slow.characters_per_second:g} a second",
        remedy="use a smaller model, or ask for less: fireside config get gateway.slow",
        phase="slow",
    )
