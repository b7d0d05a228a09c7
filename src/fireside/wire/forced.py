"""Tool calls that must be made. What servers offer for it forces nothing: llama-server's ``tool_choice: required`` allows any text before
the call, and Ollama ignores the field. Asked for by a JSON schema, the answer is one call and nothing else; it is read back whole or not
at all. Knows no server.
"""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

import orjson

from fireside.core.errors import Invalid
from fireside.core.messages import JsonSchema, ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, Delta
from fireside.core.streams import closing


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
    return ToolCall(f"call_{secrets.token_hex(4)}", name, orjson.dumps(arguments).decode())


async def as_call(deltas: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
    """The text of an answer to ``call_schema`` as one call. Raises ``Invalid`` when its limit of tokens cut it."""
    text = ""
    async with closing(deltas):
        async for delta in deltas:
            text += delta.text
            if delta.finish_reason is None:
                if delta.reasoning:
                    yield replace(delta, text="")
                continue
            call = read_call(text)
            if call is None:
                tokens = delta.usage.completion_tokens if delta.usage else 0
                raise Invalid(
                    f"the tool call was not finished after {tokens} tokens",
                    remedy="allow a longer answer, or a tool with fewer arguments",
                    completion_tokens=tokens,
                )
            yield Delta(tool_call=call)
            yield replace(delta, text="", finish_reason="tool_calls")


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
