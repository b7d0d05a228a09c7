"""``fireside serve`` as a user runs it: a process with a command line, what it says, signals, an exit code."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from support.fake_openai import FakeOpenAI

GUARD = 30
ADDRESS = re.compile(r"listens at (http://\S+?)[;,\s\"]")


def settings(text: str, *, home: Path | None = None) -> Path:
    """Write a user's settings file, whole."""
    file = (home or Path(os.environ["FIRESIDE_HOME"])) / "config" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)
    return file


def engine(fake: FakeOpenAI, name: str = "box") -> str:
    """The settings of an engine in front of a fake."""
    return f'[engines.{name}]\nkind = "openai"\nbase_url = "{fake.url}/v1"\n'


class Serving:
    """``lines``: what the process has said so far, on the standard error."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.address = ""
        self.lines: list[str] = []
        self._more = asyncio.Condition()
        self._reading = asyncio.ensure_future(self._read())

    async def said(self, part: str, count: int = 1) -> str:
        """The line that holds ``part`` (the ``count``-th such), as soon as there is one."""

        def found() -> list[str]:
            return [line for line in self.lines if part in line]

        async with asyncio.timeout(GUARD), self._more:
            await self._more.wait_for(lambda: len(found()) >= count or self._reading.done())
        assert len(found()) >= count, f"never said {part!r}: " + "\n".join(self.lines)
        return found()[count - 1]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(GUARD):
            code = await self.process.wait()
            await self._reading
        return code

    async def close(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.ended()

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.address + path, headers=headers) as response:
            return response.status, await response.text()

    async def chat(self, model: str = "fake-coder", **headers: str) -> tuple[int, dict[str, object]]:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.address}/v1/chat/completions", json=body, headers=headers) as response,
        ):
            return response.status, await response.json()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._more:
                self.lines.append(line.decode().rstrip())
                self._more.notify_all()
        async with self._more:
            self._more.notify_all()


@asynccontextmanager
async def started(
    *words: str, environ: Mapping[str, str] | None = None, program: Sequence[str] = ("-m", "fireside")
) -> AsyncIterator[Serving]:
    """The process, whatever becomes of it."""
    command = [sys.executable, *program, "serve", "--port", "0", *words]
    process = await asyncio.create_subprocess_exec(*command, stderr=PIPE, env={**os.environ, **(environ or {})})
    running = Serving(process)
    try:
        yield running
    finally:
        await running.close()


@asynccontextmanager
async def serving(
    *words: str, environ: Mapping[str, str] | None = None, program: Sequence[str] = ("-m", "fireside")
) -> AsyncIterator[Serving]:
    """The process, once it answers."""
    async with started(*words, environ=environ, program=program) as running:
        found = ADDRESS.search(await running.said("listens at") + " ")
        assert found is not None
        running.address = found[1]
        yield running


@asynccontextmanager
async def streaming(running: Serving, model: str = "fake-coder") -> AsyncIterator[asyncio.Task[str]]:
    """A chat whose first words have come; the task gives the whole text, and raises when the stream breaks."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{running.address}/v1/chat/completions", json=body) as response,
    ):
        assert response.status == 200, await response.text()
        begun = [await response.content.readline()]
        while b'"content":"' not in begun[-1] or b'"content":""' in begun[-1]:
            begun.append(await response.content.readline())

        async def whole() -> str:
            lines = (b"".join(begun) + await response.content.read()).decode().split("\n")
            events = [line[6:] for line in lines if line.startswith("data: ")]
            assert events[-1] == "[DONE]", events
            choices = [choice for each in events[:-1] for choice in json.loads(each)["choices"]]
            return "".join(choice["delta"].get("content") or "" for choice in choices)

        task = asyncio.ensure_future(whole())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
