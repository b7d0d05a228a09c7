"""What may leave, and that it is written down before it does."""

import asyncio
import ipaddress
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.core.errors import ConnectionFailed, Invalid, NotPermitted
from fireside.engines.egress import Egress, EgressSettings, Errand, boundary_of, classify, normal_host
from fireside.engines.engine import Boundary
from fireside.engines.ledger import Ledger
from fireside.records.chain import Verdict, verify

SHARED = ipaddress.ip_network("100.64.0.0/10")
MACHINE, NETWORK, CLOUD = Boundary.MACHINE, Boundary.NETWORK, Boundary.CLOUD
ADDRESSES = {
    "127.0.0.1": MACHINE,
    "127.255.255.254": MACHINE,
    "0.0.0.0": MACHINE,
    "::1": MACHINE,
    "::": MACHINE,
    "::ffff:127.0.0.1": MACHINE,
    "[::1]": MACHINE,
    "10.0.0.1": NETWORK,
    "172.16.0.1": NETWORK,
    "172.31.255.255": NETWORK,
    "192.168.1.20": NETWORK,
    "169.254.10.10": NETWORK,
    "100.64.0.1": NETWORK,
    "100.127.255.255": NETWORK,
    "::ffff:192.168.1.20": NETWORK,
    "fe80::1": NETWORK,
    "fe80::1%eth0": NETWORK,
    "fd7a:115c:a1e0::53": NETWORK,
    "fd00::1": NETWORK,
    "fc00::1": NETWORK,
    "8.8.8.8": CLOUD,
    "172.15.255.255": CLOUD,
    "172.32.0.0": CLOUD,
    "100.63.255.255": CLOUD,
    "100.128.0.0": CLOUD,
    "192.0.2.1": CLOUD,
    "198.18.0.1": CLOUD,
    "203.0.113.7": CLOUD,
    "224.0.0.1": CLOUD,
    "255.255.255.255": CLOUD,
    "240.0.0.1": CLOUD,
    "::ffff:8.8.8.8": CLOUD,
    "::8.8.8.8": CLOUD,
    "64:ff9b::7f00:1": CLOUD,
    "64:ff9b::c0a8:1": CLOUD,
    "64:ff9b:1::a00:1": CLOUD,
    "2002:7f00:1::": CLOUD,
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": CLOUD,
    "2606:4700::1111": CLOUD,
    "fec0::1": CLOUD,
    "ff02::1": CLOUD,
}
HOSTS = {
    "localhost": MACHINE,
    "LOCALHOST.": MACHINE,
    "ollama.localhost": MACHINE,
    "127.1": MACHINE,
    "2130706433": MACHINE,
    "0x7f.0.0.1": MACHINE,
    "0177.0.0.1": MACHINE,
    "0": MACHINE,
    "192.168.1.20": NETWORK,
    "0xc0a80114": NETWORK,
    "box": NETWORK,
    "Box.Local": NETWORK,
    "box.lan": NETWORK,
    "box.home.arpa": NETWORK,
    "box.internal": NETWORK,
    "box.tail1234.ts.net.": NETWORK,
    "134744072": CLOUD,
    "8.8.8.8": CLOUD,
    "api.openai.com": CLOUD,
    "localhost.example.com": CLOUD,
    "127.0.0.1.example.com": CLOUD,
    "evilts.net": CLOUD,
    "пример.рф": CLOUD,
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_lies_behind_its_boundary(address):
    assert classify(address) is ADDRESSES[address]


@settings(deadline=None, max_examples=60)
@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_as_far_away(address):
    assert classify(f"::ffff:{address}") is classify(str(address))


@settings(deadline=None, max_examples=60)
@given(st.ip_addresses())
def test_only_loopback_private_and_shared_addresses_are_near(address):
    near = address.is_loopback or address.is_private or address.is_link_local or address in SHARED
    assert near or classify(str(address)) is CLOUD


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_looks_near_or_far(host):
    assert boundary_of(host) is HOSTS[host]


@pytest.mark.parametrize(
    "host", ["", " ", "a b", "a/b", "user@host", "999.1.1.1", "1.2.3.4.5:", "::g", "a" * 70 + ".\u00e9"]
)
def test_what_is_no_host_is_refused(host):
    with pytest.raises(Invalid):
        normal_host(host)


def egress(tmp_path: Path, *hosts: str) -> Egress:
    return Egress(EgressSettings(allow_hosts=hosts), Ledger(tmp_path / "egress.jsonl"))


def test_an_outside_address_is_refused_with_the_command_that_allows_it(tmp_path):
    with pytest.raises(NotPermitted) as caught:
        egress(tmp_path).check("api.example.com", "203.0.113.7")
    assert caught.value.remedy == "fireside config set privacy.allow_hosts '[\"api.example.com\"]'"


@pytest.mark.parametrize(
    ("entry", "host", "allowed"),
    [
        ("api.example.com", "API.example.com.", True),
        ("API.Example.COM", "api.example.com", True),
        ("api.example.com", "v2.api.example.com", False),
        ("api.example.com", "evil-api.example.com", False),
        ("*.example.com", "api.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("*.example.com", "example.com.evil.org", False),
        ("203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("bücher.example", "xn--bcher-kva.example", True),
        ("2606:4700::1111", "[2606:4700:0::1111]", True),
    ],
)
def test_a_host_is_allowed_by_name_or_by_all_below_one(tmp_path, entry, host, allowed):
    assert egress(tmp_path, entry).allows(host) is allowed


@pytest.mark.parametrize("entry", ["*", "*.", "*.com", "a.*.com", "http://a.com", "", "a b"])
def test_an_entry_that_would_allow_too_much_is_refused(tmp_path, entry):
    with pytest.raises(ValueError, match="is not a host"):
        egress(tmp_path, entry)


def test_new_settings_hold_from_the_next_request_on(tmp_path):
    guard = egress(tmp_path, "api.example.com")
    assert guard.check("api.example.com", "203.0.113.7") is CLOUD
    guard.settings = EgressSettings()
    with pytest.raises(NotPermitted):
        guard.check("api.example.com", "203.0.113.7")


@settings(deadline=None, max_examples=60)
@given(st.ip_addresses(), st.sampled_from([MACHINE, NETWORK]))
def test_an_engine_that_promised_to_stay_near_never_reaches_farther(address, within):
    guard = Egress(EgressSettings(allow_hosts=("*.example.com",)), Ledger(Path("never-written")))
    try:
        assert guard.check("api.example.com", str(address), within) <= within
    except NotPermitted:
        assert classify(str(address)) > within


NEAR_AND_FAR = st.one_of(st.sampled_from([*ADDRESSES, *HOSTS]), st.ip_addresses().map(str))


@settings(deadline=None, max_examples=100)
@given(NEAR_AND_FAR, st.sampled_from([MACHINE, NETWORK, CLOUD]))
def test_what_is_admitted_at_once_would_have_been_admitted_and_is_near(host, within):
    guard = Egress(EgressSettings(allow_hosts=("*.example.com", "8.8.8.8")), Ledger(Path("never-written")))
    asked = {"method": "POST", "size": 12, "errand": Errand("box", "chat", within)}
    for _ in range(2):
        at_once = guard.admit_near(host, 80, **asked)
        if at_once is not None:
            assert at_once == asyncio.run(guard.admit(host, 80, **asked))
            assert all(classify(address) is not CLOUD for address in at_once.addresses)
    literal = host in ADDRESSES
    assert (at_once is not None) >= (literal and classify(host) <= min(within, NETWORK))


def test_what_settings_allow_is_never_admitted_without_its_line(tmp_path):
    guard = egress(tmp_path)
    asked = {"method": "POST", "size": 12, "errand": Errand()}
    assert guard.admit_near("203.0.113.7", 80, **asked) is None
    guard.settings = EgressSettings(allow_hosts=("203.0.113.7",))
    assert guard.admit_near("203.0.113.7", 80, **asked) is None
    assert guard.admit_near("127.0.0.1", 80, **asked).addresses == ("127.0.0.1",)


def names(monkeypatch: pytest.MonkeyPatch, **found: list[str]) -> None:
    """What the resolver knows, until told otherwise."""

    def getaddrinfo(host, port, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name.replace(".", "_") not in found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in found[name.replace(".", "_")]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def admit(guard: Egress, host: str, within: Boundary = CLOUD):
    return await guard.admit(host, 443, method="POST", size=12, errand=Errand("far", "chat", within))


async def test_a_near_host_is_admitted_and_not_recorded(tmp_path, monkeypatch):
    names(monkeypatch, box_lan=["192.168.1.20", "fd00::1"])
    guard = egress(tmp_path)
    passage = await admit(guard, "Box.LAN.")
    assert (passage.addresses, passage.recorded) == (("192.168.1.20", "fd00::1"), False)
    assert not guard.ledger.path.exists()


async def test_localhost_never_asks_a_resolver(tmp_path, monkeypatch):
    names(monkeypatch)
    assert (await admit(egress(tmp_path), "localhost")).addresses == ("127.0.0.1", "::1")


async def test_only_the_near_addresses_of_a_host_that_was_not_allowed_are_used(tmp_path, monkeypatch):
    names(monkeypatch, box_lan=["203.0.113.7", "192.168.1.20"])
    assert (await admit(egress(tmp_path), "box.lan")).addresses == ("192.168.1.20",)


async def test_a_name_that_is_not_known_is_said_to_be(tmp_path, monkeypatch):
    names(monkeypatch)
    with pytest.raises(ConnectionFailed) as caught:
        await admit(egress(tmp_path), "nowhere.example")
    assert caught.value.context["cause"] == "dns"


async def test_a_private_looking_name_that_leads_outside_is_refused_even_when_allowed(tmp_path, monkeypatch):
    names(monkeypatch, box_internal=["203.0.113.7"])
    with pytest.raises(NotPermitted):
        await admit(egress(tmp_path, "box.internal"), "box.internal", within=NETWORK)


async def test_an_allowed_host_is_in_the_ledger_when_it_is_admitted(tmp_path, monkeypatch):
    names(monkeypatch, api_example_com=["203.0.113.7"])
    guard = egress(tmp_path, "api.example.com")
    passage = await admit(guard, "api.example.com")
    assert passage.recorded
    (line,) = guard.ledger.path.read_text().splitlines()
    entry = json.loads(line)
    wanted = {
        "host": "api.example.com",
        "port": 443,
        "boundary": "cloud",
        "engine": "far",
        "purpose": "chat",
        "method": "POST",
    }
    assert {name: entry[name] for name in wanted} == wanted
    assert entry["body_bytes"] == 12
    assert entry["time"].endswith("+00:00")


async def test_without_a_ledger_nothing_leaves(tmp_path, monkeypatch):
    names(monkeypatch, api_example_com=["203.0.113.7"])
    guard = Egress(EgressSettings(allow_hosts=("api.example.com",)), Ledger(tmp_path / "file" / "egress.jsonl"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotPermitted) as caught:
        await admit(guard, "api.example.com")
    assert caught.value.context["cause"] == "ledger"


async def test_an_older_connection_that_leads_outside_is_looked_at_again(tmp_path, monkeypatch):
    """The name is private now, the connection kept alive was made when it was not."""
    names(monkeypatch, box_lan=["192.168.1.20"])
    guard = egress(tmp_path)
    passage = await admit(guard, "box.lan")
    with pytest.raises(NotPermitted):
        await guard.confirm(passage, "203.0.113.7")
    guard.settings = EgressSettings(allow_hosts=("box.lan",))
    await guard.confirm(passage, "203.0.113.7")
    assert guard.ledger.verify().entries == 1


async def test_a_socket_opens_only_for_what_was_recorded(tmp_path, monkeypatch):
    names(monkeypatch, box_lan=["192.168.1.20"])
    guard = egress(tmp_path, "box.lan")
    passage = await admit(guard, "box.lan")
    assert guard.may_open(passage, "192.168.1.20")
    assert not guard.may_open(passage, "203.0.113.7")


# The ledger


def written(tmp_path: Path, count: int = 5) -> Ledger:
    ledger = Ledger(tmp_path / "deep" / "egress.jsonl")
    for number in range(count):
        ledger.append({"event": "request", "host": "api.example.com", "n": number})
    return ledger


def test_a_ledger_verifies(tmp_path):
    ledger = written(tmp_path)
    verdict = ledger.verify()
    assert (verdict.entries, verdict.broken_at, verdict.torn) == (5, None, 0)
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    assert ledger.append({"n": 6}) == ledger.verify().last


def test_a_line_is_on_the_disk_before_the_request_goes_on(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_size))
    ledger = written(tmp_path, 2)
    assert flushed[-1] == ledger.path.stat().st_size


def test_a_ledger_that_is_not_there_is_empty(tmp_path):
    assert verify(tmp_path / "none") == Verdict(0)


@pytest.mark.parametrize(
    ("tamper", "at"),
    [
        (lambda lines: [lines[0].replace(b"api", b"abi"), *lines[1:]], 2),
        (lambda lines: [lines[0], *lines[2:]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 1),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3),
        (lambda lines: [*lines[:2], b"not JSON", *lines[3:]], 3),
        (lambda lines: [*lines[:2], b"[]", *lines[3:]], 3),
        (lambda lines: [*lines[:4], b"not JSON"], 5),
    ],
)
def test_a_line_changed_removed_moved_or_inserted_shows(tmp_path, tamper, at):
    ledger = written(tmp_path)
    lines = ledger.path.read_bytes().splitlines()
    ledger.path.write_bytes(b"\n".join(tamper(lines)) + b"\n")
    assert ledger.verify().broken_at == at


@pytest.mark.parametrize("left", range(1, 60, 7))
def test_a_torn_last_line_is_reported_and_the_chain_goes_on(tmp_path, left):
    ledger = written(tmp_path, 2)
    whole = ledger.path.read_bytes()
    first = whole.index(b"\n") + 1
    ledger.path.write_bytes(whole[: first + left])
    assert (ledger.verify().torn, ledger.verify().broken_at) == (1, None)
    ledger.append({"n": 3})
    verdict = ledger.verify()
    assert (verdict.entries, verdict.torn, verdict.broken_at) == (2, 1, None)


def test_a_line_that_lacks_only_its_end_still_counts(tmp_path):
    ledger = written(tmp_path, 2)
    ledger.path.write_bytes(ledger.path.read_bytes()[:-1])
    ledger.append({"n": 3})
    assert (ledger.verify().entries, ledger.verify().broken_at) == (3, None)


def test_a_long_line_is_found_again(tmp_path):
    ledger = written(tmp_path, 1)
    ledger.append({"host": "x" * 300_000})
    ledger.append({"n": 3})
    assert ledger.verify().broken_at is None


APPEND = """
import pathlib, sys
from fireside.engines.ledger import Ledger
for _ in range(20):
    Ledger(pathlib.Path(sys.argv[1])).append({})
"""


def test_processes_share_one_chain(tmp_path):
    path = tmp_path / "egress.jsonl"
    processes = [subprocess.Popen([sys.executable, "-c", APPEND, str(path)]) for _ in range(2)]
    assert [process.wait(30) for process in processes] == [0, 0]
    assert (verify(path).entries, verify(path).broken_at) == (40, None)


async def test_tasks_share_one_chain(tmp_path):
    ledger = Ledger(tmp_path / "egress.jsonl")
    await asyncio.gather(*(asyncio.to_thread(ledger.append, {"n": number}) for number in range(20)))
    assert (ledger.verify().entries, ledger.verify().broken_at) == (20, None)


def test_a_link_in_place_of_the_ledger_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "egress.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotPermitted):
        Ledger(tmp_path / "egress.jsonl").append({"n": 1})
