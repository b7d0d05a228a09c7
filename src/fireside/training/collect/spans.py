"""Spans on syntax nodes, cut out of a file for fill-in-the-middle, and code that its documentation describes.

Knows syntax trees. A place in the text is drawn, then one of the nodes around it: so long nodes are likelier than short ones, in
proportion to their length, though a file has far more short ones. Lines that recent commits brought are drawn ``NEW`` times as often.
"""

import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from fireside.index.languages import grammar
from fireside.index.symbols import definitions
from fireside.training.collect.reading import MIN_LINE, Text
from fireside.training.collect.settings import CollectSettings

if TYPE_CHECKING:
    from tree_sitter import Node, Query

NEW = 4
# Places drawn for each span asked for: around some there is no node of the right size, and some are drawn twice.
TRIES = 4
MAX_ERRORS = 5_000
# Code that an instruction asks for: lines, and words of the instruction.
LEAST_LINES, MOST_LINES = 3, 60
LEAST_WORDS = 4
MOST_DOCUMENTATION = 400


@dataclass(frozen=True, slots=True)
class Span:
    """``middle`` stood between ``prefix`` and ``suffix``; ``node``: its kind, as tree-sitter names it."""

    node: str
    prefix: str
    middle: str
    suffix: str


@dataclass(frozen=True, slots=True)
class Described:
    """``code`` without the documentation it had."""

    documentation: str
    code: str


@dataclass(frozen=True, slots=True)
class Documented:
    """``rows``: of the definition, from 0; ``said``: those of its documentation, where they are among them."""

    text: str
    rows: range
    said: range


class Tree:
    """The syntax tree of one file, where its language has a grammar and it can be parsed: ``root`` is None where not."""

    def __init__(self, source: Text) -> None:
        self.source = source
        self.data = source.text.encode("utf-8", "surrogatepass")
        self.root: Node | None = None
        self.query: Query | None = None
        known = grammar(source.language)
        if known is not None:
            parser, self.query = known
            root = parser.parse(self.data).root_node
            broken = root.type == "ERROR" and root.child_count > MAX_ERRORS
            self.root = None if broken else root

    def spans(self, settings: CollectSettings, chance: random.Random) -> Iterator[Span]:
        """About one span for ``span_every`` bytes, in the order of the text, no two the same."""
        if self.root is None:
            return
        places = self._places(chance)
        count = max(1, round(len(self.data) / settings.span_every))
        found: dict[tuple[int, int], Node] = {}
        for _ in range(count * TRIES):
            if len(found) == count:
                break
            node = _around(self.root, next(places), settings, chance)
            if node is not None:
                found.setdefault((node.start_byte, node.end_byte), node)
        for place in sorted(found):
            yield self._cut(found[place], settings)

    def _places(self, chance: random.Random) -> Iterator[int]:
        """Bytes of the text: anywhere, and ``NEW`` times as often in a line that recent commits brought."""
        rows = self._fresh_rows()
        size = len(self.data)
        fresh = sum(end - start for start, end in rows)
        weight = NEW * fresh / (NEW * fresh + size - fresh) if fresh else 0.0
        while True:
            if chance.random() < weight:
                start, end = chance.choices(rows, [end - start for start, end in rows])[0]
                yield chance.randrange(start, end)
            else:
                yield chance.randrange(size)

    def described(self) -> Iterator[Described]:
        """Definitions with a documentation of some words, of a length one would ask for."""
        if self.root is None or self.query is None:
            return
        lines = self.source.text.split("\n")
        found = _docstrings(self.root) if self.source.language == "python" else self._commented(lines)
        for one in found:
            if LEAST_LINES <= len(one.rows) <= MOST_LINES and len(one.text.split()) >= LEAST_WORDS:
                code = "\n".join(lines[row] for row in one.rows if row not in one.said)
                if code.count("\n") >= LEAST_LINES - 1:
                    yield Described(one.text, code)

    def _commented(self, lines: Sequence[str]) -> Iterator["Documented"]:
        """Definitions with comments above them."""
        assert self.root is not None
        assert self.query is not None
        for one in definitions(self.root, self.query, lines, self.source.language):
            if one.kind in ("function", "method", "class", "struct") and one.doc:
                yield Documented(one.doc, range(one.start_row, one.end_row + 1), range(0))

    def _cut(self, node: "Node", settings: CollectSettings) -> Span:
        start, end = node.start_byte, node.end_byte
        before = self.data[max(0, start - settings.prefix) : start]
        if start > settings.prefix:
            before = before[before.find(b"\n") + 1 :]
        after = self.data[end : end + settings.suffix]
        if end + settings.suffix < len(self.data):
            after = after[: after.rfind(b"\n") + 1]
        return Span(node.type, _text(before), _text(self.data[start:end]), _text(after))

    def _fresh_rows(self) -> list[tuple[int, int]]:
        """Where the lines stand that recent commits brought: first byte, and the one behind the last."""
        if not self.source.recent:
            return []
        rows: list[tuple[int, int]] = []
        at = 0
        for line in self.data.split(b"\n"):
            stripped = line.strip()
            if len(stripped) >= MIN_LINE and zlib.crc32(stripped) in self.source.recent:
                rows.append((at, at + len(line)))
            at += len(line) + 1
        return rows


def _around(root: "Node", place: int, settings: CollectSettings, chance: random.Random) -> "Node | None":
    """One of the named nodes around a byte that have the right size and are code, the root apart; None where there is none."""
    node = root.named_descendant_for_byte_range(place, place)
    fitting: list[Node] = []
    while node is not None and node.parent is not None and node.end_byte - node.start_byte <= settings.span_largest:
        if node.end_byte - node.start_byte >= settings.span_smallest and not _is_prose(node):
            fitting.append(node)
        node = node.parent
    return chance.choice(fitting) if fitting else None


def _is_prose(node: "Node") -> bool:
    """Whether a node is a string, a comment, or a docstring, or could not be parsed."""
    if node.type == "expression_statement" and node.named_child_count == 1:
        node = node.named_children[0]
    return "string" in node.type or "comment" in node.type or node.type == "ERROR"


def _docstrings(root: "Node") -> Iterator[Documented]:
    """Python's functions and classes that begin with a string, in the order of the text."""
    from tree_sitter import QueryCursor

    found = []
    for _, captured in QueryCursor(_query()).matches(root):
        node, string = captured["definition"][0], captured["documentation"][0]
        outer = node.parent if node.parent is not None and node.parent.type == "decorated_definition" else node
        said = range(string.start_point[0], string.end_point[0] + 1)
        text = _text(string.text or b"").strip("rRuUbB").strip("\"' \n")
        rows = range(outer.start_point[0], outer.end_point[0] + 1)
        found.append(Documented(" ".join(text.split("\n\n")[0].split())[:MOST_DOCUMENTATION], rows, said))
    yield from sorted(found, key=lambda one: (one.rows.start, -one.rows.stop))


@cache
def _query() -> "Query":
    """Far fewer nodes than those of all definitions, and found without Python."""
    import tree_sitter_python
    from tree_sitter import Language, Query

    body = "body: (block . (expression_statement . (string) @documentation))"
    text = f"(function_definition {body}) @definition (class_definition {body}) @definition"
    return Query(Language(tree_sitter_python.language()), text)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "ignore")
