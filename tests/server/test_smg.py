"""Two of our own embedded servers behind a real smg, and Fireside in front of it: one ``base_url`` for both."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from support.services import free_port
from support.serving import Serving, serving, settings
from support.tiny import tiny_gguf

pytestmark = pytest.mark.team
MODEL = "replica"
ANSWERED = re.compile(r"fireside_answers_total\{[^}]*\} ([\d.]+)")


@dataclass
class Fleet:
    """``front``: whom clients ask. ``replicas``: who computes. ``smg``: who shares the work among them."""

    front: Serving
    replicas: list[Serving]
    smg: asyncio.subprocess.Process


@asynccontextmanager
async def routing(replicas: list[Serving], port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    program = shutil.which("smg", path=path)
    if program is None:
        pytest.skip("smg is not installed: pip install smg")
    words = [
        "launch",
        "--worker-urls",
        *(each.address for each in replicas),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    words += ["--policy", "round_robin", "--disable-tokenizer-autoload", "--log-level", "warn"]
    words += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    quiet = {"stdout": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.DEVNULL}
    process = await asyncio.create_subprocess_exec(program, *words, **quiet)
    try:
        yield process
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()


@pytest.fixture
async def fleet(tmp_path):
    async with AsyncExitStack() as stack:
        replicas = []
        for name in ("one", "two"):
            home = tmp_path / name
            model = tmp_path / name / f"{MODEL}.gguf"
            embedded = f'[engines.embedded]\nkind = "llama_server"\ncontext = 2048\nmodels = ["{model}"]\n'
            settings(embedded, home=home)
            model.symlink_to(tiny_gguf())
            replicas.append(await stack.enter_async_context(serving("--quiet", environ={"FIRESIDE_HOME": str(home)})))
        port = free_port()
        smg = await stack.enter_async_context(routing(replicas, port))
        await listed(port)
        settings(
            f'[engines.pool]\nkind = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
            f"[engines.pool.models.{MODEL}]\ncontext_window = 2048\n"
        )
        yield Fleet(await stack.enter_async_context(serving("--quiet")), replicas, smg)


async def listed(port: int) -> None:
    """smg knows both, and what they have."""
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/workers") as response:
                    workers = (await response.json()).get("workers", []) if response.status == 200 else []
                    if len(workers) == 2 and all(each.get("is_healthy") for each in workers):
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.02)


async def answered(replica: Serving) -> float:
    found = ANSWERED.findall((await replica.get("/metrics"))[1])
    return sum(map(float, found))


async def ask(front: Serving, *, stream: bool = False) -> tuple[int, str]:
    body = {"model": MODEL, "max_tokens": 4, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{front.address}/v1/chat/completions", json=body) as response,
    ):
        return response.status, await response.text()


async def test_both_answer_behind_one_address_and_one_that_is_lost_is_not_missed(fleet):
    for _ in range(4):
        status, text = await ask(fleet.front)
        assert status == 200, text
    status, text = await ask(fleet.front, stream=True)
    assert status == 200
    assert text.endswith("data: [DONE]\n\n")
    counts = [await answered(each) for each in fleet.replicas]
    assert sum(counts) == 5
    assert min(counts) >= 2

    fleet.replicas[0].send(signal.SIGKILL)
    await fleet.replicas[0].ended()
    for _ in range(6):
        status, text = await ask(fleet.front)
        assert status == 200, text
