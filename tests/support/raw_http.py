"""A server that says exactly these bytes, for what no HTTP library would say."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from fireside.core.errors import FiresideError
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.ledger import Ledger
from fireside.engines.transport import Transport
from support.answers import GUARD, check_error

OK = b"HTTP/1.1 200 OK\r\n"
SMALL = OK + b"Content-Length: 2\r\n\r\n{}"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Serves each request with the next of ``answers``; the last one is given for ever. A callable speaks for itself.

    ``heads``, ``bodies``: what came. ``peers``: connections so far. ``gone``: set when a client has closed one.
    """

    def __init__(self, *answers: bytes | Serve) -> None:
        self.answers = list(answers)
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.peers = 0
        self.gone = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not isinstance(answer, bytes):
                    await answer(reader, writer)
                    continue
                self.bodies.append(await reader.readexactly(length_of(head)))
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.gone.set()
        finally:
            writer.close()


def length_of(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)


@asynccontextmanager
async def serving(*answers: bytes | Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """``context``: over TLS."""
    made = Server(*answers)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.url = f"http{'s' if context else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with asyncio.timeout(GUARD):
            yield made
    finally:
        server.close()


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    raise ConnectionError


def then_closing(data: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()
        raise ConnectionError

    return serve


async def cause_of(awaitable: Awaitable[object]) -> object:
    with pytest.raises(FiresideError) as caught:
        await awaitable
    check_error(caught.value)
    return caught.value.context.get("cause")


async def body_of(transport: Transport, url: str, **options) -> bytes:
    async with asyncio.timeout(GUARD), transport.stream("POST", url, json={}, **options) as stream:
        return b"".join([chunk async for chunk in stream.chunks()])


async def failing(transport: Transport, url: str, **options) -> FiresideError:
    with pytest.raises(FiresideError) as caught:
        await body_of(transport, url, **options)
    check_error(caught.value)
    return caught.value


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Transport]:
    transport = Transport(Egress(EgressSettings(), Ledger(folder / "egress.jsonl")))
    try:
        yield transport
    finally:
        await transport.aclose()


def run_on_uvloop(test: Callable[..., Awaitable[None]], folder: Path, *arguments: object) -> None:
    """A test that takes a ``transport`` first, once more on the loop that the server runs on."""

    async def run() -> None:
        async with opened(folder) as transport:
            await test(transport, *arguments)

    uvloop.run(run())
