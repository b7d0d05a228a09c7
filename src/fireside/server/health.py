"""Whether the server is well: engines, disk, memory, event loop, records and index, looked at every ten seconds in the background.

What is critical keeps a server from answering at all; ``/healthz/ready`` is 503 then. Findings carry no prompt, no key and no address of a
client. Whoever asks without a key is told which check failed, and nothing of why.
"""

import asyncio
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from fireside.app.fireside import Fireside
from fireside.engines.engine import EngineHealth
from fireside.records.writer import WriterState
from fireside.server.exchange import Exchange
from fireside.server.routes import Route, named
from fireside.wire.openai_lists import write_error

log = logging.getLogger("fireside.health")
LOOK_SECONDS = 10.0
TICK_SECONDS = 1.0
# A look that a probe asks for is this many seconds old at most.
FRESH = 2.0
LAG_SECONDS = 0.25
DISK_BYTES = 1024**3
MEMORY_SHARE = 0.05
ANSWERS = ("ready", "idle")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. ``critical``: without it the server can answer nobody. ``detail``: one line; ``remedy`` when it is not ``ok``."""

    check: str
    ok: bool
    detail: str
    critical: bool = False
    remedy: str = ""


class HealthMonitor:
    """``draining``: whether the server is about to end. ``writers``: how those fare who write in the background.

    ``keys``: why keys cannot be read anew, ``limits``: why they are not shared, or "". ``tick``: called once a second with the loop's time.
    """

    def __init__(
        self,
        fireside: Fireside,
        *,
        draining: Callable[[], bool],
        writers: Callable[[], list[WriterState]],
        keys: Callable[[], str] = lambda: "",
        limits: Callable[[], str] = lambda: "",
        tick: Callable[[float], None] = lambda now: None,
    ) -> None:
        self._fireside = fireside
        self._draining, self._writers, self._tick = draining, writers, tick
        self._problems = {"keys": keys, "limits": limits}
        self.engines: Mapping[str, EngineHealth] = {}
        self.lag = 0.0
        self._worst = 0.0
        self._findings: tuple[Finding, ...] = ()
        self._at = -FRESH
        self._looking: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the last look found, and whether the server is about to end."""
        if not self._draining():
            return self._findings
        return (*self._findings, Finding("draining", False, "the server is about to end", critical=True))

    @property
    def ready(self) -> bool:
        return bool(self._findings) and all(each.ok for each in self.findings if each.critical)

    def start(self) -> None:
        self._tick(asyncio.get_running_loop().time())
        self._tasks = [asyncio.create_task(work, name="health") for work in (self._watch(), self._beat())]

    async def aclose(self) -> None:
        tasks, self._tasks = self._tasks, []
        if self._looking is not None:
            tasks.append(self._looking)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def look(self) -> tuple[Finding, ...]:
        """Findings that are two seconds old at most. Many who ask at once cause one look."""
        if time.monotonic() - self._at >= FRESH:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look(), name="health look")
            await asyncio.shield(self._looking)
        return self.findings

    async def _watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def _beat(self) -> None:
        """How late the loop wakes a sleeper is how long everybody waits for a turn."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            now = loop.time()
            self._worst = max(self._worst, now - due)
            self._tick(now)

    async def _look(self) -> None:
        self.engines = await self._fireside.gateway.health()
        self.lag, self._worst = self._worst, 0.0
        on_disk = await asyncio.to_thread(self._on_disk)
        found = (engines_finding(self.engines), *on_disk, loop_finding(self.lag), *map(writer_finding, self._writers()))
        for check, problem in self._problems.items():
            found = (*found, Finding(check, not problem(), problem() or "known"))
        self._tell(found)
        self._findings, self._at = found, time.monotonic()

    def _on_disk(self) -> tuple[Finding, ...]:
        found = (store_finding(self._fireside.paths.data), disk_finding(self._fireside.paths.data), memory_finding())
        return (*found, index_finding(self._fireside.project.index.folder))

    def _tell(self, found: tuple[Finding, ...]) -> None:
        """One line for each check that changed its mind."""
        before = {each.check: each.ok for each in self._findings}
        for each in found:
            if each.ok == before.get(each.check, True):
                continue
            if each.ok:
                log.info("%s is well again: %s", each.check, each.detail)
            else:
                log.log(logging.ERROR if each.critical else logging.WARNING, "%s: %s", each.check, each.detail)


class HealthRoutes:
    """Open to whoever asks: a load balancer has no key."""

    def __init__(self, monitor: HealthMonitor) -> None:
        self._monitor = monitor

    def routes(self) -> Mapping[tuple[str, str], Route]:
        places = {
            ("GET", "/healthz"): (self.both, ""),
            ("GET", "/healthz/live"): (self.live, ""),
            ("GET", "/healthz/ready"): (self.ready, ""),
        }
        return named(places, write_error)

    async def live(self, exchange: Exchange) -> None:
        """That this is answered at all says everything: the loop turns."""
        await exchange.reply(b'{"live":true}')

    async def ready(self, exchange: Exchange) -> None:
        await self._reply(exchange, {})

    async def both(self, exchange: Exchange) -> None:
        await self._reply(exchange, {"live": True})

    async def _reply(self, exchange: Exchange, told: Mapping[str, object]) -> None:
        found = await self._monitor.look()
        ready = self._monitor.ready
        reasons = [each.check for each in found if each.critical and not each.ok]
        warnings = [each.check for each in found if not each.critical and not each.ok]
        body = {**told, "ready": ready, "reasons": reasons, "warnings": warnings}
        await exchange.reply(orjson.dumps(body), status=200 if ready else 503)


def told(findings: tuple[Finding, ...]) -> list[dict[str, object]]:
    return [asdict(each) for each in findings]


def engines_finding(engines: Mapping[str, EngineHealth]) -> Finding:
    up = [name for name, each in engines.items() if each.state in ANSWERS]
    if up:
        return Finding("engines", True, f"{', '.join(up)} can answer", critical=True)
    states = ", ".join(f"{name} is {each.state}" for name, each in engines.items()) or "none is set up"
    remedy = next((each.remedy for each in engines.values() if each.remedy), "fireside doctor")
    return Finding("engines", False, f"no engine can answer: {states}", critical=True, remedy=remedy)


def store_finding(folder: Path) -> Finding:
    """Whether a byte can be written where keys, usage and the audit log are: also a full disk and a read-only one say no."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b".")
    except OSError as error:
        why = error.strerror or type(error).__name__
        return Finding("store", False, f"{folder} cannot be written: {why}", critical=True, remedy=f"ls -ld {folder}")
    return Finding("store", True, f"{folder} can be written", critical=True)


