"""What a conversation is made of. Knows nothing of any model's template or any API's JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]
JsonSchema = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asks for a tool. ``arguments``: the JSON object as text, exactly as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model sees it. ``parameters``: a JSON schema of type object."""

    name: str
    description: str
    parameters: JsonSchema


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of a conversation. ``images``: encoded files (PNG, JPEG), for models that can see."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    images: tuple[bytes, ...] = ()
