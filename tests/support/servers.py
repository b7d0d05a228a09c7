"""The real server on loopback, around a gateway whose engines a test brings."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from fireside.agent.agent import Agent
from fireside.app.assembly import assemble
from fireside.app.fireside import Fireside
from fireside.assist.completion import Assist
from fireside.core.values import replace
from fireside.engines.engine import Engine
from fireside.gateway.gateway import Gateway
from fireside.server.app import App
from fireside.server.house import build_app
from fireside.server.protocol import connection_type


@dataclass(frozen=True, slots=True)
class Served:
    """``address``: without a path, for example ``http://127.0.0.1:40123``."""

    address: str
    app: App
    fireside: Fireside

    @property
    def v1(self) -> str:
        return f"{self.address}/v1"


@asynccontextmanager
async def served(
    *engines: Engine, root: Path, flags: Mapping[str, object] | None = None, drain: float = 5.0
) -> AsyncIterator[Served]:
    """``flags``: settings by dotted key. Without ``engines``: those of the settings."""
    wings = assemble(root, flags=flags)
    if engines:
        settings = wings.config.settings
        gateway = Gateway(engines, settings=settings.gateway, aliases=settings.models, events=wings.events)
        agent = Agent(gateway, wings.project, settings.agent)
        assist = Assist(gateway, wings.project)
        wings = replace(wings, gateway=gateway, engines=engines, agent=agent, assist=assist)
    async with Fireside(wings) as fireside:
        app = build_app(fireside)
        config = uvicorn.Config(
            app, http=connection_type(), ws="websockets-sansio", lifespan="on", log_config=None, access_log=False,
            timeout_graceful_shutdown=max(1, round(drain)),
        )  # fmt: skip
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            # As asyncio does itself for a socket that says it is TCP; without it each reply may wait 40 ms for an acknowledgement.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            running = asyncio.ensure_future(server._serve(sockets=[listener]))  # without signal handlers of its own
            try:
                while not server.started:
                    assert not running.done(), running.result()
                    await asyncio.sleep(0.001)
                yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", app, fireside)
            finally:
                server.should_exit = True
                await running


async def meanwhile(condition: Callable[[], bool]) -> None:
    """As ``gateways.until``, where a thread has a part in it: spinning would keep the thread from its work."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)
