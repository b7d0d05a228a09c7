"""Build the inference wing alone: engines and the gateway before them. Opens no connection, starts no process."""

import os
from collections.abc import Mapping, Sequence

import msgspec

from fireside.app.settings import EngineSettings, Settings
from fireside.config.paths import Paths
from fireside.config.secrets import Secrets
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


def build_egress(settings: Settings, paths: Paths) -> Egress:
    """The only way out of this machine."""
    return Egress(settings.privacy, Ledger(paths.data / "egress.jsonl"))


def build_context(
    paths: Paths, *, store: ModelStore, secrets: Secrets, events: EventBus, egress: Egress
) -> EngineContext:
    """What every engine is handed, with a transport of its own."""
    return EngineContext(
        egress=egress,
        transport=Transport(egress),
        events=events,
        runtime=paths.runtime,
        secret=secrets.get,
        models=store,
    )


def build_gateway(settings: Settings, context: EngineContext, engines: Sequence[Engine] | None = None) -> Gateway:
    """``engines``: those already built from the same settings."""
    return Gateway(
        build_engines(settings, context) if engines is None else engines,
        settings=settings.gateway,
        aliases=settings.models,
        events=context.events,
        memory=memory_size(),
    )


def build_engines(
    settings: Settings, context: EngineContext, *, kept: Mapping[str, Engine] | None = None
) -> list[Engine]:
    """One engine per table under ``engines``: servers first, then children of ours; else in the configuration's order.

    ``kept``: engines that are there already, by name. Raises ``Invalid`` for one that cannot be built.
    """
    there = kept or {}
    found = [(_kind(engine), name, engine) for name, engine in settings.engines.items()]
    found.sort(key=lambda entry: LAST.index(entry[0]) if entry[0] in LAST else -1)
    return [there.get(name) or build_engine(kind, name, engine, context) for kind, name, engine in found]


def rebuild_engines(
    settings: Settings, before: Settings, engines: Sequence[Engine], context: EngineContext
) -> list[Engine]:
    """As ``build_engines``; an engine whose settings are as ``before`` stays the same one."""
    kept = {each.name: each for each in engines if settings.engines.get(each.name) == before.engines.get(each.name)}
    return build_engines(settings, context, kept=kept)


def _kind(engine: EngineSettings) -> str:
    return str(msgspec.to_builtins(engine)["kind"])


def memory_size() -> int:
    """Bytes of this machine's memory; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0
