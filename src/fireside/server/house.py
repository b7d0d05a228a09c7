"""The server's parts put together around one open Fireside."""

from dataclasses import dataclass

from fireside.app.fireside import Fireside
from fireside.app.records import build_records
from fireside.app.serving import ServerSettings
from fireside.models.modelfiles import Modelfiles
from fireside.server.anthropic import AnthropicRoutes
from fireside.server.app import App
from fireside.server.asking import Asking
from fireside.server.gates import Gates
from fireside.server.infill import InfillRoutes
from fireside.server.mount import Mount
from fireside.server.observation import Observation
from fireside.server.offers import Offers
from fireside.server.ollama import OllamaRoutes
from fireside.server.ollama_models import OllamaModels
from fireside.server.ollama_names import Names
from fireside.server.openai import OpenAIRoutes
from fireside.server.origins import Origins
from fireside.server.own.words import write_error as draw_own
from fireside.server.reload import Reload
from fireside.server.routes import tables
from fireside.server.snapshots import Worker
from fireside.server.socket import Sockets
from fireside.wire.anthropic_answers import write_error as draw_anthropic
from fireside.wire.infill import write_error as draw_infill
from fireside.wire.ollama_words import write_error as draw_ollama
from fireside.wire.openai_lists import write_error


@dataclass(frozen=True, slots=True)
class House:
    """``app`` answers. Under our own ``serve`` the parts are opened before it and closed after it; elsewhere its lifespan does both."""

    fireside: Fireside
    app: App
    gates: Gates
    observation: Observation
    reload: Reload

    @property
    def settings(self) -> ServerSettings:
        return self.fireside.config.settings.server

    async def open(self) -> None:
        """Raises as ``Gates.open``."""
        await self.gates.open()
        await self.observation.start()
        self.reload.open()

    async def close(self) -> None:
        self.reload.close()
        await self.observation.close()
        await self.gates.close()


def build_app(fireside: Fireside) -> App:
    """For any ASGI server, with its lifespan on."""
    return build_house(fireside).app


def build_house(fireside: Fireside, worker: Worker | None = None) -> House:
    """Nothing is opened or started yet. ``worker``: which one of several processes this is."""
    settings = fireside.config.settings.server
    asking = Asking(lambda: fireside.config.settings.models)
    offers = Offers(fireside.gateway, lambda: fireside.config.settings.models)
    mount = Mount(fireside, asking, lambda: app.table)
    anthropic = AnthropicRoutes(fireside.gateway, asking, offers)
    records = build_records(fireside.config.settings, fireside.paths, fireside.secrets, "server")
    gates = Gates(records, settings, egress=fireside.transport.egress)
    observation = Observation(fireside, gates, worker)
    parts = [
        observation.routes(),
        OpenAIRoutes(fireside.gateway, asking, offers, anthropic).routes(),
        anthropic.routes(),
        InfillRoutes(fireside.gateway, asking, offers).routes(),
        _ollama(fireside, asking, offers).routes(),
        # Last: its page for browsers stands where Ollama's clients look, and answers them, too.
        mount.routes(),
    ]

    app = App(
        table=tables(
            parts,
            {
                "": write_error,
                "/v1/messages": draw_anthropic,
                "/infill": draw_infill,
                "/api/": draw_ollama,
                "/api/v1/": draw_own,
            },
        ),
        gatekeeper=gates,
        settings=settings,
        origins=Origins(settings.allowed_hosts, settings.allowed_origins),
        socket=Sockets(mount, lambda: app),
        started=lambda: house.open(),
        ended=lambda: house.close(),
        witnesses=observation.witnesses,
    )
    observation.draining = lambda: app.draining
    house = House(fireside, app, gates, observation, Reload(fireside, app, gates))
    return house


def _ollama(fireside: Fireside, asking: Asking, offers: Offers) -> OllamaRoutes:
    gateway, store = fireside.gateway, fireside.store
    modelfiles = Modelfiles(store.root)
    names = Names(offers, lambda: fireside.config.settings.models, modelfiles)
    return OllamaRoutes(gateway, asking, names, OllamaModels(gateway, names, store, modelfiles))
