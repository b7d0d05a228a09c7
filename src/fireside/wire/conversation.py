"""A conversation put together from what an OpenAI client sends, piece by piece, into messages every chat template takes.

All system texts, wherever they stand, lead as one message in their order. Calls without an id get one by their place, so that the same
history always gives the same text and its prefix is found in a cache. Knows no JSON.
"""

from collections import deque

from fireside.core.messages import Message, ToolCall
from fireside.core.values import replace

BREAK = "\n\n"


class Conversation:
    """Use it once: say everything in order, then take the ``messages``."""

    __slots__ = ("_calls", "_messages", "_pictures", "_system", "_unanswered")

    def __init__(self) -> None:
        self._system: list[str] = []
        self._messages: list[Message] = []
        self._calls = 0
        self._unanswered: deque[str] = deque()
        self._pictures: tuple[bytes, ...] = ()

    def instruct(self, text: str) -> None:
        """What the system or the developer says."""
        if text:
            self._system.append(text)

    def ask(self, text: str, images: tuple[bytes, ...] = ()) -> None:
        """What the user says."""
        if self._pictures:
            images, self._pictures = self._pictures + images, ()
        self._messages.append(Message("user", text, images=images))

    def reply(self, text: str) -> None:
        """What the model said. Said after a call and before its answer, it belongs to the call: templates want the answer next."""
        last = self._messages[-1] if self._messages else None
        if last is not None and last.tool_calls:
            self._messages[-1] = replace(last, content="\n".join(filter(None, (last.content, text))))
        else:
            self._show()
            self._messages.append(Message("assistant", text))

    def call(self, name: str, arguments: str, *, id: str = "") -> None:
        """A tool the model called; it belongs to what the model said just before."""
        self._calls += 1
        call = ToolCall(id or f"call_{self._calls}", name, arguments or "{}")
        self._unanswered.append(call.id)
        last = self._messages[-1] if self._messages else None
        if last is not None and last.role == "assistant":
            self._messages[-1] = replace(last, tool_calls=(*last.tool_calls, call))
        else:
            self._show()
            self._messages.append(Message("assistant", "", tool_calls=(call,)))

    def answer(self, text: str, images: tuple[bytes, ...] = (), *, id: str = "") -> None:
        """What a tool gave back; without an ``id``, to the first call that waits. Templates have no pictures here: the user shows them."""
        if not id and self._unanswered:
            id = self._unanswered[0]
        if id in self._unanswered:
            self._unanswered.remove(id)
        self._pictures += images
        text = text or ("(see the picture below)" if images else "")
        self._messages.append(Message("tool", text, tool_call_id=id or None))

    def messages(self) -> tuple[Message, ...]:
        self._show()
        if self._system:
            return (Message("system", BREAK.join(self._system)), *self._messages)
        return tuple(self._messages)

    def _show(self) -> None:
        if self._pictures:
            self.ask("")
