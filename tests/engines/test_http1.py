"""Our own HTTP/1.1 towards engines: bytes in any pieces, bodies of every kind, and what is no HTTP at all."""

import asyncio
import gzip
import hashlib
import socket
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fireside.core.errors import ConnectionFailed, Invalid
from fireside.engines.inflate import PIECE
from fireside.engines.transport import Transport
from support.answers import check_error
from support.raw_http import CHUNKED, OK, SMALL, cause_of, length_of, opened, run_on_uvloop, serving, then_closing


@pytest.fixture
async def transport(tmp_path: Path) -> AsyncIterator[Transport]:
    async with opened(tmp_path) as made:
        yield made


# Bodies


BODIES = {
    "content-length": (OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "chunked": (CHUNKED + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n", b"hello"),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", b""),
    "after interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SMALL,
        b"{}",
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", b""),
}


@pytest.mark.parametrize("kind", BODIES)
async def test_a_body_is_whole_and_its_connection_serves_again(transport, kind):
    data, body = BODIES[kind]
    async with serving(data) as server:
        for _ in range(2):
            assert (await transport.request("POST", server.url, json={})).body == body
        assert server.peers == 1


async def test_the_headers_of_an_interim_answer_are_not_those_of_the_answer(transport):
    async with serving(BODIES["after interim answers"][0]) as server:
        answer = await transport.request("GET", server.url)
    assert (answer.status, dict(answer.headers)) == (200, {"content-length": "2"})


@pytest.mark.parametrize("kind", BODIES)
async def test_an_answer_may_be_split_anywhere(transport, kind):
    data, body = BODIES[kind]

    async def drip(reader, writer):
        await reader.readexactly(2)
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(drip) as server:
        for _ in range(2):
            assert (await transport.request("POST", server.url, json={})).body == body
        assert server.peers == 1


@pytest.mark.parametrize("head", [OK + b"\r\n", b"HTTP/1.0 200 OK\r\n\r\n", OK + b"Connection: close\r\n\r\n"])
async def test_a_body_without_a_length_ends_with_its_connection(transport, head):
    async with serving(then_closing(head + b"hello")) as server:
        for _ in range(2):
            assert (await transport.request("GET", server.url)).body == b"hello"
        assert server.peers == 2


async def test_a_body_without_a_length_that_is_reset_is_cut(transport):
    async def serve(reader, writer):
        writer.write(OK + b"\r\nhello")
        await writer.drain()
        await begun.wait()
        linger = (1).to_bytes(4, "little") + bytes(4)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    begun = asyncio.Event()

    async def read():
        async with transport.stream("GET", server.url) as stream:
            async for _ in stream.chunks():
                begun.set()

    async with serving(serve) as server:
        assert await cause_of(read()) == "cut"


async def test_an_answer_to_head_has_no_body_whatever_its_length_says(transport):
    async with serving(OK + b"Content-Length: 100\r\n\r\n", SMALL) as server:
        answer = await transport.request("HEAD", server.url)
        assert (answer.status, answer.headers["content-length"], answer.body) == (200, "100", b"")
        assert (await transport.request("GET", server.url)).body == b"{}"
        assert server.peers == 1


async def test_what_one_read_brings_is_one_piece(transport):
    """A hundred events in one packet are one piece, and the next packet is another."""
    first, second = b"a\r\nevent: 1\n\n\r\n" * 100, b"a\r\nevent: 2\n\n\r\n"

    async def serve(reader, writer):
        writer.write(CHUNKED + first)
        await writer.drain()
        await read.wait()
        writer.write(second + b"0\r\n\r\n")

    read = asyncio.Event()
    async with serving(serve) as server, transport.stream("GET", server.url) as stream:
        pieces = []
        async for piece in stream.chunks():
            pieces.append(piece)
            read.set()
    assert pieces == [b"event: 1\n\n" * 100, b"event: 2\n\n"]


async def test_a_server_is_made_to_wait_for_a_slow_reader(transport):
    size, sent = 64 << 20, 0
    blocked = asyncio.Event()

    async def serve(reader, writer):
        nonlocal sent
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(1 << 20))
            sent += 1 << 20
            drained = asyncio.ensure_future(writer.drain())
            await asyncio.wait([drained], timeout=0.2)
            if not drained.done():
                blocked.set()
            await drained

    async with serving(serve) as server, transport.stream("GET", server.url) as stream:
        await blocked.wait()
        assert sent < size // 2
        assert len((await stream.whole(size)).body) == size


async def test_a_large_body_arrives_whole_at_a_server_that_reads_slowly(transport):
    text = "".join(f"{number:07}" for number in range(400_000))

    async def serve(reader, writer):
        writer.transport.pause_reading()
        await asyncio.sleep(0)
        writer.transport.resume_reading()
        body = await reader.readexactly(length_of(server.heads[-1]))
        digest = hashlib.sha256(body).hexdigest().encode()
        writer.write(OK + b"Content-Length: 64\r\n\r\n" + digest)

    async with serving(serve) as server:
        for _ in range(2):
            answer = await transport.request("POST", server.url, json=text)
            assert answer.body.decode() == hashlib.sha256(f'"{text}"'.encode()).hexdigest()
        assert server.peers == 1


