"""Ask one Ollama server: requests, lines, and every failure explained. Knows the routes; nothing of prompts or contexts."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec

from fireside.core.errors import FiresideError, ModelNotFound
from fireside.core.streams import closing
from fireside.engines import ollama_errors as errors
from fireside.engines.egress import Errand, boundary_of
from fireside.engines.endpoint import Endpoint
from fireside.engines.engine import Boundary
from fireside.engines.reply import Response
from fireside.engines.transport import Timeouts, Transport
from fireside.wire import ollama as wire
from fireside.wire.framing import ndjson

GLANCE = Timeouts(connect=0.8, load=0.8, first_token=0.8, stall=0.8)


class Version(msgspec.Struct):
    version: str = ""


@dataclass(frozen=True, slots=True)
class OllamaClient:
    """``name``: the engine's, for errors and the ledger. ``host_header``: sent as ``Host`` where the server refuses its name.

    No ``Origin`` is ever sent: Ollama refuses every one it does not know.
    """

    name: str
    endpoint: Endpoint
    transport: Transport
    host_header: str = ""
    timeouts: Timeouts = field(default_factory=Timeouts)

    @property
    def url(self) -> str:
        return self.endpoint.url

    @property
    def boundary(self) -> Boundary:
        return boundary_of(self.endpoint.host)

    async def version(self) -> str:
        return (await self.ask("GET", "/api/version", Version, timeouts=GLANCE)).version

    async def tags(self) -> list[wire.Tag]:
        return (await self.ask("GET", "/api/tags", wire.Tags)).models or []

    async def loaded(self) -> list[wire.Loaded]:
        return (await self.ask("GET", "/api/ps", wire.Running, timeouts=GLANCE)).models or []

    async def show(self, model: str) -> wire.Shown:
        return await self.ask("POST", "/api/show", wire.Shown, body={"model": model}, model=model)

    async def ask(
        self,
        method: str,
        path: str,
        shape: type[wire.T],
        *,
        body: wire.Json | None = None,
        model: str = "",
        timeouts: Timeouts | None = None,
    ) -> wire.T:
        """One answer. ``model``: the name asked for, where a 404 can mean that it is missing."""
        try:
            response = await self.get(method, path, body=body, timeouts=timeouts)
            if response.status != 200 or response.is_page:
                raise errors.explain(response, url=self.url, model=model, engine=self.name)
            return wire.read(response.json(), shape)
        except FiresideError as error:
            raise await self._explained(error, model) from error

    async def get(
        self, method: str, path: str, *, body: wire.Json | None = None, timeouts: Timeouts | None = None
    ) -> Response:
        """The answer as it is, whatever its status."""
        return await self.transport.request(
            method,
            self.url + path,
            json=body,
            headers=self._headers,
            timeouts=timeouts or self.timeouts,
            errand=self._errand(path),
        )

    async def lines(
        self, path: str, body: wire.Json, *, model: str, timeouts: Timeouts | None = None
    ) -> AsyncIterator[wire.Json]:
        """A stream's objects, error lines among them: what they mean depends on the route."""
        try:
            async with self.transport.stream(
                "POST",
                self.url + path,
                json=body,
                headers=self._headers,
                timeouts=timeouts or self.timeouts,
                errand=self._errand(path),
            ) as stream:
                if stream.status != 200 or "html" in stream.headers.get("content-type", ""):
                    raise errors.explain(await stream.whole(), url=self.url, model=model, engine=self.name)
                async with closing(ndjson(stream.chunks())) as lines:
                    async for line in lines:
                        yield line
        except FiresideError as error:
            raise await self._explained(error, model) from error

    async def _explained(self, error: FiresideError, model: str) -> FiresideError:
        """With the names of what is installed, where a model is missing."""
        if not isinstance(error, ModelNotFound) or not model:
            return errors.improve(error, url=self.url, model=model, engine=self.name)
        try:
            installed = [tag.name for tag in await self.tags() if not tag.is_remote]
        except FiresideError:
            installed = []
        return errors.missing_model(model, installed, engine=self.name)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Host": self.host_header} if self.host_header else {}

    def _errand(self, path: str) -> Errand:
        return Errand(engine=self.name, purpose=path.rpartition("/")[2], within=self.boundary)
