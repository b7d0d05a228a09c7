"""SEARCH/REPLACE blocks, read. Knows the marks and how models bend them; asks the file only which of several readings is meant.

A file may hold the same marks as its text. Of several ways to divide a block that one is right whose searched lines the file holds.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fireside.workspace.edits.fences import FENCE
from fireside.workspace.edits.labels import info_label, label, mentioned
from fireside.workspace.edits.names import Names
from fireside.workspace.edits.operations import Operation, Replace
from fireside.workspace.edits.refusals import refuse
from fireside.workspace.edits.unfinished import is_prose

BEGIN = re.compile(
    r"^(?P<indent>\s*)(?P<before>.*?)(?P<mark><{5,9}|-{5,9})\s?(?i:SEARCH|ORIGINAL)\b>?:?\s*(?P<after>.*)$"
)
DIVIDE = re.compile(r"^\s*(?P<mark>={5,9})\s*$")
END = re.compile(r"^\s*(?:>{5,9}|\+{5,9})\s?(?i:REPLACE|UPDATED)\b\s*(?P<after>.*)$")
LINE_HINT = re.compile(r"^:(?:start_)?line:\s*(\d+)\s*$")
HINT_RULE = re.compile(r"^(?::end_line:.*|-{5,})\s*$")
LOOK_BACK = 3
CONFLICT = re.compile(r"^\s*(?:<{5,9}|>{5,9})\s*\w")
MOST_READINGS = 400
UNDERLINED = 2

Holds = Callable[[str, Sequence[str]], bool]


@dataclass(frozen=True, slots=True)
class Block:
    """``stop``: the row after the block."""

    search: tuple[str, ...]
    replace: tuple[str, ...]
    stop: int


def has_blocks(lines: Sequence[str]) -> bool:
    return any(BEGIN.match(line) for line in lines)


def read_search_replace(lines: Sequence[str], names: Names, holds: Holds) -> list[Operation]:
    """``holds``: whether the file of that name ("": any) has these lines. Raises ``EditRefused`` (truncated, malformed)."""
    operations: list[Operation] = []
    row, floor, before = 0, 0, ""
    while row < len(lines):
        begun = BEGIN.match(lines[row])
        if not begun:
            row += 1
            continue
        name, mentions = _name(begun, lines[floor:row], names)
        block = _block(lines, row, lambda texts, name=name or before: holds(name, texts))  # type: ignore[misc]
        if _has_second_divider(block):
            raise refuse(
                "malformed", f"the block that begins at line {row + 1} of the answer has two lines =======", path=name
            )
        if name or not mentions:
            mentions = (before,) if before else mentions
        elif before:
            mentions = (*mentions, before)
        operations.append(Operation(name, _replace(block, of_prose=is_prose(name)), () if name else mentions))
        before = name or before
        row = floor = block.stop
    return [_named_below(one, lines[floor:], names) for one in operations]


def _named_below(operation: Operation, below: Sequence[str], names: Names) -> Operation:
    """A block that nothing names may be named by what stands after it."""
    if operation.name or operation.mentions:
        return operation
    return Operation("", operation.action, mentioned(below, names))


def _name(begun: re.Match[str], above: Sequence[str], names: Names) -> tuple[str, tuple[str, ...]]:
    """The name of the block's file, and those mentioned near it where it has none."""
    for beside in (begun["before"].strip(), begun["after"].strip()):
        if beside and (found := label(beside, names)):
            return found, ()
    near = [line for line in above if line.strip()][-LOOK_BACK:]
    for line in reversed(near):
        if END.match(line):
            break
        fence = FENCE.match(line)
        found = info_label(fence["info"], names) if fence else label(line, names)
        if found:
            return found, ()
    return "", mentioned(above, names)


def _block(lines: Sequence[str], start: int, holds: Callable[[Sequence[str]], bool]) -> Block:
    dividers = [row for row in range(start + 1, len(lines)) if DIVIDE.match(lines[row])]
    ends = [row for row in range(start + 1, len(lines)) if END.match(lines[row])]
    if not ends:
        raise refuse("truncated", f"the block that begins at line {start + 1} of the answer has no end mark")
    begins = [row for row in range(start + 1, len(lines)) if BEGIN.match(lines[row])]
    if (not begins or begins[0] > ends[0]) and sum(row < ends[0] for row in dividers) == 1 and dividers[0] < ends[0]:
        later = [row for row in (*dividers, *ends, *begins) if row > ends[0]]
        if not later or min(later) in begins:
            return _cut(lines, start, dividers[0], ends[0])
    if not any(row < ends[-1] for row in dividers):
        raise refuse("malformed", f"the block that begins at line {start + 1} of the answer has no =======")
    return _divided(lines, start, dividers, ends, holds)


