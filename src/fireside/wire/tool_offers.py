"""Tools a client of OpenAI's API offers, and which of them may be called, in every spelling in use.

Tools that would run at a provider's (web search, file search, code interpreter ...) cannot run here and are passed over: a client that
offers them gets an answer without them. The Responses API's own kinds (namespaces, free text) are another file's.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import orjson

from fireside.core.errors import Invalid
from fireside.core.messages import JsonSchema, ToolSpec
from fireside.wire.fields import Fields, read_list, read_object, wrong

CHOICES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
NO_PARAMETERS: Mapping[str, object] = {"type": "object", "properties": {}}
NO_CHOICE = "expected auto, none, required or a tool"
# Providers allow 64 or 128; those of MCP servers come with the server's name in front.
LONGEST_NAME = 512
Named = Callable[[Fields], str]


def read_tools(fields: Fields) -> tuple[tuple[ToolSpec, ...], str]:
    """``tools`` and ``tool_choice`` of a chat, or the older ``functions`` and ``function_call``."""
    older = fields.get("tools") is None
    if older and fields.get("functions") is None and fields.get("tool_choice") is None:
        return (), "auto"
    name = "functions" if older else "tools"
    tools: list[ToolSpec] = []
    passed_over: set[str] = set()
    for place, given in enumerate(read_list(fields.get(name), name)):
        tool, param = read_object(given, f"{name}[{place}]"), f"{name}[{place}]"
        inner = tool.get("function")
        if older or tool.get("type") in (None, "function"):
            tools.append(
                read_spec(inner, f"{param}.function")
                if isinstance(inner, dict) and not older
                else read_spec(tool, param)
            )
        else:
            passed_over |= names_of(tool)
    choice = fields.get("tool_choice")
    if older and choice is None:
        return read_choice(fields.get("function_call"), tools, passed_over, param="function_call")
    return read_choice(choice, tools, passed_over)


def read_spec(spec: Fields, param: str) -> ToolSpec:
    name, description = read_tool_name(spec, param), spec.get("description")
    parameters = read_schema(spec.get("parameters"), f"{param}.parameters") or NO_PARAMETERS
    return ToolSpec(name, description if isinstance(description, str) else "", parameters)


def read_tool_name(spec: Fields, param: str) -> str:
    name = spec.get("name")
    if not isinstance(name, str) or not name:
        raise wrong(f"{param}.name", "expected the name of a tool")
    if len(name) > LONGEST_NAME:
        raise wrong(f"{param}.name", f"longer than {LONGEST_NAME} characters")
    return name


def read_schema(schema: object, param: str) -> JsonSchema | None:
    """A JSON schema that can be sent on: what was read may be deeper than what can be written, and more goes around it."""
    if schema is None:
        return None
    if not isinstance(schema, dict):
        raise wrong(param, "expected a JSON schema")
    try:
        orjson.dumps([[[[[[[[[[[[[[[[schema]]]]]]]]]]]]]]]])
    except orjson.JSONEncodeError as error:
        raise wrong(param, "nested too deeply") from error
    return schema


def names_of(tool: Fields) -> set[str]:
    """What a choice may call a tool that was passed over."""
    return {value for value in (tool.get("name"), tool.get("type"), tool.get("server_label")) if isinstance(value, str)}


def name_of(choice: Fields) -> str:
    """The name in a choice: beside its type, or one level deeper."""
    kind = choice.get("type", "function")
    inner = choice.get(kind) if isinstance(kind, str) else None
    name = choice.get("name", inner.get("name") if isinstance(inner, dict) else None)
    return name if isinstance(name, str) else ""


def read_choice(
    choice: object,
    tools: Sequence[ToolSpec],
    passed_over: Collection[str],
    *,
    named: Named = name_of,
    param: str = "tool_choice",
) -> tuple[tuple[ToolSpec, ...], str]:
    """The tools that stay offered, and auto, none, required or a name. ``named``: under which name the model knows the tool of a choice.

    Insisting on what was passed over is no error. Raises ``Invalid`` for a tool that was never offered.
    """
    offered = tuple(tools)
    if choice is None:
        return offered, "auto"
    if isinstance(choice, str):
        return offered, _word(choice, offered, passed_over, param)
    fields = read_object(choice, param)
    kind = fields.get("type", "function")
    if not isinstance(kind, str):
        raise wrong(f"{param}.type", NO_CHOICE)
    if kind == "allowed_tools":
        return _allowed(fields, offered, passed_over, named, param)
    if kind in CHOICES:
        return offered, _word(kind, offered, passed_over, param)
    name = named(fields)
    if kind in ("function", "tool", "custom") or name:
        return offered, _word(name, offered, passed_over, param)
    return offered, "auto"


def read_arguments(arguments: object, param: str) -> str:
    """A call's arguments as text: a string as OpenAI has it, or an object as Ollama does."""
    if isinstance(arguments, str):
        return arguments
    if arguments is None:
        return "{}"
    if isinstance(arguments, dict | list):
        try:
            return orjson.dumps(arguments).decode()
        except orjson.JSONEncodeError as error:
            raise wrong(param, "nested too deeply") from error
    raise wrong(param, "expected a string")


def _word(choice: str, offered: tuple[ToolSpec, ...], passed_over: Collection[str], param: str) -> str:
    if choice in CHOICES:
        return CHOICES[choice] if offered else "auto"
    if any(tool.name == choice for tool in offered):
        return choice
    if choice in passed_over:
        return "auto"
    raise _unknown(choice, offered, param)


def _unknown(choice: str, offered: tuple[ToolSpec, ...], param: str) -> Invalid:
    if not choice:
        return wrong(param, NO_CHOICE)
    names = ", ".join(tool.name for tool in offered[:20]) or "no tools"
    return wrong(param, f"{choice[:80]!r} is not offered", f"offered: {names[:400]}")


def _allowed(
    fields: Fields, offered: tuple[ToolSpec, ...], passed_over: Collection[str], named: Named, param: str
) -> tuple[tuple[ToolSpec, ...], str]:
    inner = fields.get("allowed_tools")
    rule = inner if isinstance(inner, dict) else fields
    allowed = {
        named(read_object(each, f"{param}.tools[{place}]"))
        for place, each in enumerate(read_list(rule.get("tools"), f"{param}.tools"))
    }
    kept = tuple(tool for tool in offered if tool.name in allowed)
    mode = rule.get("mode")
    return kept, _word(mode if isinstance(mode, str) else "auto", kept, passed_over, f"{param}.mode")
