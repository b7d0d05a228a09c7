"""Write, make and delete files of the project: all of them or none. Knows where nobody may write, not why something is written."""

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fireside.core.errors import FiresideError, Invalid, NotPermitted
from fireside.workspace import transaction
from fireside.workspace.marks import LINK, OTHER, digest_of, mark_of
from fireside.workspace.refusals import changed, spoken
from fireside.workspace.transaction import Change, Recovered
from fireside.workspace.workspace import Workspace

# Names that some system takes for ``.git`` (NTFS's short name; what HFS+ and NTFS leave out of a name is taken away first).
GIT_NAMES = frozenset((".git", "git~1"))
IMMUTABLE = getattr(stat, "UF_IMMUTABLE", 0) | getattr(stat, "SF_IMMUTABLE", 0)


@dataclass(frozen=True, slots=True)
class FileWrite:
    """What one file is to be. ``path``: relative to the root, with forward slashes.

    ``data``: its new bytes; None deletes it (of a link: the link, not what it leads to). ``before``: blake2b-128 hex of the bytes it
    must still have; None: it must not exist yet. ``mode``: permission bits; None: as they are, or what the umask gives a new file.
    """

    path: str
    data: bytes | None
    before: str | None
    mode: int | None = None


def write_all(workspace: Workspace, writes: Sequence[FileWrite], *, state: Path | None = None) -> None:
    """Write all of it, or raise and leave every file as it was, also when this process is killed halfway and ``state`` was given.

    ``state``: a folder of this root alone, outside the project (``Checkpoints.folder``): keeps the journal and the lock. A file is
    replaced in one step; its mode bits, owner and attributes are kept; a link inside the root is written through; folders are made as
    needed, and removed with their last file.

    Raises ``NotPermitted`` for a path outside the root or in ``.git`` and for what is read-only, ``OutOfResources`` when the disk is
    full, ``Invalid`` for a file that has changed since ``before``, that exists or is missing against it, is no file, or is written twice.
    ``context``: ``path`` and the ``reason`` as one word of ``refusals``.
    """
    if state is None:
        transaction.carry_out(workspace.root, _checked(workspace, writes), None)
        return
    with transaction.sole_writer(state):
        transaction.recover(workspace.root, state)
        transaction.carry_out(workspace.root, _checked(workspace, writes), state)


def recover(workspace: Workspace, state: Path) -> Recovered:
    """Take back what a killed ``write_all`` left half done. Opening a project's checkpoints does this too."""
    return transaction.recover(workspace.root, state)


def protected(path: str) -> bool:
    """Whether a part of ``path`` is a ``.git``, as any system would read it."""
    return any(_plain(part) in GIT_NAMES for part in path.split("/"))


def _plain(name: str) -> str:
    shown = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    return shown.partition(":")[0].rstrip(" .").casefold()


def _checked(workspace: Workspace, writes: Sequence[FileWrite]) -> list[Change]:
    changes = [_change(workspace, write) for write in writes]
    _refuse_twins(workspace.root, changes)
    _refuse_other_case(workspace.root, changes)
    return changes


def _change(workspace: Workspace, write: FileWrite) -> Change:
    place = place_of(workspace, write.path, follow=write.data is not None)
    with spoken(write.path):
        mark = mark_of(workspace.root / place)
        if mark is not None and mark.startswith(LINK):
            _check_bytes(write, _mark_behind(workspace, write.path))
        else:
            _check_bytes(write, mark)
            if mark is not None and write.before is not None:
                _refuse_read_only(workspace.root / place, write.path)
    data = write.data
    if data is None:
        return Change(place, mark, None)
    return Change(place, write.before, digest_of(data), lambda: data, write.mode)


def place_of(workspace: Workspace, path: str, *, follow: bool = True) -> str:
    """Where ``path`` really is, relative to the root. ``follow``: also when its last part is a link.

    Raises ``NotPermitted`` for what is outside the root or in a ``.git``, ``Invalid`` for what can be no file.
    """
    try:
        if follow:
            real = workspace.resolve(path)
        else:
            folder, _, name = path.rpartition("/")
            real = workspace.resolve(folder or "." if not path.startswith("/") else folder or "/") / name
    except FiresideError as error:
        reason = "outside_root" if isinstance(error, NotPermitted) else "malformed"
        raise type(error)(error.message, remedy=error.remedy, path=path, reason=reason) from error
    except OSError as error:
        with spoken(path):
            raise error
    if real == workspace.root or path.endswith("/") or real.name in (".", ".."):
        raise Invalid(f"{path!r} is a folder", remedy="name a file inside the project", path=path, reason="not_a_file")
    place = real.relative_to(workspace.root).as_posix()
    if protected(path) or protected(real.as_posix()):
        raise NotPermitted(
            f"{path} belongs to git; Fireside writes nothing there",
            remedy="change it with git",
            path=path,
            reason="protected",
        )
    return place


