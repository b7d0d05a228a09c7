"""Prepare files on many machines: Ray Data takes texts to its workers and brings back chunks, terms and vectors.

Knows Ray and the two ends of the road; no store and no disk. Files are read by whoever calls, so the machines need no disk in common, only
the same Fireside. What a worker or a machine that dies had in hand, Ray gives to another one.
"""

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any

from fireside import __version__
from fireside.core.errors import ConnectionFailed, FiresideError, Invalid
from fireside.core.values import replace
from fireside.index.lexical import Words
from fireside.index.prepare import Prepared, Task, prepare
from fireside.index.ray_cluster import RayCluster

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What one worker gets at a time, and what is under way at most; in characters.
TRIP = 1_000_000
WINDOW = 64 * TRIP


class RayPreparer:
    """A ``Preparer``. ``embedder_id``: the built-in embedder's, when vectors are to be made along with the chunks.

    The cluster is joined when there is something to prepare, and left when that is done. Raises ``Invalid`` when its machines have another
    Fireside, and ``ConnectionFailed`` when there is no cluster or it breaks off.
    """

    def __init__(
        self, cluster: RayCluster, *, embedder_id: str | None = None, trip: int = TRIP, window: int = WINDOW
    ) -> None:
        self._cluster = cluster
        self._embedder_id = embedder_id
        self._trip = trip
        self._window = window

    def __call__(self, tasks: Iterable[Task]) -> Iterator[Prepared]:
        trips = _trips(tasks, self._trip)
        first = next(trips, None)
        if first is None:
            return
        with self._cluster.joined():
            for window in _windows(chain((first,), trips), self._window):
                yield from self._prepared(window)

    def _prepared(self, trips: Sequence[bytes]) -> Iterator[Prepared]:
        data, errors = import_module("ray.data"), import_module("ray.exceptions")
        try:
            for row in _dataset(data, trips, self._embedder_id).iter_rows():
                if row["refusal"]:
                    raise Invalid(row["refusal"], remedy=_install())
                yield from pickle.loads(row["made"])
        except errors.RayError as error:
            raise _broken(error) from error


class Worker:
    """One process of a machine that prepares; Ray makes as many as there are processors."""

    def __init__(self, version: str, embedder_id: str | None) -> None:
        self._words = Words()
        self._embedder: Any = None
        self._refusal = "" if version == __version__ else f"a machine of the cluster has Fireside {__version__}"
        if embedder_id is not None and not self._refusal:
            from fireside.index.static import load

            self._embedder = load()
            if self._embedder.id != embedder_id:
                self._refusal = "a machine of the cluster has another built-in embedder"

    def __call__(self, batch: "Mapping[str, NDArray[np.object_]]") -> Mapping[str, list[Any]]:
        """Rows of pickled ``Task``s -> rows of pickled ``Prepared``s, or why there are none."""
        if self._refusal:
            return {"made": [b""], "refusal": [self._refusal]}
        made = [self._prepare(task) for trip in batch["tasks"] for task in pickle.loads(trip)]
        return {"made": [pickle.dumps(made, pickle.HIGHEST_PROTOCOL)], "refusal": [""]}

    def _prepare(self, task: Task) -> Prepared:
        prepared = prepare(task, self._words)
        if self._embedder is not None and prepared.chunks:
            prepared = replace(prepared, vectors=self._embedder.from_counts(prepared.counts))
        return prepared


def _dataset(data: Any, trips: Sequence[bytes], embedder_id: str | None) -> Any:
    """Each trip is a block, so that it goes to one worker and comes back as soon as it is done."""
    processors = int(import_module("ray").cluster_resources().get("CPU", 1))
    return data.from_items([{"tasks": trip} for trip in trips], override_num_blocks=len(trips)).map_batches(
        Worker,
        fn_constructor_args=(__version__, embedder_id),
        batch_size=1,
        batch_format="numpy",
        compute=data.ActorPoolStrategy(size=max(1, min(processors, len(trips)))),
    )


def _trips(tasks: Iterable[Task], size: int) -> Iterator[bytes]:
    """Tasks in parts of about ``size`` characters, pickled."""
    part: list[Task] = []
    length = 0
    for task in tasks:
        part.append(task)
        length += task.entry.size
        if length >= size:
            yield pickle.dumps(part, pickle.HIGHEST_PROTOCOL)
            part, length = [], 0
    if part:
        yield pickle.dumps(part, pickle.HIGHEST_PROTOCOL)


def _windows(trips: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    window: list[bytes] = []
    length = 0
    for trip in trips:
        window.append(trip)
        length += len(trip)
        if length >= size:
            yield window
            window, length = [], 0
    if window:
        yield window


def _broken(error: Exception) -> FiresideError:
    """What went wrong on the cluster, without the many lines that tell where."""
    if "No module named 'fireside'" in str(error):
        return Invalid("a machine of the cluster has no Fireside", remedy=_install())
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ConnectionFailed(
        f"the Ray cluster broke off: {lines[-1][:200] if lines else type(error).__name__}",
        remedy="run it again: what was in the index before is still there",
        cause="cut",
    )


def _install() -> str:
    return f"on every machine of the cluster: pip install 'fireside[ray]=={__version__}'"
