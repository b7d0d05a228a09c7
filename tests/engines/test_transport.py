"""Requests and streams over real sockets: every phase has its limit, every failure its kind, and closing is at once."""

import asyncio
import json
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import aiohttp
import filelock
import pytest

from fireside.core.errors import (
    ConnectionFailed,
    FiresideError,
    Invalid,
    ModelNotFound,
    NotPermitted,
    OutOfResources,
    RateLimited,
    TimedOut,
)
from fireside.engines.egress import Egress, EgressSettings, Errand
from fireside.engines.engine import Boundary
from fireside.engines.ledger import Ledger
from fireside.engines.reply import Response, explain, public_url, retry_after
from fireside.engines.transport import Timeouts, Transport, failure
from support.answers import GUARD, check_error
from support.fake_http import FakeReply, Faults
from support.fake_openai import FakeOpenAI
from support.subjects import nowhere

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
QUICK = Timeouts(connect=0.1, load=0.1, first_token=0.1, stall=0.1)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def transport(tmp_path: Path) -> AsyncIterator[Transport]:
    made = Transport(Egress(EgressSettings(), Ledger(tmp_path / "egress.jsonl")))
    yield made
    await made.aclose()


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


async def body_of(transport: Transport, url: str, **options) -> bytes:
    async with asyncio.timeout(GUARD), transport.stream("POST", url, json={}, **options) as stream:
        return b"".join([chunk async for chunk in stream.chunks()])


async def failing(transport: Transport, url: str, **options) -> FiresideError:
    with pytest.raises(FiresideError) as caught:
        await body_of(transport, url, **options)
    check_error(caught.value)
    return caught.value


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