def disk_finding(folder: Path) -> Finding:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("disk", False, f"nobody knows how full the disk is: {error.strerror}")
    detail = f"{free / 1024**3:.1f} GiB free"
    return Finding("disk", free >= DISK_BYTES, detail, remedy="" if free >= DISK_BYTES else "make room: df -h")


def memory_finding(meminfo: Path = Path("/proc/meminfo")) -> Finding:
    """What the system could still give to programs. Systems without ``/proc`` do not say."""
    try:
        facts = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        total, left = (int(facts[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return Finding("memory", True, "not known on this system")
    enough = left >= MEMORY_SHARE * total
    remedy = "" if enough else "unload a model, or use a smaller one: fireside models list"
    return Finding("memory", enough, f"{left / 1024**2:.1f} of {total / 1024**2:.1f} GiB available", remedy=remedy)


def loop_finding(lag: float) -> Finding:
    """``lag``: seconds the loop was late at most since the last look."""
    remedy = "" if lag < LAG_SECONDS else "the processor is too busy: more cores, or fewer requests at once"
    return Finding("loop", lag < LAG_SECONDS, f"{lag * 1000:.0f} ms late at most", remedy=remedy)


def writer_finding(state: WriterState) -> Finding:
    if state.problem:
        return Finding(state.name, False, f"{state.pending} entries wait: {state.problem}", remedy="df -h")
    if state.lost:
        return Finding(state.name, False, f"{state.lost} entries were lost", remedy="fireside audit verify")
    return Finding(state.name, True, f"{state.written} entries written")


def index_finding(folder: Path) -> Finding:
    """How old the project's index is. No server needs one to answer."""
    try:
        newest = max((path.stat().st_mtime for path in folder.iterdir()), default=None)
    except FileNotFoundError:
        newest = None
    except OSError as error:
        return Finding("index", False, f"{folder} cannot be read: {error.strerror}", remedy=f"ls -ld {folder}")
    if newest is None:
        return Finding("index", True, "there is none yet")
    return Finding("index", True, f"written {max(0.0, time.time() - newest) / 3600:.1f} hours ago")
