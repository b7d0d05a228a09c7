"""The pieces that are searched."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive lines of one file. Lines count from 1, both ends included. ``symbol``: qualified name of what it defines, or ""."""

    path: str
    start_line: int
    end_line: int
    text: str
    language: str = ""
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that answers a query. ``score`` compares within one search only. ``reasons``: why it is here, in words."""

    chunk: Chunk
    score: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """``generation``: which state of the index answered. ``pending``: files changed on disk that it has not seen yet."""

    query: str
    hits: tuple[Hit, ...]
    generation: int
    pending: int
