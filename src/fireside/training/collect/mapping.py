"""Do one thing with many inputs: here, in a pool of processes, or on a Ray cluster, with the same results in the same order.

Knows processes and Ray; not what is done. Results are asked for one by one, and only a few inputs are under way at a time. Ctrl-C, an
error, or a caller that stops asking ends the workers.
"""

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from ipaddress import ip_address
from itertools import islice
from typing import Any, TypeVar

from fireside import __version__
from fireside.core import errors
from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, NotPermitted, OutOfResources
from fireside.index.ray_cluster import RayCluster

In = TypeVar("In")
Out = TypeVar("Out")
Permit = Callable[[str], str]
# Inputs under way for each worker: one in hand, one waiting.
AHEAD = 2
# One trip of inputs to a cluster, and how many are under way; in inputs.
WINDOW = 64


def map_shards(
    task: Callable[[In], Out], inputs: Iterable[In], *, workers: int = 0, ray: str = "", permit: Permit | None = None
) -> Iterator[Out]:
    """``task`` of each input, in the order of the inputs, which are read as they are needed.

    ``workers``: processes; 0: one for each core; 1: this one. ``ray``: a cluster instead (see ``RayCluster``): then ``task``, inputs and
    results are pickled, and whatever the task reads must be in its input. ``permit``: shown HOST:PORT before a connection is made there;
    unless given, only this machine is allowed. Raises what the task raises (Fireside's errors), ``OutOfResources`` when a worker dies, and
    ``ConnectionFailed`` when there is no cluster or it breaks off.
    """
    if ray:
        return _on_ray(task, inputs, RayCluster(ray, permit or only_here))
    count = workers or os.cpu_count() or 1
    return map(task, inputs) if count == 1 else _in_pool(task, inputs, count)


def only_here(place: str) -> str:
    """Allow a cluster on this machine and no other. Raises ``NotPermitted``."""
    host = place.rpartition(":")[0].strip("[]")
    try:
        here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here:
        raise NotPermitted(
            f"{place} is another machine",
            remedy="allow it: fireside train collect --ray HOST:PORT asks the privacy guard",
        )
    return place


def _in_pool(task: Callable[[In], Out], inputs: Iterable[In], workers: int) -> Iterator[Out]:
    before = set(multiprocessing.active_children())
    # Spawned: a fork of a process with threads (torch, Ray, a progress bar) may hang.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _quiet)
    waiting: deque[Future[tuple[Any, ...]]] = deque()
    coming = iter(inputs)
    finished = False
    try:
        for one in islice(coming, workers * AHEAD):
            waiting.append(pool.submit(_guarded, task, one))
        while waiting:
            told = waiting.popleft().result()
            for one in islice(coming, 1):
                waiting.append(pool.submit(_guarded, task, one))
            yield _opened(told)
        finished = True
    except BrokenProcessPool as error:
        raise OutOfResources(
            "a worker of the collection was killed, most likely for want of memory",
            remedy="use fewer: --set collect.workers=1; what is done stays done",
        ) from error
    finally:
        if not finished:
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _quiet() -> None:
    """Ctrl-C reaches the whole group of processes; whoever started the workers ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _guarded(task: Callable[[Any], Any], one: Any) -> tuple[Any, ...]:
    """The result, or the error as plain values: Fireside's errors do not travel between processes."""
    try:
        return (task(one),)
    except FiresideError as error:
        return type(error).__name__, error.message, error.remedy


def _opened(told: tuple[Any, ...]) -> Any:
    if len(told) == 1:
        return told[0]
    name, message, remedy = told
    raise getattr(errors, name, errors.ToolFailed)(message, remedy=remedy)


def _on_ray(task: Callable[[In], Out], inputs: Iterable[In], cluster: RayCluster) -> Iterator[Out]:
    coming = iter(inputs)
    first = list(islice(coming, 1))
    if not first:
        return
    with cluster.joined():
        window = [*first, *islice(coming, WINDOW - 1)]
        while window:
            yield from _window(task, window)
            window = list(islice(coming, WINDOW))


def _window(task: Callable[[Any], Any], inputs: Sequence[Any]) -> Iterator[Any]:
    """A few inputs through Ray Data, each a block of its own; results come as they are done, and are put in order."""
    data, ray_errors = import_module("ray.data"), import_module("ray.exceptions")
    packed = [{"number": number, "input": pickle.dumps(one)} for number, one in enumerate(inputs)]
    processors = int(import_module("ray").cluster_resources().get("CPU", 1))
    made = data.from_items(packed, override_num_blocks=len(packed)).map_batches(
        Worker,
        fn_constructor_args=(pickle.dumps(task), __version__),
        batch_size=1,
        batch_format="numpy",
        compute=data.ActorPoolStrategy(size=max(1, min(processors, len(packed)))),
    )
    early: dict[int, Any] = {}
    wanted = 0
    try:
        for row in made.iter_rows():
            early[int(row["number"])] = row["made"]
            while wanted in early:
                yield _opened(pickle.loads(early.pop(wanted)))
                wanted += 1
    except ray_errors.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ConnectionFailed(
            f"the Ray cluster broke off: {lines[-1][:200] if lines else type(error).__name__}",
            remedy="run it again: what is done stays done",
            cause="cut",
        ) from error


class Worker:
    """One process of a machine of the cluster; Ray makes as many as there are processors."""

    def __init__(self, task: bytes, version: str) -> None:
        self._task = pickle.loads(task)
        self._refusal: Invalid | None = None
        if version != __version__:
            self._refusal = Invalid(
                f"a machine of the cluster has Fireside {__version__}",
                remedy=f"on every machine of the cluster: pip install 'fireside[ray,train]=={version}'",
            )

    def __call__(self, batch: Any) -> dict[str, list[Any]]:
        made = [self._one(packed) for packed in batch["input"]]
        return {"number": [int(number) for number in batch["number"]], "made": made}

    def _one(self, packed: bytes) -> bytes:
        if self._refusal is not None:
            return pickle.dumps((Invalid.__name__, self._refusal.message, self._refusal.remedy))
        return pickle.dumps(_guarded(self._task, pickle.loads(packed)))
