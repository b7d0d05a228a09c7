"""What the gateway adds to an engine: microseconds per request and per delta, against iterating the ScriptedEngine directly.

Run: python -m benchmarks gateway. CPU time of this process, the best of several rounds, so that other work on the machine matters little.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from benchmarks.table import Figure, show
from fireside.core.events import EventBus
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, Delta
from fireside.engines.scripted import Reply, ScriptedEngine, scripted_card
from fireside.gateway.gateway import Gateway, GatewaySettings

LONG, ROUNDS, REQUESTS = 2000, 7, 200
Ask = Callable[[], AsyncIterator[Delta]]


async def cpu(ask: Ask, times: int) -> float:
    """Seconds of CPU for ``times`` streams read to their end; the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(times):
            async for _ in ask():
                pass
        best = min(best, time.process_time() - started)
    return best


async def measure(words: int, times: int) -> tuple[float, float]:
    """Seconds for one stream of ``words`` pieces: directly, and through the gateway."""
    engine = ScriptedEngine(Reply("word " * words), name="bench")
    request = ChatRequest((Message("system", "be brief"), Message("user", "hello there")))
    card = scripted_card("bench")
    gateway = Gateway([engine], settings=GatewaySettings(), events=EventBus())
    await gateway.models()
    direct = await cpu(lambda: engine.chat(request, card), times)
    through = await cpu(lambda: gateway.chat(request), times)
    await gateway.aclose()
    return direct / times, through / times


async def figures() -> list[Figure]:
    direct, through = await measure(1, REQUESTS)
    request = through - direct
    direct_long, through_long = await measure(LONG, 5)
    delta = (through_long - direct_long - request) / LONG
    return [
        Figure("a request: added CPU", request * 1e6, "us", 200, note=f"(the engine alone: {direct * 1e6:.0f} us)"),
        Figure(
            "a delta: added CPU", delta * 1e6, "us", 5, note=f"(the engine alone: {direct_long / LONG * 1e6:.1f} us)"
        ),
    ]


def main() -> None:
    show(asyncio.run(figures()))


if __name__ == "__main__":
    main()
