"""How the house is: its engines, index and disk, and what it did."""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from fireside import __version__
from fireside.app.fireside import Fireside
from fireside.core.errors import FiresideError
from fireside.server.own.words import describe


class State:
    def __init__(self, fireside: Fireside) -> None:
        self._fireside = fireside

    def metrics(self) -> dict[str, object]:
        gateway = self._fireside.gateway
        load = {name: {"running": running, "waiting": waiting} for name, (running, waiting) in gateway.load().items()}
        return {**gateway.metrics.snapshot(), "load": load, "experiments": gateway.experiments.snapshot()}

    async def health(self) -> dict[str, object]:
        """``status``: ok, or degraded when no engine answers or the index cannot be read; answers are then made of the code alone."""
        engines = await self._fireside.gateway.health()
        index = await asyncio.to_thread(self._index)
        up = any(each.state != "down" for each in engines.values())
        return {
            "status": "ok" if up and index["error"] is None else "degraded",
            "version": __version__,
            "engines": {name: asdict(each) for name, each in engines.items()},
            "index": index,
            "disk": await asyncio.to_thread(_disk, self._fireside.paths.data),
        }

    def _index(self) -> Mapping[str, object]:
        try:
            return {**asdict(self._fireside.project.status()), "error": None}
        except FiresideError as error:
            return {"error": describe(error)}


def _disk(folder: Path) -> dict[str, object]:
    """Of the disk the folder is on, or will be on."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    total, _, free = shutil.disk_usage(folder)
    return {"free": free, "total": total}
