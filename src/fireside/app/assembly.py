"""The only place that builds parts and hands them to each other."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fireside.agent.agent import Agent
from fireside.app.knowledge import build_project, project_root
from fireside.app.settings import SECRETS, EngineSettings, Settings, load_config
from fireside.assist.completion import Assist
from fireside.config.layers import Config
from fireside.config.paths import Paths
from fireside.config.secrets import Secrets
from fireside.context.project import Project
from fireside.core.events import EventBus
from fireside.engines.egress import Egress
from fireside.engines.engine import Engine
from fireside.engines.ledger import Ledger
from fireside.engines.registry import EngineContext, build_engine
from fireside.engines.transport import Transport
from fireside.gateway.gateway import Gateway
from fireside.models.store import ModelStore

# A server the user runs has better models and faster hardware than a child process of ours; transformers is the slowest way of all.
LAST = ("llama_server", "huggingface")


@dataclass(frozen=True, slots=True)
class Wings:
    """Everything that was built, for ``Fireside`` to hold."""

    config: Config[Settings]
    paths: Paths
    secrets: Secrets
    events: EventBus
    store: ModelStore
    transport: Transport
    engines: tuple[Engine, ...]
    gateway: Gateway
    project: Project
    agent: Agent
    assist: Assist
    context: EngineContext


def assemble(
    root: Path | None, *, environ: Mapping[str, str] = os.environ, flags: Mapping[str, object] | None = None
) -> Wings:
    """Build the house for the project in ``root`` (else: at or above the current folder). Opens no connection, starts no process."""
    place = project_root(root)
    return build_wings(place, load_config(place, environ, flags), environ, named=root is not None)


def build_wings(root: Path, config: Config[Settings], environ: Mapping[str, str], *, named: bool = False) -> Wings:
    """All parts, from settings that are in force. ``named``: see ``build_project``."""
    settings, paths, events = config.settings, Paths.from_environment(environ), EventBus()
    secrets = Secrets(environ, SECRETS)
    transport = Transport(Egress(settings.privacy, Ledger(paths.data / "egress.jsonl")))
    store = ModelStore(paths.data / "models")
    context = EngineContext(
        egress=transport.egress,
        transport=transport,
        events=events,
        runtime=paths.runtime,
        secret=secrets.get,
        models=store,
    )
    engines = build_engines(settings, context)
    gateway = Gateway(engines, settings=settings.gateway, aliases=settings.models, events=events, memory=memory_size())
    project = build_project(root, paths, named=named)
    agent, assist = Agent(gateway, project, settings.agent), Assist(gateway, project)
    return Wings(
        config, paths, secrets, events, store, transport, tuple(engines), gateway, project, agent, assist, context
    )


def build_engines(settings: Settings, context: EngineContext) -> list[Engine]:
    """One engine per table under ``engines``: servers first, then children of ours; else in the configuration's order."""
    found = [(_kind(engine), name, engine) for name, engine in settings.engines.items()]
    found.sort(key=lambda entry: LAST.index(entry[0]) if entry[0] in LAST else -1)
    return [build_engine(kind, name, engine, context) for kind, name, engine in found]


def _kind(engine: EngineSettings) -> str:
    return str(msgspec.to_builtins(engine)["kind"])


def memory_size() -> int:
    """Bytes of this machine's memory; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0
