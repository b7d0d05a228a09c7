"""Whole files between tags, as the prompts of some editors ask for them. Knows the tags; replaces nothing."""

import re
from collections.abc import Iterator, Sequence

from fireside.workspace.edits.fences import FENCE
from fireside.workspace.edits.operations import Operation, Write
from fireside.workspace.edits.refusals import refuse

OPENS = re.compile(
    r"^\s*<(?P<tag>write_to_file|create_file|write_file|file)(?:\s+(?:path|name)=[\"'](?P<name>[^\"']+)[\"'])?\s*>\s*$",
    re.IGNORECASE,
)
PATH = re.compile(r"^\s*<(?:path|file_path)>(?P<name>.*?)</(?:path|file_path)>\s*$", re.IGNORECASE)
CONTENT = re.compile(r"^\s*<content>(?P<rest>.*)$", re.IGNORECASE)
END_OF_CONTENT = re.compile(r"^(?P<rest>.*?)</content>\s*$", re.IGNORECASE)


def read_tagged(lines: Sequence[str]) -> Iterator[Operation]:
    """Raises ``EditRefused`` (truncated) for a file without an end tag."""
    row = 0
    while row < len(lines):
        opened = OPENS.match(lines[row])
        fenced = opened and any(FENCE.match(line) for line in lines[max(row - 1, 0) : row])
        path = PATH.match(lines[row + 1]) if opened and row + 1 < len(lines) else None
        name = ((opened and opened["name"]) or (path and path["name"]) or "").strip()
        if not opened or fenced or not name:
            row += 1
            continue
        closed = re.compile(rf"^\s*</{opened['tag']}>\s*$", re.IGNORECASE)
        end = next((at for at in range(row + 1, len(lines)) if closed.match(lines[at])), None)
        if end is None:
            raise refuse("truncated", f"the file has no </{opened['tag']}>", path=name)
        yield Operation(name, Write(tuple(_content(lines[row + 1 + bool(path) : end], name))))
        row = end + 1


def _content(lines: Sequence[str], name: str) -> list[str]:
    """What stands between the tags of the content, or between those of the file where it has no others."""
    told = list(lines)
    begun = CONTENT.match(told[0]) if told else None
    if begun:
        last = next((at for at in reversed(range(len(told))) if END_OF_CONTENT.match(told[at])), None)
        if last is None:
            raise refuse("truncated", "the file has no </content>", path=name)
        told[0] = begun["rest"]
        ended = END_OF_CONTENT.match(told[last])
        told = [*told[:last], ended["rest"] if ended else ""]
        told = told[not told[0].strip() : len(told) - (len(told) > 1 and not told[-1].strip())]
    marks = [row for row, text in enumerate(told) if text.strip()]
    if len(marks) > 1 and FENCE.match(told[marks[0]]) and told[marks[-1]].strip() == told[marks[0]].strip()[:3]:
        told = told[marks[0] + 1 : marks[-1]]
    return told