def _divided(
    lines: Sequence[str],
    start: int,
    dividers: Sequence[int],
    ends: Sequence[int],
    holds: Callable[[Sequence[str]], bool],
) -> Block:
    """The reading that leaves no mark over, and whose searched lines the file holds: the shortest, and of those the one that finds most."""
    tried = 0
    for end in ends:
        following = next((line for line in lines[end + 1 :] if _is_mark(line)), None)
        if following is not None and not BEGIN.match(following):
            continue
        readings = [divider for divider in dividers if start < divider < end]
        for divider in reversed(readings):
            tried += 1
            block = _cut(lines, start, divider, end)
            known = set(block.search)
            added = [line for line in block.replace if line not in known]
            if (
                tried <= MOST_READINGS
                and _balanced(added)
                and (holds(block.search) if block.search else divider == start + 1)
            ):
                return block
        usual = [divider for divider in readings if _length(lines[divider]) == _length(lines[start])]
        plain = _cut(lines, start, usual[0], end) if len(usual) == 1 else None
        if plain and not any(_is_mark(line) and not DIVIDE.match(line) for line in (*plain.search, *plain.replace)):
            return plain
    raise refuse("truncated", f"the block that begins at line {start + 1} of the answer has no end, or marks too many")


def _cut(lines: Sequence[str], start: int, divider: int, end: int) -> Block:
    begun = BEGIN.match(lines[start])
    indent = begun["indent"] if begun else ""
    search = _outdented(lines[start + 1 : divider], indent)
    replace = _outdented(lines[divider + 1 : end], indent)
    return Block(tuple(search), tuple(replace), end + 1)


def _outdented(texts: Sequence[str], indent: str) -> list[str]:
    """A block that stands within a list, moved to the margin."""
    if indent and all(text.startswith(indent) for text in texts if text.strip()):
        return [text[len(indent) :] for text in texts]
    return list(texts)


def _replace(block: Block, *, of_prose: bool) -> Replace:
    search, replace = list(block.search), list(block.replace)
    line = None
    if search and (hint := LINE_HINT.match(search[0])):
        line = int(hint[1])
        search.pop(0)
        while search and HINT_RULE.match(search[0]):
            search.pop(0)
    if _is_fenced(search) and (_is_fenced(replace) or not replace):
        search, replace = search[1:-1], replace[1:-1]
    elif (
        not of_prose
        and replace
        and replace[-1].strip() == "```"
        and not any(FENCE.match(text) for text in (*search, *replace[:-1]))
    ):
        # The fence around the block, closed a line too early.
        replace.pop()
    return Replace(tuple(search), tuple(replace), line=line)


def _is_fenced(texts: Sequence[str]) -> bool:
    return len(texts) >= 2 and bool(FENCE.match(texts[0])) and texts[-1].strip() == texts[0].strip()[:3]


def _is_mark(line: str) -> bool:
    return bool(BEGIN.match(line) or DIVIDE.match(line) or END.match(line))


def _balanced(texts: Sequence[str]) -> bool:
    """Whether each begin mark among the lines is followed by its divider and its end."""
    depth = 0
    for text in texts:
        if BEGIN.match(text):
            depth += 1
        elif END.match(text):
            depth -= 1
            if depth < 0:
                return False
    return depth == 0


def _has_second_divider(block: Block) -> bool:
    """Whether a new line divides what replaces, and underlines nothing there."""
    known = set(block.search)
    if any(CONFLICT.match(text) for text in block.replace):
        return False
    return any(
        DIVIDE.match(text) and text not in known and abs(len(above.strip()) - len(text.strip())) > UNDERLINED
        for above, text in pairwise(("", *block.replace))
    )


def _length(line: str) -> int:
    found = re.search(r"([<=-])\1{4,8}", line)
    return len(found[0]) if found else 0
