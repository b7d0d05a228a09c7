"""Ollama ends an answer that holds tool calls with ``stop``; everybody else says ``tool_calls``."""

from collections.abc import AsyncIterator

from fireside.core.requests import Delta
from fireside.core.streams import closing
from fireside.core.values import replace


async def marked(deltas: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
    """Give an answer with calls the finish reason ``tool_calls``."""
    called = False
    async with closing(deltas):
        async for delta in deltas:
            called = called or delta.tool_call is not None
            yield replace(delta, finish_reason="tool_calls") if called and delta.finish_reason == "stop" else delta
