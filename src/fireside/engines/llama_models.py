"""The GGUF files the embedded engine can run: those of the store, and files and folders the user named.

A file is read when its size or date changed, never otherwise. One that cannot be loaded is left out of the list, and says why when it is
asked for by name. Knows files; starts nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Protocol, cast

from fireside.core.errors import FiresideError, Invalid, ModelNotFound
from fireside.core.values import replace
from fireside.models import gguf
from fireside.models.card import ModelCard

LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$")


class Stored(Protocol):
    """A model of the store."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def sha256(self) -> str: ...


class Store(Protocol):
    def list(self) -> Sequence[Stored]: ...


@dataclass(frozen=True, slots=True)
class Read:
    """What reading a file gave: a card, or why it cannot be used.

    ``state``: size and date it had then. ``pools``: whether it says how a text's vectors become one.
    """

    state: tuple[int, int]
    card: ModelCard | None
    error: FiresideError | None = None
    pools: bool = False


class Shelf:
    """``store``: a ``ModelStore``, or nothing. ``places``: files, and folders whose ``*.gguf`` count. ``context``: tokens at most."""

    def __init__(self, engine: str, store: object, places: Sequence[str], *, context: int) -> None:
        self._engine = engine
        self._store = cast(Store | None, store)
        self._places = [Path(place).expanduser().absolute() for place in places]
        self._context = context
        self._read: dict[Path, Read] = {}

    def cards(self) -> list[ModelCard]:
        """What can be run, the store's first. Reads headers: not for the event loop."""
        looked_at = {name: self._look(path, name, digest) for name, (path, digest) in self._files().items()}
        return [look.card for look in looked_at.values() if look.card is not None]

    def problems(self) -> Mapping[str, FiresideError]:
        """Why the files that are not in ``cards`` are not, by name."""
        looked_at = {name: self._look(path, name, digest) for name, (path, digest) in self._files().items()}
        return {name: look.error for name, look in looked_at.items() if look.error is not None}

    def find(self, name: str) -> ModelCard:
        """The card of that name, its file verified. Raises ``ModelNotFound`` or, for a file that is no model, ``Invalid``."""
        files = self._files()
        if name not in files:
            raise missing(name, files)
        look = self._look(files[name][0], name, files[name][1])
        if look.error is not None:
            raise look.error
        assert look.card is not None
        return look.card

    def pooling(self, name: str) -> Literal["", "mean"]:
        """How to make one vector of a text's many: as the file says, else their mean."""
        return "" if any(read.pools for read in self._read.values() if read.card and read.card.name == name) else "mean"

    def _files(self) -> dict[str, tuple[Path, str]]:
        """Name -> (file, digest). A name that is taken stays with the first who had it."""
        found: dict[str, tuple[Path, str]] = {}
        for stored in self._store.list() if self._store is not None else ():
            found.setdefault(stored.name, (Path(stored.path), stored.sha256))
        for path in self._named():
            found.setdefault(path.stem, (path, ""))
        return found

    def _named(self) -> Iterator[Path]:
        for place in self._places:
            if place.is_dir():
                yield from sorted(path for path in place.glob("*.gguf") if not LATER_PART.search(path.name))
            else:
                yield place

    def _look(self, path: Path, name: str, digest: str) -> Read:
        try:
            stat = path.stat()
        except OSError as error:
            return Read((0, 0), None, unreadable(path, error))
        state = (stat.st_size, stat.st_mtime_ns)
        known = self._read.get(path)
        if known is None or known.state != state or (known.card is not None and known.card.name != name):
            known = self._read[path] = self._examine(path, name, digest, state)
        return known

    def _examine(self, path: Path, name: str, digest: str, state: tuple[int, int]) -> Read:
        try:
            header = gguf.read_header(path)
            gguf.verify(header)
            card = gguf.card(path, engine=self._engine, name=name)
        except Invalid as error:
            return Read(state, None, error)
        window = min(card.context_window or self._context, self._context)
        pools = f"{header.architecture}.pooling_type" in header.metadata
        return Read(state, replace(card, context_window=window, sha256=digest), pools=pools)


def missing(name: str, known: Mapping[str, object]) -> ModelNotFound:
    close = get_close_matches(name, list(known), n=3)
    remedy = f"did you mean {' or '.join(close)}?" if close else "add one: fireside models add FILE.gguf"
    return ModelNotFound(f"there is no model file called {name}", remedy=remedy, model=name)


def unreadable(path: Path, error: OSError) -> Invalid:
    return Invalid(
        f"cannot read {path}: {error.strerror}", remedy="check engines.<name>.models: fireside config show engines"
    )
