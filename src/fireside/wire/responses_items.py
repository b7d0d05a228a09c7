"""The items a response is made of: a message, thoughts in two forms, the call of a tool; each knows its events and its whole form.

Knows neither numbers nor the response around them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import orjson

from fireside.core.identity import new_id
from fireside.core.messages import ToolCall
from fireside.wire.responses_tools import Given, free_text

Json = dict[str, object]
Event = tuple[str, Mapping[str, object]]


def event_head(kind: str) -> bytes:
    """Everything of an event before its own fields."""
    name = kind.encode()
    return b'event: %b\ndata: {"type":"%b",' % (name, name)


class Item(ABC):
    """``place``: among the items of the response."""

    prefix = ""
    delta = ""

    def __init__(self, place: int) -> None:
        self.id = new_id(f"{self.prefix}_", 32)
        self.place = place
        self._pieces: list[str] = []
        self._head = event_head(self.delta) + orjson.dumps(self.at())[1:-1] + b',"delta":'

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def at(self) -> Json:
        """Where a piece belongs."""
        return {"item_id": self.id, "output_index": self.place}

    def piece(self, text: str, number: int, logprobs: Sequence[object]) -> bytes:
        """The event of one piece."""
        self._pieces.append(text)
        return b'%b%b,"sequence_number":%d}\n\n' % (self._head, orjson.dumps(text), number)

    def begins(self) -> list[Event]:
        return [("response.output_item.added", {"output_index": self.place, "item": self.whole("in_progress")})]

    def ends(self, status: str) -> list[Event]:
        return [
            *self._completes(),
            ("response.output_item.done", {"output_index": self.place, "item": self.whole(status)}),
        ]

    @abstractmethod
    def whole(self, status: str) -> Json:
        """The item as it stands now; in progress it is empty."""

    @abstractmethod
    def _completes(self) -> list[Event]:
        """What says that all pieces have come."""


class Message(Item):
    prefix = "msg"
    delta = "response.output_text.delta"

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self._logprobs: list[object] = []

    def at(self) -> Json:
        return super().at() | {"content_index": 0}

    def piece(self, text: str, number: int, logprobs: Sequence[object]) -> bytes:
        self._pieces.append(text)
        told = b"[]"
        if logprobs:
            self._logprobs += logprobs
            told = orjson.dumps(logprobs)
        return b'%b%b,"logprobs":%b,"sequence_number":%d}\n\n' % (self._head, orjson.dumps(text), told, number)

    def begins(self) -> list[Event]:
        return [*super().begins(), ("response.content_part.added", self.at() | {"part": self._part()})]

    def whole(self, status: str) -> Json:
        content = [] if status == "in_progress" else [self._part()]
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}

    def _completes(self) -> list[Event]:
        return [
            ("response.output_text.done", self.at() | {"text": self.text, "logprobs": self._logprobs}),
            ("response.content_part.done", self.at() | {"part": self._part()}),
        ]

    def _part(self) -> Json:
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": self._logprobs}


class Thought(Item):
    """Thoughts as the model had them. Codex shows them only to those who ask for raw thoughts."""

    prefix = "rs"
    delta = "response.reasoning_text.delta"

    def at(self) -> Json:
        return super().at() | {"content_index": 0}

    def begins(self) -> list[Event]:
        return [*super().begins(), ("response.content_part.added", self.at() | {"part": self._part()})]

    def whole(self, status: str) -> Json:
        content = [] if status == "in_progress" else [self._part()]
        return {"id": self.id, "type": "reasoning", "status": status, "summary": [], "content": content}

    def _completes(self) -> list[Event]:
        return [
            ("response.reasoning_text.done", self.at() | {"text": self.text}),
            ("response.content_part.done", self.at() | {"part": self._part()}),
        ]

    def _part(self) -> Json:
        return {"type": "reasoning_text", "text": self.text}


class Summary(Item):
    """Thoughts for clients that show summaries only: a model of one's own has no secret ones."""

    prefix = "rs"
    delta = "response.reasoning_summary_text.delta"

    def at(self) -> Json:
        return super().at() | {"summary_index": 0}

    def begins(self) -> list[Event]:
        return [*super().begins(), ("response.reasoning_summary_part.added", self.at() | {"part": self._part()})]

    def whole(self, status: str) -> Json:
        summary = [] if status == "in_progress" else [self._part()]
        return {"id": self.id, "type": "reasoning", "status": status, "summary": summary}

    def _completes(self) -> list[Event]:
        return [
            ("response.reasoning_summary_text.done", self.at() | {"text": self.text}),
            ("response.reasoning_summary_part.done", self.at() | {"part": self._part()}),
        ]

    def _part(self) -> Json:
        return {"type": "summary_text", "text": self.text}


class Call(Item):
    """The call of a function, or of a tool that takes free text. ``given``: how the client knows the tool, if not by its name alone."""

    def __init__(self, place: int, call: ToolCall, given: Given | None) -> None:
        self._given = given or Given(call.name)
        custom = self._given.custom
        self.prefix = "ctc" if custom else "fc"
        self._kind = "custom_tool_call_input" if custom else "function_call_arguments"
        self._field = "input" if custom else "arguments"
        self.delta = f"response.{self._kind}.delta"
        self.input = free_text(call) if custom else call.arguments or "{}"
        self._call_id = call.id or new_id("call_", 16)
        super().__init__(place)

    def whole(self, status: str) -> Json:
        named: Json = {"name": self._given.name}
        if self._given.namespace:
            named["namespace"] = self._given.namespace
        kind = "custom_tool_call" if self._given.custom else "function_call"
        said = "" if status == "in_progress" else self.text
        return {"id": self.id, "type": kind, "status": status, "call_id": self._call_id, **named, self._field: said}

    def _completes(self) -> list[Event]:
        return [(f"response.{self._kind}.done", self.at() | {self._field: self.text})]
