"""Which files have changed since the index last looked. Knows sizes, times and paths; reads no file.

A file is taken as unchanged when size, modification and status-change time are what they were, unless it was written so shortly before
the last look that a later write could bear the same times ("racily clean", as in git's index).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fireside.index.store import FileRow
from fireside.workspace.files import FileEntry

RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Changes:
    """``new`` and ``suspect`` files must be read to know; ``gone`` ones are in the index and no longer on disk."""

    new: tuple[FileEntry, ...]
    suspect: tuple[FileEntry, ...]
    gone: tuple[FileRow, ...]

    @property
    def count(self) -> int:
        return len(self.new) + len(self.suspect) + len(self.gone)


def compare(entries: Iterable[FileEntry], known: Mapping[str, FileRow], looked_ns: int) -> Changes:
    """``looked_ns``: when the walk that made ``known`` began, nanoseconds since 1970."""
    new: list[FileEntry] = []
    suspect: list[FileEntry] = []
    present: set[str] = set()
    for entry in entries:
        present.add(entry.path)
        row = known.get(entry.path)
        if row is None:
            new.append(entry)
        elif not _same(entry, row) or max(entry.mtime_ns, entry.ctime_ns) >= looked_ns - RACY_NS:
            suspect.append(entry)
    gone = tuple(row for path, row in known.items() if path not in present)
    return Changes(tuple(new), tuple(suspect), gone)


def _same(entry: FileEntry, row: FileRow) -> bool:
    return (entry.size, entry.mtime_ns, entry.ctime_ns) == (row.size, row.mtime_ns, row.ctime_ns)
