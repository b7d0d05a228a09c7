"""Several engines have the model: which of them goes first.

Where it is loaded, then where a slot is free; among those, a conversation goes back to where its prompt was computed before, unless that
engine is clearly busier than another; else to the least busy one. Knows numbers and names, and asks nobody.
"""

import hashlib
from collections.abc import Sequence
from math import log
from typing import NamedTuple

from fireside.core.requests import CompletionRequest
from fireside.gateway.plans import Candidate, Request
from fireside.gateway.prefixes import stable_start

# By how much busier than the least busy one (in requests per slot) an engine may be and still keep its conversations.
THRESHOLD = 0.5
# An engine twice as slow as the fastest counts as this much busier; three times, twice that; and no more than that often.
SLOW, SLOWEST = 0.25, 4.0
# Characters at the start of a completion that tell one place from another, where its file has no name.
HEAD = 256


class Standing(NamedTuple):
    """How an engine is doing. ``load``: requests there per request it takes at once. ``refuses``: it is left alone for a while.

    ``first_token``: seconds until its answers begin, as of late, 0 = unknown. ``slow``: it crawled a moment ago.
    """

    load: float = 0.0
    refuses: bool = False
    first_token: float = 0.0
    slow: bool = False


class Replica(NamedTuple):
    """One engine that has the model, and what speaks for it. ``weight``: its share of the requests beside the others'."""

    candidate: Candidate
    standing: Standing
    loaded: bool = True
    weight: float = 1.0


def arranged(replicas: Sequence[Replica], request: Request | None) -> list[Candidate]:
    """All of them, the one to ask first at the front, the others in the order in which they may stand in."""
    known = [each.standing.first_token for each in replicas if each.standing.first_token]
    fastest = min(known, default=0.0)
    ranked = sorted(((_rank(each, fastest), place, each) for place, each in enumerate(replicas)), key=_key)
    best = ranked[0][0]
    # None that refuses or has to load comes into question beside one that does not.
    equals = [each for rank, _, each in ranked if rank[:3] == best[:3] and rank[3] - best[3] < THRESHOLD]
    order = [each.candidate for _, _, each in ranked]
    if len(equals) > 1 and request is not None:
        first = _kept(equals, _key_of(request)).candidate
        order.remove(first)
        order.insert(0, first)
    return order


Rank = tuple[bool, bool, bool, float]


def _rank(replica: Replica, fastest: float) -> Rank:
    standing = replica.standing
    slowness = min(SLOWEST, standing.first_token / fastest) if standing.first_token and fastest else 1.0
    if standing.slow:
        slowness = SLOWEST
    busy = (standing.load + SLOW * (slowness - 1)) / (replica.weight or 1e-9)
    return (standing.refuses, not replica.loaded, standing.load >= 1, busy)


def _key(entry: tuple[Rank, int, Replica]) -> tuple[Rank, int]:
    return entry[:2]


def _key_of(request: Request) -> str:
    """What requests have in common that begin alike: their conversation, else their file, else their stable start."""
    if request.session:
        return request.session
    if isinstance(request, CompletionRequest):
        return request.path or request.prefix[:HEAD]
    return stable_start(request)


def _kept(replicas: Sequence[Replica], key: str) -> Replica:
    """Weighted rendezvous hashing (Schindelhauer & Schomaker, SPAA 2005): when an engine comes or goes, only its own keys move."""
    return max(replicas, key=lambda each: score(key, each.candidate.engine.name, each.weight))


def score(key: str, name: str, weight: float) -> float:
    """How strongly ``key`` is drawn to ``name``; the strongest pull wins with a probability proportional to its weight."""
    digest = hashlib.blake2b(f"{key}\0{name}".encode(errors="surrogatepass"), digest_size=8).digest()
    share = (int.from_bytes(digest) + 1) / (2**64 + 2)
    return -weight / log(share)
