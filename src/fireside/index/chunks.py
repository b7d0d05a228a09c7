"""The pieces that are searched, and what is told about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
class Symbol:
    """A definition. ``qualified``: with the names it stands in (``Class.method``). ``kind``: function, method, class, type, section, ...

    ``signature``: the definition up to its body on one line. ``doc``: first paragraph of its documentation, or "".
    """

    name: str
    qualified: str
    kind: str
    path: str
    start_line: int
    end_line: int
    signature: str = ""
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that answers a query. ``score`` compares within one search only. ``reasons``: why it is here, in words."""

    chunk: Chunk
    score: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """``generation``: which state of the index answered. ``pending``: files changed on disk that it has not seen yet.

    ``note``: what a reader should know of how it was found, or "".
    """

    query: str
    hits: tuple[Hit, ...]
    generation: int
    pending: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` files are indexed; ``path`` is the one just finished."""

    done: int
    total: int
    path: str


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an update did. ``files``, ``chunks``: how many the index holds now; ``added``, ``changed``, ``removed``: files this time.

    ``fell_back``: files in line chunks for want of a grammar, by language. ``skipped``: left out, by reason. ``rebuilt``: why the index
    was made anew, or "". ``pending``: files another process is indexing right now (then nothing was done here). ``unembedded``: chunks that
    are found by their words only, until their vectors are made. ``note``: why they are not made, or "".
    """

    files: int
    chunks: int
    added: int = 0
    changed: int = 0
    removed: int = 0
    fell_back: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    generation: int = 0
    rebuilt: str = ""
    pending: int = 0
    unembedded: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """``pending``: files changed on disk since. ``age``: seconds since the last update, None before the first."""

    generation: int
    files: int
    chunks: int
    pending: int
    age: float | None
