"""Tool calls that must be made. llama-server's ``tool_choice: required`` allows any text before the call, and so forces nothing: a
random-weight model never calls. Asked for by a schema, the answer is a call and nothing else; it is read back whole or not at all.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from fireside.core.errors import Invalid
from fireside.core.messages import JsonSchema, ToolSpec
from fireside.core.requests import Delta
from fireside.core.streams import closing
from fireside.wire.ollama import read_call


def call_schema(tools: Sequence[ToolSpec]) -> JsonSchema:
    """The JSON a call of one of ``tools`` is written in."""
    if len(tools) == 1:
        return _schema(tools[0], "#/properties/arguments")
    return {"anyOf": [_schema(tool, f"#/anyOf/{place}/properties/arguments") for place, tool in enumerate(tools)]}


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
