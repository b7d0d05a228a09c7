"""The only place that builds parts and hands them to each other."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import msgspec

from fireside.agent.agent import Agent
from fireside.app.settings import SECRETS, Settings, load_config
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
from fireside.index.index import Index
from fireside.models.store import ModelStore
from fireside.workspace.workspace import Workspace, find_root


@dataclass(frozen=True, slots=True)
class Wings:
    """Everything that was built, for ``Fireside`` to hold."""

    config: Config[Settings]
    paths: Paths
    secrets: Secrets
    events: EventBus
    store: ModelStore
    transport: Transport
    gateway: Gateway
    project: Project
    agent: Agent
    assist: Assist


def assemble(root: Path | None, *, environ: Mapping[str, str] = os.environ, flags: Mapping[str, object] | None = None) -> Wings:
    """Build the house for the project at or above ``root`` (else: the current folder). Opens no connection, starts no process."""
    place = find_root(root)
    config = load_config(place, environ, flags)
    settings, paths, events = config.settings, Paths.from_environment(environ), EventBus()
    secrets = Secrets(environ, SECRETS)
    transport = Transport(Egress(settings.privacy, Ledger(paths.data / "egress.jsonl")))
    store = ModelStore(paths.data / "models")
    context = EngineContext(
        egress=transport.egress, transport=transport, events=events, runtime=paths.runtime, secret=secrets.get, models=store
    )
    gateway = Gateway(build_engines(settings, context), settings=settings.gateway, aliases=settings.models, events=events)
    project = _project(place, paths)
    agent, assist = Agent(gateway, project, settings.agent), Assist(gateway, project)
    return Wings(config, paths, secrets, events, store, transport, gateway, project, agent, assist)


def build_engines(settings: Settings, context: EngineContext) -> list[Engine]:
    """One engine per table under ``engines``, in the order of the configuration."""
    return [
        build_engine(str(msgspec.to_builtins(engine)["kind"]), name, engine, context) for name, engine in settings.engines.items()
    ]


def open_project(root: Path | None, *, environ: Mapping[str, str] = os.environ, flags: Mapping[str, object] | None = None) -> Project:
    """The knowledge wing alone."""
    return _project(find_root(root), Paths.from_environment(environ))


def index_folder(root: Path, paths: Paths) -> Path:
    """One folder per checkout: two clones of one repository never share an index."""
    return paths.cache / "index" / blake2b(str(root.resolve()).encode(), digest_size=10).hexdigest()


def _project(root: Path, paths: Paths) -> Project:
    workspace = Workspace(root)
    return Project(workspace, Index.open(workspace, index_folder(root, paths)))
