"""Our own API over a WebSocket: several requests at once, ended by name, and nobody let in who may not."""

import asyncio
import json
import os
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fireside.config.paths import Paths
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.records.database import Database
from fireside.records.keys import KeyLimits, Keys, Role, Scopes
from support.project import write_project
from support.servers import meanwhile, served

HI = [{"role": "user", "content": "hi"}]
CHAT = {"type": "chat", "messages": HI, "context": False}
ROOT = {"models.chat": "script"}
# One slot is kept for typing.
MANY = ROOT | {"gateway.parallel": {"s": 5}}
CLOSED = ROOT | {"server.require_keys": True}


class Line:
    """A client's end: what is sent, and what was heard so far by request."""

    def __init__(self, socket) -> None:
        self.socket = socket
        self.heard: dict[object, list[dict]] = {}

    async def send(self, **message) -> None:
        await self.socket.send(json.dumps(message))

    async def next(self) -> dict:
        async with asyncio.timeout(5):
            message = json.loads(await self.socket.recv())
        self.heard.setdefault(message["id"], []).append(message)
        return message

    async def until_end(self, *names) -> None:
        """Until all these requests are over."""
        while not all(self.ended(name) for name in names):
            await self.next()

    def ended(self, name) -> bool:
        return any(message["type"] in ("finished", "failed") for message in self.heard.get(name, ()))

    def types(self, name) -> list[str]:
        return [message["type"] for message in self.heard[name]]

    def text(self, name) -> str:
        return "".join(message["data"]["text"] for message in self.heard[name] if message["type"] == "text")


@asynccontextmanager
async def line(server, **options):
    address = server.address.replace("http", "ws") + "/api/v1/ws"
    async with connect(address, proxy=None, **options) as socket:
        yield Line(socket)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(says="Ships lie at berths.", name="s")


@pytest.fixture
async def server(engine, tmp_path):
    async with served(engine, root=write_project(tmp_path / "harbour"), flags=ROOT) as made:
        yield made


@pytest.fixture
def keys():
    made = Keys(Database.file(Paths.from_environment(os.environ).data / "records.db"))
    yield made
    made.database.close()


async def test_a_chat_comes_as_messages_with_its_id(server):
    async with line(server) as talk:
        await talk.send(type="chat", id="a", question="how is a berth allocated?")
        await talk.until_end("a")
    assert talk.types("a")[0] == "context"
    assert talk.text("a") == "Ships lie at berths."
    assert talk.heard["a"][-1]["data"]["model"] == "script"


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ({"type": "search", "query": "tide"}, "results"),
        ({"type": "models"}, "models"),
        ({"type": "health"}, "engines"),
        ({"type": "embed", "texts": ["a"]}, "vectors"),
        ({"type": "index"}, "generation"),
        ({"type": "complete", "prefix": "def "}, "finish_reason"),
    ],
)
async def test_all_else_ends_with_what_the_same_request_has_over_http(server, message, key):
    async with line(server) as talk:
        await talk.send(id="a", **message)
        await talk.until_end("a")
    assert (talk.types("a")[-1], key in talk.heard["a"][-1]["data"]) == ("finished", True)


async def test_a_quick_request_is_answered_while_a_slow_one_runs(tmp_path):
    hold = asyncio.Event()
    engine = ScriptedEngine(Reply(text="slow at last", hold=hold, hold_after=1), name="s")
    async with served(engine, root=write_project(tmp_path), flags=ROOT) as server, line(server) as talk:
        await talk.send(id="slow", **CHAT)
        await talk.send(type="search", id="quick", query="tide")
        await talk.until_end("quick")
        assert not talk.ended("slow")
        hold.set()
        await talk.until_end("slow")
        assert talk.text("slow") == "slow at last"


async def test_cancel_ends_one_request_at_the_engine_and_no_other(tmp_path):
    hold = asyncio.Event()
    engine = ScriptedEngine(
        Reply(text="one two three", when="one", hold=hold, hold_after=1),
        Reply(text="four five six", when="two", hold=hold, hold_after=1),
        name="s",
    )
    async with served(engine, root=tmp_path, flags=MANY) as server, line(server) as talk:
        for name in ("one", "two"):
            await talk.send(type="chat", id=name, messages=[{"role": "user", "content": name}], context=False)
        await meanwhile(lambda: engine.running == 2)
        await talk.send(type="cancel", id="one")
        async with asyncio.timeout(0.1):
            while engine.running != 1:
                await asyncio.sleep(0.001)
        await talk.until_end("one")
        assert talk.heard["one"][-1]["error"]["message"] == "the request was ended"
        hold.set()
        await talk.until_end("two")
        assert talk.text("two") == "four five six"


async def test_a_request_that_is_ended_at_once_still_says_so(server):
    async with line(server) as talk:
        await talk.send(id="a", **CHAT)
        await talk.send(type="cancel", id="a")
        await talk.until_end("a")


async def test_a_client_that_goes_ends_all_it_asked_for(tmp_path):
    engine = ScriptedEngine(Reply(text="one two three", hold=asyncio.Event(), hold_after=1), name="s")
    async with served(engine, root=tmp_path, flags=MANY) as server:
        async with line(server) as talk:
            for name in "abc":
                await talk.send(id=name, **CHAT)
            await meanwhile(lambda: engine.running == 3)
        await meanwhile(lambda: engine.cancelled == 3)
        assert server.fireside.gateway.load() == {"s": (0, 0)}


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"id": "a"}', "no type"),
        ('{"type": "chat"}', "no id"),
        ('{"type": "chat", "id": 5}', "no id"),
        ('{"type": "cancel", "id": "z"}', "is running"),
    ],
)
async def test_a_message_that_is_wrong_is_told_so_and_the_socket_lives_on(server, sent, word):
    async with line(server) as talk:
        await talk.socket.send(sent)
        message = await talk.next()
        assert message["type"] == "error"
        assert word in message["error"]["message"]
        await talk.send(type="models", id="a")
        await talk.until_end("a")


