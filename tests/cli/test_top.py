"""``fireside top``, before a real server."""

import asyncio
import io
import json
import os
import re
import time

import aiohttp
import pytest
from rich.console import Console

from fireside.cli.commands import run_command
from fireside.cli.top import read, watch
from fireside.cli.top_screen import Summary, draw, seconds
from fireside.config.paths import Paths
from fireside.core.errors import ConnectionFailed, Invalid
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.records.database import Database
from fireside.records.keys import Keys, Role
from support.servers import served

HI = {"model": "script", "messages": [{"role": "user", "content": "hi"}], "temperature": 1}
ALTERNATE_SCREEN, MAIN_SCREEN = "\x1b[?1049h", "\x1b[?1049l"


async def said(capsys, *words: str, code: int = 0) -> str:
    """What the command prints, run as its own program would be: with a loop of its own."""
    found = await asyncio.to_thread(run_command, ["top", *words])
    output = capsys.readouterr()
    assert found == code, output.err
    return output.out if code == 0 else output.err


@pytest.fixture
async def server(tmp_path):
    async with served(ScriptedEngine(says="Hello there you.", name="scripted-one"), root=tmp_path) as made:
        async with aiohttp.ClientSession() as session:
            for model in ("script", "nonesuch"):
                async with session.post(f"{made.v1}/chat/completions", json={**HI, "model": model}) as response:
                    await response.read()
            async with session.get(f"{made.address}/healthz/ready") as response:
                await response.read()
        yield made


