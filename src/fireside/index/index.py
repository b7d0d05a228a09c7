"""The index of one checkout: keep it true to the disk, ask it questions.

Any number of processes may read; one writes at a time. A reader sees the last complete generation, however the writer ends. What is on
disk can always be made again, so a damaged or outdated index is thrown away, rebuilt, and the report says so.
"""

import errno
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fireside.core.errors import FiresideError, NotPermitted, OutOfResources
from fireside.core.values import replace
from fireside.index import build
from fireside.index.chunks import IndexReport, IndexStatus, Progress, SearchResult, Symbol
from fireside.index.embed import Embedding
from fireside.index.lexical import fold
from fireside.index.prepare import Preparer, here
from fireside.index.search import Searcher, plain_name
from fireside.index.store import NONSENSE, Store, damaged, is_damage
from fireside.workspace.workspace import Workspace

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = "writer.lock"
PATIENCE = 0.5
# What a search may add by itself: a second or two of an embedding model on the same machine.
FEW_VECTORS = 128
Answer = TypeVar("Answer")


class Index:
    """Searches and updates one checkout's index. Safe to use from several threads.

    ``folder`` belongs to this checkout alone. Every method raises ``OutOfResources`` when the disk is full and ``NotPermitted`` when the
    folder cannot be written.
    """

    def __init__(self, workspace: Workspace, folder: Path, embedding: Embedding | None = None) -> None:
        self.workspace = workspace
        self.folder = folder
        self._embedding = embedding
        self._guard = threading.RLock()
        self._store: Store | None = None
        self._searcher: Searcher | None = None
        self._rebuilt = ""
        self._pending = 0

    @classmethod
    def open(cls, workspace: Workspace, folder: Path, embedding: Embedding | None = None) -> "Index":
        """The index of ``workspace`` in ``folder``, made when there is none. Nothing is read from the project yet.

        Without ``embedding`` it searches by words alone.
        """
        index = cls(workspace, folder, embedding)
        with index._spoken():
            index._reader()
        return index

    def update(
        self,
        progress: Callable[[Progress], None] | None = None,
        *,
        rebuild: bool = False,
        most_vectors: int | None = FEW_VECTORS,
        preparer: Preparer = here,
    ) -> IndexReport:
        """Read what has changed on disk. ``rebuild``: read everything again. ``most_vectors``: of an embedder that is not cheap, in this
        update (None: all that are missing, however long it takes). ``preparer``: where files are parsed.

        While another process writes, the generation that is there goes on being served and the report tells how many files are pending;
        when there is none yet, this waits.
        """
        with self._spoken():
            try:
                return self._update(progress, rebuild, most_vectors, preparer)
            except NONSENSE as error:
                if not is_damage(error):
                    raise
                self._begin_again(error)
                return self._update(progress, rebuild, most_vectors, preparer)

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        language: str | None = None,
        path: str | None = None,
        tests: bool | None = None,
    ) -> SearchResult:
        """The best spans for a question or a name. ``path``: a glob or folder. ``tests``: only tests, none, or (None) as the query asks."""

        # A command line may hold bytes that are no UTF-8; neither SQLite nor JSON takes them.
        text = query.encode("utf-8", "replace").decode()

        def ask() -> SearchResult:
            store = self._reader()
            with store.snapshot():
                searcher = self._searching(store)
                hits = searcher.search(text, limit, language=language, path=path, tests=tests)
            return SearchResult(text, tuple(hits), searcher.generation, self._pending, self._note())

        return self._mended(ask)

    def similar(self, path: str, line: int, limit: int = 10) -> dict[int, float]:
        """The chunks whose vectors are most like that of the chunk at a line: id -> cosine similarity; {} where there are no vectors."""

        def look() -> dict[int, float]:
            store = self._reader()
            with store.snapshot():
                row = store.connection.execute(
                    "SELECT chunks.id FROM chunks JOIN files ON files.id = file WHERE path = ? AND start_line <= ?"
                    " ORDER BY start_line DESC LIMIT 1",
                    (path, line),
                ).fetchone()
                return dict(self._searching(store).similar(row[0], limit)) if row else {}

        return self._mended(look)

    def symbols(self, name: str) -> list[Symbol]:
        """Definitions called ``name`` (``Class.method`` narrows), whatever its case and underscores; exact matches first."""
        wanted = plain_name(name.strip().encode("utf-8", "replace").decode())

        def look() -> list[Symbol]:
            rows = self._reader().connection.execute(
                "SELECT name, qualified, kind, path, start_line, end_line, signature, doc FROM symbols JOIN files ON files.id = file"
                " WHERE folded = ? ORDER BY path, start_line",
                (fold(wanted.rpartition(".")[2]),),
            )
            found = [Symbol(*row) for row in rows if fold(f".{row[1]}").endswith(fold(f".{wanted}"))]
            return sorted(found, key=lambda one: not f".{one.qualified}".endswith(f".{wanted}"))

        return self._mended(look)

    def symbols_in(self, path: str, first_line: int = 1, last_line: int | None = None) -> list[Symbol]:
        """Definitions that begin in these lines of a file, in order."""

        def look() -> list[Symbol]:
            rows = self._reader().connection.execute(
                "SELECT name, qualified, kind, path, start_line, end_line, signature, doc FROM symbols JOIN files ON files.id = file"
                " WHERE path = ? AND start_line BETWEEN ? AND ? ORDER BY start_line",
                (path, first_line, last_line if last_line is not None else 1 << 62),
            )
            return [Symbol(*row) for row in rows]

        return self._mended(look)

    def languages(self) -> dict[str, int]:
        """How many files there are in each language, most first."""

        def look() -> dict[str, int]:
            return dict(
                self._reader().connection.execute(
                    "SELECT language, count(*) FROM files WHERE unread = '' GROUP BY language ORDER BY 2 DESC, 1"
                )
            )

        return self._mended(look)

    def paths(self) -> dict[str, str]:
        """All files with chunks: path -> language."""
        return self._mended(
            lambda: dict(
                self._reader().connection.execute("SELECT path, language FROM files WHERE unread = '' ORDER BY path")
            )
        )

    def status(self) -> IndexStatus:
        """How the index stands to the disk now; walks the project."""

        def look() -> IndexStatus:
            store = self._reader()
            files, chunks = store.totals()
            updated = store.meta("updated")
            self._pending = build.pending(self.workspace, store)
            return IndexStatus(
                store.generation(), files, chunks, self._pending, time.time() - float(updated) if updated else None
            )

        return self._mended(look)

    def close(self) -> None:
        """Safe to call twice."""
        self._let_go()
        if self._embedding is not None:
            self._embedding.close()

    def _let_go(self) -> None:
        with self._guard:
            if self._searcher is not None:
                self._searcher.close()
            if self._store is not None:
                self._store.close()
            self._store = self._searcher = None

    def _searching(self, store: Store) -> Searcher:
        """The searcher of the generation that ``store`` shows now."""
        now = self._searcher
        if (
            now is not None
            and now.generation == store.generation()
            and (now.has_vectors or not self._could_have(store))
        ):
            return now
        if now is not None:
            now.close()
        self._searcher = Searcher(store, embedding=self._ready())
        return self._searcher

    def _could_have(self, store: Store) -> bool:
        """Whether there are vectors now that a searcher without them could use."""
        embedding = self._ready()
        return embedding is not None and not embedding.due(store)

    def _ready(self) -> Embedding | None:
        return self._embedding if self._embedding is not None and self._embedding.ready() else None

    def _note(self) -> str:
        return self._embedding.failure if self._embedding is not None else ""

    def _reader(self) -> Store:
        """The connection for reading. Makes an index where there is none that can be used."""
        if self._store is not None and self._store.replaced():
            # Another process has made the index again, or somebody has removed it.
            self._let_go()
        if self._store is None:
            found = Store.open(self.folder)
            if isinstance(found, str):
                self.folder.mkdir(parents=True, exist_ok=True)
                with self._writing:
                    # Another process may have made it while this one waited.
                    found = Store.open(self.folder)
                    if isinstance(found, str):
                        self._rebuilt = found
                        found = Store.create(self.folder)
            self._store = found
        return self._store

    def _update(
        self,
        progress: Callable[[Progress], None] | None,
        rebuild: bool,
        most_vectors: int | None,
        preparer: Preparer,
    ) -> IndexReport:
        """Nothing here keeps readers of this process waiting but the walk."""
        with self._guard:
            store = self._reader()
            generation = store.generation()
            changes, skipped, _ = build.changes_since(self.workspace, store)
            embedding = self._ready() if most_vectors != 0 else None
            embed = embedding is not None and embedding.due(store)
            if not changes.count and generation and not rebuild and not embed:
                self._pending = 0
                return replace(build.report(store, skipped), note=self._note())
        if not self._take_turn(generation, changes.count, progress):
            with self._guard:
                store = self._reader()
                self._pending = build.pending(self.workspace, store)
                return replace(build.report(store, skipped), pending=self._pending)
        try:
            report = self._write(progress, rebuild, most_vectors, preparer)
        finally:
            self._writing.release()
        self._pending = 0
        rebuilt, self._rebuilt = self._rebuilt, ""
        return replace(report, rebuilt=rebuilt, note=self._note())

    def _take_turn(self, generation: int, waiting: int, progress: Callable[[Progress], None] | None) -> bool:
        """Take the writer's lock. Gives up soon when there is a generation to serve meanwhile, else waits for as long as it takes."""
        from filelock import Timeout

        try:
            self._writing.acquire(timeout=PATIENCE)
        except Timeout:
            if generation:
                return False
            if progress is not None:
                progress(Progress(0, waiting, "another process is reading the project"))
            self._writing.acquire(timeout=-1)
        return True

    def _write(
        self,
        progress: Callable[[Progress], None] | None,
        rebuild: bool,
        most_vectors: int | None,
        preparer: Preparer,
    ) -> IndexReport:
        # A connection of its own: what this one writes must not be seen by readers in this process before it is complete.
        writer = Store.open(self.folder)
        if isinstance(writer, str):
            raise sqlite3.DatabaseError(writer)
        try:
            return build.update(
                self.workspace,
                writer,
                progress,
                rebuild=rebuild,
                embedding=self._ready(),
                most=most_vectors,
                preparer=preparer,
            )
        finally:
            writer.close()

    @cached_property
    def _writing(self) -> "BaseFileLock":
        from filelock import FileLock

        return FileLock(self.folder / LOCK)

    def _mended(self, work: Callable[[], Answer]) -> Answer:
        """Do ``work``; when the index turns out to be damaged, make it again and do it once more."""
        with self._guard, self._spoken():
            try:
                return work()
            except NONSENSE as error:
                if not is_damage(error):
                    raise
                self._begin_again(error)
                self._update(None, False, FEW_VECTORS, here)
                return work()

    def _begin_again(self, error: Exception) -> None:
        with self._guard, self._writing:
            self._let_go()
            self._store = Store.create(self.folder)
            self._rebuilt = damaged(error)

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        """Say what SQLite and the disk complain about in words a user can act on."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._failure(str(error), full="full" in str(error)) from error
        except OSError as error:
            raise self._failure(error.strerror or str(error), full=error.errno == errno.ENOSPC) from error

    def _failure(self, words: str, *, full: bool) -> FiresideError:
        if full:
            return OutOfResources(
                f"there is no room for the index in {self.folder}: {words}", remedy="free some disk space"
            )
        return NotPermitted(
            f"the index in {self.folder} cannot be used: {words}",
            remedy=f"check that it can be written: ls -ld {self.folder}",
        )
