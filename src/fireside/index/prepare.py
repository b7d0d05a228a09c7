"""From a file's text to all that the index keeps of it. Knows no store and no disk, so it can be done in any process on any machine."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from fireside.index.chunks import Chunk, Symbol
from fireside.index.languages import language_of
from fireside.index.lexical import Words, add_counts
from fireside.index.parse import parse
from fireside.workspace.files import FileEntry, SourceText, Unread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_SETTINGS_CHARACTERS = 50_000


@dataclass(frozen=True, slots=True)
class Task:
    """A file as it was read."""

    entry: FileEntry
    source: SourceText | Unread


@dataclass(frozen=True, slots=True)
class Prepared:
    """``counts``: for each chunk how often each term occurs in it, its path and its symbol. ``unread``: why there are no chunks, or "".

    ``vectors``: (chunks, dimensions), or None where the vectors are made later.
    """

    entry: FileEntry
    digest: str
    language: str = ""
    unread: str = ""
    fell_back: str = ""
    chunks: list[Chunk] = field(default_factory=list)
    symbols: list[Symbol] = field(default_factory=list)
    counts: list[dict[str, int]] = field(default_factory=list)
    vectors: "NDArray[np.float32] | None" = None


# Results may come in another order than the tasks.
Preparer: TypeAlias = Callable[[Iterable[Task]], Iterator[Prepared]]


def here(tasks: Iterable[Task]) -> Iterator[Prepared]:
    """One after another in this process."""
    words = Words()
    for task in tasks:
        yield prepare(task, words)


def prepare(task: Task, words: Words) -> Prepared:
    entry, source = task.entry, task.source
    if isinstance(source, Unread):
        return Prepared(entry, digest_of(source), unread=source.reason)
    language = language_of(entry.path, source.text)
    if language == "json" and len(source.text) > MAX_SETTINGS_CHARACTERS:
        return Prepared(entry, source.digest, language, unread="large JSON")
    parsed = parse(entry.path, source.text, language)
    from_path = words.count_path(entry.path)
    counts = [_terms(chunk, from_path, words) for chunk in parsed.chunks]
    return Prepared(entry, source.digest, language, "", parsed.fell_back, parsed.chunks, parsed.symbols, counts)


def digest_of(source: SourceText | Unread) -> str:
    """What to compare: the bytes where they were read, else the reason why not."""
    return source.digest or (source.reason if isinstance(source, Unread) else "")


def _terms(chunk: Chunk, from_path: Mapping[str, int], words: Words) -> dict[str, int]:
    counts = words.count(chunk.text)
    add_counts(counts, from_path)
    if chunk.symbol:
        add_counts(counts, words.count(chunk.symbol))
    return counts
