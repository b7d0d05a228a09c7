"""What a conversation is made of. Knows nothing of any model's template or any API's JSON."""

from collections.abc import Mapping
from typing import Literal

import msgspec

Role = Literal["system", "user", "assistant", "tool"]
JsonSchema = Mapping[str, object]


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """A model asks for a tool. ``arguments``: the JSON object as text, exactly as the model wrote it."""

    id: str
    name: str
    arguments: str


class ToolSpec(msgspec.Struct, frozen=True, gc=False):
    """A tool as a model sees it. ``parameters``: a JSON schema of type object."""

    name: str
    description: str
    parameters: JsonSchema


class Message(msgspec.Struct, frozen=True, gc=False):
    """One entry of a conversation. ``images``: encoded files (PNG, JPEG), for models that can see."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    images: tuple[bytes, ...] = ()
