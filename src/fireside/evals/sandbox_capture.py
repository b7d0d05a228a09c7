"""Run a command under watch: bounded output, bounded time, bounded memory of all its processes together.

Knows nothing of walls. What it starts is ended with it: the first process is killed, and whoever put up the walls sees to the rest.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from fireside.evals.sandbox_limits import Limits

_PIECE = 1 << 16
_LOOK_EVERY = 0.05
_LEFTOVERS = 2.0


@dataclass(slots=True)
class Captured:
    """``status``: the exit status, 128 + n after signal n. ``stopped``: why it was stopped: timeout, memory, disk, output, or nothing."""

    status: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0
    stopped: str = ""


@dataclass(slots=True)
class _Talk:
    """The three pipes to one process, read and written as they are ready."""

    process: subprocess.Popen[bytes]
    waiting: bytes
    limit: int
    kept: dict[str, bytearray] = field(default_factory=lambda: {"stdout": bytearray(), "stderr": bytearray()})
    ready: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def open(self) -> None:
        for name in ("stdout", "stderr"):
            pipe = getattr(self.process, name)
            os.set_blocking(pipe.fileno(), False)
            self.ready.register(pipe, selectors.EVENT_READ, name)
        assert self.process.stdin is not None
        os.set_blocking(self.process.stdin.fileno(), False)
        self.ready.register(self.process.stdin, selectors.EVENT_WRITE, "stdin")

    @property
    def listening(self) -> bool:
        return any(key.data != "stdin" for key in self.ready.get_map().values())

    @property
    def too_much(self) -> bool:
        return sum(map(len, self.kept.values())) >= self.limit

    def exchange(self, seconds: float) -> None:
        for key, _ in self.ready.select(max(0.0, seconds)):
            pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
            if key.data == "stdin":
                self._write(pipe)
            else:
                self._read(pipe, self.kept[key.data])

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            written = os.write(pipe.fileno(), self.waiting[:_PIECE]) if self.waiting else 0
        except BrokenPipeError:  # it reads no more
            written = len(self.waiting)
        self.waiting = self.waiting[written:]
        if not self.waiting:
            self._close(pipe)

    def _read(self, pipe: IO[bytes], into: bytearray) -> None:
        piece = os.read(pipe.fileno(), _PIECE)
        if not piece:
            self._close(pipe)
        into += piece[: self.limit - sum(map(len, self.kept.values()))]

    def _close(self, pipe: IO[bytes]) -> None:
        self.ready.unregister(pipe)
        pipe.close()

    def close(self) -> None:
        for key in list(self.ready.get_map().values()):
            self._close(key.fileobj)  # type: ignore[arg-type]
        self.ready.close()


def family(pid: int) -> list[int]:
    """``pid`` and all that it and its children started, as far as they still run."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except OSError:  # it has just ended
            continue
    return found


def resident(pid: int) -> int:
    """Bytes of memory that ``pid`` holds for itself: what it shares with files does not count."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def files_in(folder: str, pids: Sequence[int]) -> int:
    """How many files there are in a file system of the sandbox's own: each costs memory, also an empty one."""
    for pid in reversed(pids):
        place = f"/proc/{pid}/root{folder}"
        try:
            if os.stat(place).st_dev != os.stat(folder).st_dev:
                held = os.statvfs(place)
                return held.f_files - held.f_ffree
        except OSError:  # it has just ended
            continue
    return 0


def _excess(pid: int, limits: Limits, folder: str) -> str:
    pids = family(pid)
    if sum(map(resident, pids)) > limits.memory:
        return "memory"
    return "disk" if folder and files_in(folder, pids) > limits.files else ""


def _watch(talk: _Talk, limits: Limits, start: float, folder: str) -> str:
    """Why the process has to be stopped; nothing when it ended by itself."""
    look = start + _LOOK_EVERY
    while talk.listening or talk.process.poll() is None:
        now = time.monotonic()
        if now >= start + limits.seconds:
            return "timeout"
        if talk.too_much:
            return "output"
        if now >= look:
            look = now + _LOOK_EVERY
            if excess := _excess(talk.process.pid, limits, folder):
                return excess
        if talk.process.poll() is not None:
            talk.exchange(_LEFTOVERS)
            if talk.process.returncode is not None and not talk.ready.select(0):
                return ""
        else:
            talk.exchange(min(look, start + limits.seconds) - now)
    return ""


def capture(
    command: Sequence[str], limits: Limits, *, stdin: bytes, files: Sequence[int], folder: str = ""
) -> Captured:
    """Run ``command`` with no environment and only ``files`` open.

    ``folder``: where in the sandbox files can be made, if anywhere. Raises OSError when it cannot be started.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={},
        cwd="/",
        pass_fds=tuple(files),
        start_new_session=True,
    )
    talk = _Talk(process, stdin, limits.output)
    try:
        talk.open()
        stopped = _watch(talk, limits, start, folder)
    finally:
        end(process)
        talk.close()
    status = 128 - process.returncode if process.returncode < 0 else process.returncode
    kept = talk.kept
    return Captured(status, bytes(kept["stdout"]), bytes(kept["stderr"]), time.monotonic() - start, stopped)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its group; return when it is gone."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
    process.wait()
