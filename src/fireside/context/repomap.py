"""A project in a page: its most connected files, and in each what they define, within a number of tokens.

A map ranked by who uses whose names is aider's idea; how files are ranked here is for ``filegraph``. Knows the index's definitions; no
model. The same generation gives the same bytes.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

from fireside.context.budget import CHARACTERS_PER_TOKEN, estimate
from fireside.context.filegraph import FileGraph
from fireside.context.project import Project
from fireside.core.errors import Invalid
from fireside.index.chunks import Symbol
from fireside.index.outline import FileOutline, outlines
from fireside.index.paths import matches

TOKENS = 1_024
MIN_TOKENS = 64
FOCUS = 6.0
# What each further definition of one file counts, so that one large file does not fill the page.
FURTHER = 0.75
MOST_OF_A_FILE = 12
LINE_LENGTH = 100
ABOUT_LENGTH = 80
FOLDERS_NAMED = 12
MOST_FOLDERS = 40
TYPES = frozenset(("class", "struct", "interface", "trait", "type", "enum"))
PRIVATE = re.compile(r"(private|protected|#)\b")
MODIFIERS = re.compile(r"^((public|private|protected|internal|final|static|export|default|pub(\([^)]*\))?)\s+)+")
SELF = re.compile(r"\((?:self|cls)(?:, |(?=\)))")
REMARK = re.compile(r"\s(?://|#)\s.*$")
SPACED = re.compile(r"(?<=[(\[]) | (?=[)\]])|,(?= ?[)\]])")
KINDS = {"variable": 0.3, "section": 0.3, "declaration": 0.5, "property": 0.5}


@dataclass(frozen=True, slots=True)
class RepoMap:
    """``files``: the paths on the page, best first. ``left_out``: how many files with definitions are not. ``tokens``: an estimate."""

    text: str
    files: tuple[str, ...]
    left_out: int
    tokens: int
    generation: int


@dataclass(slots=True)
class _Item:
    """A definition that may stand on the page."""

    symbol: Symbol
    score: float


def build(project: Project, *, tokens: int = TOKENS, focus: Sequence[str] = ()) -> RepoMap:
    """The map of ``project`` in at most ``tokens``. ``focus``: files or folders (or globs) around which it is drawn.

    Raises ``Invalid`` for a focus that is no file the index knows, and for fewer than 64 tokens.
    """
    if tokens < MIN_TOKENS:
        raise Invalid(f"a map needs {MIN_TOKENS} tokens, not {tokens}", remedy=f"fireside map --tokens {TOKENS}")
    generation, files = outlines(project.index)
    graph = FileGraph(files, _focused(files, focus))
    return _Page(project.root.name, files, graph, tokens, generation).fitted()


def _focused(files: Sequence[FileOutline], focus: Sequence[str]) -> frozenset[int]:
    found: set[int] = set()
    for wanted in focus:
        hits = [number for number, file in enumerate(files) if wanted in ("", ".") or matches(file.path, wanted)]
        if not hits:
            raise Invalid(
                f"the index knows no file at {wanted[:200]}",
                remedy="name a file or a folder of the project: fireside map src",
            )
        found.update(hits)
    return frozenset(found) if len(found) < len(files) else frozenset()


class _Page:
    """Chooses what fits."""

    def __init__(self, name: str, files: Sequence[FileOutline], graph: FileGraph, tokens: int, generation: int) -> None:
        self._name = name
        self._files = files
        self._graph = graph
        self._tokens = tokens
        self._generation = generation

    def fitted(self) -> RepoMap:
        chosen: dict[int, list[Symbol]] = {}
        head = self._head()
        left = self._tokens * int(CHARACTERS_PER_TOKEN) - _size(head) - self._reserve()
        for file, item in self._items():
            around = self._with_outer(file, item.symbol)
            new = [one for one in around if one not in chosen.get(file, ())]
            cost = sum(_size(_line(one, depth)) for depth, one in enumerate(around) if one in new) + (
                0 if file in chosen else 1 + _size(self._title(file))
            )
            if cost > left:
                break
            left -= cost
            chosen.setdefault(file, []).extend(new)
        text = "\n".join((head, *self._lines(chosen), *self._tail(chosen)))
        files = tuple(self._files[number].path for number in chosen)
        return RepoMap(text, files, self._defining - len(chosen), estimate(text), self._generation)

    @cached_property
    def _defining(self) -> int:
        return sum(1 for file in self._files if file.symbols)

    def _items(self) -> Iterator[tuple[int, _Item]]:
        """(file, definition), best first."""
        ranks, shares = self._graph.ranks, self._graph.shares()
        found: list[tuple[float, str, int, int, _Item]] = []
        for number, file in enumerate(self._files):
            rank = float(ranks[number]) * (FOCUS if number in self._graph.focus else 1.0)
            items = sorted(_weighed(number, file, shares), key=lambda item: (-item.score, item.symbol.start_line))
            top = items[0].score if items else 1.0
            for place, item in enumerate(items[:MOST_OF_A_FILE]):
                score = rank * FURTHER**place * (0.4 + 0.6 * sqrt(item.score / top))
                found.append((-round(score, 12), file.path, item.symbol.start_line, number, item))
        found.sort(key=lambda one: one[:3])
        return ((number, item) for *_, number, item in found)

    def _with_outer(self, file: int, symbol: Symbol) -> list[Symbol]:
        """What a definition stands in, outermost first, and then itself."""
        parts = symbol.qualified.split(".") if symbol.kind != "section" else []
        outer = {".".join(parts[:count]) for count in range(1, len(parts))}
        found = {
            one.qualified: one
            for one in self._files[file].symbols
            if one.qualified in outer and one.start_line <= symbol.start_line <= one.end_line
        }
        return [*found.values(), symbol]

    def _title(self, number: int) -> str:
        file = self._files[number]
        return f"{file.path}  {_cut(file.about, ABOUT_LENGTH)}".rstrip()

    def _head(self) -> str:
        languages = Counter(file.language for file in self._files)
        told = ", ".join(
            f"{name} {count}" for name, count in sorted(languages.items(), key=lambda one: (-one[1], one[0]))[:4]
        )
        return f"{self._name}: {len(self._files)} files ({told})"

    def _lines(self, chosen: Mapping[int, Sequence[Symbol]]) -> Iterator[str]:
        for number, symbols in chosen.items():
            yield ""
            yield self._title(number)
            for one in sorted(symbols, key=lambda one: (one.start_line, -one.end_line)):
                yield _line(one, len(self._with_outer(number, one)) - 1)

    def _tail(self, chosen: Mapping[int, object]) -> Iterator[str]:
        rest = [file.path for number, file in enumerate(self._files) if file.symbols and number not in chosen]
        if not rest or not self._reserve():
            return
        told = f"{len(rest)} more files:"
        for folder, count in _folders(rest):
            more = f" {folder or '.'} {count},"
            if len(told) + len(more) > self._reserve():
                break
            told += more
        yield ""
        yield told.rstrip(",:")

    def _reserve(self) -> int:
        """Bytes kept for telling what is left out."""
        return self._tokens * int(CHARACTERS_PER_TOKEN) // 10


def _weighed(number: int, file: FileOutline, shares: Mapping[tuple[int, str], float]) -> Iterator[_Item]:
    seen: set[str] = set()
    for one in file.symbols:
        outer = one.qualified.split(".")[-2:-1]
        if one.qualified in seen or one.name.startswith("__") or outer == [one.name]:
            continue  # an overload, what every class has, or a constructor
        seen.add(one.qualified)
        small = 1e-9 * (2 if one.kind in TYPES else 1)
        private = 0.2 if PRIVATE.match(one.signature) or one.name.startswith("_") else 1.0
        if file.language == "go" and one.name[:1].islower():
            private = 0.2
        yield _Item(one, (shares.get((number, one.name), 0.0) + small) * KINDS.get(one.kind, 1.0) * private)


def _line(one: Symbol, depth: int) -> str:
    text = MODIFIERS.sub("", one.signature) or f"{one.kind} {one.name}"
    if one.kind == "variable":
        text = text.partition(" = ")[0].partition(" := ")[0]
    text = SELF.sub("(", SPACED.sub("", REMARK.sub("", text))).removesuffix("=>").rstrip(" {(=:<,")
    return "  " * (1 + depth) + _cut(text, LINE_LENGTH)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _size(line: str) -> int:
    return len(line.encode()) + 2


def _folders(paths: Sequence[str]) -> list[tuple[str, int]]:
    """Folders that together hold ``paths``, and how many each; large ones are divided until there are enough to say something."""
    groups: dict[str, list[str]] = {"": list(paths)}
    whole: set[str] = set()
    while len(groups) < FOLDERS_NAMED and (open_ := [name for name in groups if name not in whole]):
        largest = max(open_, key=lambda name: (len(groups[name]), name))
        parts: dict[str, list[str]] = defaultdict(list)
        for path in groups[largest]:
            below = path[len(largest) + 1 :] if largest else path
            parts[f"{largest}/{below.split('/')[0]}".lstrip("/") if "/" in below else largest].append(path)
        if set(parts) == {largest} or len(groups) + len(parts) > MOST_FOLDERS:
            whole.add(largest)
            continue
        del groups[largest]
        groups.update(parts)
        if largest in parts:
            whole.add(largest)
    return sorted(((name, len(group)) for name, group in groups.items()), key=lambda one: (-one[1], one[0]))
