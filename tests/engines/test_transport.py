"""Requests and streams over real sockets: every phase has its limit, every failure its kind, and closing is at once."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fireside.core.errors import (
    ConnectionFailed,
    Invalid,
    TimedOut,
)
from fireside.engines.transport import Timeouts, Transport
from support.answers import GUARD, check_error
from support.fake_http import FakeReply, Faults
from support.fake_openai import FakeOpenAI
from support.raw_http import failing, opened
from support.subjects import nowhere

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
QUICK = Timeouts(connect=0.1, load=0.1, first_token=0.1, stall=0.1)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def transport(tmp_path: Path) -> AsyncIterator[Transport]:
    async with opened(tmp_path) as made:
        yield made


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI("one two three four") as server:
        yield server


@asynccontextmanager
async def serving(serve: Serve, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """A server that answers each connection with ``serve``, once the request's head has come."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, 0, ssl=context)
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def saying(data: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return serve


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


# What works


async def test_a_request_gives_status_headers_and_body(transport, fake):
    answer = await transport.request("GET", f"{fake.url}/v1/models")
    assert answer.ok
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.object()["object"] == "list"


async def test_a_stream_gives_its_body_as_it_comes(transport, fake):
    gate = fake.faults.gate = asyncio.Event()
    fake.faults.hold_after = 2
    body = {"model": "fake-coder", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with asyncio.timeout(GUARD), transport.stream("POST", f"{fake.url}/v1/chat/completions", json=body) as stream:
        text = b""
        async for chunk in stream.chunks():
            text += chunk
            if b"two" in text and not gate.is_set():
                assert b"three" not in text
                gate.set()
    assert text.endswith(b"data: [DONE]\n\n")


async def test_a_connection_is_kept_for_the_next_request(transport, fake):
    for _ in range(5):
        await transport.request("GET", f"{fake.url}/v1/models")
    assert len(fake.peers) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_name_localhost_finds_a_server_on_either_address(transport, host):
    if host == "::1" and not has_ipv6():
        pytest.skip("no IPv6 here")
    async with serving(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), host=host) as url:
        assert (await transport.request("GET", url.replace("127.0.0.1", "localhost"))).body == b"{}"


async def test_nothing_of_the_browser_and_of_the_environment_is_sent(transport, fake, monkeypatch):
    monkeypatch.setenv("http_proxy", nowhere())
    monkeypatch.setenv("HTTP_PROXY", nowhere())
    await transport.request("GET", f"{fake.url}/v1/models", headers={"X-Own": "yes"})
    headers = {name.lower() for name in fake.requests[0].headers}
    assert "x-own" in headers
    assert not headers & {"origin", "referer", "cookie", "authorization"}


async def test_the_host_header_can_be_set(transport, fake):
    await transport.request("GET", f"{fake.url}/v1/models", headers={"Host": "localhost:11434"})
    assert fake.requests[0].headers["Host"] == "localhost:11434"


async def test_cookies_are_not_kept(transport):
    seen: list[bytes] = []

    async def serve(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n")
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serving(serve) as url:
        await transport.request("GET", url)
        await transport.request("GET", url)
    assert b"cookie" not in seen[0].lower()


async def test_connections_closed_while_idle_are_replaced_without_a_word(transport):
    served = 0
    both = asyncio.Barrier(2)

    async def serve(reader, writer):
        nonlocal served
        served += 1
        stale = served <= 2
        if stale:
            await both.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        if stale:
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.abort()

    async with asyncio.timeout(GUARD), serving(serve) as url:
        await asyncio.gather(*(transport.request("POST", url, json={}) for _ in range(2)))
        assert (await transport.request("POST", url, json={})).body == b"{}"
    assert served == 3


# What fails


async def test_a_port_where_nothing_listens_refuses(transport):
    error = await failing(transport, nowhere())
    assert (type(error), error.context["cause"]) == (ConnectionFailed, "refused")
    assert error.retryable


async def test_a_connection_reset_before_an_answer_is_a_reset(transport, fake):
    fake.faults.reset = True
    assert (await failing(transport, f"{fake.url}/v1/chat/completions")).context["cause"] == "reset"
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n",
        HEAD + b"Content-Length: 100\r\n\r\ndata: 1",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nda",
    ],
)
async def test_a_body_that_breaks_off_is_cut(transport, data):
    async with serving(saying(data)) as url:
        assert (await failing(transport, url)).context["cause"] == "cut"


async def test_a_reset_within_the_body_is_a_cut(transport, fake):
    fake.faults.cut_after = 2
    body = {"model": "fake-coder", "messages": [{"role": "user", "content": "hi"}], "stream": True}

    async def read() -> None:
        async with transport.stream("POST", f"{fake.url}/v1/chat/completions", json=body) as stream:
            async for _ in stream.chunks():
                pass

    with pytest.raises(ConnectionFailed) as caught:
        await read()
    assert caught.value.context["cause"] == "cut"


async def test_what_is_not_http_is_a_protocol_error(transport):
    async with serving(saying(b"SSH-2.0-OpenSSH_9.6\r\n")) as url:
        error = await failing(transport, url)
    assert error.context["cause"] == "protocol"
    assert "port" in error.remedy


