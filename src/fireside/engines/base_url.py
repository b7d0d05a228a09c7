"""What a user means by the address of an API: a pasted route, a missing scheme or ``/v1``, a slash too many.

Knows the usual ports and routes; nothing of whether anything listens there. What was changed is said, never done silently.
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

from fireside.core.errors import Invalid
from fireside.engines.egress import boundary_of, normal_host
from fireside.engines.engine import Boundary
from fireside.engines.reply import public_url

ROUTES = re.compile(r"/(chat/completions|completions|embeddings|models|responses|messages(/count_tokens)?)$")
VERSION = re.compile(r"/v\d+[a-z0-9]*(/|$)")
EXAMPLE = "write it like http://gpu-box:8000/v1"


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """``url``: scheme, host, port and path, without a slash at the end. ``notes``: one line for each thing changed or guessed."""

    url: str
    notes: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        return normal_host(urlsplit(self.url).hostname or "")

    @property
    def root(self) -> str:
        """The server itself, for the routes outside ``/v1``."""
        parts = urlsplit(self.url)
        path = parts.path[: found.start()] if (found := VERSION.search(parts.path)) else parts.path
        return urlunsplit((parts.scheme, parts.netloc, path, "", ""))

    @property
    def other(self) -> str:
        """The same address with ``/v1`` where it has none, or without it."""
        return self.url.removesuffix("/v1") if self.url.endswith("/v1") else f"{self.url}/v1"


def base_url(text: str) -> BaseUrl:
    """Raises ``Invalid`` when the text cannot be an http address."""
    notes: list[str] = []
    given = text.strip().strip("\"'").strip()
    if "://" not in given:
        given = f"{_scheme(given)}://{given}"
        notes.append(f"no scheme given: {given.split(':')[0]} is used")
    parts = _split(given)
    if parts.query or parts.fragment:
        notes.append("what followed the path was taken off")
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    if found := ROUTES.search(path):
        path = path[: found.start()]
        notes.append(f"the route {found.group()} was taken off")
    if not VERSION.search(path):
        path += "/v1"
        notes.append("/v1 was added")
    if parts.port is None and parts.scheme == "http":
        notes.append("no port given: 80 is used (vLLM has 8000, LM Studio 1234, llama.cpp 8080)")
    return BaseUrl(urlunsplit((parts.scheme, parts.netloc, path, "", "")), tuple(notes))


def _scheme(address: str) -> str:
    host = re.split(r"[/?#]", address)[0].rpartition("@")[2]
    bare = host.split("]")[0] if host.startswith("[") else host.split(":")[0]
    return "https" if bare and boundary_of(bare) is Boundary.CLOUD else "http"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise Invalid(f"{url!r} is not an address: {error}", remedy=EXAMPLE) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid(f"{public_url(url)!r} is not an http address", remedy=EXAMPLE)
    normal_host(parts.hostname)
    return parts
