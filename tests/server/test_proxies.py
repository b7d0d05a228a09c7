"""Who asks when a proxy stands in between."""

import pytest

from fireside.core.errors import Invalid
from fireside.server.proxies import Proxies

NEAR = ("127.0.0.1", 40000)


@pytest.mark.parametrize(
    ("trusted", "forwarded", "client"),
    [
        ((), "1.2.3.4", "127.0.0.1"),
        (("127.0.0.1",), "1.2.3.4", "1.2.3.4"),
        (("127.0.0.1",), "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (("127.0.0.1", "10.0.0.0/8"), "6.6.6.6, 1.2.3.4, 10.1.2.3", "1.2.3.4"),
        (("10.0.0.0/8",), "1.2.3.4", "127.0.0.1"),
        (("127.0.0.1", "::1"), "2001:db8::7", "2001:db8::7"),
        (("127.0.0.1",), "unknown", "127.0.0.1"),
        (("127.0.0.1",), "", "127.0.0.1"),
        (("127.0.0.1",), "1.2.3.4, not an address", "127.0.0.1"),
        (("127.0.0.1",), "\x00\xff,,,", "127.0.0.1"),
        (("0.0.0.0/0",), "1.2.3.4, 5.6.7.8", "1.2.3.4"),
    ],
)
def test_the_nearest_address_that_is_no_trusted_proxys_is_the_clients(trusted, forwarded, client):
    headers = {b"x-forwarded-for": forwarded.encode("latin-1")}
    found = Proxies(trusted).client(NEAR, headers)
    assert found is not None
    assert found[0] == client


def test_without_a_word_of_a_proxy_the_peer_is_the_client():
    assert Proxies(("127.0.0.1",)).client(NEAR, {}) == NEAR
    assert Proxies(("127.0.0.1",)).client(None, {b"x-forwarded-for": b"1.2.3.4"}) is None


def test_what_is_no_network_is_refused():
    with pytest.raises(Invalid, match=r"server\.trusted_proxies"):
        Proxies(("box",))
