"""The formats an answer may be written in, and how each is known by its marks. Reads; applies nothing."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from fireside.core.errors import Invalid
from fireside.workspace.edits.apply_patch import has_patch, read_apply_patch
from fireside.workspace.edits.beside import check_one_format, files_beside, holds_blocks, holds_calls, without_files
from fireside.workspace.edits.edit_tool import has_calls, read_edit_tool
from fireside.workspace.edits.fences import listings
from fireside.workspace.edits.function import read_function
from fireside.workspace.edits.names import Names
from fireside.workspace.edits.operations import Operation, Replace, Substitute
from fireside.workspace.edits.reasoning import answer_lines
from fireside.workspace.edits.refusals import refuse
from fireside.workspace.edits.search_replace import has_blocks, read_search_replace
from fireside.workspace.edits.udiff import has_diff, has_headers, read_udiff
from fireside.workspace.edits.whole import read_whole

Format = Literal["search_replace", "whole", "udiff", "apply_patch", "edit_tool", "function"]
FORMATS: tuple[Format, ...] = get_args(Format)
MOST_ANSWER = 10_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What reading may ask about the files. ``known``: a file's lines; ``holds``: whether it has these lines, one below the other."""

    names: Names
    known: Callable[[str], frozenset[str]]
    holds: Callable[[str, Sequence[str]], bool]
    first_line: Callable[[str], str]


def check_format(name: str) -> Format | None:
    """None for "auto". Raises ``Invalid`` for a format there is not."""
    if name == "auto":
        return None
    found = next((one for one in FORMATS if one == name), None)
    if found is None:
        raise Invalid(f"there is no format {name!r}", remedy=f"one of: auto, {', '.join(FORMATS)}")
    return found


def read_answer(answer: str, format: Format | None, asked: Asked) -> list[Operation]:
    """What the answer asks for. Raises ``EditRefused``: truncated, malformed, too_large; also when it asks for nothing."""
    if len(answer) > MOST_ANSWER:
        raise refuse("too_large", f"the answer has more than {MOST_ANSWER:,} characters")
    lines = answer_lines(answer)
    if not any(line.strip() for line in lines):
        raise refuse("malformed", "the answer holds no edit: it is empty, or nothing but reasoning")
    operations = _read(lines, format or detect(lines, asked.names), asked)
    # The marks tell more than the name somebody gave the format.
    if not operations and format is not None and (other := detect(lines, asked.names)) not in (format, "whole"):
        operations = _read(lines, other, asked)
    if not operations:
        raise refuse("malformed", "the answer holds no edit")
    if any(isinstance(one.action, Replace | Substitute) for one in operations):
        check_one_format(lines, asked.names)
        operations = [*operations, *files_beside(lines, asked.names, asked.known)]
    return operations


def detect(lines: Sequence[str], names: Names) -> Format:
    """The format whose marks the answer bears; whole files where it bears none."""
    if has_calls(lines) and _is_json("\n".join(lines)):
        return "edit_tool"
    plain = without_files(lines, names)
    if has_patch(plain):
        return "apply_patch"
    if holds_blocks(plain):
        return "search_replace"
    if has_diff(plain):
        return "udiff"
    if holds_calls(plain, names):
        return "edit_tool"
    if any(one.name for one in read_function(lines, names) if getattr(one.action, "name", "")):
        return "function"
    return "whole"


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _read(lines: Sequence[str], format: Format, asked: Asked) -> list[Operation]:
    match format:
        case "search_replace":
            return read_search_replace(lines, asked.names, asked.holds)
        case "udiff" if has_patch(lines) and not has_headers(lines):
            return read_apply_patch(lines, asked.names, asked.known)
        case "udiff":
            return read_udiff(lines, asked.names, asked.known)
        case "apply_patch":
            return read_apply_patch(lines, asked.names, asked.known)
        case "edit_tool":
            return read_edit_tool(lines)
        case "function":
            return read_function(lines, asked.names)
        case "whole":
            return _read_whole(lines, asked)


def _begins_as_file(lines: Sequence[str], asked: Asked) -> bool:
    """Whether a listing begins with a line of its file: marks of edits may be what the file holds."""
    return any(
        one.name and one.texts[:1] and one.texts[0] in asked.known(one.name) for one in listings(lines, asked.names)
    )


def _read_whole(lines: Sequence[str], asked: Asked) -> list[Operation]:
    """Whole files, unless what stands in the listings, or instead of any, are edits."""
    plain = without_files(lines, asked.names)
    if (
        _begins_as_file(lines, asked)
        or plain != list(lines)
        or not (has_blocks(plain) or has_patch(plain) or has_diff(plain) or holds_calls(plain, asked.names))
    ):
        return read_whole(lines, asked.names, asked.first_line)
    return _read(lines, detect(lines, asked.names), asked)
