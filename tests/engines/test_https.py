"""Requests over TLS keep the promises of plain ones: the same addresses, limits, failures and farewells."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from fireside.core.errors import NotPermitted, TimedOut
from fireside.engines import egress
from fireside.engines.egress import EgressSettings, Errand
from fireside.engines.engine import Boundary
from fireside.engines.https import failure
from fireside.engines.transport import Timeouts, Transport
from support.raw_http import CHUNKED, SMALL, cause_of, failing, opened, serving, then_closing

QUICK = Timeouts(connect=0.1, load=0.1, first_token=0.1, stall=0.1)


@pytest.fixture
async def transport(tmp_path: Path) -> AsyncIterator[Transport]:
    async with opened(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=box"
    name = "-addext subjectAltName=IP:127.0.0.1"
    try:
        subprocess.run(
            ["openssl", *words.split(), *name.split(), "-keyout", key, "-out", cert], check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("no openssl here to make a certificate with")
    return cert, key


@pytest.fixture
def context(certificate) -> ssl.SSLContext:
    """A server's."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*certificate)
    return made


@pytest.fixture
def trusted(certificate, monkeypatch) -> None:
    """This machine trusts the certificate."""
    made = ssl.create_default_context(cafile=str(certificate[0]))
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", made)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    raise ConnectionError


def saying(data: bytes):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await silent(reader, writer)

    return serve


async def test_a_request_is_answered_and_its_connection_kept(transport, context, trusted):
    async with serving(SMALL, context=context) as server:
        for _ in range(3):
            answer = await transport.request("POST", server.url, json={"a": 1}, headers={"X-Own": "yes"})
            assert (answer.status, answer.body) == (200, b"{}")
        assert server.peers == 1
        assert server.bodies[0] == b'{"a":1}'
        head = server.heads[0].lower()
        assert b"x-own: yes" in head
        assert b"user-agent: fireside" in head
        assert b"cookie" not in head


async def test_a_connection_that_ended_while_idle_is_replaced(transport, context, trusted):
    async def hang_up(reader, writer):
        await reader.readexactly(2)
        raise ConnectionError

    async with serving(SMALL, hang_up, SMALL, context=context) as server:
        for _ in range(2):
            assert (await transport.request("POST", server.url, json={})).body == b"{}"
        assert len(server.heads) == 3


async def test_a_body_that_breaks_off_is_cut(transport, context, trusted):
    async with serving(then_closing(CHUNKED + b"5\r\nhe"), context=context) as server:
        assert await cause_of(transport.request("GET", server.url)) == "cut"


@pytest.mark.parametrize(
    ("data", "phase"), [(b"", "load"), (CHUNKED, "first_token"), (CHUNKED + b"3\r\none\r\n", "stall")]
)
async def test_each_phase_has_its_limit(transport, context, trusted, data, phase):
    async with serving(SMALL, saying(data), context=context) as server:
        await transport.request("GET", server.url)
        error = await failing(transport, server.url, timeouts=QUICK)
    assert (type(error), error.context["phase"]) == (TimedOut, phase)


@pytest.mark.parametrize("data", [b"", CHUNKED, CHUNKED + b"3\r\none\r\n"])
async def test_a_cancel_closes_the_connection(transport, context, trusted, data):
    async def read() -> None:
        async with transport.stream("GET", server.url) as stream:
            async for _ in stream.chunks():
                pass

    async def asked_then_silent(reader, writer):
        asked.set()
        await saying(data)(reader, writer)

    asked = asyncio.Event()
    async with serving(asked_then_silent, context=context) as server:
        task = asyncio.create_task(read())
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.gone.wait()


async def test_a_redirect_leads_from_plain_to_secure_without_the_key(transport, context, trusted):
    async with serving(SMALL, context=context) as there:
        moved = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % there.url.encode()
        async with serving(moved) as here:
            headers = {"Authorization": "Bearer hidden"}
            async with transport.stream("GET", here.url, headers=headers, redirects=1) as stream:
                assert (await stream.whole()).body == b"{}"
                assert stream.url == there.url
        assert b"hidden" in here.heads[0]
        assert b"hidden" not in there.heads[0]


async def test_an_outside_server_is_reached_only_where_allowed_and_after_its_line(
    transport, context, trusted, monkeypatch
):
    monkeypatch.setattr(egress, "classify", lambda address: Boundary.CLOUD)
    lines = []

    async def serve(reader, writer):
        lines.append(transport.egress.ledger.verify().entries)
        writer.write(SMALL)

    async with serving(serve, context=context) as server:
        with pytest.raises(NotPermitted):
            await transport.request("GET", server.url)
        assert server.heads == []
        transport.egress.settings = EgressSettings(allow_hosts=("127.0.0.1",))
        for _ in range(2):
            assert (await transport.request("GET", server.url, errand=Errand("far", "chat"))).ok
    assert (lines, server.peers) == ([1, 2], 1)


async def test_a_certificate_nobody_vouches_for_is_a_tls_error(transport, context):
    async with serving(SMALL, context=context) as server:
        error = await failing(transport, server.url)
    assert error.context["cause"] == "tls"
    assert "certificate" in error.message


async def test_a_plain_port_asked_for_tls_says_so(transport):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(16)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    error = await failing(transport, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    server.close()
    assert (error.context["cause"], error.retryable) == ("tls", False)
    assert "http://" in error.remedy


def test_a_request_that_could_not_be_written_is_a_reset_and_so_sent_once_more():
    """aiohttp wraps it without a number: the server closed the kept-alive connection between the look and the write."""
    wrapped = aiohttp.ClientOSError(None, "Can not write request body for https://127.0.0.1:1/")
    wrapped.__cause__ = aiohttp.ClientConnectionResetError("Cannot write to closing transport")
    error = failure(wrapped, "https://127.0.0.1:1/", begun=False)
    assert error.context["cause"] == "reset"
    assert error.retryable
