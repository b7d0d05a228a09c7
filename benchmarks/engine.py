"""The embedded engine: what Fireside costs on top of llama.cpp's own server, and what its caches save.

Run: python -m benchmarks engine. The models have random weights and are written first (a few seconds). Both sides of a comparison take
turns on the same server, and the best of several rounds counts, so that other work on the machine matters little. CPU time is that of the
server and of this process together, at one thread; it needs Linux.
"""

import asyncio
import os
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.table import Figure, show
from fireside.core.errors import ConnectionFailed
from fireside.core.events import EventBus
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, Delta, Sampling, Usage
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.ledger import Ledger
from fireside.engines.llama_places import Embedded
from fireside.engines.llama_server import LlamaServerEngine, LlamaServerSettings, build, write_request
from fireside.engines.registry import EngineContext
from fireside.engines.supervisor import Running
from fireside.engines.transport import Transport
from fireside.gateway.gateway import Gateway
from fireside.gateway.settings import GatewaySettings
from fireside.models import tiny
from fireside.models.card import ModelCard

ROUNDS, TOKENS = 6, 96
TICK = os.sysconf("SC_CLK_TCK")
WORDS = "the quick order of a stable prefix is what makes the second turn start at once "


@dataclass
class Setup:
    """An engine, the gateway over it, and the child behind it."""

    engine: LlamaServerEngine
    gateway: Gateway
    card: ModelCard
    child: Running

    def cpu(self) -> float:
        """CPU seconds of the server and this process so far."""
        return server_cpu(self.child) + time.process_time()


@asynccontextmanager
async def setup(model: Path, runtime: Path) -> AsyncIterator[Setup]:
    transport = Transport(Egress(EgressSettings(), Ledger(runtime / "egress.jsonl")))
    context = EngineContext(transport.egress, transport, EventBus(), runtime, lambda name: None)
    engine = build(
        "bench", LlamaServerSettings(models=(str(model),), threads=1, context=4096, start_seconds=120), context
    )
    gateway = Gateway([engine], settings=GatewaySettings(cache_bytes=0), events=context.events)
    try:
        (card,) = await gateway.models()
        async with child_of(engine, card) as child:
            yield Setup(engine, gateway, card, child)
    finally:
        await gateway.aclose()
        await transport.aclose()


@asynccontextmanager
async def child_of(engine: LlamaServerEngine, card: ModelCard) -> AsyncIterator[Running]:
    place = engine._place
    assert isinstance(place, Embedded)
    async with place._supervisor.use(place._spec_of(card, embedding=False)) as running:
        yield running