@pytest.mark.parametrize(
    ("body", "param"), [({"type": "owl"}, "type"), ({"type": "chat"}, None), ({"type": "search", "query": 5}, "query")]
)
async def test_a_request_that_does_not_fit_fails_by_its_id(server, body, param):
    async with line(server) as talk:
        await talk.send(id="a", **body)
        await talk.until_end("a")
    assert talk.types("a") == ["failed"]
    assert talk.heard["a"][0]["error"]["param"] == param


async def test_an_id_stands_for_one_request_at_a_time(tmp_path):
    engine = ScriptedEngine(Reply(text="one two", hold=asyncio.Event(), hold_after=1), name="s")
    async with served(engine, root=tmp_path, flags=ROOT) as server, line(server) as talk:
        await talk.send(id="a", **CHAT)
        assert (await talk.next())["type"] == "text"
        await talk.send(id="a", **CHAT)
        assert (await talk.next())["type"] == "error"


async def test_a_message_above_the_limit_closes_the_socket(engine, tmp_path):
    async with served(engine, root=tmp_path, flags=ROOT | {"server.body_limit": 1000}) as server, line(server) as talk:
        await talk.socket.send("x" * 1001)
        with pytest.raises(ConnectionClosed) as closed:
            await talk.next()
        assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.com"}, {"Origin": "null"}, {"Host": "evil.com"}, {"Origin": "http://localhost.evil.com"}],
)
async def test_a_foreign_page_or_name_is_refused_before_the_socket_is_open(server, headers):
    with pytest.raises(InvalidStatus) as refused:
        async with line(server, additional_headers=headers):
            pass
    assert refused.value.response.status_code == 403


async def test_a_page_on_this_machine_may_open_one(server):
    async with line(server, origin="http://localhost:3000") as talk:
        await talk.send(type="models", id="a")
        await talk.until_end("a")


async def test_another_place_has_no_socket(server):
    with pytest.raises(InvalidStatus) as refused:
        async with connect(server.address.replace("http", "ws") + "/v1/realtime", proxy=None):
            pass
    assert refused.value.response.status_code == 404


async def test_keys_open_it_as_a_header_or_as_a_subprotocol(engine, tmp_path, keys):
    _, key = keys.create("laptop")
    async with served(engine, root=tmp_path, flags=CLOSED) as server:
        for options in (
            {"additional_headers": {"Authorization": f"Bearer {key}"}},
            {"subprotocols": ["fireside", f"key.{key}"]},
        ):
            async with line(server, **options) as talk:
                await talk.send(id="a", **CHAT)
                await talk.until_end("a")
                assert talk.types("a")[-1] == "finished"
        assert talk.socket.subprotocol == "fireside"
        for options in ({}, {"subprotocols": ["fireside", "key.fsd_wrong"]}):
            with pytest.raises(InvalidStatus) as refused:
                async with line(server, **options):
                    pass
            assert refused.value.response.status_code == 401
            assert json.loads(refused.value.response.body)["error"]["kind"] == "permission"


async def test_each_request_needs_its_right_and_counts_against_the_keys_limits(engine, tmp_path, keys):
    _, viewer = keys.create("viewer", role=Role.VIEWER)
    _, chatter = keys.create("chatter", scopes=Scopes(routes=("chat",)), limits=KeyLimits(rpm=1))
    async with served(engine, root=tmp_path, flags=CLOSED) as server:
        async with line(server, subprotocols=["fireside", f"key.{viewer}"]) as talk:
            await talk.send(id="a", **CHAT)
            await talk.send(type="models", id="b")
            await talk.until_end("a", "b")
            assert (talk.heard["a"][0]["error"]["kind"], talk.types("b")) == ("permission", ["finished"])
        async with line(server, subprotocols=["fireside", f"key.{chatter}"]) as talk:
            for name in "cd":
                await talk.send(id=name, **CHAT)
                await talk.until_end(name)
            assert (talk.types("c")[-1], talk.heard["d"][0]["error"]["kind"]) == ("finished", "rate_limit")


async def test_a_server_that_ends_says_so(engine, tmp_path):
    async with served(engine, root=tmp_path, flags=ROOT) as server:
        address = server.address.replace("http", "ws") + "/api/v1/ws"
        socket = await connect(address, proxy=None)
    async with asyncio.timeout(5):
        await socket.wait_closed()
    assert socket.close_code == 1012


async def test_a_reader_that_is_slow_slows_its_answer_down(tmp_path):
    pieces, size = 300, 100_000
    engine = ScriptedEngine(Reply(text=" ".join(["x" * size] * pieces)), name="s")
    async with served(engine, root=tmp_path, flags=ROOT) as server, line(server, max_queue=1, compression=None) as talk:
        await talk.send(id="a", **CHAT)
        assert (await talk.next())["type"] == "text"
        # Enough turns of the loop for the whole answer, if it did not wait for its reader.
        for _ in range(20 * pieces):
            await asyncio.sleep(0)
        assert engine.running == 1
        await talk.until_end("a")
        assert len(talk.text("a")) == pieces * size + pieces - 1
