"""Which addresses may be spoken to, and which web pages may speak: the Host and Origin of a request.

A page on the internet can have its own name resolve to 127.0.0.1 (DNS rebinding); then the browser sends its requests here, with the
page's name as Host. So a Host must be an address, or a name that cannot be somebody else's. Origins are as in Ollama: pages on this
machine and editors' own schemes; others only when named.
"""

import ipaddress
import platform
import re
from collections.abc import Iterable
from functools import lru_cache

from fireside.core.errors import Invalid, NotPermitted

LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
LOCAL_ORIGIN = re.compile(
    r"https?://(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(:\d+)?|(app|file|tauri|vscode-webview|vscode-file)://.*"
)
BRACKETED = re.compile(r"\[([0-9a-f:.%]+)\](?::\d*)?")
LONGEST = 200
METHODS = b"GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"
HEADERS = (
    b"authorization, content-type, accept, user-agent, x-requested-with, x-api-key, anthropic-version, anthropic-beta, "
    b"anthropic-dangerous-direct-browser-access, openai-beta, x-session-id, x-session-affinity, x-fireside-priority, x-fireside-document"
)
EXPOSED = b"x-request-id, x-fireside-engine, x-fireside-model, x-fireside-queue, x-fireside-fallback, x-fireside-trimmed, retry-after"


class Origins:
    """``hosts``: names allowed besides addresses and this machine's own, a leading ``*.`` for all below.

    ``origins``: pages allowed besides those on this machine, ``*`` for all. Raises ``Invalid`` for what no request could match.
    """

    def __init__(self, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._hosts = frozenset(_host(each) for each in hosts)
        self._origins = frozenset(_origin(each) for each in origins)
        self._machine = platform.node().lower()
        # The same few names come again and again.
        self.permits_host = lru_cache(256)(self._permits_host)
        self.permits_origin = lru_cache(256)(self._permits_origin)

    def _permits_host(self, value: bytes) -> bool:
        """A request without Host comes from no browser."""
        name = hostname(value.decode("latin-1"))
        if not name or is_address(name) or name in ("localhost", self._machine) or name.endswith(LOCAL_SUFFIXES):
            return True
        return name in self._hosts or any(name.endswith(host[1:]) for host in self._hosts if host.startswith("*."))

    def _permits_origin(self, value: bytes) -> bool:
        origin = value.decode("latin-1").lower().rstrip("/")
        return LOCAL_ORIGIN.fullmatch(origin) is not None or bool(self._origins & {origin, "*"})


def refused(what: str, value: bytes) -> NotPermitted:
    """``what``: host or origin. Said in words: whoever runs the server wants to know what to allow, and others learn nothing of use."""
    said = value[:LONGEST].decode("latin-1")
    if what == "host":
        message, allow = f"requests for {said} are not answered here", hostname(said)
    else:
        message, allow = f"pages from {said} may not call this server", said
    return NotPermitted(message, remedy=f"""add "{allow}" to server.allowed_{what}s""", cause=what)


def _host(name: str) -> str:
    if "/" in name or " " in name:
        raise Invalid(f"server.allowed_hosts: {name} is no name", remedy="write it like box.ts.net or *.ts.net")
    return hostname(name)


def _origin(page: str) -> str:
    if page != "*" and ("://" not in page or " " in page):
        raise Invalid(f"server.allowed_origins: {page} is no origin", remedy="write it like https://chat.example.org")
    return page.lower().rstrip("/")


def hostname(host: str) -> str:
    """``[::1]:8000`` as ``::1``, ``Box.local.:80`` as ``box.local``; what is neither name nor address comes back as it is."""
    name = host.strip().lower()
    if found := BRACKETED.fullmatch(name):
        return found[1]
    return name.rpartition(":")[0].rstrip(".") if name.count(":") == 1 else name.rstrip(".")


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def allowed(origin: bytes) -> list[tuple[bytes, bytes]]:
    """What a browser must be told before it hands the reply to a permitted page."""
    return [(b"access-control-allow-origin", origin), (b"vary", b"origin"), (b"access-control-expose-headers", EXPOSED)]


def preflight() -> list[tuple[bytes, bytes]]:
    """What a page may send."""
    return [
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", HEADERS),
        (b"access-control-max-age", b"43200"),
    ]
