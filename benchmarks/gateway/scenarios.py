"""What is measured. Each scenario takes the gateways that run and gives, for each, its figures by name."""

import contextlib
import http.client
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.gateway.load import BESIDE, BURDEN, LOADS, Answered, Driver, Load, best, chat, lasting, read
from benchmarks.gateway.peers import Peer, started
from benchmarks.gateway.processes import cpu_seconds, descriptors, resident
from benchmarks.gateway.programs import Programs

Figures = dict[str, float]
Found = dict[str, Figures]
SHOWN = 30
HEADS_START = 0.3


@dataclass(frozen=True, slots=True)
class Bench:
    """``seconds``: of one run; ``rounds``: runs of each gateway, in turn. ``requests``, ``cancelled``: how many for memory."""

    programs: Programs
    driver: Driver
    peers: Sequence[Peer]
    seconds: float
    rounds: int
    requests: int
    cancelled: int
    litellm: str = ""

    def only(self, *names: str) -> list[Peer]:
        return [peer for peer in self.peers if peer.name in names]


def measure(bench: Bench, name: str) -> Found:
    if name in LOADS:
        return in_turn(bench, lambda peer: _once(bench, LOADS[name], peer))
    return SPECIAL[name](bench)


def in_turn(bench: Bench, run: Callable[[Peer], Answered | None]) -> Found:
    """Each gateway once a round, so that a busy moment of the machine strikes them alike; the best of all rounds."""
    found: dict[str, Answered] = {}
    for _ in range(bench.rounds):
        for peer in bench.peers:
            answered = run(peer)
            if answered is None:
                continue
            if answered.errors:
                print(f"  {peer.name}: {answered.errors} errors, the first: {answered.fault}", flush=True)
            found[peer.name] = best(found[peer.name], answered) if peer.name in found else answered
    return {name: _figures(answered) for name, answered in found.items()}


def _once(bench: Bench, load: Load, peer: Peer) -> Answered | None:
    """One run; a gateway that answers without asking the upstream has answered from memory, and that is not what is measured."""
    if load.headers is not None and not peer.headers:
        return None
    before, pid = bench.programs.stats()["requests"], peer.process.pid if peer.process else None
    worked = cpu_seconds(pid) if pid else 0
    answered = bench.driver.run(lasting(load, bench.seconds), peer.port, peer.headers)
    if pid:
        answered = msgspec.structs.replace(answered, cpu_us=(cpu_seconds(pid) - worked) / (answered.total or 1) * 1e6)
    asked = bench.programs.stats()["requests"] - before
    if load.expect == 200 and asked < answered.answers:
        raise AssertionError(f"{peer.name} gave {answered.answers} answers and asked {asked} times")
    return answered


def beside(bench: Bench) -> Found:
    """Small requests, one at a time, while two clients send large ones."""

    def run(peer: Peer) -> Answered:
        burden = bench.driver.start(lasting(BURDEN, bench.seconds + 2 * HEADS_START), peer.port, peer.headers)
        time.sleep(HEADS_START)
        answered = bench.driver.run(lasting(BESIDE, bench.seconds), peer.port, peer.headers)
        read(burden)
        return answered

    return in_turn(bench, run)


def start(bench: Bench) -> Found:
    """Seconds from the start of the process to its first answer, and what it holds then."""
    found: Found = {}
    for peer in bench.peers:
        if peer.process is None:
            continue
        seconds = [peer.started]
        for _ in range(0 if peer.started > 3 else bench.rounds):
            with _fresh(bench, peer.name) as again:
                seconds.append(again.started)
                assert again.process is not None
                held = resident(again.process.pid)
        found[peer.name] = {
            "seconds": min(seconds),
            "idle MB": held if len(seconds) > 1 else resident(peer.process.pid),
        }
    return found


