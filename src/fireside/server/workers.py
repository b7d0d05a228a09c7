"""Several processes at one address: start them, keep them alive, hand signals on, end together.

The parent answers nothing and loads little. It keeps the address, and each child listens there itself; where the system does not share
connections among those who do, all children take them from the parent's socket. A child whose parent has gone ends by itself.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from fireside.app.serving import ServerSettings
from fireside.server.listening import SHARES, Listener, notify, port_of, reserve
from fireside.server.logs import written

log = logging.getLogger("fireside.server")
FIRST_WAIT, LONGEST_WAIT = 0.1, 10.0
# A child that lived so long did not fail from the start.
STEADY_SECONDS = 30.0
# For what a child does after its last answer.
CLOSE_SECONDS = 10.0
STOPPED = 130


@dataclass(slots=True)
class Child:
    """``failures``: in a row, which decide how long the next start waits."""

    number: int
    process: Process | None = None
    failures: int = 0


class Workers:
    """``words``: the command line of one worker, without where it listens. ``supervisor``: systemd's socket, or ""."""

    def __init__(self, settings: ServerSettings, words: Sequence[str], *, quiet: bool, supervisor: str = "") -> None:
        self._settings = settings
        self._words = tuple(words)
        self._quiet = quiet
        self._supervisor = supervisor
        self._children = [Child(number) for number in range(1, settings.workers + 1)]
        self._ending: signal.Signals | None = None
        self._end = asyncio.Event()

    async def run(self) -> int:
        """Until a signal; returns the exit code. The first child tells what is wrong with the settings, if anything, and ends it all."""
        with written(self._settings), reserve(self._settings.host, self._settings.port) as listener:
            self._obey()
            first = self._children[0]
            await self._start(first, listener, quiet=self._quiet)
            if not await _is_ready(first):
                assert first.process is not None
                code = await first.process.wait()
                return self._code if self._ending else max(1, code)
            notify(self._supervisor, "READY=1")
            keepers = [asyncio.ensure_future(self._keep(child, listener)) for child in self._children]
            await self._end.wait()
            late = asyncio.get_running_loop().call_later(self._settings.drain_seconds + CLOSE_SECONDS, self._kill)
            await asyncio.gather(*keepers)
            late.cancel()
        return self._code

    @property
    def _code(self) -> int:
        return STOPPED if self._ending is signal.SIGINT else 0

    def _obey(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._come, number)
        loop.add_signal_handler(signal.SIGHUP, self._hand_on, signal.SIGHUP)

    def _come(self, number: signal.Signals) -> None:
        self._ending = self._ending or number
        self._end.set()
        self._hand_on(signal.SIGTERM)

    def _hand_on(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.process is not None and child.process.returncode is None:
                with suppress(ProcessLookupError):
                    child.process.send_signal(number)

    def _kill(self) -> None:
        self._hand_on(signal.SIGKILL)

    async def _keep(self, child: Child, listener: Listener) -> None:
        """Start a child again and again, until all are to end."""
        while not self._end.is_set():
            began = time.monotonic()
            if child.process is None:
                await self._start(child, listener, quiet=True)
            assert child.process is not None
            code = await child.process.wait()
            child.process = None
            if self._end.is_set():
                return
            child.failures = 1 if time.monotonic() - began > STEADY_SECONDS else child.failures + 1
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (child.failures - 1))
            log.error("worker %d %s; it is started again in %.1f s", child.number, _told(code), wait)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), wait)

    async def _start(self, child: Child, listener: Listener, *, quiet: bool) -> None:
        words = [*self._words, "--port", str(port_of(listener)), "--worker", str(child.number)]
        if quiet:
            words.append("--quiet")
        if not SHARES:
            words += ["--socket", str(listener.fileno())]
        child.process = await asyncio.create_subprocess_exec(
            *words,
            # Its end tells the child that this process has gone.
            stdin=PIPE,
            # A line there tells us that it answers. Others find nobody who reads.
            stdout=PIPE if child is self._children[0] and child.failures == 0 else DEVNULL,
            env={name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
            pass_fds=() if SHARES else (listener.fileno(),),
            # Ctrl-C in a terminal goes to a whole group; a child is to hear of it once, from us.
            process_group=0 if sys.version_info >= (3, 11) else None,
        )
        if self._end.is_set():
            self._hand_on(signal.SIGTERM)


async def _is_ready(child: Child) -> bool:
    assert child.process is not None
    assert child.process.stdout is not None
    return bool(await child.process.stdout.readline())


def _told(code: int) -> str:
    if code >= 0:
        return f"ended by itself ({code})"
    return f"was ended by {signal.Signals(-code).name}"
