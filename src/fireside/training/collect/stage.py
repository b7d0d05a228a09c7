"""The stage ``collect``: list what is asked for, read it part by part, and keep what nobody has said before.

Parts are made on all cores, or on a cluster, and lie in ``.parts`` until all are done; then they are gone through in their order, copies
are left out, and the rows are written into shards. A part that is done is not done again; going through them gives the same bytes every
time, whoever made them.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path

from fireside.core.errors import FiresideError, Invalid
from fireside.models.disk import write_atomically
from fireside.training.collect.gathering import Gathering
from fireside.training.collect.listing import folder_state, listing, smallest, states
from fireside.training.collect.making import make, unpacked
from fireside.training.collect.mapping import Permit, map_shards
from fireside.training.collect.origins import Listing, Part, parts
from fireside.training.collect.parquet import export_parquet
from fireside.training.collect.reading import load
from fireside.training.collect.report import Report
from fireside.training.collect.settings import CollectSettings
from fireside.training.stages import Desk, Facts, Hardware, Plan

PARTS = ".parts"
SHARDS = "shards"
PARQUET = "rows.parquet"
# Measured (python -m benchmarks collect): bytes a second and core; bytes of a worker; bytes on the disk for a byte read.
SPEED, MEMORY, DISK = 2_000_000, 300 << 20, 1.5
# What an archive unpacks to, about.
UNPACKED = 4


class Collect:
    """``settings``: see there. ``permit``: asked before another machine's cluster is joined (see ``map_shards``)."""

    name = "collect"
    needs: tuple[str, ...] = ()

    def __init__(self, settings: CollectSettings, *, permit: Permit | None = None) -> None:
        self.settings = settings
        self._permit = permit

    @cached_property
    def listing(self) -> Listing:
        """What would be read. Raises ``Invalid`` for a source that is not there, or is not what it should be."""
        return listing(self.settings)

    def sources(self) -> Mapping[str, str]:
        return states(self.listing, self.settings)

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        refusals: list[FiresideError] = []
        notes: tuple[str, ...] = ()
        size = 0
        try:
            for folder in self.settings.against:
                folder_state(Path(folder).expanduser())
            found = smallest(self.listing, self.settings) if desk.smoke else self.listing
            if not found.origins:
                refusals.append(_nothing())
            notes = tuple(found.lines())
            size = sum(one.bytes * (UNPACKED if one.origin.kind == "archive" else 1) for one in found.origins)
        except FiresideError as error:
            refusals.append(error)
        workers = 1 if desk.smoke else self.settings.workers or hardware.cores
        return Plan(
            self.name,
            seconds=2 + size / SPEED / workers,
            memory=MEMORY * workers,
            disk=int(size * DISK) + (1 << 20),
            notes=notes,
            refusals=tuple(refusals),
        )

    def run(self, desk: Desk) -> Facts:
        found = smallest(self.listing, self.settings) if desk.smoke else self.listing
        if not found.origins:
            raise _nothing()
        work = parts(found, self.settings)
        if desk.smoke:
            work = work[:40]
        self._make(desk, work)
        facts = self._gather(desk, found, work)
        for part in work:
            _place(desk.folder, part).unlink()
        (desk.folder / PARTS).rmdir()
        return facts

    def _make(self, desk: Desk, work: list[Part]) -> None:
        """Make every part that is not there yet."""
        (desk.folder / PARTS).mkdir(exist_ok=True)
        missing = [part for part in work if not (desk.resumed and _place(desk.folder, part).is_file())]
        done = len(work) - len(missing)
        for part, packed in zip(missing, self._packed(desk, missing), strict=True):
            write_atomically(_place(desk.folder, part), packed)
            done += 1
            desk.step(done, len(work), "parts", part.origin.name)

    def _packed(self, desk: Desk, missing: list[Part]) -> Iterator[bytes]:
        if self.settings.ray and not desk.smoke:
            # The machines of a cluster have none of these files: they are read here, and go with the work.
            loaded = (load(part, self.settings) for part in missing)
            task: Callable[..., bytes] = partial(make, settings=self.settings, seed=desk.seed)
            return map_shards(task, loaded, ray=self.settings.ray, permit=self._permit)
        workers = 1 if desk.smoke else min(self.settings.workers or os.cpu_count() or 1, len(missing) or 1)
        return map_shards(partial(_read_and_make, settings=self.settings, seed=desk.seed), missing, workers=workers)

    def _gather(self, desk: Desk, found: Listing, work: list[Part]) -> Facts:
        folder = desk.folder / SHARDS
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        gathering = Gathering(folder, self.settings, Report(found))
        for number, part in enumerate(work):
            place = _place(desk.folder, part)
            gathering.add(part.origin, unpacked(place.read_bytes(), str(place)))
            desk.step(number + 1, len(work), "parts", "leaving out copies")
        facts = gathering.close(desk.folder)
        if self.settings.parquet:
            export_parquet(folder, desk.folder / PARQUET)
        return facts


def _read_and_make(part: Part, settings: CollectSettings, seed: int) -> bytes:
    return make(load(part, settings), settings, seed)


def _place(folder: Path, part: Part) -> Path:
    return folder / PARTS / f"{part.number:06}"


def _nothing() -> Invalid:
    return Invalid(
        "there is nothing to collect from",
        remedy="name repositories, packages or archives: --set 'collect.repositories=[\".\"]'",
    )
