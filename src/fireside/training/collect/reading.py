"""Read what a part names: files of a repository or a package, an archive, the blobs its commits changed. The only place that reads sources.

Knows disks, archives and git; makes nothing of what it reads, so that this runs here and the making on any machine.
"""

import tarfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fireside.core.errors import NotPermitted
from fireside.index.languages import language_of
from fireside.training import archives, exclusions, licences
from fireside.training.collect.origins import Origin, Part, shuffled
from fireside.training.collect.patches import Change, blobs, changes, new_lines
from fireside.training.collect.screening import CAPPED, LANGUAGE, LICENCE, UNREADABLE, by_text, speaks
from fireside.training.collect.settings import CollectSettings
from fireside.workspace.files import SourceText, read
from fireside.workspace.git import Git
from fireside.workspace.wanted import Wanted

MIN_LINE = 8


@dataclass(frozen=True, slots=True)
class Text:
    """One file as read. ``recent``: digests (crc32) of its lines, stripped, that the last commits brought."""

    path: str
    text: str
    language: str
    licence: str
    recent: frozenset[int] = frozenset()


@dataclass(slots=True)
class Loaded:
    """A part with all that was read for it. ``blobs``: object name -> bytes, of what the changes speak of."""

    number: int
    origin: Origin
    texts: list[Text] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


def load(part: Part, settings: CollectSettings) -> Loaded:
    """Read a part. What cannot be read is counted. Raises what git raises."""
    loaded = Loaded(part.number, part.origin)
    if part.origin.kind == "archive":
        _archive(part, settings, loaded)
    elif part.commits:
        _history(part, loaded)
    else:
        _files(part, settings, loaded)
    return loaded


def _files(part: Part, settings: CollectSettings, loaded: Loaded) -> None:
    origin = part.origin
    recent: dict[str, set[bytes]] = {}
    if part.recent:
        recent = new_lines(Git(origin.place), part.recent, part.paths)
    for path in part.paths:
        try:
            source = read(origin.place, path, max_bytes=settings.largest)
        except (OSError, NotPermitted):
            loaded.left_out[UNREADABLE] += 1
            continue
        reason = by_text(source, settings)
        if reason or not isinstance(source, SourceText):
            loaded.left_out[reason or UNREADABLE] += 1
            continue
        fresh = frozenset(zlib.crc32(line) for line in recent.get(path, ()) if len(line) >= MIN_LINE)
        loaded.texts.append(Text(path, source.text, language_of(path, source.text), origin.licence, fresh))


def _archive(part: Part, settings: CollectSettings, loaded: Loaded) -> None:
    """The files of a package's archives, each with the licence that Debian's account or the pinned list gives it."""
    source, folder = part.origin.source, part.origin.place
    assert source is not None
    try:
        stated = source.stating_licences(folder)
        stanzas = licences.read(archives.copyright_text(stated)) if stated is not None else []
        found = [one for archive in source.archives(folder) for one in archives.files(archive, source.inside)]
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        loaded.left_out[f"a damaged archive ({source.name}: {type(error).__name__})"] += 1
        return
    left = part.limit or sum(len(one.text) for one in found)
    kept: list[Text] = []
    for one in sorted(found, key=lambda one: shuffled(one.path)):
        licence = licences.of(one.path, stanzas, source.licence)
        size = len(one.text.encode("utf-8", "replace"))
        reason = LANGUAGE if not speaks(one.language, settings) else "" if licence else LICENCE
        reason = reason or by_text(SourceText(one.path, one.text, "utf-8", "\n", ""), settings)
        if reason or size > left:
            loaded.left_out[reason or CAPPED] += 1
            continue
        left -= size
        kept.append(Text(one.path, one.text, one.language, licence))
    loaded.texts += sorted(kept, key=lambda one: one.path)


def _history(part: Part, loaded: Loaded) -> None:
    git = Git(part.origin.place)
    wanted = Wanted(Path(part.origin.place))
    for change in changes(git, part.commits):
        if wanted.file(change.path) and not exclusions.path(change.path):
            loaded.changes.append(change)
    names = {name for change in loaded.changes for hunk in change.hunks for name in (hunk.before, hunk.after)}
    loaded.blobs |= blobs(git, sorted(names))
