"""Apply a model's answer to files: all of it, or nothing. Knows texts and names; opens and writes no file.

``apply_edits`` is the whole of it for a mapping of files; ``plan_edits`` says what would change, for a caller that writes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from fireside.workspace.edits.document import Document
from fireside.workspace.edits.dressing import as_hunk, undressed
from fireside.workspace.edits.elision import is_phrase, stands_for_more
from fireside.workspace.edits.formats import Asked, check_format, read_answer
from fireside.workspace.edits.function import Outline, python_outline, rewrite
from fireside.workspace.edits.merge import Change
from fireside.workspace.edits.operations import (
    Delete,
    InsertAfter,
    Move,
    Operation,
    Replace,
    Rewrite,
    Shown,
    Substitute,
    Write,
)
from fireside.workspace.edits.part import not_whole, stops_parsing
from fireside.workspace.edits.redaction import check_redacted
from fireside.workspace.edits.refusals import EditRefused, Refusal, refuse
from fireside.workspace.edits.scope import below_anchors
from fireside.workspace.edits.sheet import Sheet
from fireside.workspace.edits.targets import Targets, alike, same_content
from fireside.workspace.edits.unfinished import breaks_off, looks_like_prose

Data = TypeVar("Data", str, bytes)
Done = Literal["created", "edited", "deleted", "renamed"]
GUESSED_ALIKE = 0.5
UNNAMED_ALIKE = 0.4


@dataclass(frozen=True, slots=True)
class FileChange:
    """``data``: the new content, None for a deleted file. ``source``: the name it had, for a renamed one, else ""."""

    path: str
    action: Done
    data: str | bytes | None
    source: str = ""


def apply_edits(
    answer: str,
    files: Mapping[str, Data],
    *,
    format: str = "auto",
    outline: Outline = python_outline,
    excluded: Callable[[str], bool] | None = None,
) -> dict[str, Data]:
    """The files after the answer was applied. Deleted ones are gone, renamed ones stand under their new name; ``files`` stays as it is.

    ``files``: path relative to the project, with forward slashes, -> content, all ``str`` or all ``bytes``; new files are of the same
    type (UTF-8). ``format``: auto, search_replace, whole, udiff, apply_patch, edit_tool or function. ``outline``: where definitions
    stand, for ``function``. ``excluded``: paths nobody may write to.

    Raises ``EditRefused`` when any part of the answer cannot be applied safely, ``Invalid`` for a format there is not.
    """
    after = dict(files)
    for change in plan_edits(answer, files, format=format, outline=outline, excluded=excluded):
        after.pop(change.source or change.path, None)
        if change.data is not None:
            after[change.path] = change.data  # type: ignore[assignment]
    return after


def plan_edits(
    answer: str,
    files: Mapping[str, str | bytes],
    *,
    format: str = "auto",
    outline: Outline = python_outline,
    excluded: Callable[[str], bool] | None = None,
    root: str = "",
) -> tuple[FileChange, ...]:
    """What the answer changes, by path. As ``apply_edits``, but ``files`` may be read lazily: only what the answer names is looked up.

    ``root``: the folder the names are relative to, so that absolute names within it are understood.
    """
    wanted = check_format(format)
    targets = Targets(files, root=root, excluded=excluded)
    asked = Asked(targets.names, targets.known, targets.holds, targets.first_line)
    desk = _Desk(targets, outline)
    problems: list[Refusal] = []
    for operation in read_answer(answer, wanted, asked):
        try:
            desk.do(operation)
        except EditRefused as error:
            problems += error.at(operation.name).refusals
    if problems:
        raise EditRefused(list(dict.fromkeys(problems)))
    return desk.changes()


class _Desk:
    """The files an answer touches, while its operations are done one after another."""

    def __init__(self, targets: Targets, outline: Outline) -> None:
        self.targets = targets
        self.outline = outline
        self.sheets: dict[str, Sheet] = {}
        self.made: set[str] = set()
        self.deleted: set[str] = set()
        self.moved: dict[str, str] = {}
        self.written: dict[str, Write] = {}
        self.shown: list[tuple[str, Shown]] = []

    def do(self, operation: Operation) -> None:
        """Raises ``EditRefused``."""
        path = self._target(operation)
        action = operation.action
        try:
            if path is None:
                self._create(operation)
                return
            self.targets.allowed(path)
            if isinstance(action, Delete):
                self._delete(path, action)
            elif isinstance(action, Move):
                self._move(path, action)
            elif isinstance(action, Shown):
                self.shown.append((path, action))
            else:
                self._edit(path, operation)
        except EditRefused as error:
            raise error.at(path or operation.name) from None

    def changes(self) -> tuple[FileChange, ...]:
        """Raises ``EditRefused`` (no_op) when nothing changes at all."""
        self._check_shown()
        changes: list[FileChange] = []
        for path, sheet in self.sheets.items():
            try:
                data = sheet.data
            except EditRefused as error:
                raise error.at(path) from None
            if path in self.moved:
                changes.append(FileChange(self.moved[path], "renamed", data, source=path))
            elif path in self.made and path not in self.targets.files:
                changes.append(FileChange(path, "created", data))
            elif data != self.targets.files[path]:
                changes.append(FileChange(path, "edited", data))
        changes += [FileChange(path, "deleted", None) for path in self.deleted if path not in self.sheets]
        if not changes:
            raise refuse("no_op", "the answer changes nothing", path=next(iter(self.sheets), ""))
        return tuple(sorted(changes, key=lambda change: change.path))

    def _check_shown(self) -> None:
        """A listing beside the edits that is neither the file before nor after them was meant to be written."""
        for path, action in self.shown:
            before = {text.strip() for text in self.targets.texts(path)}
            after = {text.strip() for text in self.sheets[path].texts} if path in self.sheets else set()
            if any(text.strip() not in before | after for text in action.texts if not stands_for_more(text)):
                raise refuse("malformed", "the answer edits in parts, and shows other content of this file", path=path)

    def _target(self, operation: Operation) -> str | None:
        """The file as it is named now, None for one that is to be made."""
        path = self.targets.find(operation)
        new_name = next((old for old, new in self.moved.items() if new == path), None)
        path = new_name or path
        return None if path in self.deleted else path

    def _sheet(self, path: str) -> Sheet:
        if path not in self.sheets:
            self.sheets[path] = Sheet(self.targets.document(path))
        return self.sheets[path]

    def _edit(self, path: str, operation: Operation) -> None:
        action = operation.action
        sheet = self._sheet(path)
        check_redacted(action, "\n".join((*sheet.base, *sheet.texts)))
        if isinstance(action, Write):
            self._overwrite(path, sheet, action, named=bool(operation.name))
        elif isinstance(action, Replace) and not any(text.strip() for text in action.search):
            self._fill(sheet, action)
        elif isinstance(action, Replace):
            sheet.replace(action)
        elif isinstance(action, Substitute):
            sheet.substitute(action)
        elif isinstance(action, InsertAfter):
            _insert(sheet, action)
        elif isinstance(action, Rewrite):
            before = sheet.texts
            sheet.change(rewrite(action, path, before, self.outline))
            wrong = stops_parsing(path, before, sheet.texts)
            if wrong:
                raise refuse("malformed", wrong)

    def _create(self, operation: Operation) -> None:
        action = operation.action
        path = self.targets.allowed(operation.name)
        if isinstance(action, Write):
            texts: Sequence[str] = action.texts
        elif isinstance(action, Replace) and not any(text.strip() for text in action.search):
            texts = action.replace
        else:
            raise refuse("missing", "there is no such file", self.targets.names.like(path), path=path)
        check_redacted(action, "")
        texts = undressed(path, (), texts) if isinstance(action, Write) else texts
        self._check_free(path)
        if any(is_phrase(text) for text in texts):
            raise refuse("elided", "the new file leaves lines out; write them out", path=path)
        if not any(text.strip() for text in texts) and not (isinstance(action, Write) and action.new):
            raise refuse("truncated", "the listing is empty", path=path)
        self.deleted.discard(path)
        sheet = Sheet(Document((), encoding=None if self._is_text() else "utf-8"))
        sheet.write(texts)
        self.sheets[path] = sheet
        self.made.add(path)
        self.targets.names.add(path)

    def _check_free(self, path: str) -> None:
        parents = [path[:at] for at, sign in enumerate(path) if sign == "/"]
        if any(parent in self.targets.files for parent in parents):
            raise refuse("malformed", "a part of this path is a file, not a folder", path=path)
        if any(name.startswith(path + "/") for name in self.targets.names.known):
            raise refuse("exists", "there is a folder of this name", path=path)

    def _fill(self, sheet: Sheet, action: Replace) -> None:
        texts = sheet.texts
        if not any(text.strip() for text in texts):
            sheet.write(action.replace)
        elif action.at_end:
            sheet.change([Change(len(texts), len(texts), action.replace)])
        elif action.anchors and action.binding:
            row = below_anchors(action.anchors, texts)
            sheet.change([Change(row, row, action.replace)])
        else:
            raise refuse("exists", "the file is there already; an edit needs the lines it replaces or stands beside")

    def _overwrite(self, path: str, sheet: Sheet, action: Write, *, named: bool) -> None:
        before = sheet.texts
        if action.new:
            raise refuse("exists", "a file of this name is there already; edit it, or give another name")
        if self.written.setdefault(path, action) is not action and self.written[path] != action:
            raise refuse("overlap", "the answer writes this file twice, differently")
        hunk = as_hunk(before, action.texts)
        if hunk is not None:
            sheet.replace(Replace(*hunk))
            return
        texts = _as_many_blank_lines(before, undressed(path, before, action.texts))
        check_redacted(Write(tuple(texts)), "\n".join(before))
        stump = breaks_off(path, before, texts)
        if stump:
            raise refuse("truncated", stump)
        too_short = len(texts) < GUESSED_ALIKE * len(before)
        if action.guessed and (
            too_short or alike(before, texts) < GUESSED_ALIKE or looks_like_prose(path, before, texts)
        ):
            raise refuse("malformed", "the answer has no listing: put the whole file between fences, below its path")
        if not named and any(before) and alike(before, texts) < UNNAMED_ALIKE:
            raise refuse("malformed", "the listing is not like the file, and names none; write its path above it")
        sheet.write(texts)
        # Only now: that lines are left out is the better reason, where both are true.
        wrong = not_whole(path, before, texts) or stops_parsing(path, before, texts)
        if wrong:
            raise refuse("malformed", wrong)

    def _delete(self, path: str, action: Delete) -> None:
        if action.texts is not None and not same_content(self._sheet(path).texts, action.texts):
            raise refuse("not_found", "the diff deletes the file but does not show all of its lines")
        self.targets.files[path]
        self.sheets.pop(path, None)
        self.deleted.add(path)

    def _move(self, path: str, action: Move) -> None:
        to = self.targets.allowed(action.to)
        if to == path:
            raise refuse("no_op", "the file has this name already")
        there = next((name for name in self.targets.names.known if name.casefold() == to.casefold()), None)
        if there is not None and there != path and there not in self.deleted:
            raise refuse("exists", f"there is a file {there} already", path=to)
        self._check_free(to)
        self._sheet(path)
        self.moved[path] = to
        self.targets.names.add(to)

    def _is_text(self) -> bool:
        """Whether files are given as ``str``."""
        touched = next(iter(self.sheets.values()), None)
        if touched is not None:
            return touched.document.encoding is None
        return all(isinstance(self.targets.files[path], str) for path in list(self.targets.names.known)[:1])


def _insert(sheet: Sheet, action: InsertAfter) -> None:
    if action.line > len(sheet.lines):
        raise refuse("not_found", f"the file has {len(sheet.lines)} lines, not {action.line}")
    sheet.change([Change(action.line, action.line, action.texts)])


def _as_many_blank_lines(before: list[str], texts: Sequence[str]) -> list[str]:
    """A listing without the blank lines that only part it from its fences."""
    after = [texts[0].removeprefix("\ufeff"), *texts[1:]] if texts else []
    while after and not after[0].strip() and (not before or before[0].strip()):
        after.pop(0)
    while after and not after[-1].strip() and (not before or before[-1].strip()):
        after.pop()
    return after
