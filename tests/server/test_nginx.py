"""Two real instances behind a real nginx, with the configuration of ``deploy/nginx``."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from fireside.records import audit
from fireside.records.database import Database
from fireside.records.keys import Keys
from support.fake_http import Faults
from support.fake_openai import FakeOpenAI
from support.services import free_port
from support.serving import Serving, engine, serving, settings
from support.source import ROOT

pytestmark = pytest.mark.team
HOST = {"Host": "fireside.example"}
CLOSED = """
[server]
trusted_proxies = ["127.0.0.1"]
allowed_hosts = ["fireside.example"]
"""
AROUND = """
daemon off; pid {folder}/nginx.pid; error_log stderr warn; worker_processes 1;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {inside}
}}
"""


@pytest.fixture
async def fake():
    async with FakeOpenAI("Hello there, you.") as made:
        settings(engine(made) + CLOSED)
        yield made


@pytest.fixture
def secret(own_home) -> str:
    keys = Keys(Database.file(own_home / "fireside" / "data" / "records.db"))
    _, secret = keys.create("team")
    keys.database.close()
    return secret


class Pair:
    """``port``: nginx's. ``one``, ``two``: what stands behind it."""

    def __init__(self, port: int, one: Serving, two: Serving, secret: str) -> None:
        self.port = port
        self.one, self.two = one, two
        self.headers = {**HOST, "Authorization": f"Bearer {secret}"}

    @asynccontextmanager
    async def chat(
        self, *, stream: bool = False, address: str = "127.0.0.1", **headers: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        body = {"model": "fake-coder", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
        connector = aiohttp.TCPConnector(local_addr=(address, 0))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(
                f"http://127.0.0.1:{self.port}/v1/chat/completions", json=body, headers={**self.headers, **headers}
            ) as response,
        ):
            yield response


@pytest.fixture
async def pair(fake, secret, tmp_path):
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    async with serving("--quiet") as one, serving("--quiet") as two:
        port = free_port()
        inside = (ROOT / "deploy" / "nginx" / "fireside.conf").read_text()
        for written, meant in (
            ("127.0.0.1:8001", one.address.removeprefix("http://")),
            ("127.0.0.1:8002", two.address.removeprefix("http://")),
            ("listen 80;", f"listen 127.0.0.1:{port};"),
        ):
            assert written in inside
            inside = inside.replace(written, meant)
        # nginx gives up its rights where it is started by root, and then needs a folder of its own.
        config = tmp_path / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(user + AROUND.format(folder=tmp_path, inside=inside))
        command = [program, "-p", str(tmp_path), "-c", str(config)]
        subprocess.run([*command, "-t"], check=True, capture_output=True)
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        try:
            await listening(port)
            yield Pair(port, one, two, secret)
        finally:
            process.send_signal(signal.SIGQUIT)
            try:
                await asyncio.wait_for(process.wait(), 2)
            except TimeoutError:
                process.terminate()
                await process.wait()


async def listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            await writer.wait_closed()
            return


async def test_both_are_asked(pair):
    processes = set()
    async with asyncio.timeout(20):
        while len(processes) < 2:
            async with pair.chat() as response:
                assert response.status == 200
                # The first half of an id is the process's.
                processes.add(response.headers["x-request-id"][:8])


async def test_behind_a_proxy_everybody_needs_a_key(pair):
    async with pair.chat(Authorization="") as response:
        assert response.status == 401


async def test_each_word_comes_at_once(pair, fake):
    gate = asyncio.Event()
    fake.faults = Faults(hold_after=1, gate=gate)
    async with pair.chat(stream=True) as response:
        begun = b""
        while b"Hello" not in begun:
            begun += await response.content.readany()
        assert b"there" not in begun
        gate.set()
        assert (await response.content.read()).endswith(b"data: [DONE]\n\n")


async def test_a_reader_that_goes_is_gone_behind_the_proxy_too(pair, fake):
    fake.faults = Faults(hold_after=1)
    async with pair.chat(stream=True) as response:
        await response.content.readany()
        await fake.waiting.wait()
        response.close()
        async with asyncio.timeout(10):
            await fake.aborted.wait()


async def test_a_websocket_passes(pair):
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{pair.port}/api/v1/ws", headers=pair.headers) as talk,
    ):
        await talk.send_json(
            {"type": "chat", "id": "1", "model": "fake-coder", "messages": [{"role": "user", "content": "hi"}]}
        )
        kinds = [(await talk.receive_json(timeout=20))["type"]]
        while kinds[-1] not in ("finished", "failed"):
            kinds.append((await talk.receive_json(timeout=20))["type"])
        assert kinds[-1] == "finished"


async def test_a_client_is_known_by_its_own_address_whatever_it_says_of_itself(pair, own_home):
    async with pair.chat(address="127.0.0.2", **{"X-Forwarded-For": "6.6.6.6"}) as response:
        assert response.status == 200
    assert await pair.one.end() == 0
    assert await pair.two.end() == 0
    found = [each for each in audit.entries(own_home / "fireside" / "data" / "audit") if each["event"] == "request"]
    assert [each["client"] for each in found] == ["127.0.0.2"]


async def test_what_one_is_about_to_refuse_the_other_answers(pair, fake):
    gate = asyncio.Event()
    fake.faults = Faults(hold_after=1, gate=gate)
    async with pair.chat(stream=True) as first, pair.chat(stream=True) as second:
        await first.content.readany()
        await second.content.readany()
        pair.one.send(signal.SIGTERM)
        await pair.one.said("ending")
        fake.faults = Faults()
        for _ in range(6):
            async with pair.chat() as response:
                assert response.status == 200
        gate.set()
        assert (await first.content.read()).endswith(b"data: [DONE]\n\n")
        assert (await second.content.read()).endswith(b"data: [DONE]\n\n")


async def test_one_that_is_killed_is_not_missed(pair):
    pair.two.send(signal.SIGKILL)
    await pair.two.ended()
    for _ in range(8):
        async with pair.chat() as response:
            assert response.status == 200
