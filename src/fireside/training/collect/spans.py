"""Spans on syntax nodes, cut out of a file for fill-in-the-middle, and code that its documentation describes.

Knows syntax trees. A place in the text is drawn, then one of the nodes around it: so long nodes are likelier than short ones, in
proportion to their length, though a file has far more short ones. Lines that recent commits brought are drawn ``NEW`` times as often.
"""

import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fireside.index.languages import grammar
from fireside.index.symbols import Definition, definitions
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
        for one in definitions(self.root, self.query, lines, self.source.language):
            rows = one.end_row - one.start_row + 1
            if one.kind not in ("function", "method", "class", "struct") or not LEAST_LINES <= rows <= MOST_LINES:
                continue
            if len(one.doc.split()) >= LEAST_WORDS:
                code = self._undocumented(one, lines)
                if code.count("\n") >= LEAST_LINES - 1:
                    yield Described(one.doc, code)

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

    def _undocumented(self, one: Definition, lines: Sequence[str]) -> str:
        """The definition's own lines; of Python's, without the docstring."""
        without: range = range(0)
        if self.source.language == "python" and self.root is not None:
            without = _docstring_rows(self.root, one)
        return "\n".join(lines[row] for row in range(one.start_row, one.end_row + 1) if row not in without)


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


def _docstring_rows(root: "Node", one: Definition) -> range:
    """The rows of the string that a body begins with."""
    node = root.descendant_for_point_range((one.start_row, 10_000), (one.end_row, 0))
    while node is not None and node.type not in ("function_definition", "class_definition"):
        inner = node.child_by_field_name("definition")
        node = inner if inner is not None else node.parent
    body = node.child_by_field_name("body") if node is not None else None
    first = body.named_children[0] if body is not None and body.named_children else None
    if first is None or first.type != "expression_statement" or not first.named_children:
        return range(0)
    string = first.named_children[0]
    return range(string.start_point[0], string.end_point[0] + 1) if string.type == "string" else range(0)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "ignore")
