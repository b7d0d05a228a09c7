"""All that our own API can do, for whichever door: HTTP or a WebSocket."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from pydantic import ValidationError

from fireside.app.fireside import Fireside
from fireside.core.errors import Invalid
from fireside.server.asking import Asking
from fireside.server.exchange import Exchange
from fireside.server.own.chat import Chat
from fireside.server.own.code import Code
from fireside.server.own.models import Models
from fireside.server.own.running import Running
from fireside.server.own.schemas import Asked, ChatAsked, CompleteAsked, EmbedAsked, IndexAsked, SearchAsked
from fireside.server.own.settings import Configuration
from fireside.server.own.state import State
from fireside.server.own.streams import Event, Events
from fireside.server.own.words import misfit

Body = TypeVar("Body", bound=Asked)
MOST_SHOWN = 200


class Api:
    def __init__(self, fireside: Fireside, asking: Asking) -> None:
        self.chat = Chat(fireside, asking)
        self.code = Code(fireside, self.chat, asking)
        self.models = Models(fireside, asking)
        self.configuration = Configuration(fireside)
        self.state = State(fireside)
        self.running = Running()
        self._spoken: Mapping[str, Callable[[Mapping[str, object], Exchange], Events]] = {
            "chat": lambda body, exchange: self.chat.events(read(ChatAsked, body), exchange),
            "complete": lambda body, exchange: self.code.completion(read(CompleteAsked, body), exchange),
            "index": lambda body, exchange: self.code.update(read(IndexAsked, body)),
            "search": lambda body, exchange: once(self.code.search(read(SearchAsked, body))),
            "embed": lambda body, exchange: once(self.models.embed(read(EmbedAsked, body), exchange)),
            "models": lambda body, exchange: once(self.models.all()),
            "health": lambda body, exchange: once(self.state.health()),
        }

    def spoken(self, kind: str, body: Mapping[str, object], exchange: Exchange) -> Events:
        """The events of one message. Raises ``Invalid`` for a kind or a body that is none."""
        asked = self._spoken.get(kind)
        if asked is None:
            known = ", ".join((*self._spoken, "cancel"))
            raise Invalid(
                f"there is nothing called {kind[:MOST_SHOWN]!r}", remedy=f"type is one of {known}", param="type"
            )
        return asked(body, exchange)


async def once(work: Awaitable[Mapping[str, object]]) -> Events:
    """A plain result as the one event of a stream."""
    yield Event("finished", await work)


def read(kind: type[Body], body: Mapping[str, object]) -> Body:
    """Raises ``Invalid`` with what does not fit."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise misfit(error.errors(include_url=False, include_input=False)) from None
