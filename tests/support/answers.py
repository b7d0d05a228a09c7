"""Read a stream to its end, and hold it to the protocol on the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from fireside.core.errors import FiresideError
from fireside.core.messages import ToolCall
from fireside.core.requests import Delta, FinishReason, Usage

GUARD = 20.0  # seconds; far more than any case needs, so that a hang is a failure and not a stuck run


@dataclass(frozen=True)
class Answer:
    deltas: tuple[Delta, ...]

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def reasoning(self) -> str:
        return "".join(delta.reasoning for delta in self.deltas)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(delta.tool_call for delta in self.deltas if delta.tool_call is not None)

    @property
    def finish(self) -> FinishReason | None:
        return self.deltas[-1].finish_reason if self.deltas else None

    @property
    def usage(self) -> Usage:
        """The last usage told; fails the test when there was none."""
        told = [delta.usage for delta in self.deltas if delta.usage is not None]
        assert told, "the stream told no usage"
        return told[-1]


async def read(stream: AsyncIterator[Delta]) -> Answer:
    """The whole answer. Fails when the stream breaks a rule every engine keeps: one finish reason, and it comes last."""
    deltas: list[Delta] = []
    async with asyncio.timeout(GUARD), aclosing(stream):
        async for delta in stream:
            deltas.append(delta)
    reasons = [delta.finish_reason for delta in deltas if delta.finish_reason is not None]
    assert len(reasons) == 1, f"a stream ends with exactly one finish reason, this one had {reasons}"
    assert deltas[-1].finish_reason is not None, "nothing may come after the finish reason"
    return Answer(tuple(deltas))


async def failure(stream: AsyncIterator[Delta]) -> tuple[Answer, FiresideError]:
    """What came before the error, and the error. Fails when the stream ends well."""
    deltas: list[Delta] = []
    try:
        async with asyncio.timeout(GUARD), aclosing(stream):
            async for delta in stream:
                deltas.append(delta)
    except FiresideError as error:
        assert all(delta.finish_reason is None for delta in deltas), "a stream that fails has no finish reason"
        return Answer(tuple(deltas)), error
    raise AssertionError(f"the stream should have failed, it said {Answer(tuple(deltas)).text!r}")


def check_error(error: FiresideError) -> None:
    """What every error owes the reader: one line that says what happened, and what to do about it."""
    assert error.message.strip()
    assert "\n" not in error.message
    assert "Traceback" not in error.message
    assert error.remedy.strip(), f"no remedy: {error!r}"
    assert len(error.message) < 400
