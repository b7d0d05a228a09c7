"""Read from one generation of an index what no method of it answers. Knows the store's tables; changes nothing.

Each reading has a connection of its own, so it neither waits for a search nor holds one up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fireside.core.errors import Invalid
from fireside.index.chunks import Chunk
from fireside.index.lexical import Words
from fireside.index.store import NONSENSE, Store, is_damage

if TYPE_CHECKING:
    from fireside.index.index import Index

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Frequencies:
    """In how many of ``total`` chunks each term occurs."""

    chunks: Mapping[str, int]
    total: int


def read(index: "Index", work: Callable[[Store], Answer]) -> Answer:
    """``work`` over one generation. A damaged index is made again first."""
    try:
        return _read(index, work)
    except NONSENSE as error:
        if not is_damage(error):
            raise
        index.update(rebuild=True)
        return _read(index, work)


def _read(index: "Index", work: Callable[[Store], Answer]) -> Answer:
    store = Store.open(index.folder)
    if isinstance(store, str):
        index.update()
        store = Store.open(index.folder)
    if isinstance(store, str):
        raise Invalid(f"the index in {index.folder} cannot be used", remedy="fireside index --rebuild")
    try:
        with store.snapshot():
            return work(store)
    finally:
        store.close()


def chunk_at(index: "Index", path: str, line: int) -> Chunk | None:
    """The chunk that holds a line (from 1), else the next one below it in the file, else its last; None when there is none."""

    def look(store: Store) -> Chunk | None:
        row = store.connection.execute(
            "SELECT path, start_line, end_line, text, language, symbol FROM chunks JOIN files ON files.id = file WHERE path = ?"
            " ORDER BY end_line >= ? DESC, CASE WHEN end_line >= ? THEN start_line ELSE -start_line END LIMIT 1",
            (path, line, line),
        ).fetchone()
        return Chunk(*row) if row else None

    return read(index, look)


def frequencies(index: "Index", terms: "set[str]") -> Frequencies:
    """How common each of ``terms`` is (see ``lexical``); 0 for one that does not occur."""

    def look(store: Store) -> Frequencies:
        rows = store.select("SELECT term, length(entries) / 5 FROM postings WHERE term IN", sorted(terms))
        counts = dict.fromkeys(terms, 0)
        for term, chunks in rows:
            counts[term] += chunks
        return Frequencies(counts, store.totals()[1])

    return read(index, look)


def files_with(store: Store, name: str) -> list[tuple[int, str, str]]:
    """(id, path, language) of the files in which ``name`` may occur: those that have its term in their postings."""
    terms = Words().of(name)
    if not terms or not terms[-1]:
        return store.connection.execute(
            "SELECT DISTINCT files.id, path, language FROM files JOIN chunks ON file = files.id WHERE instr(text, ?)",
            (name,),
        ).fetchall()
    import numpy as np

    layout = store.layout()
    found = store.postings([terms[-1]], layout).get(terms[-1])
    if found is None:
        return []
    chunks = found[0]
    files = np.unique(layout.files[chunks[layout.lengths[chunks] > 0]])
    return sorted(store.select("SELECT id, path, language FROM files WHERE id IN", files.tolist()))


def text_of(store: Store, file: int) -> str:
    """A file's text as it was indexed; lines with nothing on them are empty."""
    lines: list[str] = []
    for start, text in store.connection.execute(
        "SELECT start_line, text FROM chunks WHERE file = ? ORDER BY start_line", (file,)
    ):
        lines += [""] * (start - 1 - len(lines))
        lines += text.split("\n")
    return "\n".join(lines)
