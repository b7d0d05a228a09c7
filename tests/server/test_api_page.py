"""What docs/api.md says is so: its requests are sent as they stand there, and every route is in its table."""

import json
import re
from pathlib import Path

import aiohttp
from websockets.asyncio.client import connect

from fireside.engines.scripted import ScriptedEngine
from fireside.server.mount import PLACES
from support.doors import events_of
from support.project import write_project
from support.servers import served

PAGE = (Path(__file__).parents[2] / "docs/api.md").read_text()
TABLE = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)


def test_every_route_is_in_the_table():
    told = " ".join(TABLE)
    for method, path in PLACES:
        name = path.removeprefix("/api/v1").split("/*")[0]
        assert any(method in row and name in row for row in TABLE), (method, path)
    assert "/api/v1/ws" in told


async def test_the_chat_goes_as_it_is_shown(tmp_path):
    ((path, body),) = re.findall(r"curl -N http://127.0.0.1:8000(\S+) -d '(.*)'", PAGE)
    shown = [(name, json.loads(data)) for name, data in events_of(_shown(PAGE).encode())]
    engine = ScriptedEngine(says="Ships lie at berths.", name="s")
    async with (
        served(engine, root=write_project(tmp_path), flags={"models.chat": "script"}) as server,
        aiohttp.ClientSession() as session,
        session.post(server.address + path, data=body) as response,
    ):
        heard = [(name, json.loads(data)) for name, data in events_of(await response.read())]
    assert list(dict.fromkeys(name for name, _ in heard)) == [name for name, _ in shown]
    assert shown[0][1]["citations"][0] in heard[0][1]["citations"]
    assert shown[-1][1].keys() == heard[-1][1].keys()


async def test_the_messages_of_the_socket_are_understood(tmp_path):
    messages = [json.loads(line) for line in re.findall(r'^\{"type".*\}$', PAGE, re.MULTILINE)]
    wanted = {message["id"] for message in messages}
    async with (
        served(ScriptedEngine(name="s"), root=write_project(tmp_path), flags={"models.chat": "script"}) as server,
        connect(server.address.replace("http", "ws") + "/api/v1/ws", proxy=None) as socket,
    ):
        for message in messages:
            await socket.send(json.dumps(message))
        while wanted:
            heard = json.loads(await socket.recv())
            assert heard["type"] != "error"
            wanted -= {heard["id"]} if heard["type"] in ("finished", "failed") else set()


async def test_the_error_is_said_as_it_is_shown(tmp_path):
    (shown,) = re.findall(r'^\{"error".*\}$', PAGE, re.MULTILINE)
    async with (
        served(ScriptedEngine(name="s"), root=write_project(tmp_path)) as server,
        aiohttp.ClientSession() as session,
    ):
        asked = session.post(server.address + "/api/v1/complete", data=b'{"path": "harbour/tides.py", "line": 99}')
        async with asked as response:
            assert (response.status, await response.json()) == (422, json.loads(shown))


def _shown(page: str) -> str:
    """The events under the first request."""
    return page.split("allocated?\"}'\n", 1)[1].split("```", 1)[0]
