"""Unified diffs, read. Knows git's headers and how models bend hunks: no numbers, wrong numbers, context without its leading blank.

Line numbers only ever help to choose between places that fit.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from fireside.workspace.edits.elision import is_dots
from fireside.workspace.edits.fences import FENCE
from fireside.workspace.edits.labels import info_label, label, looks_like_path, mentioned
from fireside.workspace.edits.names import Names
from fireside.workspace.edits.operations import Delete, Move, Operation, Replace, Write
from fireside.workspace.edits.refusals import refuse

HUNK = re.compile(
    r"^@@+\s*(?:-(?P<line>\d+)(?:,(?P<old>\d+))?\s+\+\d+(?:,(?P<new>\d+))?\s*(?:@@+)?)?(?P<section>.*?)\s*(?:@@+)?\s*$"
)
OLD_NAME = re.compile(r"^---\s+(?P<name>\S.*)$")
NEW_NAME = re.compile(r"^\+\+\+\s+(?P<name>\S.*)$")
GIT = re.compile(r"^diff --git\s+(?P<old>\"?a/.+?)\s+(?P<new>\"?b/.+?)\s*$")
VERSION = re.compile(r"^\d+\.\d+(?:\.\d+)*\s*$")
BINARY = ("Binary files ", "GIT binary patch")
EXTENDED = re.compile(
    r"^(?:index [0-9a-f]+\.\.|old mode |new mode |new file mode |deleted file mode |similarity index |dissimilarity index |"
    r"rename (?:from|to) |copy (?:from|to) )"
)
STAMP = re.compile(r"\t.*$|\s+\d{4}-\d\d-\d\d.*$|\s+\((?:original|modified|new|old|updated)\)$")
NOWHERE = "/dev/null"

KnownLines = Callable[[str], frozenset[str]]


@dataclass(slots=True)
class Hunk:
    """``rows``: its lines as they stand in the answer. ``old``, ``new``: how many lines its head counts, None where it does not."""

    line: int | None = None
    old: int | None = None
    new: int | None = None
    sections: tuple[str, ...] = ()
    rows: list[str] = field(default_factory=list)


@dataclass(slots=True)
class FileDiff:
    """``headless``: there was a ``diff --git`` line, and no names after ``---`` and ``+++`` so far."""

    old: str = ""
    new: str = ""
    rename: str = ""
    deletes: bool = False
    headless: bool = False
    hunks: list[Hunk] = field(default_factory=list)


def has_headers(lines: Sequence[str]) -> bool:
    return any(_is_header(lines, row) for row in range(len(lines)))


def has_diff(lines: Sequence[str]) -> bool:
    return has_headers(lines) or any(GIT.match(line) or re.match(r"^@@ .*@@", line) for line in lines)


def read_udiff(lines: Sequence[str], names: Names, known: KnownLines) -> list[Operation]:
    """``known``: the lines of the file of that name. Raises ``EditRefused`` (truncated, malformed)."""
    body, fenced, mentions = _body(_unsigned(lines), names)
    diffs = list(_diffs(body))
    operations: list[Operation] = []
    before = ""
    for diff in diffs:
        name = before if not diff.old and not diff.new else ""
        operations += _operations(diff, names, known, mentions, name)
        before = diff.new if diff.new not in ("", NOWHERE) else diff.old or before
    if diffs and diffs[-1].hunks and not fenced:
        _check_counts(diffs[-1].hunks[-1])
    return operations


def _unsigned(lines: Sequence[str]) -> list[str]:
    """Without the version that git writes below a patch for mail: its dashes would take a line out."""
    signed = {
        row + at
        for row, below in enumerate(lines[1:])
        if lines[row].rstrip() == "--" and VERSION.match(below)
        for at in (0, 1)
    }
    return [line for row, line in enumerate(lines) if row not in signed]


def _body(lines: Sequence[str], names: Names) -> tuple[list[str], bool, tuple[str, ...]]:
    """The lines of the diff, whether a fence closes it, and the files named near it."""
    kept: list[str] = []
    prose: list[str] = []
    opened = -1
    for row, line in enumerate(lines):
        fence = FENCE.match(line)
        if fence is None or fence["indent"] or (opened >= 0 and fence["info"].strip()):
            if opened < 0:
                prose.append(line)
        elif opened < 0:
            opened = row
        else:
            kept += _fenced(lines[opened:row], prose, names)
            opened = -1
    if opened >= 0 and _fenced(lines[opened:], prose, names):
        raise refuse("truncated", "the diff has no end")
    if kept:
        return kept, True, mentioned(prose, names)
    return prose, False, mentioned([line for line in prose if line[:1] not in ("+", "-", " ", "@")], names)


def _fenced(listing: Sequence[str], prose: Sequence[str], names: Names) -> list[str]:
    """The diff in a listing; empty for a listing of something else. A diff without a header may be named above its fence, or behind it."""
    fence = FENCE.match(listing[0])
    info = fence["info"].strip() if fence else ""
    body = list(listing[1:])
    headed = any(OLD_NAME.match(text) or GIT.match(text) for text in body[:4])
    signed = any(text[:1] in ("+", "-") for text in body)
    is_diff = info.split(" ")[0].lower() in ("diff", "patch", "udiff", "")
    if not headed and not any(text.startswith("@@") for text in body) and not (is_diff and signed):
        return []
    if headed:
        return body
    told = [text for text in prose if text.strip()]
    named = info_label(info, names) or (label(told[-1], names) if told else "")
    return [f"--- {named}", f"+++ {named}", *body] if named else ["@@", *body]


def _diffs(lines: Sequence[str]) -> Iterator[FileDiff]:
    """The files of a diff, each with its hunks. Lines outside of them are prose."""
    diff: FileDiff | None = None
    hunk: Hunk | None = None
    for row, line in enumerate(lines):
        git = GIT.match(line)
        headed = _is_header(lines, row)
        if git or (headed and (diff is None or not diff.headless)):
            if diff is not None:
                yield diff
            diff, hunk = FileDiff(), None
            if git:
                diff.old, diff.new, diff.headless = git["old"], git["new"], True
                continue
        if headed and diff is not None:
            diff.old, diff.headless = _name(line), False
        elif diff is not None and row and _is_header(lines, row - 1) and NEW_NAME.match(line):
            diff.new = _name(line)
            hunk = None
        elif diff is not None and line.startswith(BINARY):
            raise refuse("binary", "a diff of files that are not text cannot be applied", path=_unprefixed(diff.new))
        elif diff is not None and hunk is None and EXTENDED.match(line):
            _note(diff, line)
        elif (found := HUNK.match(line)) and line.startswith("@@"):
            diff = diff or FileDiff()
            outer = hunk.sections if hunk is not None and not any(row.strip() for row in hunk.rows) else ()
            hunk = _begin(found, outer)
            diff.hunks.append(hunk)
        elif diff is not None and (hunk is not None or (diff.new and line[:1] in ("+", "-", " "))):
            if hunk is None:
                hunk = Hunk()
                diff.hunks.append(hunk)
            hunk.rows.append(line)
    if diff is not None:
        yield diff


def _is_header(lines: Sequence[str], row: int) -> bool:
    """``---`` is a header only with ``+++`` below it, or a path and ``@@``: else a line that begins with dashes was taken out."""
    if row + 1 >= len(lines):
        return False
    old, below = OLD_NAME.match(lines[row]), lines[row + 1]
    alone = old and below.startswith("@@") and looks_like_path(_name(lines[row]))
    return bool(alone or (old and NEW_NAME.match(below)))


def _name(line: str) -> str:
    return STAMP.sub("", line[4:].strip()).strip().strip('"`')


def _note(diff: FileDiff, line: str) -> None:
    if line.startswith("rename from "):
        diff.old = line.removeprefix("rename from ").strip().strip('"')
    elif line.startswith("rename to "):
        diff.rename = diff.new = line.removeprefix("rename to ").strip().strip('"')
    elif line.startswith("deleted file mode"):
        diff.deletes, diff.new = True, NOWHERE
    elif line.startswith("new file mode"):
        diff.old = NOWHERE
    elif line.startswith(("copy from", "copy to")):
        raise refuse("malformed", "a diff that copies a file cannot be applied; add the new file with its lines")


def _begin(found: re.Match[str], outer: tuple[str, ...]) -> Hunk:
    """``outer``: what the heads right above say; each names a line within the one before."""
    counts = {key: int(found[key]) if found[key] else None for key in ("line", "old", "new")}
    section = found["section"].strip().removesuffix("@@").strip()
    sections = (*outer, section) if section and not is_dots(section) else outer
    return Hunk(counts["line"], counts["old"], counts["new"], sections)


def _operations(
    diff: FileDiff, names: Names, known: KnownLines, mentions: tuple[str, ...], before: str
) -> Iterator[Operation]:
    hunks = [hunk for hunk in diff.hunks if any(line.strip() for line in hunk.rows)]
    if diff.old == NOWHERE:
        yield Operation(_unprefixed(diff.new), Write(tuple(_added(hunks, diff.new)), new=True))
        return
    if diff.new == NOWHERE or diff.deletes:
        removed = tuple(text for hunk in hunks for text in split_hunk(hunk.rows, frozenset())[0])
        yield Operation(_unprefixed(diff.old), Delete(removed))
        return
    name, renamed = _source(diff, names)
    name = name or before
    for hunk in hunks:
        yield Operation(name, _replace(hunk, known(name)), () if name else mentions)
    if renamed and (hunks or diff.rename):
        yield Operation(name, Move(renamed))
    elif not hunks:
        raise refuse("truncated", "the diff names the file and changes nothing", path=name)


def _source(diff: FileDiff, names: Names) -> tuple[str, str]:
    """The file that is changed, and the name it gets, if another."""
    old, new = _unprefixed(diff.old), _unprefixed(diff.new)
    if diff.rename:
        return old, diff.rename
    if old == new or not old or not new:
        return new or old, ""
    if old in names and new not in names and old.rpartition("/")[2] != new.rpartition("/")[2]:
        # Without git's own lines it may be a misspelling, or the name of a copy.
        raise refuse(
            "ambiguous", f'the diff calls the file {old} and {new}; say "rename to" if that is meant', path=old
        )
    return (old, "") if old in names and new not in names else (new, "")


def _unprefixed(name: str) -> str:
    return re.sub(r"^\"?[abciow]/(?=.)", "", name).strip('"') if name != NOWHERE else ""


def _added(hunks: Sequence[Hunk], name: str) -> list[str]:
    """The lines of a new file. Raises when some of them are no additions."""
    rows = [row for hunk in hunks for row in _without_end(hunk.rows) if not row.startswith("\\")]
    if any(row.strip() and not row.startswith("+") for row in rows):
        raise refuse("malformed", "a new file has only lines that begin with +", path=_unprefixed(name))
    return [row[1:] for row in rows]


def _replace(hunk: Hunk, known: frozenset[str]) -> Replace:
    search, replace = split_hunk(hunk.rows, known)
    # What git writes behind its numbers may stand above the hunk by chance; a head without numbers was meant to say where.
    binding = bool(hunk.sections) and hunk.line is None
    return Replace(tuple(search), tuple(replace), line=hunk.line or None, anchors=hunk.sections, binding=binding)


def split_hunk(rows: Sequence[str], known: frozenset[str]) -> tuple[list[str], list[str]]:
    """The lines before and after. ``known``: those of the file; they tell whether a leading blank is the diff's or the line's own."""
    rows = [row for row in _without_end(rows) if not row.startswith("\\")]
    signed = [row[1:] for row in rows if row[:1] in ("+", "-")]
    taken = [row[1:] for row in rows if row.startswith("-")]
    # "- text": a blank after each sign that is none of the line's own.
    spaced = bool(taken) and all(text[:1] in (" ", "") for text in signed) and not known.issuperset(taken)
    spaced = spaced and known.issuperset(text[1:] for text in taken)
    search: list[str] = []
    replace: list[str] = []
    for row in rows:
        sign, text = row[:1], row[1:]
        if sign in ("+", "-") and spaced:
            text = text[1:]
        if sign == "+":
            replace.append(text)
        elif sign == "-":
            search.append(text)
        else:
            text = text if sign in (" ", "") and (text in known or row not in known) else row
            search.append(text)
            replace.append(text)
    return search, replace


def _without_end(rows: Sequence[str]) -> list[str]:
    """Without the empty lines that only part one hunk from what follows it."""
    last = len(rows)
    while last and not rows[last - 1]:
        last -= 1
    return list(rows[:last])


def _check_counts(hunk: Hunk) -> None:
    """The last hunk of a diff that nothing closes must not end in the middle of its changes."""
    rows = _without_end(hunk.rows)
    old = sum(not row.startswith(("+", "\\")) for row in rows)
    new = sum(not row.startswith(("-", "\\")) for row in rows)
    if hunk.old is None or hunk.line is None or not rows:
        return
    if old < hunk.old and new < (1 if hunk.new is None else hunk.new) and rows[-1].startswith(("+", "-")):
        raise refuse("truncated", "the last hunk ends before the lines its head counts")
