"""Connections to engines over plain HTTP, kept alive for the next request: one set for each event loop.

A connection is opened only to an address that the egress admitted for this very request, and one that was kept serves only when the address
it leads to was admitted again. Knows sockets; what goes over them is ``http1``'s.
"""

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Sequence
from itertools import chain, zip_longest

from fireside.core.errors import FiresideError, NotPermitted, OutOfResources
from fireside.engines.egress import Egress, Passage
from fireside.engines.failures import cause_of, failed, late
from fireside.engines.http1 import Answer, Connection
from fireside.engines.letter import Letter

KEEP_ALIVE = 30.0
# RFC 8305, section 5: how long an address may take before the next one is tried beside it.
HEAD_START = 0.25
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Connections:
    """Close them in the loop that used them."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._loop = asyncio.get_running_loop()
        self._open: set[Connection] = set()
        self._idle: dict[tuple[str, int, str], list[Connection]] = {}

    async def exchange(self, letter: Letter, passage: Passage, *, fresh: bool = False) -> Answer:
        """The answer, its head read. ``fresh``: a connection that was kept alive will not do.

        Raises ``ConnectionFailed``, ``TimedOut`` (connect, load) and ``NotPermitted``.
        """
        seconds = letter.connect + letter.load
        due = self._loop.time() + seconds
        head = letter.head()
        connection = None if fresh else self._kept(passage)
        if connection is None:
            connection = await self._opened(letter, passage)
        try:
            await self._egress.confirm(passage, connection.address)
            answer = connection.send(letter, head)
            await answer.head(due)
        except TimeoutError:
            connection.abort()
            raise late(letter.address.shown, "load", seconds) from None
        except BaseException:
            connection.abort()
            raise
        return answer

    async def aclose(self) -> None:
        for connection in tuple(self._open):
            connection.abort()
        # The sockets are closed in the loop's next round.
        await asyncio.sleep(0)

    def _kept(self, passage: Passage) -> Connection | None:
        for address in passage.addresses:
            idle = self._idle.get((passage.host, passage.port, address))
            while idle:
                connection = idle.pop()
                if connection.usable:
                    return connection
        return None

    async def _opened(self, letter: Letter, passage: Passage) -> Connection:
        url = letter.address.shown
        try:
            async with asyncio.timeout(letter.connect):
                address, opened = await self._reach(passage)
                return await self._connected(opened, (passage.host, passage.port, address))
        except TimeoutError:
            raise late(url, "connect", letter.connect) from None
        except OSError as error:
            if error.errno in NO_ROOM:
                raise OutOfResources(
                    f"this machine has no room for another connection: {error.strerror}",
                    remedy="raise the limit of open files: ulimit -n",
                ) from error
            raise failed(url, cause_of(error.errno) or "unreachable") from error

    async def _connected(self, opened: socket.socket, place: tuple[str, int, str]) -> Connection:
        def idle(connection: Connection) -> None:
            connection.alarm(self._loop.time() + KEEP_ALIVE)
            self._idle.setdefault(place, []).append(connection)

        def lost(connection: Connection) -> None:
            self._open.discard(connection)
            waiting = self._idle.get(place, [])
            if connection in waiting:
                waiting.remove(connection)
            if not waiting:
                self._idle.pop(place, None)

        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._loop, place[2], idle, lost), sock=opened
            )
        except BaseException:
            opened.close()
            raise
        self._open.add(connection)
        return connection

    async def _reach(self, passage: Passage) -> tuple[str, socket.socket]:
        """The first address that lets itself be connected to, each with a head start over the next one (RFC 8305)."""
        if len(passage.addresses) == 1:
            return await self._socket(passage, passage.addresses[0])
        waiting = deque(interleaved(passage.addresses))
        trying: set[asyncio.Task[tuple[str, socket.socket]]] = set()
        failures: list[OSError | FiresideError] = []
        try:
            while waiting or trying:
                if waiting:
                    trying.add(self._loop.create_task(self._socket(passage, waiting.popleft())))
                wait = HEAD_START if waiting else None
                done, _ = await asyncio.wait(trying, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    trying.remove(task)
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if not isinstance(error, OSError | FiresideError):
                        raise error
                    failures.append(error)
            raise telling(failures)
        finally:
            await _drop(trying)

    async def _socket(self, passage: Passage, address: str) -> tuple[str, socket.socket]:
        if not self._egress.may_open(passage, address):
            raise NotPermitted(
                f"{address} is outside, and not in the ledger", remedy="fireside doctor", address=address
            )
        opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            await self._loop.sock_connect(opened, (address, passage.port))
        except BaseException:
            opened.close()
            raise
        return address, opened


def interleaved(addresses: Sequence[str]) -> list[str]:
    """The families in turn, beginning with that of the first (RFC 8305, section 4)."""
    first = ":" in addresses[0]
    same = [address for address in addresses if (":" in address) is first]
    other = [address for address in addresses if (":" in address) is not first]
    return [address for address in chain.from_iterable(zip_longest(same, other)) if address is not None]


def telling(failures: Sequence[OSError | FiresideError]) -> OSError | FiresideError:
    """The failure that says most: a machine that refuses is there."""
    refused = (error for error in failures if isinstance(error, OSError) and cause_of(error.errno) == "refused")
    return next(refused, failures[0])


async def _drop(trying: set[asyncio.Task[tuple[str, socket.socket]]]) -> None:
    """Nobody waits for these any more."""
    for task in trying:
        task.cancel()
    for result in await asyncio.gather(*trying, return_exceptions=True):
        if isinstance(result, tuple):
            result[1].close()
