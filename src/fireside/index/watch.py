"""Keep an index true while somebody works: notice what changes on disk, and read it.

Knows files and rules, and asks the system to tell of changes (watchfiles); where it cannot (a network drive, too many folders, no such
library) the project is looked through again and again. Only folders of the project are watched: what is ignored costs nothing. The
writer's lock is taken only when there is something to write.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from fireside.core.errors import FiresideError
from fireside.index.chunks import IndexReport, IndexStatus, Progress
from fireside.workspace.ignore import RULE_FILES
from fireside.workspace.wanted import Wanted

# A burst of writes is one batch: it ends when nothing was written for the step, or after the whole.
STEP_MS = 100
BATCH_MS = 2_000
# Some drives tell nothing and do not say so.
LOOK_ANYWAY_SECONDS = 120.0
RETRY_SECONDS = 2.0
POLL_SECONDS = 2.0
# Looking through the project may take this share of the time.
POLL_SHARE = 0.05
# FSEvents and Windows watch a whole tree by one handle; inotify needs one for each folder, and is given only those that count.
ONE_HANDLE = sys.platform != "linux"
MOUNTS = Path("/proc/self/mounts")
REMOTE = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "drvfs", "fuse.sshfs", "vboxsf", "afs", "ceph", "virtiofs")
)


class Kept(Protocol):
    """The part of a project (or of whatever has an index) that is needed to keep it true."""

    @property
    def root(self) -> Path: ...

    def update(self, progress: Callable[[Progress], None] | None = None, /) -> IndexReport: ...

    def status(self) -> IndexStatus: ...


class Stopped(Exception):
    """Somebody asked to stop while files were being read; what was read is not kept."""


def follow(
    project: Kept,
    *,
    stop: threading.Event,
    on_report: Callable[[IndexReport], None],
    on_error: Callable[[FiresideError], None] | None = None,
    on_mode: Callable[[str], None] | None = None,
    poll: float | None = None,
) -> None:
    """Update the index now and whenever something changes, until ``stop`` is set. Blocks; call it in a thread, or see ``watching``.

    ``on_report``: called after the first update and after each that found something. ``on_error``: called when an update fails, which is
    then tried again; without it the error is raised. ``on_mode``: told how changes are noticed, in words, when that is settled.
    ``poll``: look every so many seconds instead of being told.
    """
    follower = Follower(project, stop, on_report, on_error, on_mode)
    try:
        follower.run(poll)
    except Stopped:
        return


@contextmanager
def watching(
    project: Kept,
    *,
    on_report: Callable[[IndexReport], None],
    on_error: Callable[[FiresideError], None],
    poll: float | None = None,
) -> Iterator[None]:
    """``follow`` in a thread of its own while inside. Leaving waits for the file that is just being read, no longer."""
    stop = threading.Event()

    def work() -> None:
        follow(project, stop=stop, on_report=on_report, on_error=on_error, poll=poll)

    thread = threading.Thread(target=work, name="fireside-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Follower:
    """One project being followed. Everything happens in the thread that calls ``run``."""

    def __init__(
        self,
        project: Kept,
        stop: threading.Event,
        on_report: Callable[[IndexReport], None],
        on_error: Callable[[FiresideError], None] | None,
        on_mode: Callable[[str], None] | None,
    ) -> None:
        self._project = project
        self._stop = stop
        self._on_report = on_report
        self._on_error = on_error
        self._on_mode = on_mode
        self._generation = -1
        self._complaint = ""
        # Another process is writing, or something failed: look again soon, told or not.
        self._unsettled = False

    def run(self, poll: float | None) -> None:
        self._look()
        reason = "as asked" if poll is not None else remote(self._project.root) or self._by_events()
        if reason and not self._stop.is_set():
            self._say(f"looking every few seconds ({reason})")
            self._by_looking(poll if poll is not None else POLL_SECONDS)

    def _by_events(self) -> str:
        """Be told of changes until stopped; returns why that cannot be."""
        try:
            from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError
        except ImportError:
            return "watchfiles is not installed"
        said = False
        while not self._stop.is_set():
            folders = self._folders()
            try:
                watcher = RustNotify(sorted(folders), False, False, 0, ONE_HANDLE, True)
            except FileNotFoundError:
                self._stop.wait(STEP_MS / 1000)  # a folder has gone since it was listed
                continue
            except (OSError, WatchfilesRustInternalError) as error:
                return str(error)
            if not said:
                self._say("told by the system")
                said = True
            with watcher:
                # What changed before the watcher stood was told to nobody.
                self._look()
                self._until_folders_change(watcher.watch, folders)
        return ""

    def _until_folders_change(
        self, wait: "Callable[[int, int, int, threading.Event], object]", folders: frozenset[str]
    ) -> None:
        if self._folders() != folders:
            return
        while True:
            seconds = RETRY_SECONDS if self._unsettled else LOOK_ANYWAY_SECONDS
            told = wait(BATCH_MS, STEP_MS, int(seconds * 1000), self._stop)
            if told == "stop":
                return
            if told == "signal":
                raise KeyboardInterrupt
            paths = {path for _, path in told} if isinstance(told, set) else set()
            if not paths or self._counts(paths):
                self._look()
            moved = any(os.path.isdir(path) or path in folders or path.endswith(RULE_FILES) for path in paths)
            if moved and self._folders() != folders:
                return

    def _by_looking(self, seconds: float) -> None:
        pause = seconds
        while not self._stop.wait(RETRY_SECONDS if self._unsettled else pause):
            began = time.perf_counter()
            self._look()
            pause = max(seconds, (time.perf_counter() - began) / POLL_SHARE)

    def _counts(self, paths: set[str]) -> bool:
        """Whether any of these paths may be one of the project's."""
        root = self._project.root
        wanted = Wanted(root)
        for path in paths:
            if not path.startswith(f"{root}{os.sep}".replace(2 * os.sep, os.sep)):
                continue
            place = os.path.relpath(path, root).replace(os.sep, "/")
            if wanted.folder(place) if os.path.isdir(path) else wanted.file(place):
                return True
        return False

    def _folders(self) -> frozenset[str]:
        """Every folder to be watched."""
        root = self._project.root
        if ONE_HANDLE:
            return frozenset((str(root),))
        wanted = Wanted(root)
        found, pending = {str(root)}, [""]
        while pending:
            inside = pending.pop()
            try:
                with os.scandir(root / inside) as entries:
                    below = [f"{inside}{entry.name}" for entry in entries if entry.is_dir(follow_symlinks=False)]
            except OSError:
                continue
            for folder in below:
                if wanted.folder(folder):
                    found.add(str(root / folder))
                    pending.append(f"{folder}/")
        return frozenset(found)

    def _look(self) -> None:
        """Bring the index up to date if it is not. A root that is gone for now (a drive) empties nothing."""
        if not self._project.root.is_dir():
            self._unsettled = True
            return
        try:
            # The first update says what is wrong with a root before anything walks it.
            status = self._project.status() if self._generation >= 0 else None
            if status is None or status.pending or status.generation != self._generation:
                report = self._project.update(self._go_on)
                self._unsettled = report.pending > 0
                if report.generation != self._generation:
                    self._generation = report.generation
                    self._on_report(report)
            else:
                self._unsettled = False
            self._complaint = ""
        except FiresideError as error:
            self._unsettled = True
            if self._on_error is None:
                raise
            if error.message != self._complaint:
                self._complaint = error.message
                self._on_error(error)

    def _go_on(self, _: Progress) -> None:
        if self._stop.is_set():
            raise Stopped

    def _say(self, mode: str) -> None:
        if self._on_mode is not None:
            self._on_mode(mode)


def remote(root: Path) -> str:
    """Why the system will not tell what changes under ``root`` (it lies on another machine), or ""."""
    try:
        mounts = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for mount in mounts:
        _, place, found, *_ = [*mount.split(" "), "", "", ""]
        place = place.replace("\\040", " ")
        if len(place) >= len(best) and root.is_relative_to(place or "\0"):
            best, kind = place, found
    return f"{best} is a network drive, {kind}" if kind in REMOTE else ""
