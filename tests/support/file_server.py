"""A small real HTTP server on loopback that serves one file, with ranges, and with whatever faults a test asks for."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from fireside.core.errors import ConnectionFailed


@dataclass
class FileServer:
    """What it serves, and how. ``cuts``: after how many bytes of body each of the next answers breaks off.

    ``requests``: the headers of every request, names in lower case. ``hold``: an answer waits for it after its first bytes.
    """

    data: bytes
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    status: int = 200
    content_type: str = "application/octet-stream"
    announce: bool = True
    length: int | None = None
    cuts: list[int] = field(default_factory=list)
    redirects: int = 0
    raw_body: bytes | None = None
    hold: Event | None = None
    port: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/models/tiny-model.gguf"


@contextmanager
def serving(server: FileServer) -> Iterator[FileServer]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    listening.daemon_threads = False
    server.port = listening.server_address[1]
    thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        if server.hold is not None:
            server.hold.set()
        listening.shutdown()
        thread.join()
        listening.server_close()


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            return None

        def do_GET(self) -> None:
            asked = {name.lower(): value for name, value in self.headers.items()}
            server.requests.append(asked)
            self.close_connection = True
            start = self._start(asked)
            if server.redirects:
                server.redirects -= 1
                self._head(302, {"Location": server.url, "Content-Length": "0"})
            elif server.status != 200:
                self._head(server.status, {"Content-Length": "0"})
            elif start is None:
                self._head(416, {"Content-Range": f"bytes */{len(server.data)}", "Content-Length": "0"})
            else:
                self._send(start)

        def _start(self, asked: dict[str, str]) -> int | None:
            wanted = asked.get("range", "")
            fresh = asked.get("if-range") in (None, server.etag, server.modified)
            if not (wanted and server.ranges and fresh):
                return 0
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            return start if start < len(server.data) else None

        def _send(self, start: int) -> None:
            body = server.data[start:] if server.raw_body is None else server.raw_body
            headers = {"Content-Type": server.content_type, "Connection": "close"}
            if server.announce:
                headers["Content-Length"] = str(len(body) if server.length is None else server.length)
            if server.etag:
                headers["ETag"] = server.etag
            if server.modified:
                headers["Last-Modified"] = server.modified
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(server.data) - 1}/{len(server.data)}"
            self._head(206 if start else 200, headers)
            if server.cuts:
                body = body[: server.cuts.pop(0)]
            try:
                self.wfile.write(body[:4096])
                self.wfile.flush()
                if server.hold is not None:
                    server.hold.wait(20)
                self.wfile.write(body[4096:])
            except OSError:
                return  # the client has gone

        def _head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

    return Handler


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    chunks: Callable[[], AsyncIterator[bytes]]


def fetch(url: str, *, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Answer]:
    """A plain fetch with aiohttp, raising what the house raises."""
    return _fetch(url, headers)


@asynccontextmanager
async def _fetch(url: str, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
    import aiohttp

    async with aiohttp.ClientSession(auto_decompress=False) as session:
        try:
            async with session.get(url, headers=headers, allow_redirects=False) as response:

                async def chunks() -> AsyncIterator[bytes]:
                    try:
                        async for chunk in response.content.iter_any():
                            yield chunk
                    except aiohttp.ClientError as error:
                        raise ConnectionFailed(f"cut: {error}", cause="cut") from error

                yield Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, chunks)
        except aiohttp.ClientConnectorError as error:
            raise ConnectionFailed(f"nothing listens: {error}", cause="refused") from error
