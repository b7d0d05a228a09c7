"""Pairs to learn from: what somebody wrote about code, and the chunk of code it is about, as the index would hold it.

Knows syntax trees, comments and chunks; no packages, no numbers. The chunk never holds the comment it is paired with.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fireside.index.chunks import Chunk
from fireside.index.embedder import Passage
from fireside.index.languages import grammar
from fireside.index.lexical import PART
from fireside.index.parse import parse
from fireside.index.symbols import COMMENT_LINE, COMMENT_MARK, Definition, definitions
from fireside.training.archives import SourceFile
from fireside.training.embedding.questions import question

if TYPE_CHECKING:
    from tree_sitter import Node

KINDS = ("doc", "comment", "name", "file", "message")
KEEP_DOCUMENTS = 0.15
NAMES = 0.15
ELSEWHERE = 0.25
MAX_COMMENTS = 12
MAX_MESSAGES = 6
MESSAGE_WORDS = 4
MESSAGE_LENGTH = 160
MAX_ERRORS = 5_000
PLACEHOLDER = re.compile(r"%[-+#0-9.*]*[a-zA-Z]|[$#]?\{[^{}]*\}|\\[nrt]")
MIN_NAME_PARTS = 2
MIN_BODY_ROWS = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """``kind``: where the question comes from (one of ``KINDS``)."""

    kind: str
    question: str
    passage: Passage


@dataclass(frozen=True, slots=True)
class Comment:
    """Rows count from 0, both ends included."""

    first: int
    last: int
    text: str


def mine(source: SourceFile, chance: random.Random) -> Iterator[Pair]:
    """All pairs of one file. Files that do not parse, or that say nothing about themselves, give none."""
    lines = source.text.split("\n")
    known = grammar(source.language)
    if known is None:
        return
    parser, query = known
    root = parser.parse(source.text.encode("utf-8", "surrogatepass")).root_node
    if root.type == "ERROR" or root.child_count > MAX_ERRORS:
        return
    found = definitions(root, query, lines, source.language)
    comments = list(_comments(root, lines))
    documents = _documents(root, found, lines, source.language)
    inline = [one for one in comments if one.first not in documents and _inside(one, found)]
    chance.shuffle(inline)
    inline = [one for one in inline if question(one.text)][:MAX_COMMENTS]
    blank = {row for one in inline for row in range(one.first, one.last + 1)}
    if chance.random() >= KEEP_DOCUMENTS:
        blank |= documents
    else:
        found = [one for one in found if not one.doc]
    text = "\n".join("" if row in blank else line for row, line in enumerate(lines))
    chunks = parse(source.path, text, source.language).chunks
    if chunks:
        yield from _documented(found, chunks, chance)
        yield from _commented(inline, chunks)
        yield from _named(found, chunks, chance)
        yield from _whole(comments, root, chunks, source.language, chance)
        yield from _said(root, documents, chunks, chance)


def _documented(found: Sequence[Definition], chunks: Sequence[Chunk], chance: random.Random) -> Iterator[Pair]:
    for one in found:
        asked = question(one.doc, one.name) if one.doc else ""
        inside = [chunk for chunk in chunks if chunk.start_line <= one.end_row + 1 and chunk.end_line > one.start_row]
        if asked and inside and one.kind != "impl":
            chunk = chance.choice(inside) if chance.random() < ELSEWHERE else inside[0]
            yield Pair("doc", asked, _passage(chunk))


def _commented(inline: Sequence[Comment], chunks: Sequence[Chunk]) -> Iterator[Pair]:
    for one in inline:
        chunk = next((chunk for chunk in chunks if chunk.end_line > one.last + 1), None)
        if chunk is not None and chunk.start_line <= one.last + 3:
            yield Pair("comment", question(one.text), _passage(chunk))


def _named(found: Sequence[Definition], chunks: Sequence[Chunk], chance: random.Random) -> Iterator[Pair]:
    """A name's words, and the body under it with the name taken away."""
    for one in found:
        parts = PART.findall(one.name)
        if (
            one.doc
            or len(parts) < MIN_NAME_PARTS
            or one.end_row - one.start_row < MIN_BODY_ROWS
            or chance.random() > NAMES
        ):
            continue
        chunk = next((chunk for chunk in chunks if chunk.end_line > one.start_row), None)
        if chunk is not None:
            outer = one.qualified.rpartition(".")[0]
            passage = Passage(chunk.path, outer, chunk.text.replace(one.name, ""))
            yield Pair("name", " ".join(part.lower() for part in parts), passage)


