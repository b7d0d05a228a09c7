"""Look at the project and write down what has changed, alone and in one transaction. Knows nothing of undo.

What is about to be done is promised first. Whoever finds a promise knows that its writer has died, and keeps it: what has changed by
then is recorded as what was promised.
"""

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fireside.core.errors import FiresideError, Invalid, NotPermitted, OutOfResources
from fireside.core.values import replace
from fireside.workspace import transaction
from fireside.workspace.checkpoints.states import Checkpoint, Entry, Kind
from fireside.workspace.checkpoints.store import DATABASE, Store, is_damage, set_aside
from fireside.workspace.checkpoints.survey import Limits, Survey, survey
from fireside.workspace.refusals import in_words
from fireside.workspace.workspace import Workspace
from fireside.workspace.writing import place_of

KEEP = 300
# Forgetting old checkpoints is not done every time.
SLACK = 50
LABEL_LENGTH = 200
PROMISE = "promise"


@dataclass(frozen=True, slots=True)
class Promise:
    """What is about to be done. ``paths``: the files it is about; empty: whatever will have changed. ``of``: see ``Checkpoint``."""

    kind: Kind
    label: str
    paths: frozenset[str] = frozenset()
    of: int | None = None

    def written(self) -> str:
        # The standard library's JSON: a path may hold bytes that are no UTF-8.
        return json.dumps([self.kind, self.label, sorted(self.paths), self.of])

    @classmethod
    def read(cls, text: str) -> "Promise | None":
        """None for what makes no sense."""
        try:
            kind, label, paths, of = json.loads(text)
            return cls(kind, label, frozenset(paths), of)
        except (ValueError, TypeError):
            return None


class Recorder:
    """The store of one project and the way into it. See ``Checkpoints`` for the arguments and the errors."""

    def __init__(self, workspace: Workspace, folder: Path, *, apart: Sequence[Path], limits: Limits) -> None:
        self.workspace = workspace
        self.folder = folder
        self._apart = _inside(workspace.root, (folder, *apart))
        self._limits = limits
        self._guard = threading.RLock()
        self._store: Store | None = None
        self._busy = False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else writes. What a process that died left half done is taken back or recorded first."""
        with self._guard, transaction.sole_writer(self.folder):
            if not self._busy:
                transaction.recover(self.workspace.root, self.folder)
                self._keep_promise()
            yield

    @contextmanager
    def busy(self) -> Iterator[None]:
        """A promise that is found inside is our own."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    @contextmanager
    def reading(self) -> Iterator[Store | None]:
        """The store, or None when there is none yet."""
        with self._guard, self._spoken():
            yield self._open() if self._exists() else None

    def close(self) -> None:
        """Safe to call twice; the next call to anything opens it again."""
        with self._guard:
            if self._store is not None:
                self._store.close()
            self._store = None

    def places(self, paths: Iterable[str]) -> frozenset[str]:
        """Where these paths really are, and the links they are themselves. What may not be written is for ``write_all`` to refuse."""
        places = set()
        for path in paths:
            for follow in (True, False):
                with contextlib.suppress(FiresideError):
                    places.add(place_of(self.workspace, path, follow=follow))
        return frozenset(places)

    def promise(self, promise: Promise | None) -> None:
        """Say what is about to be done, or (None) that it will not be. ``record`` keeps the promise."""
        with self._spoken():
            store = self._open()
            with store.transaction():
                store.note(PROMISE, promise.written() if promise is not None else "")

    def look(self, places: frozenset[str]) -> Survey:
        """What is there and what has changed, without remembering it."""
        with self._spoken():
            return self._survey(self._open().files() if self._exists() else {}, places, None)

    def record(
        self, what: Promise, places: frozenset[str] = frozenset(), *, always: bool = False
    ) -> tuple[Checkpoint, Survey]:
        """Remember what has changed, as ``what`` says; files that are not in its ``paths`` as found.

        ``places``: look there too. ``always``: also when nothing has changed; else the last checkpoint is returned then.
        """
        with self._spoken():
            return self._write_down(replace(what, label=_one_line(what.label)), places | what.paths, always)

    def begin(self, what: Promise, places: frozenset[str] = frozenset()) -> Checkpoint:
        """The same for whoever needs no earlier state: a damaged store is put aside, and a new one begun."""
        with self._spoken():
            try:
                return self._write_down(replace(what, label=_one_line(what.label)), places, always=False)[0]
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self.close()
                set_aside(self.folder)
        return self.record(what, places)[0]

    def _write_down(self, what: Promise, places: frozenset[str], always: bool) -> tuple[Checkpoint, Survey]:
        store = self._open()
        with store.transaction():
            last = store.last()
            found = self._survey(store.files(), places, store)
            gone = [path for path, one in found.changes.items() if one.after is None]
            store.remember({path: found.entries[path] for path in found.seen}, gone)
            files = sum(not entry.version.uncovered for entry in found.entries.values())
            meant = [one for path, one in found.changes.items() if not what.paths or path in what.paths]
            others = [one for path, one in found.changes.items() if what.paths and path not in what.paths]
            if last is None:
                last = store.add("found", what.label, files=files, changes=())
            else:
                if others:
                    last = store.add("found", f"meanwhile: {what.label}", files=files, changes=others)
                if meant or always:
                    last = store.add(what.kind, what.label, files=files, changes=meant, of=what.of)
            store.note(PROMISE, "")
        if store.count() > KEEP + SLACK:
            store.drop_all_but(KEEP)
        return replace(last, skipped=tuple(found.skipped)), found

    def _survey(self, known: Mapping[str, Entry], places: frozenset[str], store: Store | None) -> Survey:
        keep = store.keep if store is not None else None
        return survey(self.workspace.root, known, named=places, apart=self._apart, limits=self._limits, keep=keep)

    def _keep_promise(self) -> None:
        try:
            with self.reading() as store:
                noted = store.noted(PROMISE) if store is not None else ""
        except FiresideError:
            # A store that cannot be read is for whoever needs it to complain about.
            return
        promise = Promise.read(noted) if noted else None
        if promise is not None:
            self.record(promise)

    def _exists(self) -> bool:
        return self._store is not None or (self.folder / DATABASE).exists()

    def _open(self) -> Store:
        if self._store is None:
            self._store = Store(self.folder)
        return self._store

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        """Say what SQLite and the disk complain about in words a user can act on."""
        try:
            yield
        except OSError as error:
            raise in_words(error, str(self.folder)) from error
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> FiresideError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return OutOfResources(
                f"there is no room for checkpoints in {self.folder}: {error}", remedy="free some disk space: df -h"
            )
        if is_damage(error):
            return Invalid(
                f"the checkpoints in {self.folder} are damaged: {str(error)[:80]}",
                remedy="the next change begins a new list; the damaged one is kept beside it",
                reason="damaged",
            )
        return NotPermitted(f"the checkpoints in {self.folder} cannot be used: {error}", remedy=f"ls -ld {self.folder}")


def _inside(root: Path, folders: Iterable[Path]) -> frozenset[str]:
    """Those of ``folders`` that lie in ``root``, relative to it."""
    real = [Path(os.path.realpath(folder)) for folder in folders]
    return frozenset(folder.relative_to(root).as_posix() for folder in real if folder.is_relative_to(root))


def _one_line(label: str) -> str:
    return " ".join(label.encode("utf-8", "replace").decode().split())[:LABEL_LENGTH]
