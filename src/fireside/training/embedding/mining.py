"""From archives to shards: every package's source files, licence and exclusions checked, mined in a process pool.

Knows files; no vectors.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import orjson

from fireside.training import archives, exclusions, licences
from fireside.training.archives import SourceFile
from fireside.training.embedding.corpus import Shard
from fireside.training.sources import Source


@dataclass(frozen=True, slots=True)
class Mined:
    """What one package gave. ``unlicensed``, ``excluded``: files left out, by their licence and because they are on the exclusion list."""

    name: str
    version: str
    licence: str
    files: int
    pairs: int
    unlicensed: int = 0
    excluded: int = 0


def run(
    wanted: Sequence[Source], folder: Path, shards: Path, development: Path | None, report: Callable[[Mined], None]
) -> list[Mined]:
    """Mine every package that has no shard yet. ``development``: checkouts whose files must not occur, by content."""
    shards.mkdir(parents=True, exist_ok=True)
    found = [done for one in wanted if (done := _done(shards / f"{shard_name(one)}.json")) is not None]
    known = {one.name for one in found}
    waiting = [one for one in wanted if one.name not in known and one.archives(folder)]
    # The largest first, so that none is left alone at the end.
    waiting.sort(key=lambda one: -sum(path.stat().st_size for path in one.archives(folder)))
    with ProcessPoolExecutor(max(1, min(os.cpu_count() or 1, 8))) as pool:
        tasks = [pool.submit(mine_package, one, folder, shards, development) for one in waiting]
        for task in as_completed(tasks):
            found.append(task.result())
            report(found[-1])
    return sorted(found, key=lambda one: one.name)


def shard_name(source: Source) -> str:
    """A file name for a package (``@scope/name`` is none)."""
    return source.name.removeprefix("@").replace("/", "-")


def mine_package(source: Source, folder: Path, shards: Path, development: Path | None) -> Mined:
    """Write the package's shard, and beside it what it gave."""
    stated = source.stating_licences(folder)
    stanzas = licences.read(archives.copyright_text(stated)) if stated is not None else []
    forbidden = _forbidden(development)
    shard = Shard(source.name)
    unlicensed = excluded = 0
    for one in _files(source, folder):
        if not licences.of(one.path, stanzas, source.licence):
            unlicensed += 1
        elif exclusions.digest(one.text) in forbidden:
            excluded += 1
        else:
            shard.add(one)
    place = shards / f"{shard_name(source)}.npz"
    mined = Mined(source.name, source.version, source.licence, shard.files, shard.save(place), unlicensed, excluded)
    part = place.with_suffix(".json.part")
    part.write_bytes(orjson.dumps(asdict(mined)))
    os.replace(part, place.with_suffix(".json"))
    return mined


def _files(source: Source, folder: Path) -> Iterator[SourceFile]:
    for archive in source.archives(folder):
        yield from archives.files(archive, source.inside)


def _done(path: Path) -> Mined | None:
    return Mined(**orjson.loads(path.read_bytes())) if path.is_file() else None


@cache
def _forbidden(development: Path | None) -> frozenset[bytes]:
    return exclusions.digests([development]) if development is not None else frozenset()
