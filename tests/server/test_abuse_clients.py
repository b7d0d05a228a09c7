"""Clients that leave, never read, or come all at once: memory stays bounded, and every slot comes back."""

import asyncio
import json
import socket

import pytest

from fireside.core.requests import Delta
from fireside.engines.scripted import Reply, ScriptedEngine
from support.gateways import until
from support.servers import served

GUARD = 10
SAID = [{"role": "user", "content": "hi"}]
STREAMS = {
    "/v1/chat/completions": {"messages": SAID},
    "/v1/completions": {"prompt": "x"},
    "/v1/responses": {"input": "x"},
    "/v1/messages": {"messages": SAID, "max_tokens": 5},
    "/api/chat": {"messages": SAID},
    "/api/generate": {"prompt": "x"},
    "/infill": {"input_prefix": "x", "input_suffix": "y"},
    "/api/v1/chat": {"messages": SAID, "context": False},
    "/api/v1/complete": {"prefix": "x"},
}
SILENT = {
    "/v1/embeddings": {"input": "x"},
    "/api/embed": {"input": "x"},
    "/api/embeddings": {"prompt": "x"},
    "/api/v1/embed": {"texts": ["x"]},
    "/v1/messages/count_tokens": {"messages": SAID},
}
FLAGS = {"models.chat": "script", "models.complete": "script"}


class Endless(ScriptedEngine):
    """Talks until nobody listens. ``said``: pieces so far."""

    said = 0

    async def chat(self, request, card):
        self.running += 1
        try:
            while True:
                self.said += 1
                yield Delta(text="x" * 1000)
                if self.said % 64 == 0:
                    await asyncio.sleep(0)
        finally:
            self.running -= 1

    async def complete(self, request, card):
        async for delta in self.chat(request, card):
            yield delta


class Thoughtful(ScriptedEngine):
    """Never done with embedding and counting. ``thinking``: how many wait for it."""

    thinking = 0

    async def embed(self, texts, card):
        await self._think()

    async def count_tokens(self, request, card):
        await self._think()

    async def _think(self):
        self.thinking += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.thinking -= 1


def request(path: str, body) -> bytes:
    data = json.dumps({"model": "script", **body}).encode()
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


async def connected(server):
    host, port = server.address.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def soon(condition) -> None:
    async with asyncio.timeout(GUARD):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("how", ["closes", "resets", "says that it sends no more"])
async def test_whoever_leaves_frees_its_slot_or_its_place_in_line_on_every_route(tmp_path, how):
    engine = ScriptedEngine(name="s")
    flags = FLAGS | {"gateway.parallel": {"s": 1}}
    async with served(engine, root=tmp_path, flags=flags) as server:
        for path, body in STREAMS.items():
            for stream, hold_after in ((True, 0), (True, 1), (False, 0)):
                engine.rehearse(Reply("one two", hold=asyncio.Event(), hold_after=hold_after))
                _, first = await connected(server)
                first.write(request(path, body | {"stream": stream}))
                await soon(lambda: engine.running == 1)
                _, second = await connected(server)
                second.write(request(path, body | {"stream": stream}))
                await soon(lambda: server.fireside.gateway.load() == {"s": (1, 1)})
                for writer in (second, first):
                    if how == "closes":
                        writer.close()
                    elif how == "resets":
                        writer.transport.abort()
                    else:
                        writer.write_eof()
                await soon(lambda: server.fireside.gateway.load() == {"s": (0, 0)})
                assert engine.running == 0
                for writer in (second, first):
                    writer.close()


@pytest.mark.parametrize("path", SILENT)
async def test_what_nobody_waits_for_any_more_is_not_worked_out(tmp_path, path):
    engine = Thoughtful(name="s")
    async with served(engine, root=tmp_path, flags=FLAGS) as server:
        _, writer = await connected(server)
        writer.write(request(path, SILENT[path]))
        await soon(lambda: engine.thinking == 1)
        writer.close()
        await soon(lambda: engine.thinking == 0)


async def test_a_client_that_does_not_read_slows_down_the_engine_and_fills_no_memory(tmp_path):
    engine = Endless(name="s")
    async with served(engine, root=tmp_path, flags=FLAGS) as server:
        host, port = server.address.removeprefix("http://").split(":")
        loop = asyncio.get_running_loop()
        for path, body in STREAMS.items():
            engine.said = 0
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, (host, int(port)))
            await loop.sock_sendall(client, request(path, body | {"stream": True}))
            await soon(lambda: engine.said > 0)
            before = -1
            async with asyncio.timeout(GUARD):
                while engine.said != before:
                    before = engine.said
                    await asyncio.sleep(0.02)
            # What the system buffers for a connection, and not much more.
            assert before * 1000 < 16_000_000
            client.close()
            await soon(lambda: engine.running == 0)
        assert server.fireside.gateway.load() == {"s": (0, 0)}


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/chat/completions", 429, b'"type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"'),
        ("/v1/responses", 429, b'"code":"rate_limit_exceeded"'),
        ("/v1/messages", 429, b'{"type":"error","error":{"type":"rate_limit_error"'),
        ("/api/chat", 503, b"server busy, please try again.  maximum pending requests exceeded"),
        ("/infill", 429, b'"code":429'),
        ("/api/v1/chat", 429, b'"kind":"rate_limit"'),
    ],
)
async def test_of_two_hundred_clients_at_one_slot_those_without_a_place_are_told_when_to_come_back(
    tmp_path, path, status, words
):
    engine = ScriptedEngine(Reply("one", hold=asyncio.Event()), name="s")
    flags = FLAGS | {"gateway.parallel": {"s": 1}, "gateway.max_waiting": 20}
    async with served(engine, root=tmp_path, flags=flags) as server:
        clients = [await connected(server) for _ in range(200)]
        for _, writer in clients:
            writer.write(request(path, STREAMS[path] | {"stream": False}))
        heads = [asyncio.ensure_future(reader.readuntil(b"\r\n\r\n")) for reader, _ in clients]
        await soon(lambda: sum(head.done() for head in heads) == 200 - 1 - 20)
        for (reader, _), head in zip(clients, heads, strict=True):
            if head.done():
                assert int(head.result().split()[1]) == status
                assert b"\r\nretry-after: " in head.result()
                assert words in await reader.readuntil(b"}")
        assert server.fireside.gateway.load() == {"s": (1, 20)}
        for head in heads:
            head.cancel()
        for _, writer in clients:
            writer.close()
        await soon(lambda: server.fireside.gateway.load() == {"s": (0, 0)})
        await until(lambda: engine.running == 0)
