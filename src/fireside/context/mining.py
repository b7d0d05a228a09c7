"""Questions from a project's own documentation: what a comment says is asked, what it stands above is the answer.

Knows the workspace and syntax trees. The search runs over a copy in which these comments are blank, so that no question finds its own
words; line numbers stay.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from fireside.index.chunks import Progress
from fireside.index.evaluate import Question, Target
from fireside.index.languages import PROSE, grammar, language_of
from fireside.index.paths import kinds
from fireside.index.symbols import ATTRIBUTE_LINE, COMMENT_LINE, Definition, definitions
from fireside.workspace.files import SourceText
from fireside.workspace.workspace import Workspace

if TYPE_CHECKING:
    from tree_sitter import Node, Query

MOST = 60
FEWEST_WORDS = 5
LONGEST = 160
LONGEST_TARGET = 61
SHORTEST_TARGET = 3
DOCSTRINGS = """
(module . (comment)* . (expression_statement (string) @doc))
(block . (comment)* . (expression_statement (string) @doc))
"""
MARKUP = re.compile(
    r"\{@link\w*\s+(?:[^\s}|]+[\s|]+)?([^}]*)\}|\{@\w+\s+([^}]*)\}|\[([^\]]+)\](?:\([^)]*\)|\[[^\]]*\]|\{@\w+[^}]*\})?|:\w+:`~?([^`<]*)[^`]*`"
)
MARKS = re.compile(r"[`]|(?<![\w\])])\*+(?=\w)|(?<=\w)\*+")
SENTENCE = re.compile(r"(?<=[.!?])\s")
NO_QUESTION = ("deprecated", "todo", "fixme", "copyright", "licensed", "see ", "@", "#")


@dataclass(frozen=True, slots=True)
class Mined:
    """``questions``: at most 60, the same for the same sources. ``usable``: how many there were to choose from."""

    questions: tuple[Question, ...]
    usable: int


def mine(
    workspace: Workspace, copy: Path, progress: Callable[[Progress], None] | None = None, *, most: int = MOST
) -> Mined:
    """Copy the project's text to ``copy`` without documentation comments, and ask what they said.

    Left out: comments that occur twice, say the name of what they document, are shorter than five words or 160 characters or longer, or
    whose words also stand elsewhere; and tests, vendored, generated and example code.
    """
    found: list[Question] = []
    words: list[str] = []
    entries = workspace.scan().files
    for done, entry in enumerate(entries, 1):
        source = workspace.look(entry.path)
        if isinstance(source, SourceText):
            blank, questions = _without_documentation(source)
            place = copy / entry.path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(blank, encoding="utf-8", errors="replace", newline="")
            words.append(" ".join(blank.split()))
            found += questions if not kinds(entry.path) else []
        if progress is not None:
            progress(Progress(done, len(entries), entry.path))
    times = Counter(question.text for question in found)
    usable = sorted((question for question in found if times[question.text] == 1), key=_lot)
    everything = "\n".join(words)
    chosen: list[Question] = []
    for question in usable:
        if len(chosen) < most and question.text not in everything:
            chosen.append(question)
    return Mined(tuple(chosen), len(usable))


def _lot(question: Question) -> bytes:
    """The order in which questions are drawn: by chance, but always the same."""
    return blake2b(f"{question.targets[0].path}\n{question.text}".encode("utf-8", "replace"), digest_size=8).digest()


def _without_documentation(source: SourceText) -> tuple[str, list[Question]]:
    """The text with blank lines for documentation comments, and a question for each that can be asked."""
    language = language_of(source.path, source.text)
    known = grammar(language) if language not in PROSE else None
    if known is None:
        return source.text, []
    parser, query = known
    lines = source.text.split("\n")
    root = parser.parse(source.text.encode("utf-8", "surrogatepass")).root_node
    blank = list(lines)
    strings = _docstrings(root) if language == "python" else []
    for node in strings:
        first, last = node.start_point[0], node.end_point[0]
        head = blank[first].encode("utf-8", "surrogatepass")[: node.start_point[1]].decode("utf-8", "surrogatepass")
        # A body must not become empty.
        blank[first : last + 1] = [head + "...", *[""] * (last - first)]
    found = definitions(root, query, lines, language)
    questions = []
    for one in found:
        lead = _lead(one, lines)
        for row in range(lead, one.start_row):
            if COMMENT_LINE.match(lines[row]) and not ATTRIBUTE_LINE.match(lines[row]):
                blank[row] = ""
        # Of a very long comment only the last lines are taken for the documentation, and they do not say what it is about.
        text = _asked(one) if lead == one.lead_row else ""
        if text:
            questions.append((one, text))
    return "\n".join(blank), [
        Question(text, (_target(source.path, one),), language)
        for one, text in questions
        if _own_lines(one, blank) >= SHORTEST_TARGET
    ]


def _lead(one: Definition, lines: Sequence[str]) -> int:
    """First row of the comments above a definition, however many."""
    row = one.lead_row
    while row > 0 and row < one.start_row and COMMENT_LINE.match(lines[row - 1]):
        row -= 1
    return row


def _docstrings(root: "Node") -> "list[Node]":
    from tree_sitter import QueryCursor

    return QueryCursor(_docstring_query()).captures(root).get("doc", [])


@cache
def _docstring_query() -> "Query":
    from tree_sitter import Language, Query
    from tree_sitter_python import language

    return Query(Language(language()), DOCSTRINGS)


def _target(path: str, one: Definition) -> Target:
    return Target(path, one.start_row + 1, min(one.end_row, one.start_row + LONGEST_TARGET - 1) + 1)


def _own_lines(one: Definition, blank: Sequence[str]) -> int:
    return sum(bool(line.strip(" \t.")) for line in blank[one.start_row : one.end_row + 1])


def _asked(one: Definition) -> str:
    """What a documentation comment says, as one would ask for it; "" when it cannot be asked."""
    plain = MARKUP.sub(lambda found: next((part for part in found.groups() if part is not None), ""), one.doc)
    text = " ".join(MARKS.sub("", plain).split())
    text = re.sub(rf"^(?:(?:An?|The)\s+)?{re.escape(one.name)}\s+", "", text)
    if len(text) >= LONGEST:
        text = SENTENCE.split(text)[0]
    said = re.search(rf"(?<!\w){re.escape(one.name)}(?!\w)", text, re.IGNORECASE)
    if said or len(text) >= LONGEST or len(text.split()) < FEWEST_WORDS or text.lower().startswith(NO_QUESTION):
        return ""
    return text
