"""Serve in this process, obey signals, and end without cutting an answer off.

The first SIGTERM or Ctrl-C takes no new requests (503, and ``/healthz/ready`` says so) and lets running answers finish; a second one ends
at once. SIGHUP reads the settings anew.
"""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

from fireside.app.fireside import Fireside
from fireside.server.house import House, build_house
from fireside.server.listening import Listener
from fireside.server.logs import written
from fireside.server.snapshots import Worker

if TYPE_CHECKING:
    from uvicorn import Server

log = logging.getLogger("fireside.server")
uvicorn_log = logging.getLogger("uvicorn.error")
BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75
# For connections to close after the last answer.
CLOSE_SECONDS = 2
LOOK_SECONDS = 0.05
SWITCH_SECONDS = 0.001
STOPPED = 130


async def serve(
    fireside: Fireside, listener: Listener, *, ready: Callable[[], None], worker: Worker | None = None
) -> int:
    """Serve on a bound socket until a signal comes; returns the exit code: 0, or 130 after Ctrl-C.

    ``ready``: called when requests are answered. ``worker``: one of several; then the end of the standard input means that the process
    that started it has gone.
    Raises a ``FiresideError`` where the server must not or cannot start.
    """
    house = build_house(fireside, worker)
    with written(fireside.config.settings.server):
        await house.open()
        tune()
        following = asyncio.ensure_future(house.reload.follow())
        end = End(house, _server(house, ready))
        try:
            with obeying(end, house.reload.now, sys.stdin.fileno() if worker is not None else None):
                await end.server.serve(sockets=[listener])
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await house.close()
            uvicorn_log.disabled = False
    return STOPPED if end.cause is signal.SIGINT else 0


def tune() -> None:
    """Set Python up for a process that does nothing but answer. In the loop that does."""
    # What is loaded by now stays; to look through it for circles again and again would hold up answers for tens of milliseconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    # The threads that write things down let go of the interpreter sooner.
    sys.setswitchinterval(SWITCH_SECONDS)
    # The loop keeps a list of all async generators that run, for its end; ours are closed where they are used, and it costs 3 us each.
    sys.set_asyncgen_hooks(firstiter=None)


class End:
    """How the server ends: after the last answer, when that takes too long, or at once. ``cause``: the first signal."""

    def __init__(self, house: House, server: "Server") -> None:
        self.server = server
        self.cause: signal.Signals | None = None
        self._house = house
        self._draining: asyncio.Task[None] | None = None

    def come(self, cause: signal.Signals) -> None:
        if self._draining is None:
            self.cause = cause
            self._house.app.draining = True
            self._draining = asyncio.ensure_future(self._drain())
        else:
            self._draining.cancel()
            if self._house.gates.running:
                log.warning("answers cut off: %d", self._house.gates.running)
            self._cut()
            self.server.should_exit = True

    async def _drain(self) -> None:
        seconds, gates = self._house.settings.drain_seconds, self._house.gates
        if gates.running:
            log.info("ending; answers still running: %d; a second signal cuts them off", gates.running)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while gates.running:  # noqa: ASYNC110  an event would cost every request
                    await asyncio.sleep(LOOK_SECONDS)
        if gates.running:
            log.warning("answers cut off: %d; they were still running after %g s", gates.running, seconds)
            self._cut()
        self.server.should_exit = True

    def _cut(self) -> None:
        self.server.config.timeout_graceful_shutdown = 0
        # It would tell of each answer with the place in the code where it was; we have said how many.
        uvicorn_log.disabled = True


@contextmanager
def obeying(end: End, reload: Callable[[], None], lifeline: int | None) -> Iterator[None]:
    """Signals do what they are to do; so does the end of the process that started this one."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end.come, number)
    loop.add_signal_handler(signal.SIGHUP, reload)

    def orphaned() -> None:
        assert lifeline is not None
        loop.remove_reader(lifeline)
        end.come(signal.SIGTERM)

    if lifeline is not None:
        loop.add_reader(lifeline, orphaned)
    try:
        yield
    finally:
        if lifeline is not None:
            loop.remove_reader(lifeline)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


def _server(house: House, ready: Callable[[], None]) -> "Server":
    import uvicorn

    from fireside.server.protocol import connection_type

    config = uvicorn.Config(
        house.app,
        http=connection_type(),
        ws="websockets-sansio",
        ws_max_size=house.settings.body_limit,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )
    return _server_type()(config, ready)


@cache
def _server_type() -> "Callable[..., Server]":
    import uvicorn

    class Quiet(uvicorn.Server):
        """Leaves signals to us, and says when it answers."""

        def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
            super().__init__(config)
            self._ready = ready

        async def startup(self, sockets: "list[Listener] | None" = None) -> None:
            await super().startup(sockets)
            self._ready()

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return Quiet
