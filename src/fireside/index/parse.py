"""A file as chunks and definitions. Knows text, languages and syntax trees; no files, no index.

Chunks are consecutive whole lines that cover every line with something on it, never overlap, and break where definitions begin
(syntax nodes merged greedily, as in cAST, Zhang et al. 2025). Without a grammar, blank-line paragraphs are merged instead.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from fireside.index.chunks import Chunk, Symbol
from fireside.index.languages import PROSE, SETTINGS, grammar
from fireside.index.symbols import Definition, definitions

if TYPE_CHECKING:
    from tree_sitter import Node

CHUNK_LENGTH = 750
FULL_ENOUGH = 250
HEAD_LENGTH = 200
CRUMB = 60


@dataclass(frozen=True, slots=True)
class Parsed:
    """``fell_back``: why there are line chunks where syntax was wanted, or ""."""

    chunks: list[Chunk]
    symbols: list[Symbol]
    fell_back: str = ""


def parse(path: str, text: str, language: str) -> Parsed:
    """Chunks and definitions of one text with ``\\n`` line ends."""
    lines = text.split("\n")
    found: list[Definition] = []
    fell_back = ""
    try:
        known = grammar(language)
    except (ImportError, OSError, ValueError, SyntaxError) as error:
        known, fell_back = None, f"the {language} grammar does not load: {error}"
    if known is None:
        units = list(_paragraphs(lines))
        if not fell_back and language not in PROSE | SETTINGS:
            fell_back = f"no grammar for {language}"
    else:
        parser, query = known
        root = parser.parse(text.encode("utf-8", "surrogatepass")).root_node
        found = definitions(root, query, lines, language)
        units = _units(root, found)
    spans = _spans(units, lines, {one.lead_row: one.end_row for one in reversed(found)})
    names = _Names(found)
    chunks = [Chunk(path, a + 1, b + 1, "\n".join(lines[a : b + 1]), language, names.of(a, b)) for a, b in spans]
    return Parsed(chunks, [_symbol(path, one) for one in found if one.kind != "impl"], fell_back)


def _symbol(path: str, one: Definition) -> Symbol:
    return Symbol(one.name, one.qualified, one.kind, path, one.start_row + 1, one.end_row + 1, one.signature, one.doc)


def _units(root: "Node", found: Sequence[Definition]) -> list[int]:
    """Rows where a chunk may begin: where syntax nodes begin that are small enough, or have no parts."""
    glued = {row for one in found for row in range(one.lead_row + 1, one.start_row + 1)}
    starts: list[int] = []
    covered = -1
    pending = [root]
    while pending:
        node = pending.pop()
        if node.end_byte - node.start_byte > CHUNK_LENGTH and node.child_count:
            pending.extend(reversed(node.children))
            continue
        first, last = node.start_point[0], node.end_point[0]
        if first > covered and first not in glued:
            starts.append(first)
        covered = max(covered, last - (node.end_point[1] == 0 and last > first))
    return starts


def _paragraphs(lines: Sequence[str]) -> Iterator[int]:
    """Rows that follow a blank line, and rows at the left edge that follow an indented one."""
    previous = ""
    for row, line in enumerate(lines):
        if line.strip() and (
            not previous.strip() or (not line[0].isspace() and previous[0].isspace() and line[0] not in ")]}")
        ):
            yield row
        previous = line


def _spans(units: Sequence[int], lines: Sequence[str], wholes: Mapping[int, int]) -> list[tuple[int, int]]:
    """Chunks as (first row, last row), without blank lines at their ends. ``wholes``: where a definition begins -> its last row."""
    offsets = [0, *accumulate(len(line) + 1 for line in lines)]
    spans: list[tuple[int, int]] = []
    begin = 0
    for first, after in pairwise([*({0: 0} | dict.fromkeys(units)), len(lines)]):
        last = wholes.get(first, after - 1)
        size = offsets[first] - offsets[begin]
        # A definition's first line alone says little: its first statements may make the chunk a little long.
        most = CHUNK_LENGTH if size >= HEAD_LENGTH or first in wholes else CHUNK_LENGTH * 5 // 4
        too_long = offsets[last + 1] - offsets[begin] > most
        if first > begin and (too_long or (first in wholes and size >= FULL_ENOUGH)):
            _close(spans, lines, begin, first - 1)
            begin = first
        if offsets[after] - offsets[begin] > CHUNK_LENGTH * 3 // 2:
            begin = _split(spans, lines, offsets, begin, after)
    _close(spans, lines, begin, len(lines) - 1)
    return spans


def _split(spans: list[tuple[int, int]], lines: Sequence[str], offsets: Sequence[int], begin: int, after: int) -> int:
    """Cut a unit without parts (a long string, comment or paragraph) at line ends. Returns where its last piece begins."""
    while True:
        cut = max(bisect_right(offsets, offsets[begin] + CHUNK_LENGTH) - 1, begin + 1)
        if cut >= after:
            return begin
        _close(spans, lines, begin, cut - 1)
        begin = cut


def _close(spans: list[tuple[int, int]], lines: Sequence[str], first: int, last: int) -> None:
    while first <= last and not lines[first].strip():
        first += 1
    while last >= first and not lines[last].strip():
        last -= 1
    if first > last:
        return
    size = sum(len(line) for line in lines[first : last + 1])
    if size < CRUMB and spans and not lines[first][:1].isalnum():
        # A closing brace alone answers nothing.
        spans[-1] = (spans[-1][0], last)
    else:
        spans.append((first, last))


class _Names:
    """Which definition a span of rows belongs to."""

    def __init__(self, found: Sequence[Definition]) -> None:
        self._found = found

    def of(self, first: int, last: int) -> str:
        """The innermost definition that covers the span; else the longest that begins in it."""
        best, length = "", 0
        around = ""
        for one in self._found:
            if one.lead_row > last:
                break
            if one.lead_row < first and one.end_row >= last:
                around = one.qualified
            elif (
                one.lead_row >= first
                and one.kind != "impl"
                and (rows := min(one.end_row, last) - one.lead_row + 1) > length
            ):
                best, length = one.qualified, rows
        return best if length * 2 > last - first or not around else around
