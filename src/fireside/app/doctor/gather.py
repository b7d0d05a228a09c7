"""Put together what the doctor looks at: the house as it is, or, where its settings do not fit, as it would be with the defaults."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import msgspec

from fireside.app.assembly import Wings, build_wings
from fireside.app.doctor.inputs import DoctorInputs, OllamaTarget
from fireside.app.knowledge import index_folder, project_root
from fireside.app.settings import VARIABLES, Settings, load_config
from fireside.config.layers import Config, NotLoaded
from fireside.core.errors import FiresideError, Invalid
from fireside.engines.endpoint import Endpoint, choose
from fireside.engines.engine import Engine
from fireside.engines.ollama import OllamaEngine, OllamaSettings
from fireside.engines.registry import broken
from fireside.models.store import StoredModel


@asynccontextmanager
async def doctor_inputs(
    root: Path | None, *, environ: Mapping[str, str], flags: Mapping[str, object]
) -> AsyncIterator[DoctorInputs]:
    """Build the house, hand out what there is to look at, and close it again. Raises nothing for wrong settings: they are a finding."""
    place = project_root(root)
    config, problem = _config(place, environ, flags)
    wings = build_wings(place, config, environ, named=root is not None)
    try:
        yield _inputs(place, wings, environ, flags, problem)
    finally:
        await wings.gateway.aclose()
        await wings.transport.aclose()
        wings.project.close()


def _config(
    place: Path, environ: Mapping[str, str], flags: Mapping[str, object]
) -> tuple[Config[Settings], Invalid | None]:
    try:
        return load_config(place, environ, flags), None
    except NotLoaded as error:
        return cast("Config[Settings]", error.config), error


def _inputs(
    place: Path, wings: Wings, environ: Mapping[str, str], flags: Mapping[str, object], problem: Invalid | None
) -> DoctorInputs:
    settings = wings.config.settings

    async def self_test() -> str:
        from fireside.app.selftest import self_test

        result = await self_test(wings.context)
        return f"a random {result.parameters / 1e6:.1f}M model ran at {result.tokens_per_second:,.0f} tokens/s"

    return DoctorInputs(
        paths=wings.paths,
        root=place,
        index_folder=index_folder(place, wings.paths),
        secrets=wings.secrets,
        egress=wings.transport.egress,
        environ=environ,
        problem=problem,
        variables=frozenset(name for name in VARIABLES if name.startswith("FIRESIDE_")),
        aliases=settings.models,
        engines=wings.engines,
        plugins=tuple(broken()),
        needs_secret=_needs_secret(settings),
        ollama=tuple(_targets(wings, environ, flags)),
        models=_stored(wings),
        self_test=self_test,
    )


def _needs_secret(settings: Settings) -> dict[str, str]:
    """Engine -> the name of the secret that holds its key, for the engines that want one."""
    tables = {name: msgspec.to_builtins(engine) for name, engine in settings.engines.items()}
    return {name: str(table["key_name"]) for name, table in tables.items() if table.get("key_name")}


def _targets(wings: Wings, environ: Mapping[str, str], flags: Mapping[str, object]) -> list[OllamaTarget]:
    settings = wings.config.settings.engines
    targets = []
    for engine in wings.engines:
        configured = settings.get(engine.name)
        if isinstance(engine, OllamaEngine) and isinstance(configured, OllamaSettings):
            endpoint = _endpoint(engine, configured, environ, flags)
            targets.append(OllamaTarget(engine, endpoint, configured.num_ctx))
    return targets


def _endpoint(
    engine: Engine, configured: OllamaSettings, environ: Mapping[str, str], flags: Mapping[str, object]
) -> Endpoint:
    """Where the address came from: the variables speak for the engine that is called ollama, and for no other."""
    if engine.name != "ollama":
        return choose(None, {}, configured.url)
    flag = flags.get("engines.ollama.url")
    return choose(str(flag) if flag else None, environ, configured.url)


def _stored(wings: Wings) -> tuple[StoredModel, ...]:
    try:
        return tuple(wings.store.list())
    except FiresideError:
        return ()
