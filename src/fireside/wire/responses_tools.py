"""Tools of the Responses API under names and in forms any model knows, and the way back.

Codex offers each MCP server as a namespace of functions and some tools as free text; models know functions with JSON arguments only. So
a function of a namespace is offered under one flat name and called back with both names apart (the only form Codex routes), and free
text is offered as the one string of a function. Tools that run at a provider's are passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from fireside.core.messages import ToolCall, ToolSpec
from fireside.wire.fields import Fields, read_list, read_object
from fireside.wire.tool_offers import name_of, names_of, read_choice, read_spec

JOINT = "__"
WHOLE = "The whole input of the tool, as plain text."


@dataclass(frozen=True, slots=True)
class Given:
    """How the client knows a tool. ``custom``: its input is free text."""

    name: str
    namespace: str = ""
    custom: bool = False


@dataclass(slots=True)
class Toolbox:
    """``given``: the name the model knows -> how the client knows it, for the tools where the two differ."""

    tools: list[ToolSpec] = field(default_factory=list)
    given: dict[str, Given] = field(default_factory=dict)
    passed_over: set[str] = field(default_factory=set)

    def add(self, tools: Sequence[object], param: str, *, namespace: str = "") -> None:
        for place, each in enumerate(tools):
            where = f"{param}[{place}]"
            tool = read_object(each, where)
            kind = tool.get("type", "function")
            if kind == "function":
                self._add(read_spec(_unwrapped(tool), where), Given("", namespace))
            elif kind == "custom":
                self._add(_as_function(_unwrapped(tool), where), Given("", namespace, custom=True))
            elif kind == "namespace" and not namespace and isinstance(name := tool.get("name"), str) and name:
                self.add(read_list(tool.get("tools"), f"{where}.tools"), f"{where}.tools", namespace=name)
            else:
                self.passed_over |= names_of(tool)

    def known_as(self, name: str, namespace: object = None) -> str:
        """The name under which the model knows a tool of the client's."""
        return flat(namespace, name) if isinstance(namespace, str) and namespace else name

    def choice(self, choice: object) -> tuple[tuple[ToolSpec, ...], str]:
        """Which tools stay offered, and the choice in our words."""

        def named(fields: Fields) -> str:
            return self.known_as(name_of(fields), fields.get("namespace"))

        return read_choice(choice, self.tools, self.passed_over, named=named)

    def _add(self, spec: ToolSpec, given: Given) -> None:
        name = self.known_as(spec.name, given.namespace)
        if name != spec.name or given.custom:
            self.given[name] = Given(spec.name, given.namespace, given.custom)
        self.tools.append(ToolSpec(name, spec.description, spec.parameters))


def flat(namespace: str, name: str) -> str:
    """``mcp__files`` and ``read``, or ``mcp__files__`` and ``read``: both become ``mcp__files__read``."""
    return f"{namespace.removesuffix(JOINT)}{JOINT}{name}"


def free_text(call: ToolCall) -> str:
    """The input of a tool that takes free text; arguments that are no ``input`` are the text themselves."""
    try:
        arguments = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        return call.arguments
    text = arguments.get("input") if isinstance(arguments, dict) else arguments
    return text if isinstance(text, str) else call.arguments


def _unwrapped(tool: Fields) -> Fields:
    """Chat's form, where some clients send it: the tool one level deeper."""
    inner = tool.get(str(tool.get("type", "function")))
    return inner if isinstance(inner, dict) and "name" not in tool else tool


def _as_function(tool: Fields, param: str) -> ToolSpec:
    shape = tool.get("format")
    grammar = shape.get("definition") if isinstance(shape, dict) else None
    described = f"{WHOLE} It follows this grammar:\n{grammar}" if isinstance(grammar, str) and grammar else WHOLE
    parameters = {
        "type": "object",
        "properties": {"input": {"type": "string", "description": described}},
        "required": ["input"],
        "additionalProperties": False,
    }
    return read_spec({**tool, "parameters": parameters}, param)