def _mark_behind(workspace: Workspace, path: str) -> str | None:
    """The mark of what a link in the project leads to; None when that is nothing, or none of our business."""
    try:
        return mark_of(workspace.resolve(path))
    except FiresideError:
        return None


def _check_bytes(write: FileWrite, mark: str | None) -> None:
    """``mark``: of the bytes that are there now."""
    if mark == OTHER:
        raise Invalid(
            f"{write.path} is no ordinary file", remedy="choose another path", path=write.path, reason="not_a_file"
        )
    if write.before is None and write.data is None:
        raise Invalid(f"{write.path}: there is nothing to delete", path=write.path, reason="missing")
    # A folder is in the way unless all its files leave with the same change, which the transaction finds out.
    if write.before is None and mark not in (None, "folder"):
        raise Invalid(
            f"{write.path} exists already", remedy="read it, then change it", path=write.path, reason="exists"
        )
    if write.before is not None and mark is None:
        raise Invalid(f"{write.path} does not exist", remedy="check the path", path=write.path, reason="missing")
    if write.before is not None and mark == "folder":
        raise Invalid(f"{write.path} is a folder", remedy="name a file", path=write.path, reason="not_a_file")
    if write.before is not None and mark != write.before:
        raise changed(write.path)


def _refuse_read_only(file: Path, path: str) -> None:
    """Replacing a file needs no right to write it, but whoever took that right away meant it."""
    facts = os.lstat(file)
    if not facts.st_mode & 0o222 or not os.access(file, os.W_OK) or getattr(facts, "st_flags", 0) & IMMUTABLE:
        raise NotPermitted(f"{path} is read-only", remedy=f"chmod u+w {path}", path=path, reason="read_only")


def _refuse_twins(root: Path, changes: Sequence[Change]) -> None:
    """Two writes to one file, also under two names (hard links, or names that differ in case where the system sees no difference)."""
    places = Counter(change.place for change in changes)
    files = Counter(_identity(root / change.place) for change in changes if change.before and change.after)
    for change in changes:
        same_file = change.before and change.after and files[_identity(root / change.place)] > 1
        if places[change.place] > 1 or same_file:
            raise Invalid(
                f"{change.place} is written twice", remedy="make it one change", path=change.place, reason="overlap"
            )


def _identity(file: Path) -> tuple[int, int]:
    facts = os.lstat(file)
    return facts.st_dev, facts.st_ino


def _refuse_other_case(root: Path, changes: Sequence[Change]) -> None:
    """A new file or folder must not differ from another one only in case: half the world's disks cannot hold both."""
    leaving = [change.place for change in changes if change.after is None]
    seen: dict[str, str] = {}
    for change in changes:
        if change.before is not None:
            continue
        parts = change.place.split("/")
        for path in ("/".join(parts[:length]) for length in range(1, len(parts) + 1)):
            twin = seen.get(_folded(path)) or _other_case(root, path, leaving) or path
            seen[_folded(path)] = twin
            if twin != path:
                raise Invalid(
                    f"{path} differs only in case from {twin}", remedy=f"use {twin}, or choose another name",
                    path=change.place, reason="exists",
                )  # fmt: skip


def _other_case(root: Path, path: str, leaving: Sequence[str]) -> str:
    """A path that is there and is ``path`` but for the case, or "". What is leaving does not count."""
    if os.path.lexists(root / path):
        return ""
    folder, slash, name = path.rpartition("/")
    try:
        names = os.listdir(root / folder)
    except OSError:
        return ""
    twin = next((folder + slash + other for other in names if _folded(other) == _folded(name)), "")
    return "" if any(place == twin or place.startswith(f"{twin}/") for place in leaving) else twin


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