async def test_a_certificate_nobody_vouches_for_is_a_tls_error(transport, tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=box -keyout {key} -out {cert}"
    try:
        subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl here to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with serving(silent, context) as url:
        error = await failing(transport, url)
    assert error.context["cause"] == "tls"
    assert "certificate" in error.message


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


# The egress


async def test_an_outside_address_is_never_connected_to(transport, monkeypatch):
    def connect(self, address):
        raise AssertionError(f"tried to reach {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    for url in ("http://203.0.113.7/", "http://[2606:4700::1111]/", "http://134744072/", "http://[::ffff:8.8.8.8]/"):
        assert isinstance(await failing(transport, url), NotPermitted)


async def test_a_redirect_to_an_outside_host_is_not_followed(transport, fake):
    fake.faults.redirect = "https://user:hidden@evil.example.com/v1?key=hidden"
    answer = await transport.request("GET", f"{fake.url}/v1/models")
    assert answer.status == 307
    error = explain(answer)
    assert isinstance(error, Invalid)
    assert "evil.example.com" in error.message
    assert "hidden" not in error.message


async def test_a_redirect_that_is_followed_passes_the_egress_again(transport, fake):
    fake.faults.redirect = "http://203.0.113.7/model.gguf"
    with pytest.raises(NotPermitted):
        async with transport.stream("GET", f"{fake.url}/v1/models", redirects=3):
            pass


async def test_a_redirect_takes_no_key_to_another_host(transport, fake):
    async with FakeOpenAI() as other:
        fake.faults.redirect = f"{other.url}/v1/models"
        headers = {"Authorization": "Bearer hidden", "X-Api-Key": "hidden", "X-Own": "yes"}
        async with transport.stream("GET", f"{fake.url}/v1/models", headers=headers, redirects=1) as stream:
            assert stream.status == 200
        assert fake.requests[0].headers["Authorization"] == "Bearer hidden"
        assert "hidden" not in str(other.requests[0].headers)
        assert other.requests[0].headers["X-Own"] == "yes"


async def test_redirects_in_a_circle_end(transport, fake):
    fake.faults.redirect = "/v1/models"
    async with transport.stream("GET", f"{fake.url}/v1/models", redirects=3) as stream:
        assert stream.status == 307
    assert len(fake.requests) == 4


async def test_a_name_that_moves_outside_after_it_was_judged_gains_nothing(transport, fake, monkeypatch):
    """DNS rebinding: the connection goes to the address that was judged."""
    asked = []

    def getaddrinfo(host, port, *args, **kwargs):
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "203.0.113.7"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    url = fake.url.replace("127.0.0.1", "box.lan") + "/v1/models"
    assert (await transport.request("GET", url)).ok
    with pytest.raises(NotPermitted):
        await transport.request("GET", url)


@pytest.fixture
def outside_is_here(monkeypatch):
    """An outside host, as far as the egress can tell, that is really a server of this test."""
    from fireside.engines import egress

    monkeypatch.setattr(egress, "classify", lambda address: Boundary.CLOUD)
    monkeypatch.setattr(egress, "is_local_name", lambda name: False)


async def test_the_line_is_in_the_ledger_before_the_request_arrives(transport, fake, outside_is_here):
    transport.egress.settings = EgressSettings(allow_hosts=("127.0.0.1",))
    seen = []
    choose = fake.choose
    fake.choose = lambda asked: (seen.append(transport.egress.ledger.verify().entries), choose(asked))[1]
    body = {"model": "fake-coder", "messages": [{"role": "user", "content": "a secret plan"}]}
    for _ in range(2):
        url = f"{fake.url}/v1/chat/completions?key=hidden"
        await transport.request("POST", url, json=body, errand=Errand("far", "chat"))
    assert seen == [1, 2]
    assert len(fake.peers) == 1, "a connection kept alive is recorded for each request too"
    text = transport.egress.ledger.path.read_text()
    assert "hidden" not in text
    assert "plan" not in text
    assert json.loads(text.splitlines()[0])["engine"] == "far"


async def test_a_connection_kept_from_before_a_name_moved_is_recorded_all_the_same(transport, fake, monkeypatch):
    """The name leads to the network now; the connection that is still open leads outside, and is used."""
    from fireside.engines import egress

    monkeypatch.setattr(
        egress, "classify", lambda address: Boundary.CLOUD if address == "127.0.0.1" else Boundary.NETWORK
    )
    monkeypatch.setattr(egress, "resolve", resolve := Resolved("127.0.0.1"))
    transport.egress.settings = EgressSettings(allow_hosts=("box.lan",))
    url = fake.url.replace("127.0.0.1", "box.lan") + "/v1/models"
    await transport.request("GET", url)
    resolve.address = "192.168.1.20"
    await transport.request("GET", url)
    assert len(fake.peers) == 1
    assert transport.egress.ledger.verify().entries == 2


class Resolved:
    """A name server that knows one address for everything."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def __call__(self, name: str, port: int) -> tuple[str, ...]:
        return (self.address,)


async def test_an_outside_host_that_was_not_allowed_sees_nothing(transport, fake, outside_is_here):
    assert isinstance(await failing(transport, f"{fake.url}/v1/chat/completions"), NotPermitted)
    assert fake.requests == []


async def test_an_outside_host_sees_nothing_when_the_ledger_cannot_be_written(transport, fake, outside_is_here):
    transport.egress.settings = EgressSettings(allow_hosts=("127.0.0.1",))
    transport.egress.ledger.path.mkdir()
    assert isinstance(await failing(transport, f"{fake.url}/v1/chat/completions"), NotPermitted)
    assert fake.requests == []


async def test_who_holds_the_ledger_is_named_and_not_the_server(transport, fake, outside_is_here):
    transport.egress.settings = EgressSettings(allow_hosts=("127.0.0.1",))
    with filelock.FileLock(f"{transport.egress.ledger.path}.lock"):
        error = await failing(transport, f"{fake.url}/v1/chat/completions")
    assert (type(error), error.context["cause"]) == (NotPermitted, "ledger")
    assert "another process holds its lock" in error.message
    assert fake.requests == []


async def test_permission_withdrawn_holds_for_connections_that_are_open(transport, fake, outside_is_here):
    transport.egress.settings = EgressSettings(allow_hosts=("127.0.0.1",))
    assert (await transport.request("GET", f"{fake.url}/v1/models")).ok
    transport.egress.settings = EgressSettings()
    assert isinstance(await failing(transport, f"{fake.url}/v1/models"), NotPermitted)
    assert len(fake.requests) == 1


async def test_an_engine_that_promised_to_stay_near_sends_nothing_farther(transport, fake, outside_is_here):
    transport.egress.settings = EgressSettings(allow_hosts=("127.0.0.1",))
    near = Errand("box", "chat", Boundary.NETWORK)
    assert isinstance(await failing(transport, f"{fake.url}/v1/models", errand=near), NotPermitted)
    assert fake.requests == []


# Explaining


PAGE = b"<!DOCTYPE html><html><head><title>Router\n login</title></head></html>"


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, named, body, "http://box:8000/v1/models")


@pytest.mark.parametrize("status", [200, 400, 404, 405])
def test_a_web_page_is_called_one(status):
    error = explain(answer(status, PAGE, content_type="text/html; charset=utf-8"))
    assert isinstance(error, ConnectionFailed)
    assert not error.retryable
    assert "web page (Router login)" in error.message
    assert "port" in error.remedy


@pytest.mark.parametrize(("status", "retryable"), [(500, True), (502, True), (503, True)])
def test_the_error_page_of_a_proxy_is_worth_another_try(status, retryable):
    assert explain(answer(status, PAGE, content_type="text/html")).retryable is retryable


def test_an_empty_403_is_about_the_host_header():
    error = explain(answer(403))
    assert isinstance(error, NotPermitted)
    assert "host_header" in error.remedy


def test_http_sent_to_an_https_port_says_so():
    error = explain(answer(400, b"Client sent an HTTP request to an HTTPS server.\n"))
    assert (error.context["cause"], error.retryable) == ("tls", False)


def test_an_unknown_model_is_named():
    error = explain(answer(404, b'{"error": "model \'m\' not found"}'), model="m")
    assert isinstance(error, ModelNotFound)
    assert "box:8000" in error.message


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("", None), ("soon", None)])
def test_the_time_to_wait_is_read(header, seconds):
    assert retry_after(header) == seconds


def test_a_date_to_wait_for_is_read():
    now = datetime.now(UTC).replace(microsecond=0)
    assert retry_after(format_datetime(now + timedelta(seconds=90), usegmt=True), now) == 90
    assert retry_after(format_datetime(now - timedelta(seconds=90), usegmt=True), now) == 0


def test_a_rate_limit_with_a_time_to_wait():
    error = explain(answer(429, b'{"error": {"message": "slow down"}}', retry_after="12"))
    assert isinstance(error, RateLimited)
    assert error.context["retry_after"] == 12


def test_a_busy_server_that_names_a_time_is_a_rate_limit_else_out_of_room():
    assert isinstance(explain(answer(503, retry_after="2")), RateLimited)
    busy = explain(answer(503))
    assert isinstance(busy, OutOfResources)
    assert busy.retryable


@pytest.mark.parametrize("body", [b"", b"{", b'{"data": [', b"[1]", PAGE, b'{"error": {"message": "no"}}'])
def test_a_successful_answer_that_is_none_is_an_error(body):
    with pytest.raises(FiresideError) as caught:
        answer(200, body).object()
    check_error(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:word@box:1/v1?key=1#x", "http://box:1/v1"),
        ("https://[::1]:8/a/b", "https://[::1]:8/a/b"),
        ("not a url", "not a url"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url, shown):
    assert public_url(url) == shown


async def test_replies_in_any_encoding_are_read(transport, fake):
    fake.rehearse(FakeReply("né 👍"))
    body = {"model": "fake-coder", "messages": [{"role": "user", "content": "hi"}]}
    whole = (await transport.request("POST", f"{fake.url}/v1/chat/completions", json=body)).object()
    assert whole["choices"][0]["message"]["content"] == "né 👍"


def test_a_request_that_could_not_be_written_is_a_reset_and_so_sent_once_more():
    """aiohttp wraps it without a number: the server closed the kept-alive connection between the look and the write."""
    wrapped = aiohttp.ClientOSError(None, "Can not write request body for http://127.0.0.1:1/")
    wrapped.__cause__ = aiohttp.ClientConnectionResetError("Cannot write to closing transport")
    error = failure(wrapped, "http://127.0.0.1:1/", phase="load", seconds=1.0)
    assert error.context["cause"] == "reset"
    assert error.retryable