def memory(bench: Bench) -> Found:
    """Resident memory and descriptors of a fresh process: idle, after many requests, after many streams whose reader left."""
    found: Found = {}
    for peer in bench.peers:
        if peer.process is None:
            continue
        share = 50 if peer.name == "litellm" else 1
        with _fresh(bench, peer.name) as fresh:
            found[peer.name] = _memory(bench, fresh, bench.requests // share, bench.cancelled // share)
    return found


def _memory(bench: Bench, fresh: Peer, requests: int, cancelled: int) -> Figures:
    assert fresh.process is not None
    pid = fresh.process.pid
    idle, open_idle = resident(pid), descriptors(pid)
    answered = bench.driver.run(Load(chat(), 16, count=requests), fresh.port, fresh.headers)
    after = resident(pid)
    before = bench.programs.stats()["aborted"]
    stream = Load(chat("[paced]", stream=True), 16, count=cancelled, cancel=True)
    left = bench.driver.run(stream, fresh.port, fresh.headers)
    _until(lambda: descriptors(pid) <= open_idle, 45)
    return {
        "requests": answered.answers,
        "cancelled": left.answers,
        "errors": answered.errors + left.errors,
        "idle MB": idle,
        "then MB": after,
        "at last MB": resident(pid),
        "growth MB": resident(pid) - idle,
        "cancels seen upstream": bench.programs.stats()["aborted"] - before,
        "descriptors more": descriptors(pid) - open_idle,
    }


def ollama(bench: Bench) -> Found:
    """What an Ollama client asks when it starts: /api/tags, then /api/show of thirty models; milliseconds."""
    found: Found = {}
    for peer in bench.only("fireside"):
        rounds = [_listing(peer) for _ in range(bench.rounds + 1)]
        found[peer.name] = {"all ms": min(whole for whole, _ in rounds), "one show ms": min(one for _, one in rounds)}
    return found


def _listing(peer: Peer) -> tuple[float, float]:
    """Milliseconds for all of it, and for one show (the median)."""
    connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=30)
    begun = time.perf_counter()
    names = [model["name"] for model in _json(connection, peer, "GET", "/api/tags")["models"]][:SHOWN]
    shows = []
    for name in names:
        asked = time.perf_counter()
        _json(connection, peer, "POST", "/api/show", {"model": name})
        shows.append(time.perf_counter() - asked)
    whole = time.perf_counter() - begun
    connection.close()
    assert len(shows) == SHOWN, f"{peer.name} lists {len(shows)} models"
    return whole * 1000, statistics.median(shows) * 1000


def _json(
    connection: http.client.HTTPConnection, peer: Peer, method: str, path: str, body: object = None
) -> dict[str, list[dict[str, str]]]:
    sent = msgspec.json.encode(body) if body is not None else None
    connection.request(method, path, sent, {"Content-Type": "application/json", **peer.headers})
    answer = connection.getresponse()
    read = answer.read()
    assert answer.status == 200, f"{peer.name} {path}: {answer.status} {read[:200]!r}"
    decoded: dict[str, list[dict[str, str]]] = msgspec.json.decode(read)
    return decoded


@contextlib.contextmanager
def _fresh(bench: Bench, name: str) -> Iterator[Peer]:
    with (
        tempfile.TemporaryDirectory(prefix="fireside-bench-") as folder,
        started(name, bench.programs, Path(folder), litellm=bench.litellm) as peer,
    ):
        yield peer


def _until(holds: Callable[[], bool], seconds: float) -> None:
    due = time.monotonic() + seconds
    while not holds() and time.monotonic() < due:
        time.sleep(0.1)


def _figures(answered: Answered) -> Figures:
    shown = {"per s": answered.rate, "p50 ms": answered.ms_p50, "p99 ms": answered.ms_p99}
    if answered.first_p50:
        shown |= {"first p50 ms": answered.first_p50, "first p99 ms": answered.first_p99}
    if answered.cpu_us:
        shown["cpu us"] = answered.cpu_us
    return shown | ({"errors": answered.errors} if answered.errors else {})


SPECIAL: Mapping[str, Callable[[Bench], Found]] = {
    "beside": beside,
    "start": start,
    "memory": memory,
    "ollama": ollama,
}
ALL = (*LOADS, *SPECIAL)
