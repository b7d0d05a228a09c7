"""The GGUF files the embedded engine can run: those of the store, and files and folders the user named.

A file is read when its size or date changed, never otherwise. One that cannot be loaded is left out of the list, and says why when it is
asked for by name. Knows files; starts nothing.
"""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, cast

from fireside.core.errors import FiresideError, Invalid, ModelNotFound
from fireside.core.values import replace
from fireside.models import gguf
from fireside.models.adapters import check_adapter
from fireside.models.card import ModelCard
from fireside.models.trie import TokenTrie, trie_of

LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$")


class Stored(Protocol):
    """A model of the store."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def sha256(self) -> str: ...
    @property
    def adapter(self) -> Path | None:
        """A LoRA that is laid over ``path``."""
        ...


class Store(Protocol):
    def list(self) -> Sequence[Stored]: ...


class File(NamedTuple):
    """``sha256``: "" where nobody counted it. ``adapter``: laid over the model."""

    path: Path
    sha256: str = ""
    adapter: Path | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """What reading a file gave: a card, or why it cannot be used.

    ``state``: size and date that it and its adapter had then. ``pools``: whether it says how a text's vectors become one.
    """

    state: tuple[int, ...]
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
        self._read: dict[tuple[Path, Path | None], Read] = {}
        self._tokens: dict[Path, tuple[tuple[int, ...], TokenTrie | None]] = {}
        self._turn = threading.Lock()

    def cards(self) -> list[ModelCard]:
        """What can be run, the store's first. Reads headers: not for the event loop."""
        looked_at = {name: self._look(file, name) for name, file in self._files().items()}
        return [look.card for look in looked_at.values() if look.card is not None]

    def problems(self) -> Mapping[str, FiresideError]:
        """Why the files that are not in ``cards`` are not, by name."""
        looked_at = {name: self._look(file, name) for name, file in self._files().items()}
        return {name: look.error for name, look in looked_at.items() if look.error is not None}

    def find(self, name: str) -> ModelCard:
        """The card of that name, its file verified. Raises ``ModelNotFound`` or, for a file that is no model, ``Invalid``."""
        files = self._files()
        if name not in files:
            raise missing(name, files)
        look = self._look(files[name], name)
        if look.error is not None:
            raise look.error
        assert look.card is not None
        return look.card

    def pooling(self, name: str) -> Literal["", "mean"]:
        """How to make one vector of a text's many: as the file says, else their mean."""
        return "" if any(read.pools for read in self._read.values() if read.card and read.card.name == name) else "mean"

    def tokens(self, name: str) -> TokenTrie | None:
        """The vocabulary of a model, read once; see ``trie_of``. Not for the event loop."""
        path = self._files()[name].path if name in self._files() else None
        if path is None:
            return None
        with self._turn:  # two requests that come together shall not sort the same vocabulary twice
            state = _state(path)
            if path not in self._tokens or self._tokens[path][0] != state:
                self._tokens[path] = (state, trie_of(gguf.read_header(path)))
            return self._tokens[path][1]

    def _files(self) -> dict[str, File]:
        """A name that is taken stays with the first who had it."""
        found: dict[str, File] = {}
        for stored in self._store.list() if self._store is not None else ():
            found.setdefault(stored.name, File(Path(stored.path), stored.sha256, stored.adapter))
        for path in self._named():
            found.setdefault(path.stem, File(path))
        return found

    def _named(self) -> Iterator[Path]:
        for place in self._places:
            if place.is_dir():
                yield from sorted(path for path in place.glob("*.gguf") if not LATER_PART.search(path.name))
            else:
                yield place

    def _look(self, file: File, name: str) -> Read:
        try:
            state = (*_state(file.path), *(_state(file.adapter) if file.adapter is not None else ()))
        except Invalid as error:
            return Read((), None, error)
        known = self._read.get((file.path, file.adapter))
        if known is None or known.state != state or (known.card is not None and known.card.name != name):
            known = self._read[file.path, file.adapter] = self._examine(file, name, state)
        return known

    def _examine(self, file: File, name: str, state: tuple[int, ...]) -> Read:
        try:
            header = gguf.read_header(file.path)
            gguf.verify(header)
            card = gguf.card(file.path, engine=self._engine, name=name)
            if file.adapter is not None:
                check_adapter(file.adapter, file.path)
        except Invalid as error:
            return Read(state, None, error)
        window = min(card.context_window or self._context, self._context)
        pools = f"{header.architecture}.pooling_type" in header.metadata
        adapter = str(file.adapter or "")
        return Read(state, replace(card, context_window=window, sha256=file.sha256, adapter=adapter), pools=pools)


def _state(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return stat.st_size, stat.st_mtime_ns


def missing(name: str, known: Mapping[str, object]) -> ModelNotFound:
    close = get_close_matches(name, list(known), n=3)
    remedy = f"did you mean {' or '.join(close)}?" if close else "add one: fireside models add FILE.gguf"
    return ModelNotFound(f"there is no model file called {name}", remedy=remedy, model=name)


def unreadable(path: Path, error: OSError) -> Invalid:
    return Invalid(
        f"cannot read {path}: {error.strerror}", remedy="check engines.<name>.models: fireside config show engines"
    )
