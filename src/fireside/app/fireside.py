"""What a door needs, and nothing else: ``async with await Fireside.open(root) as fireside``."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from fireside.agent.agent import Agent
from fireside.app.assembly import Wings, assemble
from fireside.app.inference import rebuild_engines
from fireside.app.settings import Settings
from fireside.assist.completion import Assist
from fireside.config.layers import Config
from fireside.config.paths import Paths
from fireside.config.secrets import Secrets
from fireside.context.project import Project
from fireside.core.errors import FiresideError, Invalid
from fireside.core.events import EventBus
from fireside.engines.registry import EngineContext
from fireside.gateway.gateway import Gateway
from fireside.models.store import ModelStore

log = logging.getLogger(__name__)


class Fireside:
    """The house for one project: ``gateway`` (models), ``project`` (code), ``agent`` (turns), ``assist`` (completions)."""

    def __init__(self, wings: Wings) -> None:
        self.config: Config[Settings] = wings.config
        self.paths: Paths = wings.paths
        self.secrets: Secrets = wings.secrets
        self.events: EventBus = wings.events
        self.store: ModelStore = wings.store
        self.gateway: Gateway = wings.gateway
        self.project: Project = wings.project
        self.agent: Agent = wings.agent
        self.assist: Assist = wings.assist
        self.transport = wings.transport
        self._settings, self._engines = wings.config.settings, list(wings.engines)
        self._unwatch = self.config.watch(self.obey)
        self.engine_context: EngineContext = wings.context

    @classmethod
    async def open(
        cls,
        root: str | Path | None = None,
        *,
        flags: Mapping[str, object] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Self:
        """Open the project in ``root`` (else: at or above the current folder).

        ``flags``: settings for this opening only, dotted key -> value, for example ``{"models.chat": "qwen2.5-coder:7b@ollama"}``.
        Raises ``Invalid`` for a wrong setting or a folder that does not exist. Starts nothing: engines start when they are asked.
        """
        return cls(assemble(Path(root) if root is not None else None, environ=environ, flags=flags))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def obey(self, changed: frozenset[str]) -> None:
        """Take over settings that changed while the house is open, engines too; answers that are under way end where they began.

        Engines stay as they are where one of the new ones cannot be built.
        """
        settings = self.config.settings
        self.transport.egress.settings = settings.privacy
        self.agent.configure(settings.agent)
        self._exchange(settings)
        self.gateway.configure(settings.gateway, settings.models)

    def _exchange(self, settings: Settings) -> None:
        if settings.engines == self._settings.engines:
            return
        try:
            self._engines = rebuild_engines(settings, self._settings, self._engines, self.engine_context)
        except FiresideError as error:
            log.error("the engines stay as they were: %s; try: %s", error.message, error.remedy)
            return
        self._settings = settings
        self.gateway.exchange(self._engines, settings=settings.gateway, aliases=settings.models)

    async def follow(self, interval: float = 1.0, on_error: Callable[[Invalid], None] | None = None) -> None:
        """Look every ``interval`` seconds whether the settings files changed, and obey them; until cancelled.

        ``on_error`` is told of a change that does not fit; the old values then stay.
        """
        await self.config.follow(interval, on_error)

    async def aclose(self) -> None:
        """Close connections, let go of the embedded engine, close the index. Safe to call twice."""
        self._unwatch()
        await self.gateway.aclose()
        await self.transport.aclose()
        self.project.close()