def _whole(
    comments: Sequence[Comment], root: "Node", chunks: Sequence[Chunk], language: str, chance: random.Random
) -> Iterator[Pair]:
    """What the file says about itself at its top, and some chunk of it."""
    said = _docstring(root) if language == "python" else None
    texts = [said[1]] if said else [one.text for one in comments[:3] if one.first < 40]
    for text in texts:
        asked = question(text)
        if asked and len(chunks) > 1:
            yield Pair("file", asked, _passage(chance.choice(chunks[1:])))
            return


def _said(root: "Node", documents: set[int], chunks: Sequence[Chunk], chance: random.Random) -> Iterator[Pair]:
    """What the code says in words when something happens (errors, logs), and the chunk without these words: how a symptom is reported."""
    found: list[tuple[int, str]] = []
    pending = [root]
    while pending:
        node = pending.pop()
        if "string" not in node.type or node.type.startswith("concatenated"):
            pending.extend(node.children)
            continue
        text = (node.text or b"").decode("utf-8", "replace").strip("rRbBuUfF\"'`$@ ")
        row = node.start_point[0]
        if (
            row not in documents
            and len(text) <= MESSAGE_LENGTH
            and len(text.split()) >= MESSAGE_WORDS
            and "\n" not in text
        ):
            found.append((row, text))
    chance.shuffle(found)
    for row, text in found[:MAX_MESSAGES]:
        asked = question(PLACEHOLDER.sub(" ", text))
        chunk = next((chunk for chunk in chunks if chunk.start_line <= row + 1 <= chunk.end_line), None)
        if asked and chunk is not None and text in chunk.text:
            yield Pair("message", asked, Passage(chunk.path, chunk.symbol, chunk.text.replace(text, "")))


def _passage(chunk: Chunk) -> Passage:
    return Passage(chunk.path, chunk.symbol, chunk.text)


def _comments(root: "Node", lines: Sequence[str]) -> Iterator[Comment]:
    """Comments that have their lines to themselves; line comments that follow each other are one."""
    group: Comment | None = None
    pending = [root]
    while pending:
        node = pending.pop()
        if "comment" not in node.type:
            pending.extend(reversed(node.children))
            continue
        first, last = node.start_point[0], node.end_point[0] - (node.end_point[1] == 0)
        if lines[first][: node.start_point[1]].strip():
            continue
        text = " ".join(COMMENT_MARK.sub("", line).strip() for line in lines[first : last + 1])
        if group is not None and group.last == first - 1:
            group = Comment(group.first, last, f"{group.text} {text}")
        else:
            if group is not None:
                yield group
            group = Comment(first, last, text)
    if group is not None:
        yield group


def _documents(root: "Node", found: Sequence[Definition], lines: Sequence[str], language: str) -> set[int]:
    """Rows of documentation: comments right above definitions, and Python's docstrings."""
    rows = {
        row
        for one in found
        for row in range(one.lead_row, one.start_row)
        if COMMENT_LINE.match(lines[row]) or lines[row].strip().startswith(("*", "*/"))
    }
    if language == "python":
        pending = [root]
        while pending:
            node = pending.pop()
            pending.extend(node.children)
            if node.type in ("block", "module") and (said := _docstring(node)):
                rows |= said[0]
    return rows


def _docstring(block: "Node") -> tuple[set[int], str] | None:
    """Rows and text of the string a block begins with."""
    first = next((child for child in block.named_children if child.type != "comment"), None)
    if first is None or first.type != "expression_statement" or not first.named_children:
        return None
    string = first.named_children[0]
    if string.type != "string" or string.text is None:
        return None
    text = string.text.decode("utf-8", "replace").strip("rRbBuU\"' \n")
    return set(range(string.start_point[0], string.end_point[0] + 1)), text.split("\n\n")[0]


def _inside(comment: Comment, found: Sequence[Definition]) -> bool:
    return any(one.start_row < comment.first <= one.end_row for one in found)
