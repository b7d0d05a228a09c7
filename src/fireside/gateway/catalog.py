"""Which models there are, on all engines together: asked all at once, remembered for a moment, renewed behind the reader's back.

An engine that does not answer is left out; its error is kept, so that whoever asks for one of its models hears the true reason.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from fireside.core.errors import FiresideError
from fireside.core.values import replace
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
        self._current: Listing | None = None
        self._fresh_until = 0.0
        self._lists: Flights[None] = Flights()

    def current(self) -> Listing | None:
        """What can be asked for, where that is known well enough not to ask anybody."""
        return self._current if self._clock() < self._fresh_until else None

    async def listing(self, *, needed: Collection[str] = (), refresh: bool = False) -> Listing:
        """What can be asked for. ``needed``: engines that are waited for even when they are slow; ``refresh``: ask all anew and wait.

        An old list is used while a new one is fetched; an old failure is not, for the user may just have started the engine.
        As long as nothing changes, it is the same object.
        """
        now = self._clock()
        pending: dict[str, asyncio.Task[None]] = {}
        for name, engine in self._engines.items():
            entry = self._entries.get(name)
            if refresh or entry is None or now - entry.at >= self._fresh:
                task = self._lists.start(id(engine), lambda engine=engine: self._list(engine))  # type: ignore[misc]
                if refresh or entry is None or entry.error is not None:
                    pending[name] = task
        if pending:
            await self._wait(pending, set(self._engines) if refresh else set(needed))
        return self._snapshot()

    async def recheck(self) -> Listing:
        """Ask those engines anew that answered the last time."""
        answered = [name for name, entry in self._entries.items() if entry.error is None]
        await asyncio.gather(*map(self.renew, answered))
        return self._snapshot()

    async def renew(self, name: str) -> Listing:
        """Ask one engine anew."""
        engine = self._engines.get(name)
        if engine is not None:
            await self._lists.join(id(engine), lambda: self._list(engine))
        return self._snapshot()

    def exchange(self, engines: Iterable[Engine]) -> None:
        """Know other engines from now on; what is known of those that stay, stays."""
        before, self._engines = self._engines, {engine.name: engine for engine in engines}
        stay = {name for name, engine in self._engines.items() if before.get(name) is engine}
        self._entries = {name: entry for name, entry in self._entries.items() if name in stay}
        self._current, self._fresh_until = None, 0.0

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

    async def _list(self, engine: Engine) -> None:
        name = engine.name
        try:
            with typed(name):
                # Whose model it is decides where a prompt goes, so no engine says that of another's.
                cards = tuple(replace(card, engine=name) for card in await engine.models())
            self._enter(engine, _Entry(self._clock(), cards))
        except FiresideError as error:
            self._enter(engine, _Entry(self._clock(), error=error))

    def _enter(self, engine: Engine, entry: _Entry) -> None:
        name = engine.name
        if self._engines.get(name) is not engine:
            return  # It was exchanged meanwhile.
        known = self._entries.get(name)
        if known is None or known.error is not entry.error or known.cards != entry.cards:
            self._current = None
        self._entries[name] = entry
        # Until the oldest list must be renewed there is nothing to look at.
        oldest = min(each.at for each in self._entries.values())
        self._fresh_until = oldest + self._fresh if len(self._entries) == len(self._engines) else 0.0

    def _snapshot(self) -> Listing:
        if self._current is None:
            self._current = self._listed()
        return self._current

    def _listed(self) -> Listing:
        entries = [(name, self._entries[name]) for name in self._engines if name in self._entries]
        return Listing(
            {name: entry.cards for name, entry in entries if entry.error is None},
            {name: entry.error for name, entry in entries if entry.error is not None},
        )
