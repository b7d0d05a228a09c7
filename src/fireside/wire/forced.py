"""Tool calls that must be made. What servers offer for it forces nothing: llama-server's ``tool_choice: required`` allows any text before
the call, and Ollama ignores the field. Asked for by a JSON schema, the answer is one call and nothing else; it is read back whole or not
at all. Knows no server.
"""

from collections.abc import AsyncIterator, Mapping, Sequence

import orjson

from fireside.core.errors import Invalid
from fireside.core.identity import new_id
from fireside.core.messages import JsonSchema, ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, Delta, FinishReason
from fireside.core.streams import closing
from fireside.core.values import replace


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


def call_schema(tools: Sequence[ToolSpec]) -> JsonSchema:
    """The JSON a call of one of ``tools`` is written in."""
    if len(tools) == 1:
        return _schema(tools[0], "#/properties/arguments")
    return {"anyOf": [_schema(tool, f"#/anyOf/{place}/properties/arguments") for place, tool in enumerate(tools)]}


def read_call(text: str) -> ToolCall | None:
    """A tool call written as ``{"name", "arguments"}``; ``None`` when the text is not one (cut off, say)."""
    try:
        value = orjson.loads(text)
        name, arguments = value["name"], value["arguments"]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return None
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return ToolCall(new_id("call_", 8), name, orjson.dumps(arguments).decode())


async def as_call(deltas: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
    """The text of an answer to ``call_schema`` as one call. Raises ``Invalid`` when its limit of tokens cut it, or it is something else.

    A server that passes over the schema may still call, in its own way or in one of those models have; whether that is a call of these
    tools is for whoever asked to see.
    """
    text, native = "", None
    async with closing(deltas):
        async for delta in deltas:
            text += delta.text
            native = native or delta.tool_call
            if delta.finish_reason is None:
                if delta.reasoning:
                    yield replace(delta, text="")
                continue
            call = native or read_call(text) or _printed(text, delta.finish_reason)
            if call is None:
                tokens = delta.usage.completion_tokens if delta.usage else 0
                raise Invalid(
                    f"the tool call was not finished after {tokens} tokens",
                    remedy="allow a longer answer, or a tool with fewer arguments",
                    completion_tokens=tokens,
                    http_status=422,
                )
            yield Delta(tool_call=call)
            yield replace(delta, text="", tool_call=None, finish_reason="tool_calls")


def _printed(text: str, finish: FinishReason) -> ToolCall | None:
    """The first call a text consists of, unless it was cut."""
    # Seldom needed, and its patterns take a while to compile.
    from fireside.wire.lenient import dump
    from fireside.wire.textcalls import read_calls

    written = read_calls(text) if finish in ("stop", "tool_calls") else []
    if not written or "broken_off" in written[0].faults:
        return None
    return ToolCall(new_id("call_", 8), written[0].name, dump(written[0].arguments))


def _schema(tool: ToolSpec, place: str) -> JsonSchema:
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": _moved(tool.parameters, place)},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(schema: object, place: str) -> object:
    """A schema put under ``place`` of another: its references go along."""
    if isinstance(schema, Mapping):
        return {
            key: place + value[1:]
            if key == "$ref" and isinstance(value, str) and value.startswith("#")
            else _moved(value, place)
            for key, value in schema.items()
        }
    if isinstance(schema, list | tuple):
        return [_moved(part, place) for part in schema]
    return schema
