"""Questions to a Chroma server, sent through the privacy guard: the transport of the engines, on a loop of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fireside.app.loop_thread import LoopThread
from fireside.core.errors import Invalid
from fireside.engines.egress import Egress, Errand
from fireside.engines.reply import Response
from fireside.engines.transport import Timeouts, Transport

TIMEOUTS = Timeouts(connect=3.0, load=60.0, first_token=60.0, stall=60.0)
ANSWER_LIMIT = 256 * 1024 * 1024
ERRAND = Errand(engine="chroma", purpose="vectors")


class ChromaServer:
    """``url``: scheme, host and port, for example ``http://box:8000``. Called with method, path and body: see ``chroma_server.Ask``."""

    def __init__(self, url: str, egress: Egress) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid(f"{url!r} is not the address of a Chroma server", remedy="write it like http://box:8000")
        self._url = url.rstrip("/").removesuffix("/api/v2") + "/api/v2"
        self._egress = egress
        self._thread = LoopThread("the connection to Chroma", self._opened)

    def __call__(self, method: str, path: str, body: object) -> object:
        """Raises ``NotPermitted`` when the server may not be reached, ``ConnectionFailed``, ``TimedOut``, and ``Invalid`` (status)."""
        answer = self._thread.run(lambda transport: self._send(transport, method, path, body))
        if answer.status >= 400:
            raise Invalid(
                f"{method} {path.rpartition('/')[2]}: {_reason(answer)}",
                remedy="is it Chroma 1.0 or newer, and its log without errors?",
                status=answer.status,
            )
        return answer.json()

    def close(self) -> None:
        """Safe to call twice."""
        self._thread.close()

    async def _send(self, transport: Transport, method: str, path: str, body: object) -> Response:
        return await transport.request(
            method, self._url + path, json=body, timeouts=TIMEOUTS, errand=ERRAND, limit=ANSWER_LIMIT
        )

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Transport]:
        transport = Transport(self._egress)
        try:
            yield transport
        finally:
            await transport.aclose()


def _reason(answer: Response) -> str:
    return f"{answer.status} {answer.body[:200].decode('utf-8', 'replace')}"
