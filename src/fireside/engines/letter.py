"""One request, ready to be sent: where to, what stands in its head, and its body.

Knows URLs and how HTTP/1.1 writes a head; opens nothing, and judges no address.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, quote, unquote, urlsplit

from fireside.core.errors import Invalid
from fireside.core.values import replace
from fireside.engines.egress import Errand
from fireside.engines.reply import public_url

SECRET = ("authorization", "x-api-key", "cookie")
# What the length and the end of a message are is ours to say.
OURS = ("content-length", "transfer-encoding")
KEPT = "/%:@!$&'()*+,;=~-._"
EXAMPLE = "write it like http://192.168.1.20:8000/v1"


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart. ``authority``: what the ``Host`` header says. ``path``: path and query as they are sent.

    ``credentials``: an ``Authorization`` header made of the user and the password in the URL. ``shown``: the URL without its secrets.
    """

    url: str
    scheme: str
    host: str
    port: int
    authority: str
    path: str
    credentials: str
    shown: str


@dataclass(slots=True)
class Letter:
    """``headers``: names in lower case. ``connect``, ``load``: seconds, as in ``Timeouts``."""

    method: str
    address: Address
    headers: Mapping[str, str]
    body: bytes | None
    errand: Errand
    connect: float
    load: float

    def to(self, url: str) -> "Letter":
        """The same request to where a redirect points; secrets stay with their host."""
        address = address_of(url)
        kept = {name: value for name, value in self.headers.items() if name != "host"}
        if (address.scheme, address.host, address.port) != (self.address.scheme, self.address.host, self.address.port):
            kept = {name: value for name, value in kept.items() if name not in SECRET}
        return replace(self, address=address, headers=kept)

    def head(self) -> bytes:
        """As HTTP/1.1 writes it. Raises ``Invalid`` for a header that would end another one early."""
        given, address, body = self.headers, self.address, self.body
        lines = [f"{self.method} {address.path} HTTP/1.1"]
        if "host" not in given:
            lines.append(f"Host: {address.authority}")
        if "user-agent" not in given:
            lines.append("User-Agent: fireside")
        if "accept" not in given:
            lines.append("Accept: */*")
        if address.credentials and "authorization" not in given:
            lines.append(f"Authorization: {address.credentials}")
        lines += [f"{name}: {value}" for name, value in given.items() if name not in OURS]
        if body is not None or self.method not in ("GET", "HEAD"):
            lines.append(f"Content-Length: {len(body or b'')}")
        text = "\r\n".join(lines)
        breaks = len(lines) - 1
        if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
            raise _unfit()
        try:
            return text.encode() + b"\r\n\r\n"
        except UnicodeEncodeError as error:
            raise _unfit() from error


@lru_cache(maxsize=1024)
def address_of(url: str) -> Address:
    """Raises ``Invalid`` for what is no http or https URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Invalid(f"{url.rpartition('@')[2]!r} is not a URL: {error}", remedy=EXAMPLE) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid(f"{public_url(url)!r} is not an http URL", remedy=EXAMPLE)
    path = quote(parts.path or "/", safe=KEPT) + (f"?{quote(parts.query, safe=KEPT + '?')}" if parts.query else "")
    return Address(
        url, parts.scheme, parts.hostname, port, _authority(parts), path, _credentials(parts), public_url(url)
    )


def _authority(parts: SplitResult) -> str:
    host = (parts.hostname or "").partition("%")[0]
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise Invalid(f"{host!r} is not a host name", remedy=EXAMPLE) from error
    named = f"[{host}]" if ":" in host else host
    usual = 443 if parts.scheme == "https" else 80
    return named if parts.port in (None, usual) else f"{named}:{parts.port}"


def _credentials(parts: SplitResult) -> str:
    """RFC 7617."""
    if parts.username is None and parts.password is None:
        return ""
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def _unfit() -> Invalid:
    return Invalid(
        "a header of this request holds what a header cannot hold",
        remedy="take line ends and other control characters out of the key and of engines.<name>.headers",
    )
