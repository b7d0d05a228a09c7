"""Take states of a project, and go back to them. Knows the order of things: look, remember, write; others do each.

Everything is kept outside the project and outside git. Whoever goes back first takes the state that is there, so nothing is ever lost:
redo, or restoring that checkpoint, brings it back.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from fireside.core.errors import FiresideError, Invalid
from fireside.core.values import replace
from fireside.workspace import transaction
from fireside.workspace.checkpoints.history import Turnaround, go_to, next_ones, turn_around
from fireside.workspace.checkpoints.recorder import KEEP, Promise, Recorder
from fireside.workspace.checkpoints.states import Checkpoint, FileChange, Kind, Restored, Version
from fireside.workspace.checkpoints.survey import Limits, Survey
from fireside.workspace.marks import LINK
from fireside.workspace.transaction import Change
from fireside.workspace.workspace import Workspace


class Checkpoints:
    """The states of one project. Safe to use from several threads and processes.

    ``folder``: belongs to this root alone, outside the project; also the ``state`` for ``write_all``. ``apart``: folders no checkpoint
    covers. A checkpoint covers every file no ignore rule leaves out, and those that were named, whatever is in them, within ``limits``.

    Methods raise ``Invalid`` for what cannot be done or is damaged, ``OutOfResources`` when the disk is full, ``NotPermitted`` for what
    may not be read or written, ``TimedOut`` when another process holds the project for half a minute.
    """

    def __init__(
        self,
        workspace: Workspace,
        folder: Path,
        *,
        apart: Sequence[Path] = (),
        limits: Limits = Limits(),  # noqa: B008  frozen
    ) -> None:
        self.workspace = workspace
        self.folder = folder
        self._recorder = Recorder(workspace, folder, apart=apart, limits=limits)

    def take(self, label: str, *, paths: Iterable[str] = (), made: bool = False) -> Checkpoint:
        """Remember the project as it is. ``paths``: cover these too, though a rule leaves them out; they need not exist.

        ``made``: Fireside has made what differs from the checkpoint before, and undo takes it back; else somebody else has. Returns the
        last checkpoint when nothing has changed since. The first one reads every file (some seconds in a large project): call it from a
        thread of its own (``asyncio.to_thread(checkpoints.take, ...)``), it disturbs nobody. When the kept states are damaged, they are
        put aside and this becomes the first one.
        """
        places = self._recorder.places(paths)
        with self._recorder.alone():
            return self._recorder.begin(Promise("change" if made else "found", label), places)

    @contextmanager
    def change(self, label: str, paths: Iterable[str] = ()) -> Iterator[None]:
        """Everything that changes inside is one step for undo. ``paths``: the files it is about, as for ``take``.

        ::

            with checkpoints.change("edit app.py", ["app.py"]):
                write_all(workspace, writes, state=checkpoints.folder)

        Write from the thread that entered: it holds the project's lock, and other processes wait. When the inside raises, what it has
        done until then is a step too. When this process is killed, whoever opens the project next makes it one.
        """
        recorder = self._recorder
        places = recorder.places(paths)
        with recorder.alone():
            recorder.begin(Promise("found", f"before: {label}"), places)
            recorder.promise(Promise("change", label, places))
            try:
                with recorder.busy():
                    yield
            except BaseException:
                with contextlib.suppress(FiresideError):
                    recorder.record(Promise("change", label), places)
                raise
            recorder.record(Promise("change", label), places)

    def list(self) -> tuple[Checkpoint, ...]:
        """Every checkpoint, newest first."""
        return self._log()[::-1]

    def diff(self, first: int, last: int | None = None) -> tuple[FileChange, ...]:
        """The files that differ between two checkpoints (else: to the last one), by path."""
        self._known(first)
        earlier, later = first, last
        if last is not None:
            self._known(last)
            earlier, later = min(first, last), max(first, last)
        found = self._between(earlier, later).values()
        turned = earlier != first
        return tuple(FileChange(one.path, one.after, one.before) if turned else one for one in found)

    def undo(self, *, force: bool = False, dry_run: bool = False) -> Restored:
        """Take back the last change that Fireside has made and that has not been taken back.

        Other files stay as they are. Raises ``Invalid`` when there is none, and, unless ``force``, when one of its files has been changed
        by somebody since. ``dry_run``: only tell what would be done.
        """
        with self._recorder.alone():
            number = next_ones(self._log())[0]
            if number is None:
                raise Invalid("there is nothing to undo: no change of Fireside's stands here", reason="nothing")
            return self._turn(number, "undo", force=force, dry_run=dry_run)

    def redo(self, *, force: bool = False, dry_run: bool = False) -> Restored:
        """Take back the last undo: the files get the bytes they had before it. Raises as ``undo`` does."""
        with self._recorder.alone():
            number = next_ones(self._log())[1]
            if number is None:
                raise Invalid("there is nothing to redo", reason="nothing")
            return self._turn(number, "redo", force=force, dry_run=dry_run)

    def restore(self, number: int, paths: Sequence[str] | None = None, *, dry_run: bool = False) -> Restored:
        """Make every covered file what it was at a checkpoint, also by deleting it; undo takes that back.

        ``paths``: only these files and folders, relative to the root.
        """
        with self._recorder.alone():
            target = self._known(number)
            earlier = self._between(number)
            found = self._present(f"before: restore {number}", frozenset(earlier), dry_run=dry_run)
            then = {path: one.before for path, one in found.changes.items()}
            then.update((path, one.before) for path, one in earlier.items())
            wanted = {path: then[path] for path in then if paths is None or _among(path, paths)}
            for path in paths or ():
                if not any(_among(known, [path]) for known in (*then, *found.entries)):
                    raise Invalid(f"no checkpoint knows {path}", remedy="give a path inside the project", path=path)
            plan = go_to(wanted, {path: found.version(path) for path in wanted})
            promise = Promise("restore", f"restore {number}: {target.label}", frozenset(wanted))
            return self._carry_out(plan, promise, target.label, dry_run=dry_run)

    def prune(self, keep: int = KEEP) -> int:
        """Forget all but the newest ``keep`` checkpoints, and what only the others held. Returns how many are gone."""
        with self._recorder.alone(), self._recorder.reading() as store:
            return store.drop_all_but(max(keep, 1)) if store is not None else 0

    def close(self) -> None:
        """Safe to call twice; the next call to anything opens it again."""
        self._recorder.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _turn(self, number: int, kind: Kind, *, force: bool, dry_run: bool) -> Restored:
        """Turn one change around."""
        one = self._known(number)
        with self._recorder.reading() as store:
            made = store.changes(number) if store is not None else []
        places = frozenset(change.path for change in made)
        found = self._present(f"before: {kind} {one.label}", places, dry_run=dry_run)
        plan = turn_around(made, {path: found.version(path) for path in places}, force=force)
        if plan.conflicts:
            raise Invalid(
                f"{_named(plan.conflicts)} changed since {one.label!r}",
                remedy=f"fireside {kind} --force (what is there now stays in: fireside checkpoints)",
                reason="conflict",
                path=plan.conflicts[0],
            )
        return self._carry_out(plan, Promise(kind, one.label, places, number), one.label, dry_run=dry_run)

    def _present(self, label: str, places: frozenset[str], *, dry_run: bool) -> Survey:
        """What is there now; remembered, unless nothing is to be done anyway."""
        return self._recorder.look(places) if dry_run else self._recorder.record(Promise("found", label), places)[1]

    def _carry_out(self, plan: Turnaround, promise: Promise, label: str, *, dry_run: bool) -> Restored:
        done = Restored(label, tuple(plan.changes), tuple(plan.left))
        if dry_run:
            return done
        self._recorder.promise(promise)
        try:
            transaction.carry_out(self.workspace.root, [self._written(one) for one in plan.changes], self.folder)
        except BaseException:
            self._recorder.promise(None)
            raise
        checkpoint, _ = self._recorder.record(promise, always=True)
        return replace(done, checkpoint=checkpoint.id)

    def _written(self, one: FileChange) -> Change:
        before = one.before.mark if one.before is not None else None
        if one.after is None:
            return Change(one.path, before, None)
        mode = None if one.after.mark.startswith(LINK) else one.after.mode
        return Change(one.path, before, one.after.mark, partial(self._contents, one.after, one.path), mode)

    def _contents(self, version: Version, path: str) -> bytes:
        with self._recorder.reading() as store:
            assert store is not None
            return store.contents(version.mark, path)

    def _between(self, first: int, last: int | None = None) -> Mapping[str, FileChange]:
        with self._recorder.reading() as store:
            return store.between(first, last) if store is not None else {}

    def _log(self) -> tuple[Checkpoint, ...]:
        with self._recorder.reading() as store:
            return store.checkpoints() if store is not None else ()

    def _known(self, number: int) -> Checkpoint:
        for one in self._log():
            if one.id == number:
                return one
        raise Invalid(f"there is no checkpoint {number}", remedy="fireside checkpoints", reason="missing")


def _among(path: str, wanted: Iterable[str]) -> bool:
    """Whether a path is one of those wanted, or lies in one."""
    return any(one in (".", "") or path == one or path.startswith(f"{one}/") for one in wanted)


def _named(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:3])
    rest = len(paths) - 3
    return f"{shown} and {rest} more have" if rest > 0 else f"{shown} {'has' if len(paths) == 1 else 'have'}"
