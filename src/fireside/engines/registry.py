"""Which kinds of engine there are, and how one is built from its settings.

The built-in ones are known by name, so that nothing is scanned for them; others come from packages with an entry point in the group
``fireside.engines``. A broken plug-in is an error for whoever asks for it, and for nobody else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from fireside.core.errors import Invalid
from fireside.core.events import EventBus
from fireside.engines.egress import Egress
from fireside.engines.engine import Engine
from fireside.engines.transport import Transport

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from fireside.models.store import ModelStore

GROUP = "fireside.engines"
BUILT_IN = ("llama_server", "ollama", "openai", "anthropic", "huggingface", "scripted")


@dataclass(frozen=True, slots=True)
class EngineContext:
    """What an engine is given besides its settings.

    ``runtime``: a folder for sockets, locks and child processes' records. ``secret``: a secret's value by its name, ``None`` if unset.
    ``models``: the store of model files.
    """

    egress: Egress
    transport: Transport
    events: EventBus
    runtime: Path
    secret: Callable[[str], str | None]
    models: "ModelStore | None" = None


class Factory(Protocol):
    """``build`` of an engine module; its attribute ``settings`` is the settings class."""

    @property
    def settings(self) -> type[msgspec.Struct]: ...

    def __call__(self, name: str, settings: msgspec.Struct, context: EngineContext) -> Engine: ...


def build_engine(
    kind: str, name: str, settings: Mapping[str, object] | msgspec.Struct, context: EngineContext
) -> Engine:
    """Build the engine ``name`` of ``kind``. Raises ``Invalid`` for an unknown kind, a broken plug-in or settings that do not fit."""
    factory = _factory(kind)
    return factory(name, _settings(kind, name, settings, factory.settings), context)


def kinds() -> dict[str, type[msgspec.Struct]]:
    """The settings class of every kind that can be built here; plug-ins that cannot be loaded are left out (``broken`` names them)."""
    found = {kind: _built_in(kind).settings for kind in BUILT_IN}
    for entry in _plugins():
        try:
            found.setdefault(entry.name, _load(entry).settings)
        except Invalid:
            continue
    return found


def broken() -> list[Invalid]:
    """One error for each plug-in that cannot be loaded."""
    errors = []
    for entry in _plugins():
        try:
            _load(entry)
        except Invalid as error:
            errors.append(error)
    return errors


def _factory(kind: str) -> Factory:
    if kind in BUILT_IN:
        return _built_in(kind)
    plugins = {entry.name: entry for entry in _plugins()}
    if kind in plugins:
        return _load(plugins[kind])
    known = [*BUILT_IN, *plugins]
    close = get_close_matches(kind, known, n=1)
    raise Invalid(
        f"there is no engine of kind {kind!r}",
        remedy=f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(known)}",
    )


def _built_in(kind: str) -> Factory:
    factory: Factory = import_module(f"fireside.engines.{kind}").build
    return factory


def _plugins() -> "Iterable[EntryPoint]":
    from importlib.metadata import entry_points

    return [entry for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN]


def _load(entry: "EntryPoint") -> Factory:
    package = entry.dist.name if entry.dist is not None else entry.value
    try:
        factory: Factory = entry.load()
    except Exception as error:
        raise _unusable(entry, package, f"{type(error).__name__}: {error}") from error
    settings = getattr(factory, "settings", None)
    if not callable(factory) or not (isinstance(settings, type) and issubclass(settings, msgspec.Struct)):
        raise _unusable(entry, package, "build.settings is not a msgspec.Struct class")
    return factory


def _unusable(entry: "EntryPoint", package: str, reason: str) -> Invalid:
    return Invalid(
        f"the engine {entry.name!r} of the package {package} cannot be loaded: {' '.join(reason.split())}",
        remedy=f"update or remove it: pip uninstall {package}",
        package=package,
    )


def _settings(
    kind: str, name: str, given: Mapping[str, object] | msgspec.Struct, schema: type[msgspec.Struct]
) -> msgspec.Struct:
    if isinstance(given, schema):
        return given
    values = msgspec.to_builtins(given) if isinstance(given, msgspec.Struct) else dict(given)
    if schema.__struct_config__.tag_field:
        values = {schema.__struct_config__.tag_field: schema.__struct_config__.tag, **values}
    else:
        values.pop("kind", None)
    try:
        return msgspec.convert(values, schema)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"engines.{name}: {error}", remedy=f"see the settings of {kind}: fireside config show engines"
        ) from error
