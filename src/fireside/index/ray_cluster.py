"""Join a Ray cluster and leave it again, quietly, and without letting anybody in.

Knows Ray's addresses and habits; nothing of what is done on the cluster. Ray itself asks nobody before it connects, so every address it
tells is shown to ``permit`` before a file goes anywhere.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from fireside.core.errors import ConnectionFailed, Invalid

LOCAL = "local"
AUTO = "auto"
ADDRESS = re.compile(r"(?P<host>[^\s/@?#:]+|\[[0-9A-Fa-f:.%]+\]):(?P<port>[0-9]{1,5})")
# Read by Ray when it begins. What it would print besides stands in its own log files.
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
# By default Ray listens to the whole network, and runs what anybody there sends it. This is its way to stay on loopback, on any system.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


class RayCluster:
    """``address``: "local" (a cluster on this machine, for this once), "auto" (the one this machine is a node of), or HOST:PORT.

    ``permit``: told HOST:PORT before a connection is made there; gives the address to take for it, or raises. Raises ``Invalid`` when Ray
    is not installed or the address makes no sense.
    """

    def __init__(self, address: str, permit: Callable[[str], str]) -> None:
        if find_spec("ray") is None or find_spec("pyarrow") is None:
            raise Invalid("Ray is not installed", remedy="pip install 'fireside[ray]'")
        found = ADDRESS.fullmatch(address)
        if address not in (LOCAL, AUTO) and (found is None or not 0 < int(found["port"]) < 65536):
            raise Invalid(
                f"{address[:200]!r} is not the address of a Ray cluster",
                remedy="write it like 192.168.1.20:6379, or auto, or local",
            )
        self._address = address
        self._permit = permit

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Be a part of the cluster. A process that is one already stays in it. Raises ``ConnectionFailed``, and what ``permit`` raises."""
        with _environment(ENVIRONMENT | (LOOPBACK if self._address == LOCAL else {})):
            ray = import_module("ray")
            if ray.is_initialized():
                yield
                return
            try:
                self._join(ray)
                _quiet()
                yield
            finally:
                ray.shutdown()

    def _join(self, ray: Any) -> None:
        alone = {"include_dashboard": False} if self._address == LOCAL else {}
        try:
            address = self._found()
            with _silent():
                ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **alone)
        except (OSError, RuntimeError, ValueError, SystemExit, ray.exceptions.RayError) as error:
            raise self._unjoined(error) from error
        if address != LOCAL:
            for node in ray.nodes():
                if node["Alive"]:
                    self._permit(f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}")

    def _found(self) -> str:
        """The address to give to Ray, shown to ``permit`` where it is another machine's."""
        if self._address == LOCAL:
            return LOCAL
        if self._address != AUTO:
            return self._permit(self._address)
        # What Ray would do itself, and then contact without asking.
        return self._permit(import_module("ray._private.services").canonicalize_bootstrap_address(AUTO))

    def _unjoined(self, error: BaseException) -> ConnectionFailed:
        # Ray ends a process (SystemExit) that has waited for long.
        told = "it does not answer" if isinstance(error, SystemExit) else str(error).split(". ")[0]
        reason = " ".join(told.split())[:200]
        if self._address == LOCAL:
            return ConnectionFailed(f"Ray does not start: {reason}", remedy="go without: leave --ray out")
        if self._address == AUTO:
            where, start = "on this machine", "ray start --head"
        else:
            where, start = f"at {self._address} that this machine is a node of", f"ray start --address={self._address}"
        return ConnectionFailed(
            f"there is no Ray cluster {where}: {reason}",
            remedy=f"{start}\nor, where the cluster asks for its token: export RAY_AUTH_MODE=token\nor without a cluster: --ray local",
        )


def _quiet() -> None:
    """Ray Data draws bars of its own, and tells what it does."""
    context = import_module("ray.data").DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    # A thread of Ray's prints on standard output what machines complain of, and no setting stops it. What matters is raised as well.
    worker: Any = import_module("ray._private.worker")
    worker.print_to_stdstream = _unheard


def _unheard(*complaint: object, **options: object) -> None:
    pass


@contextmanager
def _silent() -> Iterator[None]:
    """What Ray has to say while it begins, and says on standard error whatever it is told, is in the errors it raises."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
