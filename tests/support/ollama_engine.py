"""The Ollama engine, built for one server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fireside.core.events import EventBus
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.ledger import Ledger
from fireside.engines.ollama import OllamaEngine, OllamaSettings, build
from fireside.engines.registry import EngineContext
from fireside.engines.transport import Transport
from fireside.models.card import FimTokens, ModelCard

CODER = ModelCard(
    "qwen2.5-coder:7b",
    "ollama",
    context_window=32768,
    capabilities=frozenset(("chat", "tools", "fim", "json_schema", "thinking")),
    fim=FimTokens("<P>", "<S>", "<M>", stop=("<END>",)),
)
EMBED = ModelCard("nomic-embed-text:latest", "ollama", context_window=2048, capabilities=frozenset(("embed",)))


@asynccontextmanager
async def engine_at(url: str, folder: Path, **settings: object) -> AsyncIterator[OllamaEngine]:
    transport = Transport(Egress(EgressSettings(), Ledger(folder / "egress.jsonl")))
    context = EngineContext(transport.egress, transport, EventBus(), folder, lambda name: None)
    try:
        yield build("ollama", OllamaSettings(url=url, **settings), context)
    finally:
        await transport.aclose()


def ask(text: str = "hi", **more: object) -> ChatRequest:
    return ChatRequest((Message("user", text),), **more)  # type: ignore[arg-type]
