"""Writing postings: the chunks of one update become a segment; small segments are merged. Knows the store's tables and NumPy."""

from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from fireside.index.lexical import MAX_COUNT
from fireside.index.store import Store, split_entries

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEGMENT_CHUNKS = 20_000
SMALL_CHUNKS = 4_000
MANY_SMALL = 8


class SegmentWriter:
    """Collects the terms of new chunks. ``flush`` writes them; call it inside the store's transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.next_chunk = int(store.meta("next_chunk", "0"))
        self._begin()

    def _begin(self) -> None:
        self._first = self.next_chunk
        self._numbers: dict[str, int] = {}
        self._terms, self._chunks, self._counts = array("I"), array("I"), array("B")
        self._files, self._lengths = array("I"), array("I")

    def add(self, file: int, counts: Mapping[str, int]) -> int:
        """Take one chunk's terms; returns the chunk's id."""
        chunk = self.next_chunk
        numbers = self._numbers
        self._terms.extend([numbers.setdefault(term, len(numbers)) for term in counts])
        self._counts.extend([times if times < MAX_COUNT else MAX_COUNT for times in counts.values()])
        self._chunks.extend([chunk] * len(counts))
        self._files.append(file)
        # A chunk without a single word is still a chunk: length 0 is kept for the dead.
        self._lengths.append(sum(counts.values()) or 1)
        self.next_chunk += 1
        if len(self._lengths) >= SEGMENT_CHUNKS:
            self.flush()
        return chunk

    def flush(self) -> None:
        """Write what was collected as one segment."""
        import numpy as np

        if self._lengths:
            self._store.connection.execute(
                "INSERT INTO segments VALUES (?, ?, ?)", (self._first, self._files.tobytes(), self._lengths.tobytes())
            )
            terms, chunks, counts = (
                np.frombuffer(self._terms, np.uint32),
                np.frombuffer(self._chunks, np.uint32),
                np.frombuffer(self._counts, np.uint8),
            )
            write_postings(self._store, self._first, list(self._numbers), terms, chunks, counts)
        self._store.set_meta({"next_chunk": str(self.next_chunk)})
        self._begin()


def write_postings(
    store: Store,
    segment: int,
    names: list[str],
    terms: "NDArray[np.uint32]",
    chunks: "NDArray[np.uint32]",
    counts: "NDArray[np.uint8]",
) -> None:
    """One row per term. ``terms``, ``chunks``, ``counts``: one entry per term of a chunk, chunks ascending."""
    import numpy as np

    order = np.argsort(terms, kind="stable")
    chunks, counts = chunks[order], counts[order]
    ends = np.cumsum(np.bincount(terms, minlength=len(names))).tolist()

    def rows() -> Iterator[tuple[str, int, bytes]]:
        for number in sorted(range(len(names)), key=names.__getitem__):
            start, end = (ends[number - 1] if number else 0), ends[number]
            if end > start:
                yield names[number], segment, chunks[start:end].tobytes() + counts[start:end].tobytes()

    store.connection.executemany("INSERT INTO postings VALUES (?, ?, ?)", rows())


def bury(store: Store, files: set[int]) -> None:
    """Set the lengths of these files' chunks to 0."""
    import numpy as np

    dead = np.array(sorted(files), dtype=np.uint32)
    for first, file_blob, length_blob in store.connection.execute("SELECT * FROM segments").fetchall():
        lengths = np.frombuffer(length_blob, np.uint32).copy()
        gone = np.isin(np.frombuffer(file_blob, np.uint32), dead) & (lengths > 0)
        if gone.any():
            lengths[gone] = 0
            store.connection.execute("UPDATE segments SET lengths = ? WHERE first = ?", (lengths.tobytes(), first))


def merge_where_due(store: Store) -> None:
    """Merge the newest small segments when there are many; merge all when more than half of all chunks are dead."""
    import numpy as np

    rows = store.connection.execute("SELECT first, lengths FROM segments ORDER BY first").fetchall()
    lengths = [np.frombuffer(blob, np.uint32) for _, blob in rows]
    small = 0
    while small < len(rows) and len(lengths[-1 - small]) < SMALL_CHUNKS:
        small += 1
    total = sum(len(one) for one in lengths)
    dead = total - sum(int((one > 0).sum()) for one in lengths)
    if dead * 2 > total and total > SMALL_CHUNKS:
        _merge(store, [first for first, _ in rows])
    elif small > MANY_SMALL:
        _merge(store, [first for first, _ in rows[-small:]])


def _merge(store: Store, segments: list[int]) -> None:
    """Make one segment of several that follow each other, leaving the dead chunks out of the postings.

    The new segment begins at its first living chunk, so that ids used up long ago cost nothing.
    """
    import numpy as np

    layout = store.layout()
    where = f"segment BETWEEN {segments[0]} AND {segments[-1]}"
    numbers: dict[str, int] = {}
    terms, chunks, counts = [], [], []
    for term, entries in store.connection.execute(f"SELECT term, entries FROM postings WHERE {where} ORDER BY segment"):
        ids, times = split_entries(entries)
        alive = layout.lengths[ids - np.uint32(layout.first)] > 0
        terms.append(np.full(int(alive.sum()), numbers.setdefault(term, len(numbers)), np.uint32))
        chunks.append(ids[alive])
        counts.append(times[alive])
    store.connection.execute(f"DELETE FROM postings WHERE {where}")
    store.connection.execute(f"DELETE FROM segments WHERE first BETWEEN {segments[0]} AND {segments[-1]}")
    living = np.flatnonzero(layout.lengths[segments[0] - layout.first :])
    if not len(living):
        return
    start = segments[0] - layout.first + int(living[0])
    end = segments[0] - layout.first + int(living[-1]) + 1
    first = layout.first + start
    store.connection.execute(
        "INSERT INTO segments VALUES (?, ?, ?)",
        (first, layout.files[start:end].tobytes(), layout.lengths[start:end].tobytes()),
    )
    write_postings(store, first, list(numbers), np.concatenate(terms), np.concatenate(chunks), np.concatenate(counts))
