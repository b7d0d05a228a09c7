"""The only place that builds parts and hands them to each other."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fireside.agent.agent import Agent
from fireside.app.inference import build_context, build_egress, build_engines, build_gateway
from fireside.app.knowledge import build_project, project_root
from fireside.app.settings import SECRETS, Settings, load_config
from fireside.assist.completion import Assist
from fireside.config.layers import Config
from fireside.config.paths import Paths
from fireside.config.secrets import Secrets
from fireside.context.project import Project
from fireside.core.events import EventBus
from fireside.engines.engine import Engine
from fireside.engines.registry import EngineContext
from fireside.engines.transport import Transport
from fireside.gateway.gateway import Gateway
from fireside.models.store import ModelStore


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
    store = ModelStore(paths.data / "models")
    egress = build_egress(settings, paths)
    context = build_context(paths, store=store, secrets=secrets, events=events, egress=egress)
    engines = build_engines(settings, context)
    gateway = build_gateway(settings, context, engines)
    project = build_project(root, settings, environ, named=named)
    agent = Agent(gateway, project, settings.agent)
    completes = settings.assist.models.get(str(project.root), "complete")
    assist = Assist(gateway, project, settings.assist, model=completes)
    return Wings(
        config,
        paths,
        secrets,
        events,
        store,
        context.transport,
        tuple(engines),
        gateway,
        project,
        agent,
        assist,
        context,
    )
