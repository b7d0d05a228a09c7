"""Which models there are, on all engines together: asked all at once, remembered for a moment, renewed behind the reader's back.

An engine that does not answer is left out; its error is kept, so that whoever asks for one of its models hears the true reason.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from fireside.core.errors import FiresideError
from fireside.engines.engine import Engine
from fireside.gateway.faults import typed
from fireside.gateway.flights import Flights
from fireside.models.card import ModelCard


@dataclass(frozen=True, slots=True)
class Listing:
    """``cards``: engine -> its models, for the engines that answered. ``errors``: engine -> why it did not."""

    cards: Mapping[str, tuple[ModelCard, ...]] = field(default_factory=dict)
    errors: Mapping[str, FiresideError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Entry:
    at: float
    cards: tuple[ModelCard, ...] = ()
    error: FiresideError | None = None


class Catalog:
    """``fresh``: seconds a list stays good. ``patience``: seconds a reader waits for engines it does not need."""

    def __init__(
        self,
        engines: Iterable[Engine],
        *,
        fresh: float = 5.0,
        patience: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engines = {engine.name: engine for engine in engines}
        self._fresh = fresh
        self._patience = patience
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._lists: Flights[None] = Flights()

    async def listing(self, *, needed: Collection[str] = (), refresh: bool = False) -> Listing:
        """What can be asked for. ``needed``: engines that are waited for even when they are slow; ``refresh``: ask all anew and wait.

        An old list is used while a new one is fetched; an old failure is not, for the user may just have started the engine.
        """
        now = self._clock()
        pending: dict[str, asyncio.Task[None]] = {}
        for name in self._engines:
            entry = self._entries.get(name)
            if refresh or entry is None or now - entry.at >= self._fresh:
                task = self._lists.start(name, lambda name=name: self._list(name))  # type: ignore[misc]
                if refresh or entry is None or entry.error is not None:
                    pending[name] = task
        if pending:
            await self._wait(pending, set(self._engines) if refresh else set(needed))
        return self._snapshot()

    async def recheck(self) -> Listing:
        """Ask those engines anew that answered the last time."""
        answered = [name for name, entry in self._entries.items() if entry.error is None]
        await asyncio.gather(*(self._lists.join(name, lambda name=name: self._list(name)) for name in answered))  # type: ignore[misc]
        return self._snapshot()

    async def renew(self, name: str) -> Listing:
        """Ask one engine anew."""
        await self._lists.join(name, lambda: self._list(name))
        return self._snapshot()

    async def aclose(self) -> None:
        await self._lists.aclose()

    async def _wait(self, pending: Mapping[str, asyncio.Task[None]], needed: set[str]) -> None:
        await asyncio.wait(pending.values(), timeout=self._patience)
        while waiting := {task for task in pending.values() if not task.done()}:
            known = any(entry.cards for entry in self._entries.values())
            unheard = [name for name in needed if name in pending and not pending[name].done()]
            if known and not unheard:
                return
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

    async def _list(self, name: str) -> None:
        try:
            with typed(name):
                # Whose model it is decides where a prompt goes, so no engine says that of another's.
                cards = tuple(replace(card, engine=name) for card in await self._engines[name].models())
            self._entries[name] = _Entry(self._clock(), cards)
        except FiresideError as error:
            self._entries[name] = _Entry(self._clock(), error=error)

    def _snapshot(self) -> Listing:
        entries = [(name, self._entries[name]) for name in self._engines if name in self._entries]
        return Listing(
            {name: entry.cards for name, entry in entries if entry.error is None},
            {name: entry.error for name, entry in entries if entry.error is not None},
        )
