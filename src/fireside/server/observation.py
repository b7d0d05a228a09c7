"""All that watches the server, put together: numbers, health, logs and traces. Changes nothing of what is answered."""

from collections.abc import Callable, Mapping

from fireside.app.fireside import Fireside
from fireside.gateway import signals
from fireside.server.app import Witness
from fireside.server.exposition import Exposition
from fireside.server.gates import Gates
from fireside.server.health import HealthMonitor, HealthRoutes
from fireside.server.logs import RequestLog
from fireside.server.metrics import ServerMetrics
from fireside.server.overview import Overview
from fireside.server.routes import Route
from fireside.server.snapshots import Snapshots, Worker
from fireside.server.traces import Traces


class Observation:
    """``draining``: whether the server is about to end, as it says itself when asked. ``worker``: which one of several this process is."""

    def __init__(self, fireside: Fireside, gates: Gates, worker: Worker | None = None) -> None:
        settings = fireside.config.settings.server
        self.draining: Callable[[], bool] = lambda: False
        self.metrics = ServerMetrics()
        self.monitor = HealthMonitor(
            fireside,
            draining=lambda: self.draining(),
            writers=gates.records.states,
            keys=lambda: gates.keyring.problem,
            limits=lambda: gates.shared.problem if gates.shared is not None else "",
            tick=self.metrics.sample,
        )
        self._fireside = fireside
        self._exposition = Exposition(self.metrics, fireside.gateway, self.monitor, gates.records.states)
        self._snapshots = Snapshots(worker, self._exposition.own) if worker is not None else None
        if self._snapshots is not None:
            self._exposition.source = self._snapshots.gather
        self._overview = Overview(self.metrics, fireside.gateway, self.monitor, names=lambda: names_of(gates))
        self._traces = Traces(fireside.transport, settings) if settings.traces_endpoint else None
        log = RequestLog(lambda: fireside.config.settings.server)
        self.witnesses: tuple[Witness, ...] = (self.metrics, log, *([self._traces] if self._traces else []))
        self._unsubscribe = fireside.events.subscribe(signals.RequestFinished, self.metrics.finished)

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return {**self._exposition.routes(), **self._overview.routes(), **HealthRoutes(self.monitor).routes()}

    async def start(self) -> None:
        self.monitor.start()
        if self._snapshots is not None:
            await self._snapshots.start()
        if self._traces is not None:
            await self._traces.start(self._fireside.events)

    async def close(self) -> None:
        self._unsubscribe()
        await self.monitor.aclose()
        if self._snapshots is not None:
            await self._snapshots.aclose()
        if self._traces is not None:
            await self._traces.aclose()


def names_of(gates: Gates) -> Mapping[str, str]:
    """Key id -> the name its owner gave it, of all that are good now."""
    return {each.id: each.name for each in gates.keyring.principals()}
