"""Start model servers when they are needed, share them with other Fireside processes, and never leave one behind.

Every process that uses a child holds a lease on it; the child goes when the last lease does, even if the last process was killed. What
is known about a child lies in its folder under ``runtime/engines`` and is believed only while the child's own lock is held. Knows
processes; nothing of prompts.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fireside
from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, OutOfResources, TimedOut
from fireside.core.retry import Backoff
from fireside.engines.child import write_json
from fireside.engines.lease import AVAILABLE, Lease, is_taken
from fireside.engines.processes import birth, lives, send
from fireside.engines.spec import ChildSpec

LOOK_SECONDS = 0.01
TAIL_BYTES = 4096
CRASHES = Backoff(first=0.1, limit=2.0, attempts=3)
CRASH_WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Pids:
    """``pid``: the child; ``server_pid``: its server, the process with the model. ``born``: see ``processes.birth``."""

    pid: int
    born: str
    server_pid: int
    server_born: str


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers. ``seconds``: what it took to get there."""

    base_url: str
    api_key: str = field(repr=False)
    seconds: float
    pids: Pids


class Child:
    """One child as this process sees it: its folder, our lease on it, and how often it crashed lately."""

    def __init__(self, runtime: Path, spec: ChildSpec, key: str) -> None:
        self.spec = spec
        self.folder = runtime / "engines" / key
        self.lease = Lease(self.folder / "lease")
        self._turn: tuple[asyncio.AbstractEventLoop | None, asyncio.Lock] = (None, asyncio.Lock())
        self.users = 0
        self.spawned = 0
        self.crashes: list[float] = []

    @property
    def turn(self) -> asyncio.Lock:
        """One start at a time. A lock belongs to one event loop; whoever comes with the next gets another."""
        loop = asyncio.get_running_loop()
        if self._turn[0] is not loop:
            self._turn = (loop, asyncio.Lock())
        return self._turn[1]

    @property
    def model(self) -> str:
        return Path(self.spec.model).name

    @property
    def alive(self) -> bool:
        return is_taken(self.folder / "alive")

    def running(self) -> Running | None:
        """The registered server, if it lives."""
        ready = self._read("ready.json")
        pids = self.pids() if ready else None
        if (
            pids is None
            or not self.alive
            or not lives(pids.pid, pids.born)
            or not lives(pids.server_pid, pids.server_born)
        ):
            return None
        return Running(**ready, pids=pids)

    def pids(self) -> Pids | None:
        """The processes last registered; whether they live is another question."""
        pids = self._read("pids.json")
        return Pids(**pids) if pids else None

    @property
    def was_ready(self) -> bool:
        """Whether it is registered as ready. Who leaves in order takes that along, so of a dead child it says that it crashed."""
        return (self.folder / "ready.json").exists()

    def _read(self, name: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads((self.folder / name).read_bytes())
        except FileNotFoundError:
            return {}
        return content

    def spawn(self) -> None:
        """Start the child in a session of its own. It inherits the lock ``alive``, so there is no moment in which neither holds it."""
        alive = Lease(self.folder / "alive")
        if not alive.take_alone():
            return
        for name in ("ready.json", "pids.json", "died.json"):
            (self.folder / name).unlink(missing_ok=True)
        write_json(self.folder / "spec.json", self.spec._asdict())
        log = str(self.folder / "log")
        try:
            self.spawned = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", "-m", "fireside.engines.child", str(self.folder)],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                    (os.POSIX_SPAWN_DUP2, alive.descriptor, 3),
                ],
            )
        finally:
            alive.release()

    def reap(self) -> None:
        """Take note of a spawned child's end, so that it does not stay behind as a zombie."""
        if self.spawned:
            with suppress(ChildProcessError):
                if not os.waitpid(self.spawned, os.WNOHANG)[0]:
                    return
            self.spawned = 0

    def note_crash(self) -> float:
        """Count a crash; the seconds to wait before the next start. Raises when it crashes again and again."""
        now = time.monotonic()
        self.crashes = [moment for moment in self.crashes if now - moment < CRASH_WINDOW_SECONDS] + [now]
        waits = [0.0, *CRASHES.waits()]
        if len(self.crashes) > len(waits):
            raise self.crash_loop()
        return waits[len(self.crashes) - 1]

    def crash_loop(self) -> FiresideError:
        return ConnectionFailed(
            f"the engine for {self.model} ended {len(self.crashes)} times within a minute: {self.last_words()}",
            remedy=f"read {self.folder / 'log'}, then try a smaller context or another model file",
            retryable=False,
            cause="crash",
            log=self.tail(),
        )

    def why_it_died(self) -> FiresideError | None:
        """The reason a start failed for good; None when it may work the next time."""
        death = self._read("died.json")
        if not death:
            return None
        code, words = int(death["code"]), self.last_words()
        if code == -signal.SIGKILL or "failed to allocate" in words or "out of memory" in words:
            return OutOfResources(
                f"{self.model} does not fit into memory with {self.spec.total_context} tokens of context: {words}",
                remedy="choose a smaller model or lower the engine's context: fireside config set engines.<name>.context 4096",
            )
        if code == 127:
            return Invalid(
                words, remedy="check engines.<name>.binary: it must be a llama-server that runs on this machine"
            )
        if code > 0:
            return Invalid(
                f"cannot load {self.model}: {words}",
                remedy=f"get the file again, or another one; details in {self.folder / 'log'}",
                log=self.tail(),
            )
        return None

    def tail(self) -> str:
        """The end of the child's log."""
        try:
            with open(self.folder / "log", "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def last_words(self) -> str:
        """The line of the log that says most: the first error of the last start, without its time stamp."""
        lines = [line.strip() for line in self.tail().splitlines() if line.strip()]
        errors = [line.partition("E ")[2] for line in lines if " E " in f" {line}"]
        return (errors or lines[-1:] or ["it left no word"])[0]


class Supervisor:
    """The children of one process. ``start_seconds``: how long loading may take; ``stop_seconds``: before SIGTERM becomes SIGKILL."""

    def __init__(self, runtime: Path, *, start_seconds: float = 60.0, stop_seconds: float = 3.0) -> None:
        self._runtime = runtime
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._children: dict[tuple[ChildSpec, str], Child] = {}

    async def acquire(self, spec: ChildSpec) -> Running:
        """A server for ``spec``: the one that runs, or a new one. It stays until ``release``, whoever else leaves."""
        return await self._acquire(self._child(spec))

    async def _acquire(self, child: Child) -> Running:
        try:
            await self._let_go_of_older(child)
            async with child.turn:
                deadline = time.monotonic() + self._start_seconds
                while True:
                    # Each level for itself: parents=True gives the folders above the usual mode, and they hold the children's keys.
                    for folder in (self._runtime, child.folder.parent, child.folder):
                        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                    await self._take_lease(child, deadline)
                    running = child.running()
                    if running is not None:
                        return running
                    await self._start(child, deadline)
        except OSError as error:
            raise Invalid(
                f"cannot keep the engine's files in {child.folder}: {error.strerror}",
                remedy=f"make {self._runtime} a folder that can be written to",
            ) from error

    @asynccontextmanager
    async def use(self, spec: ChildSpec) -> AsyncIterator[Running]:
        """A server for the length of one request: it does not leave for idleness in the middle of it."""
        child = self._child(spec)
        busy = Lease(child.folder / "busy")
        child.users += 1
        try:
            while True:
                running = await self._acquire(child)
                if busy.take_shared() and child.alive:
                    break
                await asyncio.sleep(LOOK_SECONDS)
            os.utime(busy.descriptor)
            try:
                yield running
            finally:
                os.utime(busy.descriptor)
        finally:
            busy.release()
            child.users -= 1

    def running(self, spec: ChildSpec) -> Running | None:
        """The server for ``spec`` if one runs, ours or another process's; never starts one."""
        return self._child(spec).running()

    async def release(self, spec: ChildSpec) -> None:
        """Give the lease back. A child without any is ended at once."""
        await asyncio.gather(*(self._let_go(known) for known in tuple(self._children) if known[0] == spec))

    async def dismiss(self, spec: ChildSpec) -> None:
        """As ``release``, but whoever is at work for this process stays, and leaves by idleness."""
        idle = [
            known
            for known, child in self._children.items()
            if known[0] == spec and not child.users and not child.turn.locked()
        ]
        await asyncio.gather(*(self._let_go(known) for known in idle))

    async def _let_go(self, known: tuple[ChildSpec, str]) -> None:
        child = self._children.pop(known, None)
        if child is None or not child.lease.held:
            return
        child.lease.release()
        with suppress(FileNotFoundError):  # its folder was taken away: it notices by itself
            if child.lease.take_alone():
                await self._end(child)
        child.lease.release()

    async def _let_go_of_older(self, child: Child) -> None:
        """Whoever serves what the model file was before it was replaced goes, as soon as no request of ours is there any more."""
        for known, older in tuple(self._children.items()):
            if known[0] == child.spec and older is not child and not older.users and not older.turn.locked():
                await self._let_go(known)

    async def stop(self, spec: ChildSpec) -> None:
        """End the server, whoever uses it: SIGTERM, then SIGKILL."""
        await self._end(self._child(spec))

    async def aclose(self) -> None:
        await asyncio.gather(*(self._let_go(known) for known in tuple(self._children)))

    def _child(self, spec: ChildSpec) -> Child:
        if not AVAILABLE:
            raise Invalid(
                "the built-in engine does not run on Windows itself", remedy="use WSL, or set engines.<name>.url"
            )
        known = (spec, key_of(spec))
        if known not in self._children:
            self._children[known] = Child(self._runtime, *known)
        return self._children[known]

    async def _take_lease(self, child: Child, deadline: float) -> None:
        while not child.lease.take_shared():  # a child that is leaving has it for itself
            await self._pause(child, deadline)

    async def _start(self, child: Child, deadline: float) -> None:
        """Start a child unless another process does; return when one is ready or the last attempt died."""
        start = Lease(child.folder / "start")
        try:
            while not start.take_alone():
                await self._pause(child, deadline)
            if child.running() is not None:
                return
            await self._clear_away(child, deadline)
            child.reap()
            if not child.alive:
                if child.was_ready:
                    await asyncio.sleep(child.note_crash())
                await asyncio.to_thread(child.spawn)
            await self._wait_until_ready(child, deadline)
        finally:
            start.release()

    async def _wait_until_ready(self, child: Child, deadline: float) -> None:
        while child.running() is None:
            if not child.alive:
                child.reap()
                if not child.was_ready:
                    await self._after_failed_start(child)
                return
            await self._pause(child, deadline)

    async def _after_failed_start(self, child: Child) -> None:
        reason = child.why_it_died()
        if reason is not None:
            raise reason
        await asyncio.sleep(child.note_crash())

    async def _clear_away(self, child: Child, deadline: float) -> None:
        """A server whose child was killed may hold the lock and serve nobody: end it, and wait until it has let go."""
        left = child.pids()
        if left is None or lives(left.pid, left.born):
            return
        send(left.server_pid, left.server_born, signal.SIGKILL)
        while child.alive:
            await self._pause(child, deadline)

    async def _pause(self, child: Child, deadline: float) -> None:
        if time.monotonic() > deadline:
            await self._end(child)
            raise TimedOut(
                f"{child.model} was not loaded within {self._start_seconds:g} s",
                remedy="raise engines.<name>.start_seconds, or choose a smaller model",
                phase="load",
            )
        await asyncio.sleep(LOOK_SECONDS)

    async def _end(self, child: Child) -> None:
        """SIGTERM, and SIGKILL for what is left after ``stop_seconds``."""
        pids = child.pids() or Pids(child.spawned, birth(child.spawned), 0, "")
        for number in (signal.SIGTERM, signal.SIGKILL):
            send(pids.pid, pids.born, number)
            if number == signal.SIGKILL:
                send(pids.server_pid, pids.server_born, number)
            for _ in range(int(self._stop_seconds / LOOK_SECONDS)):
                if not child.alive:
                    child.reap()
                    return
                await asyncio.sleep(LOOK_SECONDS)


def key_of(spec: ChildSpec) -> str:
    """Names a child: equal for all who may share it, different as soon as the model file or an adapter changes."""
    try:
        state = os.stat(spec.model)
    except OSError as error:
        raise Invalid(f"cannot read {spec.model}: {error.strerror}", remedy="fireside models list") from error
    shared = spec._replace(nice=0, idle_seconds=0.0)
    adapters = [_state_of(path) for path, _ in spec.loras]
    facts = [fireside.__version__, state.st_size, state.st_mtime_ns, adapters, shared._asdict()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _state_of(path: str) -> tuple[int, int]:
    """Size and date of an adapter; zeros for one that is gone, which the server will say better."""
    try:
        state = os.stat(path)
    except OSError:
        return 0, 0
    return state.st_size, state.st_mtime_ns
