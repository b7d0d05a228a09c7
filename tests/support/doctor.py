"""A healthy house for the doctor to look at; a test makes one thing in it ill."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fireside.app.doctor.diagnosis import Diagnosis
from fireside.app.doctor.inputs import DoctorInputs, Machine, OllamaTarget
from fireside.config.paths import Paths
from fireside.config.secrets import Secrets
from fireside.core.events import EventBus
from fireside.core.values import replace
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.endpoint import Endpoint, parse
from fireside.engines.ledger import Ledger
from fireside.engines.ollama import OllamaSettings, build
from fireside.engines.registry import EngineContext
from fireside.engines.scripted import ScriptedEngine
from fireside.engines.transport import Transport
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace

HEALTHY = Machine(frozenset(("avx2", "fma")), 64 << 30, 32 << 30)


def house(folder: Path, *, indexed: bool = False, **changes: object) -> DoctorInputs:
    """Everything is well: a project, an engine that chats, an empty ledger. ``indexed``: the project has been read, too."""
    root = folder / "project"
    root.mkdir(exist_ok=True)
    if indexed:
        (root / "hello.py").write_text("def hello() -> str:\n    return 'hello'\n")
        index = Index.open(Workspace(root), folder / "index")
        index.update()
        index.close()
    inputs = DoctorInputs(
        paths=Paths.from_environment({"FIRESIDE_HOME": str(folder / "home")}),
        root=root,
        index_folder=folder / "index",
        secrets=Secrets({}, {"openai": "OPENAI_API_KEY"}),
        egress=Egress(EgressSettings(), Ledger(folder / "egress.jsonl")),
        engines=(ScriptedEngine(name="scripted"),),
        machine=HEALTHY,
        probe=(sys.executable, "-S", "-E", "-c", "print('2026.10')"),
        in_environment=True,
    )
    return replace(inputs, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def house_with_ollama(
    folder: Path,
    address: str | Endpoint,
    *,
    num_ctx: int = 0,
    host_header: str = "",
    indexed: bool = False,
    **changes: object,
) -> AsyncIterator[DoctorInputs]:
    """The same, with an Ollama server at an address; an address given as text came from OLLAMA_HOST."""
    endpoint = replace(parse(address), origin="OLLAMA_HOST") if isinstance(address, str) else address
    inputs = house(folder, indexed=indexed)
    transport = Transport(inputs.egress)
    context = EngineContext(inputs.egress, transport, EventBus(), folder, lambda name: None)
    settings = OllamaSettings(url=endpoint.url, num_ctx=num_ctx, host_header=host_header)
    engine = build("ollama", settings, context)
    target = OllamaTarget(engine, endpoint, num_ctx)
    try:
        yield replace(inputs, engines=(engine,), ollama=(target,), **changes)  # type: ignore[arg-type]
    finally:
        await transport.aclose()


def ill(found: list[Diagnosis]) -> list[Diagnosis]:
    """Everything that is not ok; each must say what to do."""
    findings = [diagnosis for diagnosis in found if diagnosis.level != "ok"]
    for finding in findings:
        assert finding.message, finding
        assert finding.remedy, finding
    return findings


def codes(found: list[Diagnosis]) -> list[str]:
    return [diagnosis.code for diagnosis in ill(found)]
