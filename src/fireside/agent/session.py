"""One conversation: what was said, exactly as it was sent, so that the next prompt begins with the same bytes."""

import uuid
from dataclasses import dataclass, field

from fireside.core.messages import Message
from fireside.core.requests import Reasoning, Sampling


@dataclass(slots=True)
class Session:
    """``history``: user and assistant messages, oldest first; those before ``since`` are not sent any more, there was no room.

    ``id`` keeps the conversation in one slot of the engine. ``topic``: what the last question was about, for one that refers back.
    ``sampling``, ``reasoning``: where the caller wants something else than the agent. ``client``: who asks, where several do.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    history: list[Message] = field(default_factory=list)
    model: str = "chat"
    since: int = 0
    topic: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    reasoning: Reasoning | None = None
    client: str = ""

    @property
    def sent(self) -> list[Message]:
        """The part of the history that a prompt begins with."""
        return self.history[self.since :]

    def remember(self, question: Message, answer: str, *, dropped: int = 0, topic: str = "") -> None:
        """Keep a turn. An answer that was stopped half-way is kept as far as it came; an empty one is not.

        ``dropped``: how many of the messages in ``sent`` were left out for good.
        """
        if answer.strip():
            self.history += (question, Message("assistant", answer))
            self.since += dropped
            self.topic = topic

    def clear(self) -> None:
        self.history.clear()
        self.since, self.topic = 0, ""
