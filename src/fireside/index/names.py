"""Everything in an index that has a name, for completing what somebody types. Knows names; draws nothing, reads no file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fireside.index.paths import kinds
from fireside.index.reading import read
from fireside.index.store import Store

if TYPE_CHECKING:
    from fireside.index.index import Index

# Looked through for each key stroke, so there is an end to it.
MOST_SYMBOLS = 200_000
UNNAMED = ("section", "declaration")


@dataclass(frozen=True, slots=True)
class Name:
    """``text``: what to write after ``@``; folders end in a slash. ``about``: what it is and where, in a few words."""

    text: str
    about: str


# (the text in small letters, its last part, the name)
Entry = tuple[str, str, Name]


class Names:
    """The files, folders and definitions of one generation. Never changes; may be shared between threads."""

    def __init__(self, paths: Sequence[str], symbols: Iterable[tuple[str, str, str]]) -> None:
        """``symbols``: (qualified name, kind, path)."""
        folders = sorted({f"{path[:end]}/" for path in paths for end in _slashes(path)})
        ordered = sorted(symbols, key=lambda one: (bool(kinds(one[2])), one[0], one[2]))
        defined: dict[str, Name] = {}
        for qualified, kind, path in ordered:
            defined.setdefault(qualified, Name(qualified, f"{kind} in {path}"))
        self._files = _entries((Name(path, "file") for path in paths), "/")
        self._symbols = _entries(defined.values(), ".")
        self._folders = _entries((Name(folder, "folder") for folder in folders), "/")

    def matching(self, typed: str, limit: int = 20) -> list[Name]:
        """Names whose last part begins with ``typed``, then those that begin with it, then those that hold it; the shortest first.

        Case does not matter. Where nothing is typed yet, the outermost folders.
        """
        wanted = typed.lower().removeprefix("./")
        if not wanted:
            return [name for whole, _, name in self._folders if whole.count("/") == 1][:limit]
        searched = (self._files, *(() if "/" in wanted else (self._symbols,)), self._folders)
        found = [
            (rank, number == len(searched) - 1, len(name.text), name)
            for number, entries in enumerate(searched)
            for rank, name in _best(entries, wanted, limit)
        ]
        return [name for *_, name in sorted(found, key=lambda one: one[:3])[:limit]]


def _best(entries: Sequence[Entry], wanted: str, limit: int) -> list[tuple[int, Name]]:
    """The first names of one kind that fit, as (how well, 0 is best; the name)."""
    found: list[tuple[int, Name]] = []
    counts = [0, 0, 0]
    for whole, last, name in entries:
        if wanted not in whole:
            continue
        rank = 0 if last.startswith(wanted) else 1 if whole.startswith(wanted) else 2
        counts[rank] += 1
        if counts[rank] <= limit:
            found.append((rank, name))
        elif rank == 0:
            break
    return found


def load(index: "Index") -> Names:
    """The names of the present generation. Reads the whole table of symbols: call it in a thread."""

    def look(store: Store) -> Names:
        paths = [row[0] for row in store.connection.execute("SELECT path FROM files WHERE unread = '' ORDER BY path")]
        symbols = store.connection.execute(
            f"SELECT qualified, kind, path FROM symbols JOIN files ON files.id = file WHERE kind NOT IN {UNNAMED} LIMIT {MOST_SYMBOLS}"
        )
        return Names(paths, symbols)

    return read(index, look)


def _slashes(path: str) -> Iterator[int]:
    end = path.find("/")
    while end >= 0:
        yield end
        end = path.find("/", end + 1)


def _entries(names: Iterable[Name], separator: str) -> list[Entry]:
    lowered = [(name.text.lower(), name) for name in names]
    return [(text, text.rstrip("/").rpartition(separator)[2], name) for text, name in lowered]