async def test_a_name_nobody_knows_is_a_dns_error(transport, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert (await failing(transport, "http://no-such-box:8000")).context["cause"] == "dns"


@pytest.mark.parametrize("url", ["ftp://box/", "box:8000", "http://", "http://box:99999", "http://[::1", "http://a b/"])
async def test_what_is_no_address_is_invalid(transport, url):
    assert isinstance(await failing(transport, url), Invalid)


async def test_no_head_is_a_load_timeout(transport):
    async with serving(silent) as url:
        error = await failing(transport, url, timeouts=QUICK)
    assert (type(error), error.context["phase"]) == (TimedOut, "load")


async def test_no_first_byte_is_a_first_token_timeout(transport, fake):
    async def serve(reader, writer):
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        await reader.read()

    async with serving(serve) as url:
        assert (await failing(transport, url, timeouts=QUICK)).context["phase"] == "first_token"


async def test_silence_in_the_middle_is_a_stall(transport):
    async def serve(reader, writer):
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await reader.read()

    async with serving(serve) as url:
        assert (await failing(transport, url, timeouts=QUICK)).context["phase"] == "stall"


async def test_signs_of_life_without_content_do_not_put_off_the_first_token(transport):
    async def serve(reader, writer):
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"3\r\n:\n\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(serve) as url:

        async def read() -> None:
            async with asyncio.timeout(GUARD), transport.stream("POST", url, timeouts=QUICK) as stream:
                async for _ in stream.chunks(lambda: False):
                    pass

        with pytest.raises(TimedOut) as caught:
            await read()
    assert caught.value.context["phase"] == "first_token"


async def test_a_name_that_takes_too_long_is_a_connect_timeout(transport, monkeypatch):
    async def never(*args, **kwargs):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    assert (await failing(transport, "http://slow-box:8000", timeouts=QUICK)).context["phase"] == "connect"


async def test_a_connection_nobody_accepts_is_a_connect_timeout(transport):
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        error = await failing(transport, f"http://127.0.0.1:{full.getsockname()[1]}", timeouts=QUICK)
    assert (type(error), error.context["phase"]) == (TimedOut, "connect")


async def test_a_body_larger_than_wanted_is_refused(transport, fake):
    fake.faults.body = b"x" * 5000
    with pytest.raises(ConnectionFailed):
        await transport.request("POST", f"{fake.url}/v1/embeddings", json={}, limit=1000)


async def test_an_error_names_no_secret(transport):
    error = await failing(transport, nowhere().replace("http://", "http://user:hidden@") + "/v1?key=hidden")
    assert "hidden" not in f"{error.as_dict()}{error.message}{error.remedy}"


# Closing


async def leaves(fake: FakeOpenAI, task: asyncio.Task) -> float:
    """Cancel, and give the seconds until the server noticed."""
    await fake.waiting.wait()
    started = time.perf_counter()
    task.cancel()
    await fake.aborted.wait()
    took = time.perf_counter() - started
    await asyncio.gather(task, return_exceptions=True)
    return took


PHASES = {
    "before the head": Faults(hold_head=asyncio.Event()),
    "before the first token": Faults(hold_after=0),
    "in mid-stream": Faults(hold_after=2),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("content", ["hi", "x" * 4_000_000])
async def test_a_cancel_reaches_the_server_at_once(transport, fake, phase, content):
    fake.models["fake-coder"] = 1 << 30
    fake.faults = Faults(**vars(PHASES[phase])) if phase != "before the head" else Faults(hold_head=asyncio.Event())
    body = {"model": "fake-coder", "messages": [{"role": "user", "content": content}], "stream": True}

    async def read() -> None:
        async with transport.stream("POST", f"{fake.url}/v1/chat/completions", json=body) as stream:
            async for _ in stream.chunks():
                pass

    async with asyncio.timeout(GUARD):
        assert await leaves(fake, asyncio.create_task(read())) < 0.1


async def test_a_cancel_while_the_request_is_still_being_sent_closes_the_connection(transport):
    gone = asyncio.Event()
    came = asyncio.Event()

    async def serve(reader, writer):
        came.set()
        writer.transport.pause_reading()
        await release.wait()
        writer.transport.resume_reading()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1 << 30)
        gone.set()

    release = asyncio.Event()
    async with serving(serve) as url:
        task = asyncio.create_task(transport.request("POST", url, json="x" * 40_000_000))
        async with asyncio.timeout(GUARD):
            await came.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            release.set()
            await gone.wait()


async def test_leaving_early_closes_the_connection(transport, fake):
    fake.faults.hold_after = 1
    body = {"model": "fake-coder", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with asyncio.timeout(GUARD):
        async with transport.stream("POST", f"{fake.url}/v1/chat/completions", json=body) as stream:
            await anext(stream.chunks())
        await fake.aborted.wait()


# Encodings and nesting


async def test_replies_in_any_encoding_are_read(transport, fake):
    fake.rehearse(FakeReply("né 👍"))
    body = {"model": "fake-coder", "messages": [{"role": "user", "content": "hi"}]}
    whole = (await transport.request("POST", f"{fake.url}/v1/chat/completions", json=body)).object()
    assert whole["choices"][0]["message"]["content"] == "né 👍"


async def test_json_nested_deeper_than_it_can_be_written_is_refused_and_never_sent(transport, fake):
    deep: object = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(Invalid, match="written as JSON") as caught:
        await transport.request("POST", f"{fake.url}/v1/chat/completions", json={"messages": deep})
    check_error(caught.value)
    assert not fake.requests
