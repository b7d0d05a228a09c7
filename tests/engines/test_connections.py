"""Connections to engines: which serve again, which do not, which address they lead to, and what a request says it wants."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import filelock
import pytest

from fireside.engines import connections, egress
from fireside.engines.connections import interleaved
from fireside.engines.egress import EgressSettings
from fireside.engines.engine import Boundary
from fireside.engines.letter import address_of
from fireside.engines.transport import Timeouts, Transport
from support.answers import GUARD
from support.raw_http import OK, SMALL, cause_of, closing, opened, run_on_uvloop, serving, then_closing


@pytest.fixture
async def transport(tmp_path: Path) -> AsyncIterator[Transport]:
    async with opened(tmp_path) as made:
        yield made


# Connections that serve again, and those that do not


@pytest.mark.parametrize(
    "data", [SMALL + b"surplus", SMALL + SMALL, OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n"]
)
async def test_a_connection_with_more_than_its_answer_or_with_a_farewell_serves_no_other(transport, data):
    async with serving(data) as server:
        for _ in range(3):
            assert (await transport.request("GET", server.url)).status == 200
        assert server.peers == 3


async def test_bytes_that_nobody_asked_for_close_an_idle_connection(transport):
    async def serve(reader, writer):
        writer.write(SMALL)
        await answered.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")

    answered = asyncio.Event()
    async with serving(serve) as server:
        assert (await transport.request("GET", server.url)).ok
        answered.set()
        await server.gone.wait()
        assert (await transport.request("GET", server.url)).ok


async def test_a_connection_nobody_needs_any_more_is_closed(transport, monkeypatch):
    monkeypatch.setattr(connections, "KEEP_ALIVE", 0.05)
    async with serving(SMALL) as server:
        await transport.request("GET", server.url)
        await server.gone.wait()
        await transport.request("GET", server.url)
        assert server.peers == 2


async def test_a_request_is_sent_again_once_and_only_where_nothing_was_answered(transport):
    async with serving(SMALL, closing) as server:
        assert (await transport.request("GET", server.url)).ok
        assert await cause_of(transport.request("GET", server.url)) == "reset"
        assert len(server.heads) == 3
    async with serving(SMALL, then_closing(b"HTTP/1.1 200"), SMALL) as server:
        assert (await transport.request("GET", server.url)).ok
        assert await cause_of(transport.request("GET", server.url)) == "cut"
        assert len(server.heads) == 2


async def test_a_server_that_hangs_up_on_everybody_is_a_reset_at_once(transport):
    server = await asyncio.start_server(lambda reader, writer: writer.transport.abort(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(GUARD):
        for _ in range(20):
            assert await cause_of(transport.request("GET", url)) == "reset"
    server.close()


async def test_a_connection_that_ends_while_its_request_is_written_down_is_replaced(transport, monkeypatch):
    """The address was near when it was admitted, and is outside when the last look before the first byte is taken."""

    async def hang_up(reader, writer):
        writer.write(SMALL)
        await leave.wait()
        writer.close()
        raise ConnectionError

    leave = asyncio.Event()
    transport.egress.settings = EgressSettings(allow_hosts=("127.0.0.1",))
    async with serving(hang_up, SMALL) as server:
        assert (await transport.request("GET", server.url)).ok
        monkeypatch.setattr(egress, "classify", lambda address: Boundary.CLOUD)
        with filelock.FileLock(f"{transport.egress.ledger.path}.lock"):
            second = asyncio.create_task(transport.request("GET", server.url))
            leave.set()
            await server.gone.wait()
            for _ in range(10):
                await asyncio.sleep(0)
        assert (await second).ok
        assert (server.peers, len(server.heads)) == (2, 2)


async def test_an_answer_left_behind_reads_nothing_of_the_next_one(transport):
    async with serving(OK + b"Content-Length: 5\r\n\r\nfirst", OK + b"Content-Length: 6\r\n\r\nsecond") as server:
        async with transport.stream("GET", server.url) as first:
            pass
        async with transport.stream("GET", server.url) as second:
            assert (await first.whole()).body == b"first"
            assert (await second.whole()).body == b"second"
        assert server.peers == 1


async def test_many_requests_at_once_have_a_connection_each_and_share_them_later(transport):
    async def serve(reader, writer):
        writer.write(OK + b"Content-Length: 2\r\n\r\n")
        await all_there.wait()
        writer.write(b"{}")

    all_there = asyncio.Barrier(20)
    async with serving(serve) as server:
        for _ in range(3):
            answers = await asyncio.gather(*(transport.request("GET", server.url) for _ in range(20)))
            assert [answer.body for answer in answers] == [b"{}"] * 20
        assert server.peers == 20


async def test_each_event_loop_has_connections_of_its_own(transport):
    async with serving(SMALL) as server:
        await transport.request("GET", server.url)
        statuses = []

        async def elsewhere() -> None:
            statuses.append((await transport.request("GET", server.url)).status)
            await transport.aclose()

        other = threading.Thread(target=lambda: asyncio.run(elsewhere()))
        other.start()
        await asyncio.to_thread(other.join)
        assert (await transport.request("GET", server.url)).status == 200
        assert (statuses, server.peers) == ([200], 2)


async def test_closing_the_transport_breaks_off_what_is_under_way(transport):
    async def hold(reader, writer):
        asked.set()
        await reader.read()
        raise ConnectionError

    asked = asyncio.Event()
    async with serving(hold) as server:
        task = asyncio.create_task(transport.request("GET", server.url))
        await asked.wait()
        await transport.aclose()
        assert await cause_of(task) == "reset"


# Where a request goes


def leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def resolve(name: str, port: int) -> tuple[str, ...]:
        return addresses

    monkeypatch.setattr(egress, "resolve", resolve)


async def test_an_address_that_refuses_is_followed_by_the_next(transport, monkeypatch):
    leads_to(monkeypatch, "::1", "127.0.0.2", "127.0.0.1")
    async with serving(SMALL) as server:
        for _ in range(2):
            assert (await transport.request("GET", server.url.replace("127.0.0.1", "box.lan"))).ok
        assert server.peers == 1


async def test_an_address_that_does_not_answer_is_not_waited_for(transport, monkeypatch):
    leads_to(monkeypatch, "127.0.0.2", "127.0.0.1")
    monkeypatch.setattr(connections, "HEAD_START", 0.01)
    async with serving(SMALL) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.2", port))
            full.listen(0)
            for waiting in (first, second):
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.2", port))
            assert (await transport.request("GET", f"http://box.lan:{port}")).ok


async def test_where_every_address_refuses_nothing_listens(transport, monkeypatch):
    leads_to(monkeypatch, "::1", "127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert await cause_of(transport.request("GET", f"http://box.lan:{port}")) == "refused"


async def test_a_limit_may_be_as_long_as_anybody_likes(transport):
    for_ever = Timeouts(connect=float("inf"), load=float("inf"), first_token=float("inf"), stall=float("inf"))
    async with serving(SMALL) as server:
        assert (await transport.request("GET", server.url, timeouts=for_ever)).ok


async def test_user_and_password_of_a_url_go_into_a_header_and_nowhere_else(transport):
    async with serving(SMALL) as server:
        answer = await transport.request("GET", server.url.replace("//", "//me:p%40ss@") + "/a b?q=é#part")
        assert b"Authorization: Basic bWU6cEBzcw==\r\n" in server.heads[0]
        assert server.heads[0].startswith(b"GET /a%20b?q=%C3%A9 HTTP/1.1\r\n")
        assert "me" not in answer.url


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://box", "box"),
        ("http://box:80/", "box"),
        ("http://box:8000", "box:8000"),
        ("https://box:443", "box"),
        ("http://[::1]:8000/v1", "[::1]:8000"),
        ("http://[fe80::1%25eth0]:8000/v1", "[fe80::1]:8000"),
        ("http://bücher.lan", "xn--bcher-kva.lan"),
    ],
)
def test_a_host_header_names_the_host_as_http_writes_it(url, authority):
    assert address_of(url).authority == authority


def test_the_families_of_addresses_take_turns():
    assert interleaved(["::1", "::2", "127.0.0.1"]) == ["::1", "127.0.0.1", "::2"]
    assert interleaved(["127.0.0.1", "::1"]) == ["127.0.0.1", "::1"]


ON_UVLOOP = {
    test_bytes_that_nobody_asked_for_close_an_idle_connection: (),
    test_a_request_is_sent_again_once_and_only_where_nothing_was_answered: (),
    test_a_server_that_hangs_up_on_everybody_is_a_reset_at_once: (),
    test_many_requests_at_once_have_a_connection_each_and_share_them_later: (),
    test_each_event_loop_has_connections_of_its_own: (),
    test_closing_the_transport_breaks_off_what_is_under_way: (),
    test_a_limit_may_be_as_long_as_anybody_likes: (),
}


@pytest.mark.parametrize("test", ON_UVLOOP, ids=lambda test: test.__name__.removeprefix("test_"))
def test_it_is_the_same_on_the_loop_that_the_server_runs_on(test, tmp_path):
    run_on_uvloop(test, tmp_path, *ON_UVLOOP[test])
