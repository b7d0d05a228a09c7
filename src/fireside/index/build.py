"""Bring the index up to date: walk, compare, read, parse, write, all in one transaction.

Knows the workspace and the store. Whatever stops it (Ctrl-C, kill -9, a full disk) leaves the generation that was there.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from fireside.core.errors import FiresideError, Invalid, NotPermitted
from fireside.core.values import replace
from fireside.index.chunks import IndexReport, Progress
from fireside.index.embed import Embedding
from fireside.index.embedder import Counting
from fireside.index.lexical import fold
from fireside.index.manifest import Changes, compare
from fireside.index.prepare import Prepared, Preparer, Task, digest_of, here
from fireside.index.segments import SegmentWriter, bury, merge_where_due
from fireside.index.store import FileRow, Store
from fireside.workspace.files import FileEntry, SourceText, Unread
from fireside.workspace.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# So many that come ready-made are handed on together, so that memory does not grow with the project.
MANY_VECTORS = 2_000


def changes_since(workspace: Workspace, store: Store) -> tuple[Changes, Mapping[str, int], int]:
    """What differs from the index, what the walk left out, and when the walk began (nanoseconds since 1970)."""
    began = time.time_ns()
    scan = workspace.scan()
    return compare(scan.files, store.files(), int(store.meta("looked_ns", "0"))), scan.skipped, began


def pending(workspace: Workspace, store: Store) -> int:
    """How many files the index has not seen as they are now."""
    changes, _, _ = changes_since(workspace, store)
    known = store.files() if changes.suspect else {}
    touched = sum(digest_of(_look(workspace, entry.path)) != known[entry.path].digest for entry in changes.suspect)
    return len(changes.new) + len(changes.gone) + touched


def update(
    workspace: Workspace,
    store: Store,
    progress: Callable[[Progress], None] | None = None,
    *,
    rebuild: bool = False,
    embedding: Embedding | None = None,
    most: int | None = None,
    preparer: Preparer = here,
) -> IndexReport:
    """One update; ``rebuild`` forgets everything first. The caller holds the writer's lock.

    ``most``: how many vectors of a dear embedder are made at most, the rest another time (None: all). ``preparer``: where files are parsed.
    """
    started = time.perf_counter()
    work = Update(workspace, store, preparer, embedding)
    with store.transaction():
        if rebuild:
            store.forget()
        changes, skipped, began = changes_since(workspace, store)
        work.run(changes, progress)
        if embedding is not None and (work.touched or embedding.due(store)):
            if embedding.at_once(store):
                work.give()
                embedding.complete(store)
                work.embedded = True
            else:
                store.set_meta({"unembedded": "unknown"})
        if work.touched or work.embedded or not store.generation():
            merge_where_due(store)
            store.set_meta({"generation": str(store.generation() + 1)})
        store.set_meta({"looked_ns": str(began), "updated": str(time.time())})
    if embedding is not None:
        _follow(work, embedding, progress, most)
    if work.touched or work.embedded:
        store.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return replace(
        report(store, skipped),
        added=work.added,
        changed=work.changed,
        removed=work.removed,
        seconds=time.perf_counter() - started,
    )


def _follow(
    work: "Update", embedding: Embedding, progress: Callable[[Progress], None] | None, most: int | None
) -> None:
    """Make vectors that are not made at once; a model that stops answering leaves the rest for another time."""
    store = work.store
    try:
        if embedding.due(store):
            # Only now: had the chunks not been kept, their ids would be given to others.
            with store.transaction():
                work.give()
            embedding.follow(store, progress, most)
    except FiresideError as error:
        embedding.fail(error)


def report(store: Store, skipped: Mapping[str, int]) -> IndexReport:
    """What the index holds; ``skipped``: what the walk left out."""
    files, chunks = store.totals()
    reasons = Counter(skipped)
    fell_back: Counter[str] = Counter()
    for unread, fallback, language, number in store.connection.execute(
        "SELECT unread, fell_back != '', language, count(*) FROM files GROUP BY 1, 2, 3"
    ):
        if unread:
            reasons[unread] += number
        elif fallback:
            fell_back[language] += number
    return IndexReport(
        files,
        chunks,
        fell_back=dict(fell_back.most_common()),
        skipped=dict(reasons.most_common()),
        generation=store.generation(),
        unembedded=int(store.meta("unembedded", "0").replace("unknown", str(chunks))),
    )


class Update:
    """The work of one update; counts what it did."""

    def __init__(
        self, workspace: Workspace, store: Store, preparer: Preparer = here, embedding: Embedding | None = None
    ) -> None:
        self._workspace = workspace
        self.store = store
        self._preparer = preparer
        self._embedding = embedding
        self._at_once = embedding is not None and embedding.at_once(store)
        embedder = embedding.embedder if embedding is not None and self._at_once else None
        self._counting: Counting | None = embedder if isinstance(embedder, Counting) else None
        self._made: list[tuple[int, NDArray[np.float32]]] = []
        self.added = self.changed = self.removed = 0
        self.embedded = False

    @property
    def touched(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def run(self, changes: Changes, progress: Callable[[Progress], None] | None) -> None:
        writer = SegmentWriter(self.store)
        dead = {row.id for row in changes.gone}
        self.removed = len(dead)
        total = len(changes.new) + len(changes.suspect)
        unchanged: list[str] = []
        for done, prepared in enumerate(self._preparer(self._tasks(changes, dead, unchanged)), 1):
            self._write(writer, prepared)
            if progress is not None:
                progress(Progress(done + len(unchanged), total, prepared.entry.path))
        if dead:
            bury(self.store, dead)
            for table in ("chunks", "symbols"):
                self.store.select(f"DELETE FROM {table} WHERE file IN", sorted(dead))
            self.store.select("DELETE FROM files WHERE id IN", sorted(row.id for row in changes.gone))
        writer.flush()

    def give(self) -> None:
        """Hand over the vectors that were made together with their chunks."""
        if self._made and self._embedding is not None:
            self._embedding.take(self.store, self._made)
            self._made = []

    def _tasks(self, changes: Changes, dead: set[int], unchanged: list[str]) -> Iterator[Task]:
        """Files that hold something else than the index knows. The rows of those it knew are gone when they come out of here."""
        known = self.store.files()
        for entry in (*changes.new, *changes.suspect):
            row = known.get(entry.path)
            source = _look(self._workspace, entry.path)
            if row is not None and digest_of(source) == row.digest:
                self._keep(row, entry)
                unchanged.append(entry.path)
                continue
            self._replace(row, dead)
            yield Task(entry, source)

    def _keep(self, row: FileRow, entry: FileEntry) -> None:
        """Only the times are new."""
        self.store.connection.execute(
            "UPDATE files SET size = ?, mtime_ns = ?, ctime_ns = ? WHERE id = ?",
            (entry.size, entry.mtime_ns, entry.ctime_ns, row.id),
        )

    def _replace(self, row: FileRow | None, dead: set[int]) -> None:
        if row is None:
            self.added += 1
        else:
            self.changed += 1
            dead.add(row.id)
            self.store.connection.execute("DELETE FROM files WHERE id = ?", (row.id,))

    def _write(self, writer: SegmentWriter, made: Prepared) -> None:
        file = self._file(made)
        rows = [(writer.add(file, counts), chunk) for chunk, counts in zip(made.chunks, made.counts, strict=True)]
        vectors = made.vectors
        if rows and vectors is None and self._counting is not None:
            vectors = self._counting.from_counts(made.counts)
        if rows and vectors is not None:
            self._made.append((rows[0][0], vectors))
        self.store.connection.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)",
            ((number, file, chunk.start_line, chunk.end_line, chunk.symbol, chunk.text) for number, chunk in rows),
        )
        self.store.connection.executemany(
            "INSERT INTO symbols VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    file,
                    one.name,
                    fold(one.name),
                    one.qualified,
                    one.kind,
                    one.start_line,
                    one.end_line,
                    one.signature,
                    one.doc,
                )
                for one in made.symbols
            ),
        )
        if self._at_once and self._made and writer.next_chunk - self._made[0][0] > MANY_VECTORS:
            self.give()

    def _file(self, made: Prepared) -> int:
        entry = made.entry
        number = int(self.store.meta("next_file", "1"))
        self.store.set_meta({"next_file": str(number + 1)})
        self.store.connection.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                entry.path,
                entry.size,
                entry.mtime_ns,
                entry.ctime_ns,
                made.digest,
                made.language,
                len(made.chunks),
                made.fell_back,
                made.unread,
            ),
        )
        return number


def _look(workspace: Workspace, path: str) -> SourceText | Unread:
    """A file that has become a link out of the project since the walk is no reason to stop; the next walk leaves it out."""
    try:
        return workspace.look(path)
    except (Invalid, NotPermitted):
        return Unread("unreadable")
