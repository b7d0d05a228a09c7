"""``fireside serve`` from its first line to its exit code."""

import asyncio
import json
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from support.fake_http import Faults
from support.fake_openai import FakeOpenAI
from support.serving import engine, serving, settings, started, streaming

IDLE_MEGABYTES = 110
SCREEN = 24


@pytest.fixture
async def fake():
    async with FakeOpenAI("Hello there, you.") as made:
        settings(engine(made))
        yield made


def held(fake: FakeOpenAI) -> asyncio.Event:
    """The next answer waits after its first word."""
    fake.faults = Faults(hold_after=1, gate=asyncio.Event())
    assert fake.faults.gate is not None
    return fake.faults.gate


async def until_ready(running, status: int) -> str:
    async with asyncio.timeout(10):
        while True:
            found, body = await running.get("/healthz/ready")
            if found == status:
                return body


async def test_one_screen_says_where_it_listens_what_answers_and_how_clients_find_it(fake):
    async with serving() as running:
        await running.said("fake-coder")
        shown = "\n".join(running.lines)
        for part in (
            f"OPENAI_BASE_URL={running.address}/v1",
            f"ANTHROPIC_BASE_URL={running.address}",
            f"OLLAMA_HOST={running.address}",
            f"{running.address}/docs",
            "nobody on this machine needs one",
            "box ready, 2 models",
        ):
            assert part in shown
        assert len(running.lines) <= SCREEN
        assert await running.end() == 0
        assert (await running.process.wait(), "Traceback" in "\n".join(running.lines)) == (0, False)


async def test_without_any_model_it_says_how_to_get_one():
    settings(
        "[engines.ollama]\nkind = 'ollama'\nurl = 'http://127.0.0.1:9'\n[engines.embedded]\nkind = 'llama_server'\n"
    )
    async with serving() as running:
        assert "fireside models pull" in await running.said("models    none yet")


async def test_a_service_logs_json_lines_and_shows_no_page(fake):
    async with serving("--json-log") as running:
        assert (await running.chat())[0] == 200
        assert await running.end() == 0
        assert [json.loads(line)["level"] for line in running.lines]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_where_others_can_come_in_it_refuses_to_start_without_a_key(fake, host):
    async with started("--host", host) as running:
        assert await running.ended() == 1
        assert running.lines[0].endswith(f"{host} can be reached by others, and there is no key")
        assert "fireside keys create NAME" in running.lines[1]
        assert not any("Traceback" in line for line in running.lines)


async def test_a_port_that_is_taken_is_told_in_one_line_with_another(fake):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with started("--port", str(port)) as running:
            assert await running.ended() == 1
            assert f"127.0.0.1:{port} is taken" in running.lines[0]
            assert running.lines[1:] == [f"  try: fireside serve --port {port + 1}"]


async def test_a_host_that_is_none_is_told_in_one_line(fake):
    async with started("--host", "nowhere.invalid") as running:
        assert await running.ended() == 1
        assert running.lines == ["error: nowhere.invalid is no address of this machine", "  try: --host 127.0.0.1"]


async def test_a_running_answer_ends_properly_while_nothing_new_is_taken(fake):
    gate = held(fake)
    async with serving("--quiet") as running, streaming(running) as answer:
        running.send(signal.SIGTERM)
        assert json.loads(await until_ready(running, 503))["reasons"] == ["draining"]
        status, refusal = await running.chat()
        assert (status, refusal["error"]["type"]) == (503, "server_error")
        gate.set()
        assert await answer == "Hello there, you."
        assert await running.ended() == 0
        assert "answers still running: 1" in await running.said("ending")


async def test_an_answer_over_a_websocket_ends_properly_too(fake):
    gate = held(fake)
    async with (
        serving("--quiet") as running,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{running.address}/api/v1/ws") as talk,
    ):
        message = {"type": "chat", "id": "1", "model": "fake-coder", "messages": [{"role": "user", "content": "hi"}]}
        await talk.send_json(message)
        await fake.waiting.wait()
        running.send(signal.SIGTERM)
        await until_ready(running, 503)
        gate.set()
        kinds = [(await talk.receive_json())["type"]]
        while kinds[-1] not in ("finished", "failed"):
            kinds.append((await talk.receive_json())["type"])
        assert kinds[-1] == "finished"
        assert await running.ended() == 0


async def test_a_second_signal_ends_at_once(fake):
    held(fake)
    async with serving("--quiet") as running, streaming(running) as answer:
        running.send(signal.SIGINT)
        await running.said("ending")
        assert await running.end(signal.SIGINT) == 130
        with pytest.raises((aiohttp.ClientError, AssertionError)):
            await answer
        assert "answers cut off: 1" in await running.said("cut off")
        assert [line for line in running.lines if "Cancel" in line or line.startswith(("Traceback", "  "))] == []


async def test_an_answer_that_takes_too_long_is_cut_off(fake):
    settings(engine(fake) + "[server]\ndrain_seconds = 0.1\n")
    held(fake)
    async with serving("--quiet") as running, streaming(running):
        assert await running.end() == 0
        assert "answers cut off: 1" in await running.said("cut off")


async def test_ctrl_c_ends_with_130(fake):
    async with serving("--quiet") as running:
        assert await running.end(signal.SIGINT) == 130


async def test_systemd_is_told_when_requests_are_answered(fake, tmp_path):
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(place))
        supervisor.settimeout(30)
        async with started("--quiet", environ={"NOTIFY_SOCKET": str(place)}):
            assert await asyncio.to_thread(supervisor.recv, 64) == b"READY=1"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's memory so")
async def test_an_idle_server_needs_little_memory(fake):
    async with serving("--quiet") as running:
        assert (await running.chat())[0] == 200
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        kilobytes = int(status.partition("VmRSS:")[2].split()[0])
        assert kilobytes / 1024 < IDLE_MEGABYTES
