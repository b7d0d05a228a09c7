"""What is to be read: its origins (a repository, a package, an archive), each with its files, cut into parts that are done one by one.

Knows names and numbers only; reads nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fireside.core.values import replace
from fireside.training.collect.settings import CollectSettings
from fireside.training.sources import Source

OriginKind = Literal["repository", "package", "archive"]
PART_BYTES = 2_000_000
PART_COMMITS = 50


@dataclass(frozen=True, slots=True)
class Origin:
    """``place``: the folder its paths are relative to. ``licence``: SPDX, "" when unknown. ``commit``: what is checked out, or ""."""

    kind: OriginKind
    name: str
    place: Path
    licence: str = ""
    commit: str = ""
    version: str = ""
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One file to read. ``path``: relative to its origin, with forward slashes. ``size`` in bytes."""

    path: str
    size: int
    language: str
    state: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """What would be read of one origin, and what is left out of it and why. ``commits``: full hashes, newest first."""

    origin: Origin
    files: tuple[Entry, ...] = ()
    commits: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.files)

    @property
    def languages(self) -> dict[str, int]:
        """Language -> how many files."""
        return dict(Counter(entry.language for entry in self.files).most_common())


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything that would be read, before any of it is."""

    origins: tuple[Listed, ...]
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        return sum(len(one.files) for one in self.origins)

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.origins)

    @property
    def commits(self) -> int:
        return sum(len(one.commits) for one in self.origins)

    @property
    def left_out(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for one in self.origins:
            total.update(one.left_out)
        return total

    def lines(self) -> Iterator[str]:
        """For the reader: one line an origin, and what is left out in all."""
        for one in self.origins:
            spoken = ", ".join(list(one.languages)[:4]) or "nothing"
            commits = f", {len(one.commits)} commits" if one.commits else ""
            licence = one.origin.licence or "licence unknown"
            note = f"; {one.note}" if one.note else ""
            size = f"{len(one.files)} files, {one.bytes / 1e6:.1f} MB{commits}"
            yield f"{one.origin.kind} {one.origin.name}: {size} ({spoken}); {licence}{note}"
        if self.left_out:
            told = ", ".join(f"{reason} {count}" for reason, count in self.left_out.most_common())
            yield f"left out unread: {told}"
        yield from self.notes


@dataclass(frozen=True, slots=True)
class Part:
    """What is done in one go. ``commits`` are set for edits, ``paths`` for files; an archive is always whole, but for ``limit`` bytes.

    ``recent``: the commits that say which lines of the files are new.
    """

    number: int
    origin: Origin
    paths: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    recent: tuple[str, ...] = ()
    limit: int = 0


def parts(listing: Listing, settings: CollectSettings, *, limit: int = 0) -> list[Part]:
    """The listing in parts of about ``PART_BYTES``, in an order that depends on nothing else. ``limit``: bytes of each archive."""
    found: list[Part] = []
    for one in listing.origins:
        if one.origin.kind == "archive":
            found.append(Part(0, one.origin, limit=limit or settings.package_bytes))
            continue
        recent = one.commits[: settings.recent] if "fim" in settings.kinds else ()
        found += [Part(0, one.origin, paths=paths, recent=recent) for paths in _chunks(one.files)]
        edited = one.commits if "edit" in settings.kinds else ()
        found += [
            Part(0, one.origin, commits=edited[at : at + PART_COMMITS]) for at in range(0, len(edited), PART_COMMITS)
        ]
    return [replace(part, number=number) for number, part in enumerate(found)]


def chosen(entries: Sequence[Entry], most: int) -> tuple[Entry, ...]:
    """At most ``most`` bytes of these files, from all over: by a digest of the path. In the order of the paths. 0: all."""
    if not most or sum(entry.size for entry in entries) <= most:
        return tuple(sorted(entries, key=_by_path))
    kept: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: shuffled(entry.path)):
        if entry.size <= most:
            kept.append(entry)
            most -= entry.size
    return tuple(sorted(kept, key=_by_path))


def shuffled(path: str) -> bytes:
    """A key that sorts paths in an order that has nothing to do with their names, and is the same everywhere."""
    return hashlib.blake2b(path.encode("utf-8", "replace"), digest_size=8).digest()


def _by_path(entry: Entry) -> str:
    return entry.path


def _chunks(entries: Iterable[Entry]) -> Iterator[tuple[str, ...]]:
    part: list[str] = []
    size = 0
    for entry in entries:
        part.append(entry.path)
        size += entry.size
        if size >= PART_BYTES:
            yield tuple(part)
            part, size = [], 0
    if part:
        yield tuple(part)
