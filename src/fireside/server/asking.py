"""What a request's head adds to its body: whose it is, which conversation and document it belongs to, and how urgent it is.

Clients that know nothing of this get what suits them: completions are typing, talk is chat, tools mean an agent; and what an agent asks
beside its conversation (a title, a commit message: the same session, without tools) goes behind everything else, so that on a machine with
one slot it does not push the conversation's prompt out.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeVar

from fireside.core.errors import Invalid, ModelNotFound, NotPermitted
from fireside.core.requests import ChatRequest, CompletionRequest, Priority
from fireside.core.values import replace
from fireside.server.exchange import Exchange

Request = TypeVar("Request", ChatRequest, CompletionRequest)
PRIORITIES = {priority.name.lower(): priority for priority in Priority}
SESSIONS = (b"x-session-affinity", b"x-session-id", b"session_id", b"session-id", b"x-conversation-id")
REMEMBERED = 4096
# Names are remembered: a client must not fill the memory with them.
LONGEST_NAME = 512


class Asking:
    """Remembers which sessions are agents'. ``aliases``: name -> MODEL or MODEL@ENGINE, as they are now."""

    def __init__(self, aliases: Callable[[], Mapping[str, str]]) -> None:
        self._aliases = aliases
        self._agents: OrderedDict[str, None] = OrderedDict()

    def permit(self, exchange: Exchange, model: str) -> None:
        """Raises ``NotPermitted`` when this key is not for this model, by the name it was asked for or the one an alias stands for.

        ``ModelNotFound`` for what can be no name.
        """
        if len(model) > LONGEST_NAME:
            raise ModelNotFound(f"there is no model {model[:80]}...", remedy="fireside models list")
        if not exchange.principal.may_use(model, self._aliases().get(model, "").partition("@")[0]):
            raise NotPermitted(
                f"this key may not use the model {model}", remedy="ask for a key with this model in its scope"
            )

    def dressed(self, exchange: Exchange, request: Request) -> Request:
        """The request with session, client, priority and what it supersedes.

        Raises ``Invalid`` for a priority that is none, and ``NotPermitted`` for a model that is not this key's.
        """
        self.permit(exchange, request.model)
        session = self._session(exchange, request)
        return replace(
            request,
            session=session,
            client=exchange.principal.id,
            priority=self._priority(exchange, request, session),
            supersedes=self._supersedes(exchange) or request.supersedes,
        )

    def _session(self, exchange: Exchange, request: ChatRequest | CompletionRequest) -> str | None:
        """Two keys may name their sessions alike; they still are two."""
        named = request.session
        for name in SESSIONS:
            if value := exchange.headers.get(name):
                named = value.decode("latin-1")
                break
        return f"{exchange.principal.id}/{named[:LONGEST_NAME]}" if named else None

    def _priority(self, exchange: Exchange, request: ChatRequest | CompletionRequest, session: str | None) -> Priority:
        named = exchange.headers.get(b"x-fireside-priority")
        if named is not None:
            return read_priority(named.decode("latin-1"))
        if isinstance(request, CompletionRequest):
            return request.priority
        if request.tools:
            self._remember(session)
            return Priority.AGENT
        return Priority.BATCH if session in self._agents else Priority.CHAT

    def _remember(self, session: str | None) -> None:
        if session is None:
            return
        self._agents[session] = None
        self._agents.move_to_end(session)
        if len(self._agents) > REMEMBERED:
            self._agents.popitem(last=False)

    def _supersedes(self, exchange: Exchange) -> str | None:
        document = exchange.headers.get(b"x-fireside-document")
        return f"{exchange.principal.id}/{document.decode('latin-1')}" if document else None


def read_priority(name: str) -> Priority:
    try:
        return PRIORITIES[name.strip().lower()]
    except KeyError:
        raise Invalid(f"there is no priority {name!r}", remedy=f"one of {', '.join(PRIORITIES)}") from None
