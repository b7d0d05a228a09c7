"""Which worktrees were begun, made, or are being removed: one small file each, and the lock under which they change.

Knows names and files; runs nothing. A record is written before what it tells of is done, so that whoever comes after a crash knows what
was under way. The lock goes with the process that holds it, however it dies, but not before a git that it started has ended.
"""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fireside.core.errors import FiresideError, Invalid, OutOfResources, ToolFailed

try:
    import fcntl
except ImportError:  # Windows: said when a lock is asked for
    fcntl = None  # type: ignore[assignment]

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
WAIT_SECONDS = 20.0
PAUSE_SECONDS = 0.05
State = Literal["making", "ready", "removing"]


@dataclass(frozen=True, slots=True)
class Record:
    """``base``: the commit it began at. ``tip``: the commit its branch had when its removal was decided."""

    name: str
    base: str
    state: State
    tip: str = ""


def checked(name: str) -> str:
    """The name, when it can be one of a folder and of a branch. Raises ``Invalid``."""
    if not NAME.fullmatch(name) or ".." in name or name.endswith(".lock"):
        raise Invalid(
            f"{name[:80]!r} is not a name for a worktree",
            remedy="up to 64 letters, digits, - _ and . (not at the ends)",
        )
    return name


class Records:
    """The records below ``folder``, which is made when the first one is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[Record]:
        """By name. A file that is no record (damaged by hand) is left out: git still knows the worktree."""
        found = (self._read(path) for path in sorted(self.folder.glob("*.json")))
        return [record for record in found if record is not None]

    def get(self, name: str) -> Record | None:
        return self._read(self._path(checked(name)))

    def write(self, record: Record) -> None:
        """Whole or not at all, and on the disk before this returns. Raises ``OutOfResources``."""
        path = self._path(record.name)
        new = path.with_suffix(".new")
        try:
            with open(new, "wb") as file:
                file.write(json.dumps(asdict(record)).encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise _no_place(self.folder, error) from error

    def delete(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[int]:
        """Alone with the records. Yields the descriptor that holds the lock, for processes that must keep it (see ``gitrun.run``).

        Raises ``ToolFailed`` when another process does not let go in ``WAIT_SECONDS``.
        """
        if fcntl is None:
            raise ToolFailed("worktrees need a lock that this system does not have", remedy="use git worktree")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _no_place(self.folder, error) from error
        try:
            _wait_for(descriptor, self.folder)
            yield descriptor
        finally:
            os.close(descriptor)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _read(self, path: Path) -> Record | None:
        try:
            found = Record(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.name == path.stem and NAME.fullmatch(found.name) else None


def _wait_for(descriptor: int, folder: Path) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise ToolFailed(
                    "another process is changing this project's worktrees",
                    remedy=f"wait for it; it holds {folder / 'lock'}",
                ) from None
            time.sleep(PAUSE_SECONDS)


def _no_place(folder: Path, error: OSError) -> FiresideError:
    return OutOfResources(
        f"{folder} cannot be written: {error.strerror}", remedy=f"check: df {folder}; ls -ld {folder}"
    )
