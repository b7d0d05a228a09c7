"""Who may speak to the server, what is at which place, and how an error looks there."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from fireside.core.errors import Invalid
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.server.origins import Origins, hostname
from support.gateways import until
from support.servers import served

HI = {"model": "script", "messages": [{"role": "user", "content": "hi"}]}


@asynccontextmanager
async def asked(server, path, body=None, *, method=None, headers=None, data=None):
    method = method or ("GET" if body is None and data is None else "POST")
    raw = data if data is not None else None if body is None else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.address + path, data=raw, headers=headers or {}) as response,
    ):
        yield response


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(says="Hello there.", name="s")


@pytest.fixture
async def server(engine, tmp_path):
    async with served(engine, root=tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    "host", ["evil.com", "evil.com:8000", "127.0.0.1.evil.com", "localhost.evil.com", "[::1].evil.com", "box.ts.net"]
)
async def test_a_name_that_may_be_somebody_elses_is_refused_and_whoever_runs_the_server_hears_what_to_allow(
    server, host
):
    async with asked(server, "/v1/models", headers={"Host": host}) as response:
        said = (await response.json())["error"]["message"]
    assert response.status == 403
    assert f"requests for {host} are not answered here" in said
    assert f'add "{hostname(host)}" to server.allowed_hosts' in said


@pytest.mark.parametrize(
    ("hosts", "origins"),
    [(["https://box.ts.net"], []), (["box.ts.net/v1"], []), ([], ["box.ts.net"]), ([], ["http://a b"])],
)
def test_what_no_request_could_match_is_refused_where_it_is_written(hosts, origins):
    with pytest.raises(Invalid, match=r"server\.allowed_"):
        Origins(hosts, origins)


@pytest.mark.parametrize(
    "host", ["localhost:1", "127.0.0.1", "[::1]:8000", "192.168.1.5:8000", "box.local", "Box.Internal."]
)
async def test_an_address_or_a_name_of_this_network_is_answered(server, host):
    async with asked(server, "/v1/models", headers={"Host": host}) as response:
        assert response.status == 200


async def test_a_named_host_is_answered_with_all_below_it(engine, tmp_path):
    flags = {"server.allowed_hosts": ["box.tail1234.ts.net", "*.example.org"]}
    async with served(engine, root=tmp_path, flags=flags) as server:
        for host, status in (
            ("box.tail1234.ts.net", 200),
            ("a.example.org:80", 200),
            ("example.org", 403),
            ("xexample.org", 403),
        ):
            async with asked(server, "/v1/models", headers={"Host": host}) as response:
                assert response.status == status, host


@pytest.mark.parametrize(
    "origin", ["https://evil.com", "null", "http://localhost.evil.com", "http://127.0.0.1:80@evil.com"]
)
async def test_a_foreign_page_is_refused_and_may_not_read_why(server, origin):
    async with asked(server, "/v1/models", headers={"Origin": origin}) as response:
        assert response.status == 403
        assert f'add "{origin}" to server.allowed_origins' in (await response.json())["error"]["message"]
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1", "vscode-webview://abc", "app://obsidian.md"]
)
async def test_a_page_on_this_machine_may_ask_first_and_then_call(server, origin):
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    async with asked(server, "/v1/chat/completions", method="OPTIONS", headers=headers) as response:
        assert response.status == 204
        assert "content-type" in response.headers["access-control-allow-headers"]
    async with asked(server, "/v1/chat/completions", HI, headers={"Origin": origin}) as response:
        assert (response.status, response.headers["access-control-allow-origin"]) == (200, origin)


async def test_a_place_that_is_not_there_says_so_in_the_words_of_its_neighbours(server):
    async with asked(server, "/v1/nothing") as response:
        assert (response.status, (await response.json())["error"]["type"]) == (404, "not_found_error")
    async with asked(server, "/v1/messages/nothing") as response:
        assert (response.status, (await response.json())["type"]) == (404, "error")


async def test_another_method_is_told_which_would_do(server):
    async with asked(server, "/v1/chat/completions", method="GET") as response:
        assert (response.status, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[1,2]", b'"text"', b"null", b'{"messages": 5}', b'{"messages": [1]}']
)
@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/completions", "/v1/embeddings", "/infill"]
)
async def test_a_body_that_is_wrong_is_a_400_with_one_line(server, path, body):
    async with asked(server, path, data=body) as response:
        said = (await response.json())["error"]
        assert response.status == 400
        assert said["message"]
        assert "\n" not in said["message"]


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(engine, tmp_path):
    async with served(engine, root=tmp_path, flags={"server.body_limit": 1000}) as server:
        async with asked(server, "/v1/chat/completions", data=b"x" * 1001) as response:
            assert response.status == 413

        async def pieces():
            for _ in range(20):
                yield b"x" * 100

        async with asked(server, "/v1/chat/completions", method="POST", data=pieces()) as response:
            assert response.status == 413


async def test_an_unknown_model_is_told_with_the_closest_names(server):
    async with asked(server, "/v1/chat/completions", HI | {"model": "scrip"}) as response:
        assert response.status == 404
        assert "script" in (await response.json())["error"]["message"]


async def test_every_reply_can_be_found_again_and_tells_who_answered(server):
    async with asked(server, "/v1/chat/completions", HI) as response:
        assert response.headers["x-request-id"]
        assert (response.headers["x-fireside-engine"], response.headers["x-fireside-model"]) == ("s", "script")
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("hold_after", [0, 1])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_client_that_goes_frees_the_engine_at_once(tmp_path, path, stream, hold_after):
    engine = ScriptedEngine(Reply(text="one two three", hold=asyncio.Event(), hold_after=hold_after), name="s")
    async with served(engine, root=tmp_path) as server:
        body = HI | {"stream": stream, "max_tokens": 10, "input": "hi"}

        async def ask():
            async with asked(server, path, body) as response:
                await response.read()

        asking = asyncio.create_task(ask())
        await until(lambda: engine.running == 1)
        asking.cancel()
        async with asyncio.timeout(0.1):
            while engine.running:
                await asyncio.sleep(0.001)
        assert engine.cancelled == 1
        assert server.fireside.gateway.load() == {"s": (0, 0)}


async def test_a_stream_that_waits_is_told_so_and_its_place(tmp_path):
    hold = asyncio.Event()
    engine = ScriptedEngine(Reply(text="first", hold=hold), Reply(text="second"), name="s")
    flags = {"server.wait_seconds": 0.01, "gateway.parallel": {"s": 1}}
    async with (
        served(engine, root=tmp_path, flags=flags) as server,
        asked(server, "/v1/chat/completions", HI | {"stream": True}) as first,
    ):
        assert await first.content.readline()
        async with asked(server, "/v1/chat/completions", HI | {"stream": True}) as second:
            while (line := await second.content.readline()) and not line.startswith(b": "):
                pass
            assert line == b": number 1 in line\n"
            hold.set()
            assert b"second" in await second.read()
        assert b"first" in await first.read()


async def test_several_answers_are_told_apart(server):
    async with asked(server, "/v1/chat/completions", HI | {"n": 3}) as response:
        said = await response.json()
        assert [choice["index"] for choice in said["choices"]] == [0, 1, 2]
    async with asked(server, "/v1/completions", {"model": "script", "prompt": ["a", "b"], "stream": True}) as response:
        events = [line async for line in response.content if line.startswith(b"data: ")]
        assert events[-1] == b"data: [DONE]\n"
        assert {json.loads(event[6:])["choices"][0]["index"] for event in events[:-1]} == {0, 1}