async def test_an_answer_that_comes_before_the_request_is_sent_is_taken_and_the_connection_closed(transport):
    async def refuse(reader, writer):
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.transport.pause_reading()
        await answered.wait()
        writer.transport.resume_reading()
        while await reader.read(1 << 20):
            pass
        raise ConnectionError

    answered = asyncio.Event()
    async with serving(refuse) as server:
        assert (await transport.request("POST", server.url, json="x" * 40_000_000)).status == 413
        answered.set()
        await server.gone.wait()


# Packed bodies


TEXT = b"some words that are said again, said again, said again" * 50


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = {
    "gzip": gzip.compress(TEXT, mtime=0),
    "x-gzip": gzip.compress(TEXT[:99], mtime=0) + gzip.compress(TEXT[99:], mtime=0) + bytes(8),
    "GZIP": gzip.compress(TEXT, mtime=0),
    "deflate": zlib.compress(TEXT),
    "Deflate": bare(TEXT),
}


def packed(encoding: str, data: bytes) -> bytes:
    return OK + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (encoding.encode(), len(data)) + data


@pytest.mark.parametrize("encoding", PACKED)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
async def test_a_body_packed_unasked_is_unpacked(transport, encoding, step):
    data = PACKED[encoding]

    async def serve(reader, writer):
        whole = packed(encoding, data)
        writer.write(whole[: -len(data)])
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(serve) as server:
        for _ in range(2):
            assert (await transport.request("GET", server.url)).body == TEXT
        assert server.peers == 1
        assert b"accept-encoding" not in server.heads[0].lower()


async def test_what_unpacks_to_much_comes_in_pieces_and_is_refused_at_the_limit(transport):
    async with serving(packed("gzip", gzip.compress(bytes(50_000_000)))) as server:
        async with transport.stream("GET", server.url) as stream:
            sizes = [len(piece) async for piece in stream.chunks()]
        assert (sum(sizes), max(sizes)) == (50_000_000, PIECE)
        assert await cause_of(transport.request("GET", server.url, limit=1_000_000)) == "protocol"


BROKEN = {
    "end missing": gzip.compress(TEXT, mtime=0)[:-20],
    "not gzip": b"no gzip at all",
    "head alone": gzip.compress(TEXT, mtime=0)[:15],
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
async def test_a_packed_body_that_is_broken_is_cut(transport, data):
    async with serving(packed("gzip", data)) as server:
        assert await cause_of(transport.request("GET", server.url)) == "cut"


# What is not HTTP


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"HTTP/1.1 abc\r\n\r\n", "protocol"),
        (b"\x15\x03\x01\x00\x02\x02", "tls"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "protocol"),
        (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "protocol"),
        (OK + b"X: " + b"x" * 1_000_000 + b"\r\n", "protocol"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000, "protocol"),
        (CHUNKED + b"zz\r\n", "cut"),
        (CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: 1\r\n" * 500_000, "cut"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "cut"),
    ],
)
async def test_what_is_not_http_has_its_cause(transport, data, cause):
    async with serving(then_closing(data)) as server:
        assert await cause_of(transport.request("GET", server.url)) == cause


@pytest.mark.parametrize(
    "headers",
    [{"X-Own": "a\r\nX-Other: b"}, {"X-Own": "a\nb"}, {"X\r\nOther": "b"}, {"X": "a\0b"}, {"X": "\ud800"}],
)
async def test_a_header_cannot_hold_another_one(transport, headers):
    async with serving(SMALL) as server:
        with pytest.raises(Invalid) as caught:
            await transport.request("GET", server.url, headers=headers)
        check_error(caught.value)
        assert server.peers == 0


async def test_the_length_of_a_request_is_never_the_callers(transport):
    async with serving(SMALL) as server:
        headers = {"Content-Length": "1", "Transfer-Encoding": "chunked", "X-Own": "yes"}
        await transport.request("POST", server.url, json={"a": 1}, headers=headers)
        assert server.bodies == [b'{"a":1}']
        assert b"chunked" not in server.heads[0]


async def test_a_stream_cut_in_mid_content_gives_first_what_had_come(transport):
    async with (
        serving(then_closing(CHUNKED + b"5\r\nhello\r\n")) as server,
        transport.stream("GET", server.url) as stream,
    ):
        pieces = stream.chunks()
        assert await anext(pieces) == b"hello"
        with pytest.raises(ConnectionFailed):
            await anext(pieces)


ON_UVLOOP = {
    test_what_one_read_brings_is_one_piece: (),
    test_a_server_is_made_to_wait_for_a_slow_reader: (),
    test_a_large_body_arrives_whole_at_a_server_that_reads_slowly: (),
    test_an_answer_that_comes_before_the_request_is_sent_is_taken_and_the_connection_closed: (),
    test_a_body_without_a_length_ends_with_its_connection: (OK + b"\r\n",),
    test_a_body_without_a_length_that_is_reset_is_cut: (),
}


@pytest.mark.parametrize("test", ON_UVLOOP, ids=lambda test: test.__name__.removeprefix("test_"))
def test_it_is_the_same_on_the_loop_that_the_server_runs_on(test, tmp_path):
    run_on_uvloop(test, tmp_path, *ON_UVLOOP[test])
