"""Who asks, where a proxy stands in between: the address it says, if it is one that may say so."""

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache

from fireside.core.errors import Invalid
from fireside.server.origins import is_address

Peer = tuple[str, int]


class Proxies:
    """``trusted``: addresses or networks, for example ``127.0.0.1`` or ``10.0.0.0/8``. Raises ``Invalid`` for what is neither."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        try:
            self._networks = tuple(ipaddress.ip_network(each, strict=False) for each in trusted)
        except ValueError as error:
            raise Invalid(f"server.trusted_proxies: {error}", remedy="an address or a network: 10.0.0.0/8") from error
        # The same proxies come again and again.
        self._trusts = lru_cache(256)(self._is_trusted)

    def client(self, peer: Peer | None, headers: Mapping[bytes, bytes]) -> Peer | None:
        """The nearest address that is no trusted proxy's. What stands left of it in ``X-Forwarded-For`` anybody may have written."""
        forwarded = headers.get(b"x-forwarded-for")
        if forwarded is None or peer is None or not self._trusts(peer[0]):
            return peer
        address = peer[0]
        for each in reversed(forwarded.decode("latin-1").split(",")):
            address = each.strip()
            if not self._trusts(address):
                break
        return (address, 0) if is_address(address) else peer

    def _is_trusted(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)
