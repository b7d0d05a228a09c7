"""A file as chunks and definitions. Knows text, languages and syntax trees; no files, no index.

Chunks are consecutive whole lines that cover every line with something on it, never overlap, and break where definitions begin
(syntax nodes merged greedily, as in cAST, Zhang et al. 2025). Without a grammar, blank-line paragraphs are merged instead.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from fireside.index.chunks import Chunk, Symbol
from fireside.index.languages import PROSE, SETTINGS, grammar
from fireside.index.symbols import Definition, definitions

if TYPE_CHECKING:
    from tree_sitter import Node, Query

CHUNK_LENGTH = 750
FULL_ENOUGH = 250
HEAD_LENGTH = 200
CRUMB = 60
MAX_ERRORS = 5_000


@dataclass(frozen=True, slots=True)
class Parsed:
    """``fell_back``: why there are line chunks where syntax was wanted, or ""."""

    chunks: list[Chunk]
    symbols: list[Symbol]
    fell_back: str = ""


def parse(path: str, text: str, language: str) -> Parsed:
    """Chunks and definitions of one text with ``\\n`` line ends."""
    lines = text.split("\n")
    root, query, fell_back = _tree(text, language)
    found = definitions(root, query, lines, language) if root is not None and query is not None else []
    units = _units(root, found) if root is not None else list(_paragraphs(lines))
    spans = _spans(units, lines, {one.lead_row: one.end_row for one in reversed(found)})
    chunks = [
        Chunk(path, first + 1, last + 1, "\n".join(lines[first : last + 1]), language, name)
        for (first, last), name in zip(spans, _names(spans, found), strict=True)
    ]
    return Parsed(chunks, [_symbol(path, one) for one in found if one.kind != "impl"], fell_back)


def _tree(text: str, language: str) -> "tuple[Node | None, Query | None, str]":
    """The syntax tree and the query for definitions; or nothing, and why, where syntax was wanted."""
    try:
        known = grammar(language)
    except (ImportError, OSError, ValueError, SyntaxError) as error:
        return None, None, f"the {language} grammar does not load: {error}"
    if known is None:
        return None, None, "" if language in PROSE | SETTINGS else f"no grammar for {language}"
    parser, query = known
    root = parser.parse(text.encode("utf-8", "surrogatepass")).root_node
    # Where nothing could be made of the text it hangs flat under one error, over which a query takes quadratic time.
    if root.type == "ERROR" and root.child_count > MAX_ERRORS:
        return None, None, f"not {language} that can be parsed"
    return root, query, ""


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


def _names(spans: Sequence[tuple[int, int]], found: Sequence[Definition]) -> list[str]:
    """For each span the longest definition that begins in it, or the innermost one around it when that one begins before."""
    names: list[str] = []
    waiting = deque(sorted(found, key=lambda one: one.lead_row))
    near: list[Definition] = []
    for first, last in spans:
        near = [one for one in near if one.end_row >= first]
        while waiting and waiting[0].lead_row <= last:
            near.append(waiting.popleft())
        inside = [one for one in near if one.lead_row >= first and one.kind != "impl"]
        around = [one for one in near if one.lead_row < first and one.end_row >= last]
        best = max(inside, key=lambda one: min(one.end_row, last) - one.lead_row, default=None)
        if best is not None and (not around or (min(best.end_row, last) - best.lead_row + 1) * 2 > last - first):
            names.append(best.qualified)
        else:
            names.append(around[-1].qualified if around else "")
    return names
