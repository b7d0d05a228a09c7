"""The ``*** Begin Patch`` format, read. Knows its marks; a patch without its end mark is a stump."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from fireside.workspace.edits.names import Names
from fireside.workspace.edits.operations import Action, Delete, Move, Operation, Replace, Write
from fireside.workspace.edits.refusals import refuse
from fireside.workspace.edits.udiff import KnownLines, split_hunk

BEGIN, END = "*** Begin Patch", "*** End Patch"
FILE = re.compile(r"^\*\*\* (?P<what>Add|Create|Update|Modify|Delete|Remove) File:\s*(?P<name>.+?)\s*$", re.IGNORECASE)
MOVE = re.compile(r"^\*\*\* (?:Move|Rename)(?: File)? to:\s*(?P<name>.+?)\s*$", re.IGNORECASE)
END_OF_FILE = "*** End of File"
NUMBERS = re.compile(r"^-(?P<line>\d+)(?:,\d+)?\s+\+\d+(?:,\d+)?\s*(?:@@)?\s*(?P<section>.*)$")
QUOTES = "`'\"*"


def has_patch(lines: Sequence[str]) -> bool:
    return any(line.strip() == BEGIN or FILE.match(line.strip()) for line in lines)


def read_apply_patch(lines: Sequence[str], names: Names, known: KnownLines) -> list[Operation]:
    """``known``: the lines of the file of that name. Raises ``EditRefused`` (truncated, malformed)."""
    operations: list[Operation] = []
    for body in _patches(lines):
        heads = [row for row, line in enumerate(body) if FILE.match(line)]
        for row, after in pairwise([*heads, len(body)]):
            head = FILE.match(body[row])
            if head:
                name = head["name"].strip(QUOTES)
                actions = _actions(head["what"].lower(), name, body[row + 1 : after], known)
                operations += [Operation(name, action) for action in actions]
    return operations


def _patches(lines: Sequence[str]) -> Iterator[list[str]]:
    """The lines of each patch in the answer, without its marks."""
    row = 0
    while row < len(lines):
        line = lines[row].strip()
        if line.endswith(BEGIN) or FILE.match(line):
            first = row + line.endswith(BEGIN)
            rows = [at for at in range(first, len(lines)) if lines[at].strip() == END]
            # With a blank before it, it may be a line of the file, shown around the change.
            end = next((at for at in rows if lines[at].startswith(END)), rows[0] if rows else None)
            if end is None:
                raise refuse("truncated", f"the patch has no {END}")
            if any(lines[at].rstrip() == BEGIN for at in range(first, end)):
                raise refuse("truncated", f"a patch begins before the one above it has its {END}")
            yield list(lines[first:end])
            row = end
        row += 1


def _actions(what: str, name: str, body: Sequence[str], known: KnownLines) -> Iterator[Action]:
    if what in ("add", "create"):
        yield Write(tuple(_added(body, name)), new=True)
    elif what in ("delete", "remove"):
        yield Delete()
    else:
        moved = next((found["name"].strip(QUOTES) for line in body[:2] if (found := MOVE.match(line))), "")
        chunks = list(_chunks([line for line in body if not MOVE.match(line)], known(name)))
        if not chunks and not moved:
            raise refuse("malformed", "the patch names the file and changes nothing", path=name)
        yield from chunks
        if moved:
            yield Move(moved)


def _added(body: Sequence[str], name: str) -> list[str]:
    """The lines of a new file: all with a plus, or all without."""
    last = len(body)
    while last and not body[last - 1].strip():
        last -= 1
    rows = [row for row in body[:last] if row.strip() != END_OF_FILE]
    plus = sum(row.startswith("+") for row in rows)
    if not plus:
        return rows
    if any(row.strip() and not row.startswith("+") for row in rows):
        raise refuse("malformed", "some lines of the new file begin with + and some do not", path=name)
    return [row[1:] for row in rows]


def _chunks(body: Sequence[str], known: frozenset[str]) -> Iterator[Replace]:
    """Each run of lines below its anchors; anchors that follow each other stand one within another."""
    anchors: list[str] = []
    rows: list[str] = []
    line: int | None = None
    for text in [*body, "@@"]:
        at_end = text.strip() == END_OF_FILE
        if not text.startswith("@@") and not at_end:
            rows.append(text)
            continue
        if any(row.strip() for row in rows):
            search, replace = split_hunk(rows, known)
            if not search and not known:
                raise refuse("missing", "an update needs a file, and the lines it replaces")
            yield Replace(tuple(search), tuple(replace), line=line, anchors=tuple(anchors), binding=True, at_end=at_end)
            anchors, line = [], None
        rows = []
        head = text.strip().strip("@").strip() if not at_end else ""
        numbers = NUMBERS.match(head)
        if numbers:
            line, head = int(numbers["line"]) or None, numbers["section"].strip()
        if head:
            anchors.append(head)