async def test_a_pipe_gets_one_plain_table(server, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    shown = await said(capsys, "--url", server.address)
    assert "\x1b" not in shown
    assert f"fireside {server.address} ready, up " in shown
    assert "2 requests, 1 failed" in shown
    assert re.search(r"ENGINE +STATE +RUN +WAIT +TOK/S +TTFT P50 +P95 +LOADED", shown)
    assert re.search(r"scripted-one +ready +0 +0 +[\d.]+ +[\d.]+ ms", shown)
    assert re.search(r"/v1/chat/completions +404 +model_not_found +there is no model nonesuch", shown)
    assert "running: nothing" in shown


async def test_json_is_what_the_server_says(server, capsys):
    found = json.loads(await said(capsys, "--url", server.address, "--json"))
    assert found["requests"]["total"] == 2
    assert found["engines"][0]["name"] == "scripted-one"


async def test_the_address_may_be_written_short(server, capsys):
    assert "ready" in await said(capsys, "--url", server.address.removeprefix("http://") + "/", "--once")


async def test_where_no_server_runs_one_line_says_so_and_one_what_to_do(capsys):
    told = await said(capsys, "--url", "http://127.0.0.1:9", code=1)
    assert told.splitlines() == [
        "error: no server answers at http://127.0.0.1:9",
        "  try: fireside serve",
        "  try: or name another: --url URL",
    ]


@pytest.mark.parametrize("url", ["http://", "http://[::", "ftp://127.0.0.1:9", "127.0.0.1:notaport"])
async def test_what_is_no_address_is_told(capsys, url):
    told = await said(capsys, "--url", url, code=1)
    assert told.startswith("error: ")
    assert "unexpected" not in told
    assert "  try: write it like http://" in told


async def test_a_server_that_wants_a_key_is_shown_one(tmp_path, capsys, monkeypatch):
    keys = Keys(Database.file(Paths.from_environment(os.environ).data / "records.db"))
    _, secret = keys.create("watcher", role=Role.VIEWER)
    keys.database.close()
    async with served(ScriptedEngine(name="s"), root=tmp_path, flags={"server.require_keys": True}) as server:
        told = await said(capsys, "--url", server.address, code=1)
        assert "asks for a key" in told
        assert "fireside keys create watcher --role viewer" in told
        assert "ready" in await said(capsys, "--url", server.address, "--key", secret)
        monkeypatch.setenv("FIRESIDE_SECRET_SERVER", secret)
        shown = await said(capsys, "--url", server.address)
    assert re.search(r"KEY +REQUESTS +FAILED +TOKENS\s+watcher", shown)


async def test_another_program_is_not_taken_for_ours(server, capsys):
    told = await said(capsys, "--url", f"{server.address}/v1", code=1)
    assert "is no Fireside server" in told
    with pytest.raises(Invalid, match="no Fireside server"):
        read(b'{"hello": 1}', "http://x")


class Asked:
    """Answers from memory, as often as ``fails_after`` says; tells when it has been asked often ``enough``."""

    def __init__(self, body: bytes, enough: int, *, fails_after: int = 1000) -> None:
        self.body, self.enough, self.fails_after, self.count = body, enough, fails_after, 0
        self.reached = asyncio.Event()

    async def __call__(self) -> bytes:
        self.count += 1
        if self.count >= self.enough:
            self.reached.set()
        if self.count > self.fails_after:
            raise ConnectionFailed("nobody there")
        return self.body


async def watched(ask: Asked) -> str:
    """The screen of somebody who watches until ``ask`` has had enough and then presses Ctrl-C."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, height=30, color_system="standard")
    task = asyncio.ensure_future(watch(ask, console, address="http://box:8000", pause=0))
    async with asyncio.timeout(5):
        await ask.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return screen.getvalue()


async def test_a_terminal_is_drawn_anew_and_left_as_it_was(server, capsys):
    body = (await said(capsys, "--url", server.address, "--json")).encode()
    screen = await watched(Asked(body, 4))
    assert screen.count("fireside ") >= 3
    assert screen.index(ALTERNATE_SCREEN) < screen.index("scripted-one") < screen.rindex(MAIN_SCREEN)


async def test_a_server_that_goes_away_stays_on_the_screen_with_a_word_about_it(server, capsys):
    body = (await said(capsys, "--url", server.address, "--json")).encode()
    screen = await watched(Asked(body, 4, fails_after=1))
    assert "no answer any more: nobody there" in screen
    assert "scripted-one" in screen.rpartition("no answer any more")[2]


async def test_the_first_answer_must_come():
    ask = Asked(b"", 1, fails_after=0)
    with pytest.raises(ConnectionFailed):
        await watch(ask, Console(file=io.StringIO()), address="http://box:8000")


async def test_a_running_request_is_shown_with_its_age(tmp_path, capsys):
    gate = asyncio.Event()
    engine = ScriptedEngine(Reply(text="one two", hold=gate, hold_after=1), name="s")
    async with (
        served(engine, root=tmp_path) as server,
        aiohttp.ClientSession() as session,
        session.post(f"{server.v1}/chat/completions", json={**HI, "stream": True}) as response,
    ):
        await response.content.readany()
        shown = await said(capsys, "--url", server.address)
        gate.set()
        await response.read()
    assert re.search(r"/v1/chat/completions +script +s +[\d.]+ m?s +answering", shown)


def summary(**changed: object) -> Summary:
    engine = {
        "name": "ollama",
        "state": "ready",
        "running": 2,
        "waiting": 11,
        "tokens_per_second": 42.0,
        "loaded": ["qwen"],
    }
    told = {
        "version": "1", "uptime": 3700.0, "ready": True, "rates": {"requests": 1.5, "tokens": 60.0}, "requests": {"total": 9, "failed": 0},
        "engines": [engine], "running": [], "gateway": {"fallbacks": {"a@b -> c@d": 3}, "cache_hit_rate": 0.5}, "keys": [], "errors": [],
        "health": [], "new-in-a-later-version": 1, **changed,
    }  # fmt: skip
    return read(json.dumps(told).encode(), "http://x")


def drawn(shown: Summary, width: int, **options: object) -> str:
    screen = io.StringIO()
    Console(file=screen, width=width, **options).print(draw(shown, width, address="http://box:8000"))
    return screen.getvalue()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_it_fits_any_terminal(width):
    running = [{"id": f"id{number}", "route": "/v1/chat/completions", "seconds": 1.0} for number in range(30)]
    errors = [
        {"at": time.time(), "route": "/v1/messages", "status": 502, "cause": "refused", "message": "a long story " * 9}
    ]
    keys = [{"name": "laptop", "requests": 1, "failed": 0, "tokens": 12}]
    text = drawn(summary(running=running, errors=errors, keys=keys), width)
    assert max(map(len, text.splitlines())) <= width
    assert "READY" in text.upper().replace("\n", "")


def test_what_matters_most_is_left_in_a_narrow_terminal():
    text = drawn(summary(), 50)
    assert re.search(r"ollama +ready +2\+11 +42\.0", text)
    assert "TTFT" not in text


def test_fallbacks_hits_and_checks_that_are_not_well_are_told():
    text = drawn(summary(health=[{"check": "disk", "ok": False, "detail": "0.1 GiB free", "remedy": "make room"}]), 120)
    assert "a@b -> c@d: 3" in text
    assert "cache hits 50%" in text
    assert "disk: 0.1 GiB free (try: make room)" in text
    assert "up 61 min" in text


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    assert "\x1b[32m" in drawn(summary(), 100, force_terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in drawn(summary(), 100, force_terminal=True, color_system="standard")


def test_what_a_server_says_cannot_move_the_cursor_or_paint():
    running = [{"id": "x", "route": "/v1", "seconds": 1.0, "model": "\x1b[2J[red]m[/red]"}]
    text = drawn(summary(running=running), 160)
    assert "\x1b" not in text
    assert "[red]m[/red]" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0123, "12 ms"), (1.5, "1.5 s"), (119, "119.0 s"), (600, "10 min"), (9000, "2 h 30 min")],
)
def test_times_read_well(value, text):
    assert seconds(value) == text
