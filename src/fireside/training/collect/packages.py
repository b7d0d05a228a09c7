"""Installed Python packages that may be learnt from: their source files and the licence their metadata and LICENSE texts state.

Knows what an installer leaves behind; imports no package. A licence is taken from the first of these that states one: License-Expression,
License, the classifiers, the LICENSE files.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path, PurePosixPath

from fireside.core.errors import Invalid
from fireside.index.languages import language_of
from fireside.training import exclusions, spdx
from fireside.training.collect.origins import Entry, Listed, Origin, chosen
from fireside.training.collect.screening import CAPPED, EXCLUDED, LICENCE, by_name
from fireside.training.collect.settings import CollectSettings

LICENCE_FILES = ("license", "licence", "copying", "unlicense")
MOST_TEXTS = 4
OURS = "fireside"


def listed(settings: CollectSettings, places: Iterable[str] | None = None) -> Iterator[Listed]:
    """What would be read of each package asked for, by name. ``places``: where packages are installed; this environment's unless given.

    Raises ``Invalid`` that names a package which is not installed.
    """
    path = list(places) if places is not None else sys.path
    found: dict[str, metadata.Distribution] = {}
    for one in metadata.distributions(path=path):
        found.setdefault(normalised(one.name or ""), one)
    wanted = [normalised(name) for name in settings.packages]
    for name, asked in zip(wanted, settings.packages, strict=True):
        if name not in found:
            near = get_close_matches(name, found, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else f"pip install {asked}"
            raise Invalid(f"there is no installed package {asked}", remedy=hint)
    if settings.packages_from == "environment":
        wanted += [name for name in found if name not in ("", OURS)]
    for name in sorted(set(wanted)):
        yield _one(found[name], name, settings)


def normalised(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def licence_of(package: metadata.Distribution) -> str:
    """SPDX, or "" when nothing states a licence that can be read."""
    told = package.metadata
    for written in [*(told.get_all("License-Expression") or []), *(told.get_all("License") or [])]:
        if found := spdx.expression(written):
            return found
    classified = spdx.of_classifiers(told.get_all("Classifier") or [])
    return classified or spdx.joined(spdx.of_text(text) for text in _licence_texts(package))


def _one(package: metadata.Distribution, name: str, settings: CollectSettings) -> Listed:
    licence = licence_of(package)
    version = package.version  # reads the metadata again each time
    origin = Origin("package", name, Path(str(package.locate_file(""))), licence, version=version)
    files = list(_files(package))
    if exclusions.package(name):
        return Listed(origin, left_out={EXCLUDED: len(files)})
    # Unknown is allowed where the model stays here; a licence that is known and asks for more than a notice is not.
    if not spdx.permissive(licence) and (settings.shared or licence):
        return Listed(origin, left_out={LICENCE: len(files)})
    left_out: Counter[str] = Counter()
    entries: list[Entry] = []
    for path, size in files:
        reason = by_name(path, size, settings, own=False)
        if reason:
            left_out[reason] += 1
        else:
            entries.append(Entry(path, size, language_of(path), version))
    kept = chosen(entries, settings.package_bytes)
    if len(kept) < len(entries):
        left_out[CAPPED] += len(entries) - len(kept)
    return Listed(origin, kept, left_out=dict(left_out))


def _files(package: metadata.Distribution) -> Iterator[tuple[str, int]]:
    """Path and size of each source file; what lies outside the package's place (commands) is none."""
    for file in package.files or ():
        path = file.as_posix()
        if PurePosixPath(path).suffix in (".pyc", "") or path.startswith(("..", "/")) or ".dist-info/" in path:
            continue
        yield path, _size(file) if file.size is None else file.size


def _size(file: metadata.PackagePath) -> int:
    place = Path(str(file.locate()))
    return place.stat().st_size if place.is_file() else 0


def _licence_texts(package: metadata.Distribution) -> Iterator[str]:
    names = [file for file in package.files or () if file.name.lower().startswith(LICENCE_FILES)]
    for file in names[:MOST_TEXTS]:
        try:
            yield Path(str(file.locate())).read_text("utf-8", "replace")
        except OSError:
            continue
