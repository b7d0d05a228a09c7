"""Which address an Ollama server has: the variable that names it, and what its value means.

The rules are those of Ollama's own ``OLLAMA_HOST`` (envconfig.Host in its Go source), because a user's value must mean the same to both
programs. On top of them a pasted ``/v1`` or ``/api/...`` is taken off, and an address that only a server can bind to becomes one that a
client can reach. Knows nothing of whether anything listens there.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from fireside.core.errors import Invalid
from fireside.core.values import replace

DEFAULT = "http://127.0.0.1:11434"
VARIABLES = ("FIRESIDE_OLLAMA_URL", "OLLAMA_ENDPOINT", "OLLAMA_HOST")
DEFAULT_PORTS = {"": 11434, "http": 80, "https": 443}
PASTED_ROUTE = re.compile(r"/+(v1|api)(/.*)?$")
EXAMPLES = "write it like 127.0.0.1:11434, http://box:11434 or https://box.example/ollama"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``url``: scheme, host, port and path prefix, never with a slash at the end, ready to have ``/api/...`` put behind it.

    ``notes``: one line for each thing that normalisation changed or had to guess. ``origin``: flag, a variable's name, config or default.
    ``given``: the value as it was written.
    """

    url: str
    notes: tuple[str, ...] = ()
    origin: str = "default"
    given: str = ""

    @property
    def host(self) -> str:
        """Without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    @property
    def prefix(self) -> str:
        """The path in front of ``/api``; empty or beginning with a slash."""
        return urlsplit(self.url).path


def choose(flag: str | None, environ: Mapping[str, str], config: str | None) -> Endpoint:
    """The first that is set: flag, FIRESIDE_OLLAMA_URL, OLLAMA_ENDPOINT, OLLAMA_HOST, config, default. Blank counts as not set.

    Raises ``Invalid`` naming the origin when the value that wins cannot be an address; the next one is not tried in its place.
    """
    candidates = [("flag", flag), *((name, environ.get(name)) for name in VARIABLES), ("config", config)]
    for origin, value in candidates:
        if value and _trim(value):
            try:
                return replace(parse(value), origin=origin)
            except Invalid as error:
                raise Invalid(f"{origin}: {error.message}", remedy=error.remedy, origin=origin) from error
    return Endpoint(DEFAULT)


def parse(value: str) -> Endpoint:
    """Read one value as Ollama would. Raises ``Invalid`` when no address can be made of it; a bad port only earns a note."""
    text = _trim(value)
    if not text:
        return Endpoint(DEFAULT, given=value)
    if text == "ollama.com":
        return Endpoint("https://ollama.com:443", given=value)
    scheme, separator, rest = text.rpartition("://")
    scheme = scheme.lower()
    _refuse_impossible(scheme, separator, rest)
    hostport, _, path = rest.partition("/")
    host, port_text = _split_port(hostport)
    notes: list[str] = []
    port = _port(port_text, DEFAULT_PORTS[scheme], notes)
    if scheme == "http" and port_text is None:
        notes.append(f"{text} has no port, which means 80; Ollama usually listens on 11434")
    prefix = _prefix(path, notes)
    return Endpoint(f"{scheme or 'http'}://{_reachable(host, notes)}:{port}{prefix}", tuple(notes), given=value)


def _trim(value: str) -> str:
    return value.strip().strip("\"'").strip()


def _refuse_impossible(scheme: str, separator: str, rest: str) -> None:
    if separator and scheme not in ("http", "https"):
        raise Invalid(f"{scheme or 'an empty scheme'}:// is not a way to reach Ollama", remedy=EXAMPLES)
    if "@" in rest:
        raise Invalid("an address with a user name or password in it cannot be used", remedy=EXAMPLES)
    if re.search(r"[\s?#\\<>\"']", rest):
        raise Invalid(f"{rest!r} is not an address", remedy=EXAMPLES)


def _split_port(hostport: str) -> tuple[str, str | None]:
    """Host and port text; None when no port was written. A bare IPv6 address is all host."""
    if _is_ip(bare := hostport.strip("[]")):
        return bare, None
    match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::(.*))?", hostport)
    # Brackets are for IPv6 addresses alone.
    if match is None or (match[3] and ":" in match[3]) or (match[1] is not None and not _is_ip(match[1])):
        raise Invalid(f"{hostport!r} is not a host and a port", remedy=EXAMPLES)
    return match[1] or match[2] or "", match[3]


def _is_ip(text: str) -> bool:
    # ipaddress takes anything for a zone, brackets and ports too.
    if "%" in text and not re.fullmatch(r"[A-Za-z0-9_.-]+", text.partition("%")[2]):
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _port(text: str | None, default: int, notes: list[str]) -> int:
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        notes.append(f"{text!r} is not a port; using {default}")
        return default
    if int(text) == 0:
        notes.append("port 0 means any free port to a server; nothing can be reached there")
    return int(text)


def _prefix(path: str, notes: list[str]) -> str:
    written = "/" + path if path else ""
    prefix = PASTED_ROUTE.sub("", written)
    if prefix != written:
        notes.append(f"{written} was taken off: Fireside adds the route itself")
    elif written.rstrip("/") != written and written != "/":
        notes.append("the slash at the end was taken off")
    return prefix.rstrip("/")


def _reachable(host: str, notes: list[str]) -> str:
    """The host as it stands in a URL, with an address that only means "all interfaces" replaced by loopback."""
    if not host:
        return "127.0.0.1"
    if not _is_ip(host):
        return host
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        loopback = "127.0.0.1" if address.version == 4 else "::1"
        notes.append(f"{host} means all interfaces to a server; a client reaches it at {loopback}")
        return loopback if address.version == 4 else f"[{loopback}]"
    return address.compressed if address.version == 4 else f"[{address.compressed}]"
