"""The one place where a connection to an outside host is allowed, and written down before its first byte.

What decides is the address a request is going to be sent to, never the look of a name: names are resolved here, once, and the transport
connects to these addresses and no others (so a name that points elsewhere a moment later gains nothing). This machine, private networks
and tailnets are free; every other address needs its host opted in, and a line in the ledger. Knows no HTTP.

Private: RFC 1918, RFC 3927 and RFC 4291 link-local, RFC 4193 unique local, RFC 6598 100.64.0.0/10 (Tailscale's IPv4 range), of which
Tailscale's fd7a:115c:a1e0::/48 is a part of RFC 4193. NAT64, 6to4 and Teredo addresses lead outside whatever they hold.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from fireside.core.errors import ConnectionFailed, Invalid, NotPermitted
from fireside.engines.engine import Boundary
from fireside.engines.ledger import Ledger

NETWORK = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "fe80::/10",
        "fc00::/7",
    )
)
LEGACY_IPV4 = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}", re.IGNORECASE)
PRIVATE_NAMES = (".local", ".lan", ".home.arpa", ".internal", ".ts.net")
LOOPBACK = ("127.0.0.1", "::1")
REMEMBERED = 1024


class EgressSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``allow_hosts``: outside hosts that may be reached: exact names or addresses, or ``*.example.com`` for all names below one."""

    allow_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ``ValueError``: then no layer of the settings is taken over with such an entry in it."""
        for entry in self.allow_hosts:
            _pattern(entry)


@dataclass(frozen=True, slots=True)
class Errand:
    """Why a request is made. ``engine``, ``purpose``: for the ledger. ``within``: how far the sender promised it would go at most."""

    engine: str = ""
    purpose: str = ""
    within: Boundary = Boundary.CLOUD


@dataclass(slots=True)
class Passage:
    """Leave for one request: the addresses it may be sent to.

    ``size``: bytes of its body. ``recorded``: whether it is in the ledger. ``opened``: whether a new connection was opened for it.
    """

    host: str
    port: int
    addresses: tuple[str, ...]
    method: str
    size: int
    errand: Errand
    recorded: bool = False
    opened: bool = False


class Egress:
    """Decides where a request may go. ``settings`` may be replaced while running; the next request already obeys."""

    def __init__(self, settings: EgressSettings, ledger: Ledger) -> None:
        self.ledger = ledger
        self.settings = settings

    @property
    def settings(self) -> EgressSettings:
        return self._settings

    @settings.setter
    def settings(self, settings: EgressSettings) -> None:
        self._allowed = tuple(_pattern(entry) for entry in settings.allow_hosts)
        self._settings = settings
        self._near: dict[tuple[str, Boundary], tuple[str, ...]] = {}

    def allows(self, host: str) -> bool:
        """Whether this outside host was opted in."""
        name = normal_host(host)
        return any(name.endswith(entry[1:]) if entry.startswith("*.") else name == entry for entry in self._allowed)

    def check(self, host: str, address: str, within: Boundary = Boundary.CLOUD) -> Boundary:
        """The boundary that ``address`` lies behind. Raises ``NotPermitted`` when ``host``, found there, may not be reached."""
        boundary = classify(address)
        if boundary > within:
            raise NotPermitted(
                f"{host} leads to {address}, which is farther away than this engine may send anything",
                remedy="use the private address of your own machine, or say that this engine is a cloud: boundary = 'cloud'",
                host=host,
                address=address,
            )
        if boundary is Boundary.CLOUD and not self.allows(host):
            raise NotPermitted(
                f"{host} is outside your machine and network, and was not allowed",
                remedy=f"fireside config set privacy.allow_hosts '[\"{host}\"]'",
                host=host,
                address=address,
            )
        return boundary

    def admit_near(self, host: str, port: int, *, method: str, size: int, errand: Errand) -> Passage | None:
        """``admit``, at once, where neither a resolver nor the ledger has a say: for addresses near enough, and this machine's names.

        ``None`` for everything else, also for what ``admit`` would refuse.
        """
        name = normal_host(host)
        addresses = self._near.get((name, errand.within))
        if addresses is None:
            if len(self._near) >= REMEMBERED:
                self._near.clear()
            addresses = self._near[name, errand.within] = self._near_addresses(name, errand.within)
        return Passage(name, port, addresses, method, size, errand) if addresses else None

    async def admit(self, host: str, port: int, *, method: str, size: int, errand: Errand) -> Passage:
        """Resolve ``host``, keep the addresses it may be reached at, and write an outside request into the ledger.

        ``size``: bytes of the request's body. Raises ``NotPermitted``, or ``ConnectionFailed`` (dns) when the name means nothing.
        """
        name = normal_host(host)
        addresses = await resolve(name, port)
        refusal: NotPermitted | None = None
        admitted: list[tuple[Boundary, str]] = []
        for address in addresses:
            try:
                admitted.append((self.check(name, address, errand.within), address))
            except NotPermitted as error:
                refusal = refusal or error
        if not admitted:
            raise refusal or ConnectionFailed(f"{name} has no address", remedy=f"ping {name}", cause="dns", host=name)
        passage = Passage(name, port, tuple(address for _, address in admitted), method, size, errand)
        if max(admitted)[0] is Boundary.CLOUD:
            await self._record(passage)
        return passage

    def may_open(self, passage: Passage, address: str) -> bool:
        """The last look before a socket connects: an outside address only with a line in the ledger. Marks the passage as opened."""
        passage.opened = True
        return self.check(passage.host, address, passage.errand.within) is not Boundary.CLOUD or passage.recorded

    async def confirm(self, passage: Passage, address: str) -> None:
        """The last look before bytes go out over a connection, which may be an older one that leads somewhere else than the new ones."""
        if self.check(passage.host, address, passage.errand.within) is Boundary.CLOUD and not passage.recorded:
            await self._record(passage)

    def _near_addresses(self, name: str, within: Boundary) -> tuple[str, ...]:
        addresses = known_addresses(name)
        try:
            near = all(self.check(name, address, within) is not Boundary.CLOUD for address in addresses)
        except NotPermitted:
            return ()
        return addresses if near else ()

    async def _record(self, passage: Passage) -> None:
        entry = {
            "event": "request",
            "method": passage.method,
            "host": passage.host,
            "port": passage.port,
            "boundary": "cloud",
            "engine": passage.errand.engine,
            "purpose": passage.errand.purpose,
            "body_bytes": passage.size,
        }
        await asyncio.to_thread(self.ledger.append, entry)
        passage.recorded = True


@lru_cache(maxsize=1024)
def classify(address: str) -> Boundary:
    """How far away an IP address is. Raises ``Invalid`` for anything that is not one."""
    try:
        parsed = ipaddress.ip_address(address.strip("[]").partition("%")[0])
    except ValueError as error:
        raise Invalid(f"{address} is not an IP address", remedy="write it like 192.168.1.20 or ::1") from error
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    # A connection to the unspecified address arrives at this machine itself.
    if parsed.is_loopback or parsed.is_unspecified:
        return Boundary.MACHINE
    return Boundary.NETWORK if any(parsed in network for network in NETWORK) else Boundary.CLOUD


def boundary_of(host: str) -> Boundary:
    """How far away a host is by its look alone, before anything is resolved: for choosing engines, never for letting a request out.

    Names that only exist inside a network (``box``, ``box.local``, ``box.tail1234.ts.net``) count as NETWORK; a request there is sent
    with that promise, and refused should the name lead outside.
    """
    name = normal_host(host)
    if is_local_name(name):
        return Boundary.MACHINE
    try:
        return classify(name)
    except Invalid:
        return Boundary.NETWORK if "." not in name or name.endswith(PRIVATE_NAMES) else Boundary.CLOUD


@lru_cache(maxsize=1024)
def normal_host(host: str) -> str:
    """A host in one spelling: lower case, ASCII, no trailing dot, no brackets; 0x7f.1, 0177.0.0.1 and 2130706433 as 127.0.0.1.

    Raises ``Invalid`` for what cannot be a host.
    """
    name = host.strip().strip("[]")
    if ":" in name:
        return _normal_ipv6(name)
    name = name.rstrip(".")
    try:
        name = name.encode("idna").decode("ascii").lower() if not name.isascii() else name.lower()
    except UnicodeError as error:
        raise Invalid(
            f"{host!r} is not a host name", remedy="write it like box, box.example.com or 192.168.1.20"
        ) from error
    if not name or re.search(r"[\s/@?#\\]", name):
        raise Invalid(f"{host!r} is not a host name", remedy="write it like box, box.example.com or 192.168.1.20")
    return _legacy_ipv4(name)


def is_local_name(name: str) -> bool:
    """RFC 6761, section 6.3: these names always mean this machine."""
    return name == "localhost" or name.endswith(".localhost")


def known_addresses(name: str) -> tuple[str, ...]:
    """Those of a normal host that no resolver is asked for; none for any other name."""
    if is_local_name(name):
        return LOOPBACK
    try:
        classify(name)
    except Invalid:
        return ()
    return (name,)


async def resolve(name: str, port: int) -> Sequence[str]:
    """The addresses of a normal host, in the order to be tried. Raises ``ConnectionFailed`` (dns)."""
    if known := known_addresses(name):
        return known
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise ConnectionFailed(
            f"the name {name} is not known",
            remedy=f"check the spelling, or the network: ping {name}",
            cause="dns",
            host=name,
        ) from error
    return tuple(dict.fromkeys(_with_zone(info[4]) for info in found))


def _with_zone(sockaddr: tuple[object, ...]) -> str:
    address = str(sockaddr[0])
    scope = sockaddr[3] if len(sockaddr) == 4 else 0
    return f"{address}%{scope}" if scope and "%" not in address else address


def _normal_ipv6(name: str) -> str:
    address, percent, zone = name.partition("%")
    try:
        return str(ipaddress.IPv6Address(address)) + percent + zone
    except ValueError as error:
        raise Invalid(f"{name!r} is not an IPv6 address", remedy="write it like ::1 or fd7a:115c:a1e0::1") from error


def _legacy_ipv4(name: str) -> str:
    """What the C library makes of numbers (inet_aton): 1 to 4 parts, decimal, octal or hexadecimal."""
    if LEGACY_IPV4.fullmatch(name) is None:
        return name
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except OSError as error:
        raise Invalid(f"{name!r} is not an IPv4 address", remedy="write it like 192.168.1.20") from error


def _pattern(entry: str) -> str:
    """An entry of ``allow_hosts`` in its normal spelling. Raises ``ValueError`` for what is none."""
    wild = entry.strip().startswith("*.")
    try:
        name = normal_host(entry.strip().removeprefix("*."))
    except Invalid:
        name = ""
    if not name or "*" in name or (wild and "." not in name):
        raise ValueError(
            f"{entry!r} in allow_hosts is not a host: write one exactly (api.example.com) or all below it (*.example.com)"
        )
    return f"*.{name}" if wild else name
