"""No request over real sockets goes where the egress did not let it, or before it was written down."""

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import filelock
import pytest

from fireside.core.errors import Invalid, NotPermitted
from fireside.engines.egress import EgressSettings, Errand
from fireside.engines.engine import Boundary
from fireside.engines.reply import explain
from fireside.engines.transport import Transport
from support.fake_openai import FakeOpenAI
from support.raw_http import failing, opened


@pytest.fixture
async def transport(tmp_path: Path) -> AsyncIterator[Transport]:
    async with opened(tmp_path) as made:
        yield made


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI("one two three four") as server:
        yield server


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


async def test_a_connection_kept_from_before_a_name_moved_is_not_used(transport, fake, monkeypatch):
    """The name leads elsewhere now; the connection that is still open leads to where nobody wants to go any more."""
    from fireside.engines import egress

    monkeypatch.setattr(egress, "resolve", resolve := Resolved("127.0.0.1"))
    url = fake.url.replace("127.0.0.1", "box.lan") + "/v1/models"
    await transport.request("GET", url)
    resolve.address = "::1"
    assert (await failing(transport, url)).context["cause"] in ("refused", "unreachable")
    assert len(fake.requests) == 1
    resolve.address = "127.0.0.1"
    assert (await transport.request("GET", url)).ok
    assert len(fake.peers) == 1


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
