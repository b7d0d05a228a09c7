"""Every setting in one place: each part's own settings class, gathered. Below this floor nobody reads a file or a variable."""

import functools
import operator
import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import msgspec

from fireside.agent.settings import AgentSettings
from fireside.app.serving import ServerSettings
from fireside.assist.settings import AssistSettings
from fireside.config.layers import Config, NotLoaded
from fireside.engines.anthropic import AnthropicSettings
from fireside.engines.egress import EgressSettings
from fireside.engines.huggingface import HuggingFaceSettings
from fireside.engines.llama_server import LlamaServerSettings
from fireside.engines.ollama import OllamaSettings
from fireside.engines.openai import OpenAISettings
from fireside.engines.registry import BUILT_IN, kinds
from fireside.engines.scripted import ScriptedSettings
from fireside.gateway.settings import GatewaySettings
from fireside.index.settings import IndexSettings
from fireside.records.settings import AuditSettings, RecordsSettings

EngineSettings = (
    LlamaServerSettings | OllamaSettings | OpenAISettings | AnthropicSettings | HuggingFaceSettings | ScriptedSettings
)

# One variable each that people already have, beside the general FIRESIDE_SECTION__KEY.
VARIABLES: Mapping[str, str] = {
    "FIRESIDE_OLLAMA_URL": "engines.ollama.url",
    "OLLAMA_ENDPOINT": "engines.ollama.url",
    "OLLAMA_HOST": "engines.ollama.url",
    "FIRESIDE_MODEL": "models.chat",
    "FIRESIDE_COMPLETE_MODEL": "models.complete",
    "FIRESIDE_EMBED_MODEL": "models.embed",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "server.traces_endpoint",
}
SECRETS: Mapping[str, str] = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "postgres": "PGPASSWORD",
}

# A repository that somebody else wrote must not be able to open the network, start a program, or choose where prompts go.
NOT_FROM_PROJECT = (
    "privacy",
    "engines",
    "gateway",
    "models",
    "index",
    "server",
    "records",
    "audit",
    "agent.redact_secrets",
    "assist.models",
)
RESERVED = ("FIRESIDE_HOME", "FIRESIDE_DEBUG")


def _default_engines() -> dict[str, EngineSettings]:
    return {"ollama": OllamaSettings(), "embedded": LlamaServerSettings()}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``models``: alias -> MODEL or MODEL@ENGINE (chat, complete, embed, and names of your own). ``engines``: name -> where and how.

    ``privacy``: what may leave the machine. The other tables belong to one part each.
    """

    models: dict[str, str] = {}
    engines: dict[str, EngineSettings] = msgspec.field(default_factory=_default_engines)
    privacy: EgressSettings = EgressSettings()
    gateway: GatewaySettings = GatewaySettings()
    agent: AgentSettings = AgentSettings()
    assist: AssistSettings = AssistSettings()
    index: IndexSettings = IndexSettings()
    server: ServerSettings = ServerSettings()
    records: RecordsSettings = RecordsSettings()
    audit: AuditSettings = AuditSettings()


def known_secrets() -> Mapping[str, str]:
    """Secret name -> the environment variable people already use for it."""
    return SECRETS


def load_config(
    root: Path | None, environ: Mapping[str, str] = os.environ, flags: Mapping[str, object] | None = None
) -> Config[Settings]:
    """All layers, merged and validated. Raises ``Invalid`` with file and line when a layer is wrong.

    Plug-ins are looked for only when the built-in kinds of engine do not explain what is written: looking takes time at every start.
    """
    try:
        return _load(Settings, root, environ, flags)
    except NotLoaded:
        extended = _with_plugins()
        if extended is None:
            raise
        return _load(extended, root, environ, flags)


def _load(
    schema: type[Settings], root: Path | None, environ: Mapping[str, str], flags: Mapping[str, object] | None
) -> Config[Settings]:
    return Config.load(
        schema,
        root=root,
        environ=environ,
        flags=flags or {},
        variables=VARIABLES,
        reserved=RESERVED,
        not_from_project=NOT_FROM_PROJECT,
    )


def _with_plugins() -> type[Settings] | None:
    """The settings with the engine kinds of installed plug-ins; ``None`` when there are none."""
    plugins = [settings for kind, settings in kinds().items() if kind not in BUILT_IN]
    if not plugins:
        return None
    table = functools.reduce(operator.or_, plugins, EngineSettings)
    engines = ("engines", dict[str, table], msgspec.field(default_factory=_default_engines))  # type: ignore[valid-type]
    extended = msgspec.defstruct(
        "Settings", [engines], bases=(Settings,), frozen=True, kw_only=True, forbid_unknown_fields=True
    )
    return cast(type[Settings], extended)
