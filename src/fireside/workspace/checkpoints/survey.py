"""See what has changed in a project since it was seen last, and read only that. Knows rules and sizes; not where contents are kept.

A file whose size, times and mode are as before is taken to be the same, unless it was seen so soon after it had been written that a
second writing could have left the same times.
"""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fireside.workspace.checkpoints.states import UNCOVERED, Entry, FileChange, Skipped, Version
from fireside.workspace.files import MAX_BYTES
from fireside.workspace.ignore import MARKED_FOLDER, Chain, outermost
from fireside.workspace.marks import LINK, NOWHERE, digest_of

# A file written again within one tick of the system's clock keeps its times. Where times are whole seconds, so is the tick.
TICK_NS = 100_000_000
WHOLE_SECONDS_NS = 2_000_000_000
READ_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
MB = 1_000_000
# How often a file that is growing is read again.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes. ``file``: what is larger is not covered, unless a change names it: then ``named`` holds.

    ``project``: when all files together are larger, those over the limit of a scan (1 MB) are not covered either.
    """

    file: int = 10 * MB
    named: int = 100 * MB
    project: int = 500 * MB


@dataclass(slots=True)
class Survey:
    """``entries``: every file now, by path. ``changes``: what differs from what was known. ``seen``: entries to remember anew."""

    entries: dict[str, Entry] = field(default_factory=dict)
    changes: dict[str, FileChange] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    skipped: list[Skipped] = field(default_factory=list)

    def version(self, path: str) -> Version | None:
        entry = self.entries.get(path)
        return entry.version if entry is not None else None


def survey(
    root: Path,
    known: Mapping[str, Entry],
    *,
    named: Collection[str] = (),
    apart: Collection[str] = (),
    limits: Limits = Limits(),
    keep: Callable[[str, bytes], None] | None = None,
) -> Survey:
    """Compare the disk with ``known``. ``named``: files to look at though no rule asks for them. ``apart``: folders to stay out of.

    ``keep``: is handed digest and bytes of every file that was read. A known file is looked at wherever it lies; one in a folder that
    cannot be read now is taken to be as it was.
    """
    found = Survey()
    facts: dict[str, os.stat_result] = dict(_walk(root, apart, found.skipped))
    closed = tuple(f"{folder.path}/" for folder in found.skipped)
    names: dict[str, frozenset[str]] = {}
    for path in {*named, *known} - facts.keys():
        if path.startswith(closed):
            if path in known:
                found.entries[path] = known[path]
        elif (there := _look(root, path, names)) is not None:
            facts[path] = there
    ordinary = sum(one.st_size for one in facts.values() if one.st_size <= limits.file)
    ceiling = limits.file if ordinary <= limits.project else MAX_BYTES
    for path, one in facts.items():
        before = known.get(path)
        covered = before is not None and not before.version.uncovered
        if before is not None and _same(before, one) and (covered or path not in named):
            found.entries[path] = before
            continue
        entry = _read(root / path, one, limits.named if covered or path in named else ceiling, keep)
        if entry is not None:
            found.entries[path] = entry
            found.seen.add(path)
    _compare(found, known)
    found.skipped += [Skipped(path, why) for path, one in found.entries.items() if (why := one.version.uncovered)]
    return found


def _compare(found: Survey, known: Mapping[str, Entry]) -> None:
    for path in found.seen:
        before, after = known.get(path), found.entries[path]
        if before is None or before.version != after.version:
            found.changes[path] = FileChange(path, before.version if before else None, after.version)
    for path, gone in known.items():
        if path not in found.entries:
            found.changes[path] = FileChange(path, gone.version, None)


def _same(before: Entry, now: os.stat_result) -> bool:
    return (
        before.ctime_ns == now.st_ctime_ns
        and before.mtime_ns == now.st_mtime_ns
        and before.size == now.st_size
        and before.version.mode == _mode(now)
    )


def _mode(facts: os.stat_result) -> int:
    return 0 if stat.S_ISLNK(facts.st_mode) else stat.S_IMODE(facts.st_mode)


def _walk(root: Path, apart: Collection[str], skipped: list[Skipped]) -> Iterator[tuple[str, os.stat_result]]:
    """Every file and link that no rule leaves out, whatever is in it."""
    chain, prefix = outermost(root)
    pending: list[tuple[str, str, Chain]] = [(str(root), "", chain)]
    while pending:
        folder, inside, chain = pending.pop()
        try:
            with os.scandir(folder) as entries:
                children = list(entries)
        except OSError as error:
            if not inside:
                raise
            if error.errno not in NOWHERE:
                skipped.append(Skipped(inside.rstrip("/"), "unreadable folder"))
            continue
        names = {child.name for child in children}
        if inside and not names.isdisjoint(MARKED_FOLDER):
            continue
        chain = chain.within(Path(folder), prefix + inside, names)
        for child in children:
            name, path = child.name, inside + child.name
            if name.lower() == ".git":
                continue
            if child.is_dir(follow_symlinks=False):
                if path not in apart and not chain.ignores(f"{prefix}{path}/", f"{name}/"):
                    pending.append((child.path, f"{path}/", chain))
            elif not chain.ignores(prefix + path, name):
                try:
                    facts = child.stat(follow_symlinks=False)
                except OSError:
                    continue  # gone since the folder was read
                if stat.S_ISREG(facts.st_mode) or stat.S_ISLNK(facts.st_mode):
                    yield path, facts


def _look(root: Path, path: str, names: dict[str, frozenset[str]]) -> os.stat_result | None:
    """The facts of one file; None when there is no file of exactly this name, or when the way to it leads over a link now.

    A disk that sees no difference in case would show ``A.py`` for ``a.py`` too: only the folder's list tells. ``names``: those read so far.
    """
    folder, _, name = path.rpartition("/")
    if name not in _names(root, folder, names):
        return None
    try:
        facts = os.lstat(root / path)
    except OSError:
        return None
    return None if stat.S_ISDIR(facts.st_mode) else facts


def _names(root: Path, folder: str, known: dict[str, frozenset[str]]) -> frozenset[str]:
    """What is in a folder; nothing when it is none, or a link."""
    if folder not in known:
        above, _, name = folder.rpartition("/")
        known[folder] = frozenset()
        if not folder or (name in _names(root, above, known) and not os.path.islink(root / folder)):
            with contextlib.suppress(OSError):
                known[folder] = frozenset(os.listdir(root / folder))
    return known[folder]


def _read(file: Path, facts: os.stat_result, largest: int, keep: Callable[[str, bytes], None] | None) -> Entry | None:
    """None when the file has gone since it was seen."""
    try:
        if stat.S_ISLNK(facts.st_mode):
            return _entry(facts, LINK + os.readlink(file))
        if not stat.S_ISREG(facts.st_mode):
            return _entry(facts, f"{UNCOVERED}not a regular file")
        if facts.st_size > largest:
            return _entry(facts, f"{UNCOVERED}larger than {largest / MB:g} MB")
        for _ in range(ATTEMPTS):
            data, facts = _bytes(file, largest)
            if len(data) == facts.st_size:
                break
    except OSError as error:
        if error.errno in NOWHERE:
            return None
        return _entry(facts, f"{UNCOVERED}unreadable")._replace(ctime_ns=0)
    if len(data) != facts.st_size:
        # It is being written at this moment: next time will tell.
        return _entry(facts, f"{UNCOVERED}changing while it was read")._replace(ctime_ns=0)
    digest = digest_of(data)
    if keep is not None:
        keep(digest, data)
    return _entry(facts, digest)


def _bytes(file: Path, largest: int) -> tuple[bytes, os.stat_result]:
    """The bytes, and what the system said about the file when they had been read."""
    with open(os.open(file, READ_FLAGS), "rb") as opened:
        data = opened.read(largest + 1)
        return data, os.fstat(opened.fileno())


def _entry(facts: os.stat_result, mark: str) -> Entry:
    """An entry that is not trusted next time (its ctime is none) when the file may change once more without its times showing it."""
    latest = max(facts.st_mtime_ns, facts.st_ctime_ns)
    tick = TICK_NS if facts.st_mtime_ns % 1_000_000_000 else WHOLE_SECONDS_NS
    settled = time.time_ns() - latest > tick
    return Entry(facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns if settled else 0, Version(mark, _mode(facts)))
