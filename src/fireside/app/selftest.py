"""Prove the embedded engine on this machine: write a small random model, load it in a real child, generate, measure.

The model has random weights and says nothing: what is shown is that llama.cpp loads, runs and streams here, and how fast.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, Delta, Sampling
from fireside.core.streams import closing
from fireside.engines.engine import Engine
from fireside.engines.llama_server import LlamaServerSettings
from fireside.engines.registry import EngineContext, build_engine
from fireside.models import tiny
from fireside.models.card import ModelCard

TOKENS = 64
PROMPT = "def fibonacci(n):\n    if n < 2:\n        return n\n" * 8


@dataclass(frozen=True, slots=True)
class SelfTest:
    """``write_seconds``: making the model; ``first_seconds``: from asking to the first token, start of the child included.

    ``tokens_per_second``: generation as the engine measured it. ``parameters``: weights of the model.
    """

    model: str
    parameters: int
    write_seconds: float
    first_seconds: float
    tokens: int
    tokens_per_second: float


async def self_test(context: EngineContext) -> SelfTest:
    """Run the embedded engine once. Raises the engine's own typed error when it does not work here."""
    with tempfile.TemporaryDirectory(prefix="fireside-selftest-") as folder:
        begun = time.perf_counter()
        path = tiny.write(Path(folder) / "selftest.gguf", size="small")
        written = time.perf_counter() - begun
        settings = LlamaServerSettings(models=(str(path),), context=1024, parallel=1)
        engine = build_engine("llama_server", "selftest", settings, context)
        try:
            card = next(card for card in await engine.models() if card.path == str(path))
            return await _measure(engine, card, written)
        finally:
            await engine.aclose()


async def _measure(engine: Engine, card: ModelCard, written: float) -> SelfTest:
    request = ChatRequest(
        (Message("user", PROMPT),), model=card.name, sampling=Sampling(temperature=0.0, seed=1, max_tokens=TOKENS)
    )
    begun = time.perf_counter()
    first, last = 0.0, Delta()
    async with closing(engine.chat(request, card)) as deltas:
        async for delta in deltas:
            first = first or time.perf_counter() - begun
            last = delta if delta.usage else last
    usage = last.usage
    tokens = usage.completion_tokens if usage else 0
    seconds = (usage.completion_seconds if usage else None) or (time.perf_counter() - begun - first)
    return SelfTest(card.name, card.parameters, written, first, tokens, tokens / seconds if seconds else 0.0)
