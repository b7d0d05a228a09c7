"""The part of a prompt that stays the same from request to request: what an engine may have computed already.

Where several requests that begin alike come together at an engine that remembers beginnings, the first computes it and the others wait
until it has: eight agents with one long system prompt cost one reading of it.
"""

import asyncio
import hashlib
from collections import OrderedDict

from fireside.core.requests import ChatRequest
from fireside.engines.engine import Boundary
from fireside.gateway.plans import Candidate, Request

# Characters of a first message that tell one conversation from another.
BEGINNING = 4096
# A shorter beginning (in characters) is read sooner than waited for.
LONG = 4000
# Who waits longer than this (in seconds) computes it again.
PATIENCE = 60.0
# Beginnings that are taken to be computed already.
REMEMBERED = 64

Key = tuple[int, str, str]


def stable_start(request: ChatRequest) -> str:
    """A digest of the system messages and what the tools are called and for; of how the first message begins where there is neither."""
    digest = hashlib.blake2b(digest_size=16)
    found = False
    for message in request.messages:
        if message.role == "system":
            digest.update(message.content.encode(errors="surrogatepass"))
            found = True
    for tool in request.tools:
        digest.update(f"{tool.name}\0{tool.description}\0".encode(errors="surrogatepass"))
        found = True
    if not found and request.messages:
        digest.update(request.messages[0].content[:BEGINNING].encode(errors="surrogatepass"))
    return digest.hexdigest()


class Turn:
    """One request's part in computing a beginning."""

    def __init__(self, prefixes: "Prefixes", key: Key) -> None:
        self._prefixes = prefixes
        self._key = key
        self.over = asyncio.Event()

    def computed(self) -> None:
        """The first word is here, so the beginning is known."""
        self._prefixes.know(self._key)
        self.leave()

    def leave(self) -> None:
        """However it went: whoever waits may go on. Harmless the second time."""
        self._prefixes.forget(self._key, self)
        self.over.set()


class Prefixes:
    """Beginnings that are being computed, and those that were."""

    def __init__(self) -> None:
        self._turns: dict[Key, Turn] = {}
        self._known: OrderedDict[Key, None] = OrderedDict()

    async def turn(self, candidate: Candidate, request: Request) -> Turn | None:
        """Wait for whoever computes the same beginning. A ``Turn`` for who computes it then; ``None`` where there is nothing to share."""
        key = _key(candidate, request)
        while key is not None and key not in self._known:
            ahead = self._turns.get(key)
            if ahead is None:
                turn = self._turns[key] = Turn(self, key)
                return turn
            try:
                async with asyncio.timeout(PATIENCE):
                    await ahead.over.wait()
            except TimeoutError:
                return None
        return None

    def know(self, key: Key) -> None:
        self._known[key] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def forget(self, key: Key, turn: Turn) -> None:
        if self._turns.get(key) is turn:
            del self._turns[key]


def _key(candidate: Candidate, request: Request) -> Key | None:
    engine = candidate.engine
    if not getattr(engine, "keeps_prefixes", False) or engine.boundary != Boundary.MACHINE:
        return None
    if not isinstance(request, ChatRequest) or _length(request) < LONG:
        return None
    return (id(engine), candidate.card.name, stable_start(request))


def _length(request: ChatRequest) -> int:
    system = sum(len(message.content) for message in request.messages if message.role == "system")
    return system + sum(len(tool.description) + 4 * len(tool.parameters) for tool in request.tools)
