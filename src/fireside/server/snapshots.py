"""The numbers of all workers as one: whoever is asked for ``/metrics`` asks the others to write theirs down, and adds them up.

Nobody writes anything as long as nobody asks. What a worker had counted before it died its successor goes on with, so that no counter
ever falls; what it had open is gone.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fireside.engines.processes import birth, lives

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = logging.getLogger("fireside.server")
ASKED = "asked"
LOOK_SECONDS = 0.1
PATIENCE = 0.5
# All others are added up. What all workers see alike, or what one of them lacks, is not.
LEAST = ("fireside_ready", "fireside_health", "fireside_engine_up", "process_start_time_seconds")
MOST = ("fireside_build", "fireside_engine_busy", "fireside_loop_lag_seconds", "process_max_fds")
LASTING = ("counter", "histogram")
Labels = tuple[tuple[str, str], ...]


class Family(msgspec.Struct):
    """One metric. ``samples``: name and labels -> value."""

    name: str
    kind: str
    said: str
    samples: list[tuple[str, Labels, float]]


class Snapshot(msgspec.Struct):
    """One worker's numbers. ``born``: tells its process from another with the same number."""

    pid: int
    born: str
    families: list[Family]

    @property
    def lives(self) -> bool:
        return lives(self.pid, self.born)


@dataclass(frozen=True, slots=True)
class Worker:
    """One of several processes: ``number`` from 1 on. ``folder``: where all of them leave their numbers."""

    number: int
    folder: Path


class Snapshots:
    """``collect``: this worker's own numbers."""

    def __init__(self, worker: Worker, collect: "Callable[[], Iterable[Metric]]") -> None:
        self._folder = worker.folder
        self._file = worker.folder / f"{worker.number}.json"
        self._collect = collect
        self._before: list[Family] = []
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        before = _read(self._file)
        self._before = [each for each in before.families if each.kind in LASTING] if before else []
        await asyncio.to_thread(self._write)
        self._following = asyncio.create_task(self._follow(), name="snapshots")

    async def aclose(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following

    def gather(self) -> "Iterator[Metric]":
        """The sum of all workers' numbers. Blocking: as long as they take to write, half a second at most."""
        (self._folder / ASKED).touch()
        self._wait(_written(self._folder / ASKED))
        found = self._all().values()
        return _metrics(
            added(family for each in found for family in each.families if each.lives or family.kind in LASTING)
        )

    def _all(self) -> dict[Path, Snapshot]:
        """Also this worker's own: what is told of it must be written down, or it would be missing after its death."""
        found = {path: _read(path) for path in self._folder.glob("*.json")}
        return {path: each for path, each in found.items() if each is not None}

    def _wait(self, asked: int) -> None:
        due = time.monotonic() + PATIENCE
        living = [path for path, each in self._all().items() if each.lives]
        while time.monotonic() < due and any(_written(path) < asked for path in living):
            time.sleep(LOOK_SECONDS / 10)

    async def _follow(self) -> None:
        seen = 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            asked = _written(self._folder / ASKED)
            if asked > seen:
                seen = asked
                await asyncio.to_thread(self._write)

    def _write(self) -> None:
        snapshot = Snapshot(os.getpid(), birth(os.getpid()), added([*self._before, *map(_family, self._collect())]))
        fresh = self._file.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(snapshot))
            fresh.replace(self._file)
        except OSError as error:
            log.warning("the other workers cannot learn this one's numbers: %s", error)


def added(families: Iterable[Family]) -> list[Family]:
    """Those of the same name as one."""
    found: dict[str, Family] = {}
    values: dict[str, dict[tuple[str, Labels], float]] = {}
    for family in families:
        found.setdefault(family.name, family)
        known = values.setdefault(family.name, {})
        for name, labels, value in family.samples:
            known[name, labels] = _joined(family.name, known.get((name, labels)), value)
    return [
        Family(name, each.kind, each.said, [(*place, value) for place, value in values[name].items()])
        for name, each in found.items()
    ]


def _joined(name: str, before: float | None, value: float) -> float:
    if before is None:
        return value
    if name in LEAST:
        return min(before, value)
    return max(before, value) if name in MOST else before + value


def _read(path: Path) -> Snapshot | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Snapshot)
    except (OSError, msgspec.DecodeError):
        return None


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _family(metric: "Metric") -> Family:
    samples = [(each.name, tuple(sorted(each.labels.items())), float(each.value)) for each in metric.samples]
    return Family(metric.name, metric.type, metric.documentation, samples)


def _metrics(families: Iterable[Family]) -> "Iterator[Metric]":
    from prometheus_client.core import Metric

    for family in families:
        metric = Metric(family.name, family.said, family.kind)
        for name, labels, value in family.samples:
            metric.add_sample(name, dict(labels), value)
        yield metric
