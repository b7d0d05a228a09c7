"""One conversation: what was said, exactly as it was sent, so that the next prompt begins with the same bytes."""

import uuid
from dataclasses import dataclass, field

from fireside.core.messages import Message


@dataclass(slots=True)
class Session:
    """``history``: user and assistant messages, oldest first. ``id`` keeps the conversation in one slot of the engine."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    history: list[Message] = field(default_factory=list)
    model: str = "chat"

    def remember(self, question: Message, answer: str) -> None:
        """Keep a turn. An answer that was stopped half-way is kept as far as it came; an empty one is not."""
        if answer.strip():
            self.history += (question, Message("assistant", answer))

    def clear(self) -> None:
        self.history.clear()
