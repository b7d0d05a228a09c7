"""Tool calls as Ollama gives them: unforced as it likes, forced by a schema, because it ignores ``tool_choice``."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from fireside.core.errors import Invalid
from fireside.core.messages import ToolSpec
from fireside.core.requests import ChatRequest, Delta
from fireside.core.streams import closing
from fireside.wire.ollama import read_call


def forced_tools(request: ChatRequest) -> Sequence[ToolSpec]:
    """The tools one of which must be called; empty when the model may choose. Raises ``Invalid`` for a tool that is not offered."""
    if request.tool_choice in ("auto", "none"):
        return ()
    if request.tool_choice == "required":
        chosen = request.tools
    else:
        chosen = tuple(tool for tool in request.tools if tool.name == request.tool_choice)
    if not chosen:
        offered = ", ".join(tool.name for tool in request.tools) or "no tools"
        raise Invalid(
            f"tool_choice is {request.tool_choice!r}, offered: {offered}", remedy="name a tool that is offered"
        )
    return chosen


async def as_calls(deltas: AsyncIterator[Delta], *, forced: bool) -> AsyncIterator[Delta]:
    """Give an answer with calls the finish reason ``tool_calls``; with ``forced``, read the text itself as one call.

    Text that is no whole call (it was cut by its limit) is passed on as text.
    """
    text, called = "", False
    async with closing(deltas):
        async for delta in deltas:
            called = called or delta.tool_call is not None
            if forced and delta.text:
                text += delta.text
                delta = replace(delta, text="")
            if delta.finish_reason is None:
                if delta.has_content:
                    yield delta
                continue
            if text and not called:
                call = read_call(text)
                called = call is not None
                yield Delta(tool_call=call) if call else Delta(text=text)
            stopped = delta.finish_reason == "stop"
            yield replace(delta, finish_reason="tool_calls") if called and stopped else delta
