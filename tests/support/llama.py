"""The embedded engine on a tiny model, ready to be asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fireside.core.events import EventBus
from fireside.core.messages import Message, ToolSpec
from fireside.core.requests import ChatRequest, Sampling
from fireside.core.values import replace
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.ledger import Ledger
from fireside.engines.llama_places import Embedded
from fireside.engines.llama_server import LlamaServerEngine, LlamaServerSettings, build
from fireside.engines.registry import EngineContext
from fireside.engines.supervisor import Running
from fireside.engines.transport import Transport
from fireside.models.card import ModelCard
from support.tiny import tiny_gguf

EDIT = ToolSpec(
    "edit",
    "Change lines",
    {
        "type": "object",
        "properties": {
            "range": {"$ref": "#/$defs/range"},
            "text": {"type": "string", "maxLength": 12},
            "mode": {"enum": ["insert", "replace"]},
        },
        "required": ["range", "mode"],
        "additionalProperties": False,
        "$defs": {
            "range": {
                "type": "object",
                "properties": {"start": {"type": "integer", "minimum": 1, "maximum": 99}},
                "required": ["start"],
                "additionalProperties": False,
            }
        },
    },
)
NOW = ToolSpec("now", "The time", {"type": "object", "properties": {}, "additionalProperties": False})
LONG = Sampling(max_tokens=4000, temperature=0.0)


class Bench:
    """Engines on one transport, with a runtime folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.transport = Transport(Egress(EgressSettings(), Ledger(folder / "egress.jsonl")))
        self.runtime = folder / "runtime"
        self.secrets: dict[str, str] = {}
        self.engines: list[LlamaServerEngine] = []

    def engine(self, **settings: object) -> LlamaServerEngine:
        context = EngineContext(
            self.transport.egress, self.transport, EventBus(), self.runtime, self.secrets.get, models=None
        )
        given = {"models": (str(tiny_gguf()),), "context": 2048} | settings
        self.engines.append(build("embedded", LlamaServerSettings(**given), context))  # type: ignore[arg-type]
        return self.engines[-1]

    async def aclose(self) -> None:
        for engine in self.engines:
            await engine.aclose()
        await self.transport.aclose()


@asynccontextmanager
async def running(engine: LlamaServerEngine, card: ModelCard) -> AsyncIterator[Running]:
    """The child behind an engine."""
    place = engine._place
    assert isinstance(place, Embedded)
    async with place._supervisor.use(place._spec_of(card, embedding=False)) as child:
        yield child


def ask(content: str = "hello", **changes: object) -> ChatRequest:
    request = ChatRequest((Message("user", content),), sampling=Sampling(max_tokens=8, temperature=0.0))
    return replace(request, **changes)  # type: ignore[arg-type]
