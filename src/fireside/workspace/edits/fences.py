"""Fenced listings of an answer, with the name each goes by. Knows Markdown's fences and the ways models break them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fireside.workspace.edits.labels import info_label, label, mentioned
from fireside.workspace.edits.names import Names

FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<mark>`{3,}|~{3,})(?P<info>.*)$")
GLUED = re.compile(r"^(?P<label>[^\s`~][^`]*?\.\w+)[ \t]*(?P<mark>`{3,})(?P<info>[\w+-]*)\s*$")
NESTED_INFO = re.compile(r"^\s*[\w+#.:/-]+(\s.*)?$")
MARKDOWN = (".md", ".markdown", ".mdx", ".rst", ".txt", ".adoc")


@dataclass(frozen=True, slots=True)
class Listing:
    """``first``, ``last``: rows of the fences. ``last`` is -1 where none closes it. ``mentions``: files named in the text before."""

    name: str
    info: str
    texts: tuple[str, ...]
    first: int
    last: int
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    row: int
    indent: str
    mark: str
    info: str
    label: str = ""


def fence_marks(lines: Sequence[str]) -> list[Mark]:
    marks: list[Mark] = []
    for row, line in enumerate(lines):
        found = FENCE.match(line)
        if found and not (found["mark"][0] == "`" and "`" in found["info"]):
            marks.append(Mark(row, found["indent"], found["mark"], found["info"].strip()))
        elif glued := GLUED.match(line):
            marks.append(Mark(row, "", glued["mark"], glued["info"], glued["label"]))
    return marks


def listings(lines: Sequence[str], names: Names) -> list[Listing]:
    """All listings, from top to bottom, none inside another."""
    marks = fence_marks(lines)
    found: list[Listing] = []
    at = 0
    floor = 0
    while at < len(marks):
        opening = marks[at]
        name = _name_of(opening, lines, floor, names)
        if not opening.info and not any(line.strip() for line in lines[opening.row + 1 :]):
            break
        closing = _closing(marks, at, lines, names, name)
        last = marks[closing].row if closing is not None else -1
        body = lines[opening.row + 1 : last if closing is not None else len(lines)]
        texts = tuple(_outdented(body, opening.indent))
        mentions = mentioned(lines[floor : opening.row], names)
        found.append(Listing(name, opening.info, texts, opening.row, last, mentions))
        if closing is None:
            break
        at, floor = closing + 1, last + 1
    return found


def _name_of(opening: Mark, lines: Sequence[str], floor: int, names: Names) -> str:
    if opening.label:
        return label(opening.label, names) or opening.label
    above = [line for line in lines[floor : opening.row] if line.strip()]
    return info_label(opening.info, names) or (label(above[-1], names) if above else "")


def _closing(marks: Sequence[Mark], at: int, lines: Sequence[str], names: Names, name: str) -> int | None:
    """Which mark closes the one at ``at``. A fence with a word behind it opens another one within."""
    opening = marks[at]
    depth = 0
    candidates: list[int] = []
    for number in range(at + 1, len(marks)):
        one = marks[number]
        if one.label or _begins_next(marks, number, lines, names, bool(candidates)):
            break
        if one.mark[0] != opening.mark[0] or len(one.mark) < len(opening.mark):
            continue
        if len(one.indent) > len(opening.indent) + 3:
            continue
        if NESTED_INFO.match(one.info):
            depth += 1
        elif depth:
            depth -= 1
        else:
            candidates.append(number)
    if not candidates:
        return None
    markdown = name.lower().endswith(MARKDOWN) or opening.info.lower() in ("markdown", "md")
    if markdown and len(candidates) % 2 == 0 and not _stray(marks, candidates, lines):
        return None
    return candidates[-1] if markdown and len(candidates) % 2 else candidates[0]


def _begins_next(marks: Sequence[Mark], number: int, lines: Sequence[str], names: Names, closed: bool) -> bool:
    """Whether a fence begins the listing of another file: a name stands above it, or in it."""
    if not closed:
        return False
    above = [line for line in lines[marks[number - 1].row + 1 : marks[number].row] if line.strip()]
    return bool(info_label(marks[number].info, names) or (above and label(above[-1], names)))


def _stray(marks: Sequence[Mark], candidates: Sequence[int], lines: Sequence[str]) -> bool:
    """Whether the last fence is one too many: nothing stands before it, nor after it."""
    before, last = marks[candidates[-2]].row, marks[candidates[-1]].row
    return len(candidates) == 2 and not any(line.strip() for line in (*lines[before + 1 : last], *lines[last + 1 :]))


def _outdented(body: Sequence[str], indent: str) -> list[str]:
    """The lines of a listing that stands within a list, moved to the margin."""
    if indent and all(line.startswith(indent) for line in body if line.strip()):
        return [line[len(indent) :] for line in body]
    return list(body)