def server_cpu(child: Running) -> float:
    fields = Path(f"/proc/{child.pids.server_pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def ask(text: str, *, system: str = "be brief", tokens: int = TOKENS) -> ChatRequest:
    messages = (Message("system", system), Message("user", text))
    return ChatRequest(messages, sampling=Sampling(max_tokens=tokens, temperature=0.0, seed=1))


@dataclass(frozen=True)
class Timed:
    """``first``: seconds to the first piece; ``last``: to the last one."""

    first: float
    last: float
    usage: Usage


async def through(stream: AsyncIterator[Delta]) -> Timed:
    begun = time.perf_counter()
    first = usage = None
    async with closing(stream) as deltas:
        async for delta in deltas:
            if first is None and delta.has_content:
                first = time.perf_counter() - begun
            usage = delta.usage or usage
    last = time.perf_counter() - begun
    return Timed(first or last, last, usage or Usage())


async def direct(setup: Setup, request: ChatRequest) -> Timed:
    """The same body straight to the server, with the leanest client there can be: it does not even parse what comes."""
    body = orjson.dumps(write_request(request, setup.card, ()))
    host, port = setup.child.base_url.removeprefix("http://").split(":")
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {setup.child.api_key}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    first = None
    while b"data: [DONE]" not in (chunk := await reader.read(65536)):
        if first is None and b'"content":"' in chunk:
            first = time.perf_counter() - begun
        assert chunk
    last = time.perf_counter() - begun
    writer.close()
    await writer.wait_closed()
    return Timed(first or last, last, Usage())


async def overhead(setup: Setup) -> list[Figure]:
    """Generation and first token: through the gateway against straight to the child."""
    request = ask(WORDS)
    counted = (await through(setup.gateway.chat(request))).usage.completion_tokens
    cpu: dict[str, list[float]] = {"gateway": [], "direct": []}
    wall: dict[str, list[float]] = {"gateway": [], "direct": []}
    first: dict[str, list[float]] = {"gateway": [], "direct": []}
    for _ in range(ROUNDS):
        for name in cpu:
            before = setup.cpu()
            timed = await (through(setup.gateway.chat(request)) if name == "gateway" else direct(setup, request))
            cpu[name].append(setup.cpu() - before)
            wall[name].append(timed.last - timed.first)
    short = replace(request, sampling=replace(request.sampling, max_tokens=1))
    for _ in range(25):
        for name in first:
            timed = await (through(setup.gateway.chat(short)) if name == "gateway" else direct(setup, short))
            first[name].append(timed.first)
    note = f"(direct: {counted / min(cpu['direct']):.0f} tokens per CPU second)"
    added = (min(first["gateway"]) - min(first["direct"])) * 1000
    return [
        Figure(
            "tokens/s, gateway and child : child (CPU time)",
            min(cpu["direct"]) / min(cpu["gateway"]),
            "",
            0.95,
            False,
            note,
        ),
        Figure(
            "tokens/s, gateway and child : child (wall)", min(wall["direct"]) / min(wall["gateway"]), "", 0.95, False
        ),
        Figure("first token: added", added, "ms", 5, note=f"(direct: {min(first['direct']) * 1000:.1f} ms)"),
    ]


async def cancelling(setup: Setup) -> list[Figure]:
    """From closing a stream to an idle slot."""
    place = setup.engine._place
    assert isinstance(place, Embedded)
    seconds = []
    for _ in range(10):
        stream = setup.gateway.chat(ask(WORDS, tokens=2000))
        await anext(stream)
        begun = time.perf_counter()
        async with closing(stream):
            pass
        while (await place.health()).busy:
            await asyncio.sleep(0.001)
        seconds.append(time.perf_counter() - begun)
    return [Figure("cancel frees the slot (median of 10)", statistics.median(seconds) * 1000, "ms", 100)]


async def long_text(setup: Setup, tokens: int) -> str:
    """Words that make about so many tokens."""
    once = await setup.engine.count_tokens(WORDS * 50, setup.card) or 1
    return WORDS * (50 * tokens // once)


async def second_turn(setup: Setup) -> list[Figure]:
    """First token of a cold 2k prompt, and of the next turns."""
    system = await long_text(setup, 2048)
    cold, warm = [], []
    for round_ in range(2):
        request = replace(ask("hello", system=f"{round_} {system}", tokens=8), session=f"turns {round_}")
        cold.append((await through(setup.gateway.chat(request))).first)
        for turn in range(3):
            messages = (*request.messages, Message("assistant", "yes"), Message("user", f"and {turn}?"))
            request = replace(request, messages=messages)
            warm.append((await through(setup.gateway.chat(request))).first)
    note = f"(cold {min(cold) * 1000:.0f} ms, warm {min(warm) * 1000:.0f} ms)"
    return [Figure("first token, turn 2+ : cold, 2k prompt", min(warm) / min(cold) * 100, "%", 15, note=note)]


async def conversation(setup: Setup) -> list[Figure]:
    """The share of prompt tokens of turns 2 to 10 that were not computed again."""
    request = replace(ask("where do we begin?", system=await long_text(setup, 1024), tokens=24), session="ten turns")
    prompt = cached = 0
    for turn in range(10):
        usage, text = Usage(), ""
        async with closing(setup.gateway.chat(request)) as deltas:
            async for delta in deltas:
                text, usage = text + delta.text, delta.usage or usage
        if turn:
            prompt, cached = prompt + usage.prompt_tokens, cached + usage.cached_tokens
        answer = (Message("assistant", text), Message("user", f"{WORDS} {turn}"))
        request = replace(request, messages=(*request.messages, *answer))
    return [
        Figure("prompt tokens cached, turns 2-10", cached / prompt * 100, "%", 90, False, f"({prompt} prompt tokens)")
    ]


async def shared_prefix(setup: Setup) -> list[Figure]:
    """Prompt work of eight requests at a time that share 2k tokens, against eight that share nothing."""
    text = await long_text(setup, 2048)
    spent = {}
    for name in ("cold", "shared"):
        systems = [f"{number if name == 'cold' else 'all'} {text}" for number in range(8)]
        before = server_cpu(setup.child)
        requests = [ask(f"task {number}", system=system, tokens=1) for number, system in enumerate(systems)]
        await asyncio.gather(*(through(setup.gateway.chat(request)) for request in requests))
        spent[name] = server_cpu(setup.child) - before
    note = f"(CPU: {spent['cold']:.1f} s against {spent['shared']:.1f} s)"
    return [Figure("8 requests: cold : shared 2k prefix", spent["cold"] / spent["shared"], "x", 3, False, note)]


async def starting(model: Path, folder: Path, name: str) -> list[Figure]:
    """From asking for a child to its first healthy answer."""
    seconds = []
    for number in range(5):
        begun = time.perf_counter()
        async with setup(model, folder / f"start-{name}-{number}"):
            seconds.append(time.perf_counter() - begun)
    return [Figure(f"child ready, {name}", min(seconds), "s", 0.5, note="(best of 5)")]


async def killing(model: Path, folder: Path) -> list[Figure]:
    """kill -9 in mid-stream: until the error, and until the next answer is complete."""
    noticed, answered = [], []
    for number in range(3):
        async with setup(model, folder / f"kill-{number}") as one:
            stream = one.engine.chat(ask(WORDS, tokens=4000), one.card)
            await anext(stream)
            os.kill(one.child.pids.server_pid, signal.SIGKILL)
            begun = time.perf_counter()
            try:
                await through(stream)
            except ConnectionFailed:
                noticed.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            await through(one.engine.chat(ask("again", tokens=1), one.card))
            answered.append(time.perf_counter() - begun)
    return [
        Figure("kill -9 in mid-stream: typed error after", max(noticed), "s", 1),
        Figure("kill -9 in mid-stream: next answer after", max(answered), "s", 2),
    ]


async def figures(folder: Path) -> list[Figure]:
    models: dict[tiny.Size, Path] = {size: folder / f"{size}.gguf" for size in ("tiny", "small", "medium")}
    for size, path in models.items():
        tiny.write(path, size=size, quantization="Q8_0")
    found = await starting(models["tiny"], folder, "1.2M") + await starting(models["medium"], folder, "113M")
    found += await killing(models["tiny"], folder)
    async with setup(models["medium"], folder / "medium") as medium:
        found += await overhead(medium)
        found += await cancelling(medium)
        found += await second_turn(medium)
    async with setup(models["small"], folder / "small") as small:
        found += await conversation(small)
        found += await shared_prefix(small)
    return found


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fireside-bench-") as folder:
        show(asyncio.run(figures(Path(folder))))


if __name__ == "__main__":
    main()
