"""What would be read, listed before anything is: every origin with its files, bytes, languages, commits and licence.

Knows the three kinds of origins; reads names, sizes and licences, and no source.
"""

import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from fireside.core.errors import Invalid
from fireside.core.values import replace
from fireside.index.languages import language_of
from fireside.training import sources
from fireside.training.collect import packages, repositories
from fireside.training.collect.origins import Entry, Listed, Listing, Origin, chosen
from fireside.training.collect.screening import by_name
from fireside.training.collect.settings import CollectSettings
from fireside.workspace.workspace import Workspace

SMOKE_BYTES = 400_000
SMOKE_COMMITS = 20
OWN_LICENCE = "Apache-2.0"


def listing(settings: CollectSettings) -> Listing:
    """Everything the settings ask for. Raises ``Invalid`` for what is not there, or is not what it should be."""
    notes: list[str] = []
    found = [*_repositories(settings, notes), *packages.listed(settings), *_archives(settings)]
    return Listing(tuple(found), tuple(notes))


def smallest(whole: Listing, settings: CollectSettings) -> Listing:
    """A small part of it, or of Fireside's own source when nothing is asked for: for ``--smoke``."""
    origins = whole.origins or (_own(settings),)
    share = SMOKE_BYTES // len(origins) or 1
    return Listing(
        tuple(replace(one, files=chosen(one.files, share), commits=one.commits[:SMOKE_COMMITS]) for one in origins)
    )


def states(whole: Listing, settings: CollectSettings) -> Mapping[str, str]:
    """Each origin with a digest that changes when it does, and the evaluation sets."""
    found = {f"{one.origin.kind} {one.origin.name}": _state(one) for one in whole.origins}
    return found | {f"against {folder}": folder_state(Path(folder).expanduser()) for folder in settings.against}


def folder_state(folder: Path) -> str:
    """A digest of the names, sizes and times of the files under a folder. Raises ``Invalid`` when it is none."""
    if not folder.is_dir():
        raise Invalid(f"{folder} is no folder", remedy="name the folder of the evaluation set in collect.against")
    found = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            told = path.stat()
            found.update(f"{path.relative_to(folder)} {told.st_size} {told.st_mtime_ns}\n".encode("utf-8", "replace"))
    return found.hexdigest()


def _repositories(settings: CollectSettings, notes: list[str]) -> Iterator[Listed]:
    seen: set[Path] = set()
    names: set[str] = set()
    for folder in settings.repositories:
        place = Path(folder).expanduser().resolve()
        if place in seen:
            notes.append(f"{folder} is named twice; it is read once")
            continue
        seen.add(place)
        name, number = place.name or "repository", 1
        while name in names:
            number += 1
            name = f"{place.name}-{number}"
        names.add(name)
        yield repositories.listed(folder, settings, name)


def _archives(settings: CollectSettings) -> Iterator[Listed]:
    """One archive is a file here: what is in it is not known before it is read. ``sources.listed`` has checked licences and exclusions."""
    if not settings.archives:
        return
    folder = Path(settings.archives).expanduser()
    if not folder.is_dir():
        raise Invalid(f"{folder} is no folder", remedy="name the folder with the archives in collect.archives")
    found = 0
    for source in sources.listed():
        there = source.archives(folder)
        if there:
            found += 1
            entries = tuple(Entry(path.name, path.stat().st_size, "archive", source.version) for path in there)
            yield Listed(
                Origin("archive", source.name, folder, source.licence, version=source.version, source=source), entries
            )
    if not found:
        raise Invalid(
            f"{folder} has no archive of the pinned list", remedy="fetch them: python -m fireside.training.embedding"
        )


def _own(settings: CollectSettings) -> Listed:
    """Fireside's own source, as it is installed."""
    root = Path(str(files("fireside")))
    entries = [
        Entry(entry.path, entry.size, language_of(entry.path))
        for entry in Workspace(root).files()
        if not by_name(entry.path, entry.size, settings, own=False)
    ]
    return Listed(Origin("package", "fireside", root, OWN_LICENCE), tuple(entries), note="nothing was asked for")


def _state(one: Listed) -> str:
    told = [one.origin.commit, one.origin.version, one.origin.licence, str(len(one.commits))]
    told += [f"{entry.path} {entry.size} {entry.state}" for entry in one.files]
    return hashlib.blake2b("\n".join(told).encode("utf-8", "replace"), digest_size=16).hexdigest()
