"""Bring the index up to date: walk, compare, read, parse, write, all in one transaction.

Knows the workspace and the store. Whatever stops it (Ctrl-C, kill -9, a full disk) leaves the generation that was there.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from fireside.core.errors import Invalid, NotPermitted
from fireside.index.chunks import Chunk, IndexReport, Progress
from fireside.index.languages import language_of
from fireside.index.lexical import Words, add_counts, fold
from fireside.index.manifest import Changes, compare
from fireside.index.parse import Parsed, parse
from fireside.index.segments import SegmentWriter, bury, merge_where_due
from fireside.index.store import FileRow, Store
from fireside.workspace.files import FileEntry, SourceText, Unread
from fireside.workspace.workspace import Workspace

MAX_SETTINGS_CHARACTERS = 50_000


def changes_since(workspace: Workspace, store: Store) -> tuple[Changes, Mapping[str, int], int]:
    """What differs from the index, what the walk left out, and when the walk began (nanoseconds since 1970)."""
    began = time.time_ns()
    scan = workspace.scan()
    return compare(scan.files, store.files(), int(store.meta("looked_ns", "0"))), scan.skipped, began


def pending(workspace: Workspace, store: Store) -> int:
    """How many files the index has not seen as they are now."""
    changes, _, _ = changes_since(workspace, store)
    known = store.files() if changes.suspect else {}
    touched = sum(_digest(_look(workspace, entry.path)) != known[entry.path].digest for entry in changes.suspect)
    return len(changes.new) + len(changes.gone) + touched


def update(
    workspace: Workspace, store: Store, progress: Callable[[Progress], None] | None = None, *, rebuild: bool = False
) -> IndexReport:
    """One update; ``rebuild`` forgets everything first. The caller holds the writer's lock."""
    started = time.perf_counter()
    work = Update(workspace, store)
    with store.transaction():
        if rebuild:
            store.forget()
        changes, skipped, began = changes_since(workspace, store)
        work.run(changes, progress)
        if work.touched or not store.generation():
            merge_where_due(store)
            store.set_meta({"generation": str(store.generation() + 1)})
        store.set_meta({"looked_ns": str(began), "updated": str(time.time())})
    if work.touched:
        store.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return replace(
        report(store, skipped),
        added=work.added,
        changed=work.changed,
        removed=work.removed,
        seconds=time.perf_counter() - started,
    )


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
    )


class Update:
    """The work of one update; counts what it did."""

    def __init__(self, workspace: Workspace, store: Store) -> None:
        self._workspace = workspace
        self._store = store
        self._words = Words()
        self.added = self.changed = self.removed = 0

    @property
    def touched(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def run(self, changes: Changes, progress: Callable[[Progress], None] | None) -> None:
        known = self._store.files()
        writer = SegmentWriter(self._store)
        dead = {row.id for row in changes.gone}
        self.removed = len(dead)
        entries = (*changes.new, *changes.suspect)
        for done, entry in enumerate(entries, 1):
            row = known.get(entry.path)
            source = _look(self._workspace, entry.path)
            if row is not None and _digest(source) == row.digest:
                self._keep(row, entry)
            else:
                self._replace(row, dead)
                self._add(writer, entry, source)
            if progress is not None:
                progress(Progress(done, len(entries), entry.path))
        if dead:
            bury(self._store, dead)
            for table in ("chunks", "symbols"):
                self._store.select(f"DELETE FROM {table} WHERE file IN", sorted(dead))
            self._store.select("DELETE FROM files WHERE id IN", sorted(row.id for row in changes.gone))
        writer.flush()

    def _keep(self, row: FileRow, entry: FileEntry) -> None:
        """Only the times are new."""
        self._store.connection.execute(
            "UPDATE files SET size = ?, mtime_ns = ?, ctime_ns = ? WHERE id = ?",
            (entry.size, entry.mtime_ns, entry.ctime_ns, row.id),
        )

    def _replace(self, row: FileRow | None, dead: set[int]) -> None:
        if row is None:
            self.added += 1
        else:
            self.changed += 1
            dead.add(row.id)
            self._store.connection.execute("DELETE FROM files WHERE id = ?", (row.id,))

    def _add(self, writer: SegmentWriter, entry: FileEntry, source: SourceText | Unread) -> None:
        if isinstance(source, Unread):
            self._file(entry, _digest(source), "", 0, "", source.reason)
            return
        language = language_of(entry.path, source.text)
        if language == "json" and len(source.text) > MAX_SETTINGS_CHARACTERS:
            self._file(entry, source.digest, language, 0, "", "large JSON")
            return
        parsed = parse(entry.path, source.text, language)
        file = self._file(entry, source.digest, language, len(parsed.chunks), parsed.fell_back, "")
        self._chunks(writer, file, entry.path, parsed)

    def _file(self, entry: FileEntry, digest: str, language: str, chunks: int, fell_back: str, unread: str) -> int:
        number = int(self._store.meta("next_file", "1"))
        self._store.set_meta({"next_file": str(number + 1)})
        self._store.connection.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                entry.path,
                entry.size,
                entry.mtime_ns,
                entry.ctime_ns,
                digest,
                language,
                chunks,
                fell_back,
                unread,
            ),
        )
        return number

    def _chunks(self, writer: SegmentWriter, file: int, path: str, parsed: Parsed) -> None:
        from_path = self._words.count_path(path)
        rows = [(writer.add(file, self._terms(chunk, from_path)), chunk) for chunk in parsed.chunks]
        self._store.connection.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)",
            ((number, file, chunk.start_line, chunk.end_line, chunk.symbol, chunk.text) for number, chunk in rows),
        )
        self._store.connection.executemany(
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
                for one in parsed.symbols
            ),
        )

    def _terms(self, chunk: Chunk, from_path: Mapping[str, int]) -> dict[str, int]:
        counts = self._words.count(chunk.text)
        add_counts(counts, from_path)
        if chunk.symbol:
            add_counts(counts, self._words.count(chunk.symbol))
        return counts


def _look(workspace: Workspace, path: str) -> SourceText | Unread:
    """A file that has become a link out of the project since the walk is no reason to stop; the next walk leaves it out."""
    try:
        return workspace.look(path)
    except (Invalid, NotPermitted):
        return Unread("unreadable")


def _digest(source: SourceText | Unread) -> str:
    """What to compare: the bytes where they were read, else the reason why not."""
    return source.digest or (source.reason if isinstance(source, Unread) else "")
