"""The audit log: who asked for what and what came of it, which keys and settings were changed, who was refused.

One hash-chained file for each kind of process (``server``, ``cli``), shared by all processes of that kind. Requests are written in the
background; what an administrator does is written before it is said to be done. Prompts are kept only where the settings ask for them.
"""

import heapq
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from fireside.core.errors import NotPermitted
from fireside.records.chain import Chain, Line, Verdict
from fireside.records.request import RequestRecord
from fireside.records.settings import AuditSettings
from fireside.records.writer import Writer, WriterState

Fact = str | int | float | bool | None
Refusal = tuple[str, str, str]
MEGABYTE = 1024 * 1024
# So many clients are told apart between two writes; one who sends from many addresses must not fill the memory.
MOST_CLIENTS = 256
OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is no request: key_created, config_changed, cloud_hop, ... ``time``: seconds since 1970."""

    time: float
    event: str
    facts: Mapping[str, Fact]


Entry = RequestRecord | Event


class Audit:
    """The log of one kind of process. ``request``, ``refused`` and ``note`` never wait and never raise; ``write`` does both."""

    def __init__(self, folder: Path, role: str, *, settings: AuditSettings | None = None, seconds: float = 0.5) -> None:
        self.settings = settings or AuditSettings()
        self.chain = Chain(folder / f"{role}.jsonl", max_bytes=self.settings.file_mb * MEGABYTE)
        self._refusals = Refusals()
        self._writer: Writer[Entry] = Writer("audit", AuditSink(self), seconds=seconds)

    def request(self, record: RequestRecord) -> None:
        if self.settings.requests:
            self._writer.put(record)

    def refused(self, event: str, reason: str, client: str) -> None:
        """Somebody was turned away: login_refused, limit_reached. Counted by reason and client between two writes: whoever tries a
        million keys fills no disk, and pushes nothing else out."""
        if self._refusals.count((event, reason, client)):
            self._writer.put(Event(time.time(), "", {}))

    def note(self, event: str, **facts: Fact) -> None:
        self._writer.put(Event(time.time(), event, facts))

    def write(self, event: str, **facts: Fact) -> None:
        """Write one event down before going on. Blocking: milliseconds. Raises ``NotPermitted`` when it cannot be written."""
        try:
            self.chain.append([line_of(Event(time.time(), event, facts), prompts=False)])
        except OSError as error:
            reason = error.strerror or str(error)
            raise NotPermitted(
                f"the audit log {self.chain.path} cannot be written ({reason}), so nothing was changed",
                remedy=f"make room and give yourself the right to write: ls -l {self.chain.path}",
            ) from error

    def state(self) -> WriterState:
        return self._writer.state()

    def flush(self) -> bool:
        return self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def take_refusals(self) -> "list[tuple[Refusal, int]]":
        return self._refusals.take()

    def give_back(self, refusals: "Iterable[tuple[Refusal, int]]") -> None:
        for refusal, number in refusals:
            self._refusals.count(refusal, number)


class Refusals:
    """How often whom was refused, since it was last asked."""

    def __init__(self) -> None:
        self._counts: dict[Refusal, int] = {}
        self._lock = threading.Lock()

    def count(self, refusal: Refusal, number: int = 1) -> bool:
        """Returns whether it is the first since then."""
        with self._lock:
            counts = self._counts
            if refusal not in counts and len(counts) >= MOST_CLIENTS:
                refusal = (refusal[0], refusal[1], OTHERS)
            counts[refusal] = counts.get(refusal, 0) + number
            return len(counts) == 1 and counts[refusal] == number

    def take(self) -> list[tuple[Refusal, int]]:
        with self._lock:
            counts, self._counts = self._counts, {}
        return list(counts.items())


class AuditSink:
    """Entries as lines of the chain. For a ``Writer``."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def write(self, entries: Sequence[Entry], lost: int) -> None:
        prompts = self._audit.settings.prompts
        refusals = self._audit.take_refusals()
        lines = [
            line_of(entry, prompts=prompts) for entry in entries if isinstance(entry, RequestRecord) or entry.event
        ]
        lines += [
            {"event": event, "reason": reason, "client": client, "times": number}
            for (event, reason, client), number in refusals
        ]
        if lost:
            # Said where they would have stood, so that what is missing is never taken for what did not happen.
            lines.append({"event": "gap", "lost": lost})
        try:
            if lines:
                self._audit.chain.append(lines)
        except OSError:
            self._audit.give_back(refusals)
            raise


def line_of(entry: Entry, *, prompts: bool) -> Line:
    """What is written of an entry; empty fields are left out."""
    when = datetime.fromtimestamp(entry.time, UTC).isoformat(timespec="milliseconds")
    if isinstance(entry, Event):
        return {"time": when, "event": entry.event, **entry.facts}
    facts: dict[str, object] = msgspec.to_builtins(entry)
    if not prompts:
        facts.pop("prompt", None)
    facts |= {"time": when, "event": "request", "seconds": round(entry.seconds, 4)}
    return facts


def chains(folder: Path) -> list[Chain]:
    """The logs in a folder, one for each kind of process."""
    return [
        Chain(folder / f"{role}.jsonl") for role in sorted({path.name.split(".")[0] for path in folder.glob("*.jsonl")})
    ]


def verify(folder: Path) -> Mapping[str, Verdict]:
    """Kind of process -> whether its chain is whole. Raises ``OSError`` for what cannot be read."""
    return {chain.path.stem: chain.verify() for chain in chains(folder)}


def entries(folder: Path, *, since: str = "") -> Iterator[dict[str, object]]:
    """Every entry of all logs in the order of time, from ``since`` (2026-11-30, 2026-11-30T12:00) on."""
    merged = heapq.merge(*(_named(chain) for chain in chains(folder)), key=lambda entry: str(entry.get("time", "")))
    return (entry for entry in merged if str(entry.get("time", "")) >= since)


def tail(folder: Path, count: int, *, since: str = "") -> list[dict[str, object]]:
    """The newest entries, oldest of them first."""
    return list(deque(entries(folder, since=since), maxlen=count))


def _named(chain: Chain) -> Iterator[dict[str, object]]:
    return ({"log": chain.path.stem, **entry} for entry in chain.lines())
