"""Calls of an edit tool, read: a path, an old and a new text, one or many, in JSON that may be damaged. Knows the names tools use."""

import re
from collections.abc import Iterator, Mapping, Sequence

from fireside.workspace.edits.damaged_json import BreaksOff, Json, NotJson, decoded_once, read_json, unwrapped
from fireside.workspace.edits.operations import InsertAfter, Operation, Replace, Rewrite, Substitute, Write
from fireside.workspace.edits.refusals import refuse

PATH = (
    "path",
    "file_path",
    "filePath",
    "filepath",
    "file",
    "filename",
    "file_name",
    "fileName",
    "target_file",
    "targetFile",
    "uri",
)
OLD = (
    "old_string",
    "old_str",
    "oldString",
    "oldStr",
    "old_text",
    "oldText",
    "old",
    "search_text",
    "search",
    "find",
    "original",
    "old_content",
    "oldContent",
    "old_code",
    "old_lines",
    "old_snippet",
    "before",
)
NEW = (
    "new_string",
    "new_str",
    "newString",
    "newStr",
    "new_text",
    "newText",
    "new",
    "replace_text",
    "replacement",
    "replace_with",
    "replace",
    "updated",
    "new_content",
    "newContent",
    "new_code",
    "new_lines",
    "new_snippet",
    "after",
)
EVERYWHERE = (
    "replace_all",
    "replaceAll",
    "all_occurrences",
)
MANY = (
    "edits",
    "changes",
    "replacements",
    "operations",
    "tool_calls",
    "calls",
)
CONTENT = (
    "content",
    "contents",
    "file_text",
    "fileText",
)
WRAPPED = (
    "arguments",
    "input",
    "parameters",
    "params",
    "args",
    "tool_input",
    "function",
    "tool_call",
)
SYMBOL = (
    "symbol",
    "function_name",
    "symbol_name",
)
SOURCE = (
    "source",
    "new_source",
    "code",
)
COUNT = (
    "expected_replacements",
    "expectedReplacements",
    "expected_count",
)
LINE = (
    "start_line",
    "startLine",
    "line_number",
    "line",
)
INSERT = (
    "insert_line",
    "insertLine",
)
INSERTED = (
    "insert_text",
    "insertText",
    "new_str",
    "newStr",
    "text",
)
OTHER = (
    "name",
    "type",
    "id",
    "command",
    "tool",
    "description",
    "explanation",
    "instructions",
)
KEYS = frozenset(
    (
        *PATH,
        *OLD,
        *NEW,
        *EVERYWHERE,
        *MANY,
        *CONTENT,
        *WRAPPED,
        *SYMBOL,
        *SOURCE,
        *COUNT,
        *LINE,
        *INSERT,
        *INSERTED,
        *OTHER,
    )
)
CHANGES = re.compile(r"delete|remove|move|rename|create|write|append|patch|insert|replace|edit", re.IGNORECASE)
BEGINS = re.compile(
    r"[\[{]\s*(?:(?:[\[{]|//[^\n]*\n|/\*.*?\*/)\s*)*(?:\\*[\"'\u201c]|[A-Za-z_]\w*\s*:)|\"\s*[\[{]\s*\\+\""
)
TELLING = re.compile(rf"\\*[\"'\u201c]?\b(?:{'|'.join((*OLD, *NEW, *CONTENT, *MANY, *SOURCE))})\b\\*[\"'\u201d]?\s*:")


def has_calls(lines: Sequence[str]) -> bool:
    text = "\n".join(lines)
    return bool(BEGINS.search(text) and TELLING.search(text))


def read_edit_tool(lines: Sequence[str]) -> list[Operation]:
    """Raises ``EditRefused`` (truncated, malformed)."""
    operations: list[Operation] = []
    for value in _values("\n".join(lines)):
        operations += _operations(value, "")
    return operations


def _values(text: str) -> Iterator[Json]:
    """Each value of the answer that is a call. A value that breaks off is refused if it is one."""
    if '\\"' in text and re.match(r"\s*(?:```\w*\s*)?[\[{]\s*\\+\"", text):
        text = decoded_once(re.sub(r"^\s*```\w*\s*", "", text))
    at = 0
    while found := BEGINS.search(text, at):
        try:
            value, at = read_json(text, found.start(), KEYS)
            yield unwrapped(value, KEYS)
        except BreaksOff:
            if TELLING.search(text, found.start()):
                raise refuse("truncated", "the JSON breaks off") from None
            at = found.end()
        except NotJson as error:
            if TELLING.search(text, found.start(), found.start() + 2_000):
                raise refuse("malformed", f"the JSON cannot be read: {error}") from None
            at = found.end()


def _operations(value: Json, path: str) -> Iterator[Operation]:
    if isinstance(value, list):
        for one in value:
            yield from _operations(unwrapped(one, KEYS), path)
    if not isinstance(value, dict):
        return
    path = _text(value, PATH) or path
    if any(key in value for key in OLD) or _is_replacement(value):
        yield Operation(path, _edit(value, path))
        return
    if (line := _number(value, INSERT)) is not None:
        yield Operation(path, InsertAfter(line, _lines(_wanted(value, INSERTED, path))))
        return
    if any(key in value for key in SOURCE) and any(key in value for key in SYMBOL):
        yield Operation(path, Rewrite(_text(value, SYMBOL) or "", _lines(_wanted(value, SOURCE, path))))
        return
    if any(key in value for key in CONTENT) and path:
        yield Operation(path, Write(_lines(_wanted(value, CONTENT, path)), new=value.get("command") == "create"))
        return
    nested = [
        one for key in (*MANY, *WRAPPED) if key in value for one in _operations(unwrapped(value[key], KEYS), path)
    ]
    name = value.get("name")
    if not nested and isinstance(name, str) and CHANGES.search(name):
        raise refuse("malformed", f"there is no tool {name!r} here that is understood", path=path)
    yield from nested


def _is_replacement(value: Mapping[str, Json]) -> bool:
    return value.get("command") == "str_replace" or any(key in value for key in NEW if key not in INSERTED)


def _edit(value: Mapping[str, Json], path: str) -> Substitute | Replace:
    old, new = _wanted(value, OLD, path), _wanted(value, NEW, path)
    old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
    if not old:
        return Replace((), _lines(new))
    everywhere = next((value[key] for key in EVERYWHERE if key in value), False)
    count = _number(value, COUNT)
    return Substitute(
        old,
        new,
        everywhere=everywhere in (True, "true", "True") or (count or 0) > 1,
        count=count,
        line=_number(value, LINE),
    )


def _wanted(value: Mapping[str, Json], keys: Sequence[str], path: str) -> str:
    """A text that must be there. A list of texts is one text, line by line."""
    found = next((value[key] for key in keys if key in value), None)
    if isinstance(found, list) and all(isinstance(one, str) for one in found):
        return "\n".join(str(one).removesuffix("\n") for one in found)
    if not isinstance(found, str):
        raise refuse("malformed", f"the call has no {keys[0]}", path=path)
    return found


def _text(value: Mapping[str, Json], keys: Sequence[str]) -> str | None:
    found = next((value[key] for key in keys if key in value), None)
    return found if isinstance(found, str) else None


def _number(value: Mapping[str, Json], keys: Sequence[str]) -> int | None:
    found = next((value[key] for key in keys if key in value), None)
    if isinstance(found, str) and found.strip().isdigit():
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def _lines(text: str) -> tuple[str, ...]:
    """The last line end closes the last line; it begins no other."""
    text = text.replace("\r\n", "\n").removesuffix("\n")
    return tuple(text.split("\n")) if text else ()
