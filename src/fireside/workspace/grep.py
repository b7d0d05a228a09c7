"""Exact text and regular expressions over the files as they are on disk now. Knows the workspace's rules; no index, no meaning.

A pattern is tried on one line at a time, as people expect of ``^\\s*name``, unless it speaks of line ends itself (``\\n``, a line break, or
``(?s)``); then it may go over lines. Line ends of any kind are seen as ``\\n``. Patterns run under a deadline: one that goes back
without end is broken off and said so.
"""

import os
import re
import stat
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING

from fireside.core.errors import Invalid, TimedOut
from fireside.workspace.files import FileEntry, SourceText, decode
from fireside.workspace.workspace import Workspace

if TYPE_CHECKING:
    import regex

MAX_PATTERN = 10_000
MAX_TEXT = 200_000
SECONDS = 10.0
# What looks around itself, gives nothing back, or knows where a text ends may fit a line alone and not the same line among others.
LOOKS_AROUND = re.compile(r"\(\?[^:imsx]|\\[AZzGKB]|[*+?}]\+")
# Takes a gigabyte before it is given up.
CALLS_ITSELF = re.compile(r"(?<!\\)\(\?(?:R|&|P>|[+-]?\d)")
OVER_LINES = re.compile(r"\n|\\n|\\R|\(\?[a-zA-Z]*s[a-zA-Z]*[-:)]")
WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Match:
    """One line that fits, or several lines that fit together. Lines count from 1, both ends included.

    ``text``: these lines. ``spans``: where in ``text`` it fits, as (first character, one behind the last), counted from 0.
    ``before``, ``after``: lines around it, as many as were asked for.
    """

    path: str
    line: int
    end_line: int
    text: str
    spans: tuple[tuple[int, int], ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """``more``: the limit was reached and the rest not looked at. ``files``: how many were searched. ``skipped``: as in a scan."""

    matches: tuple[Match, ...]
    more: bool
    files: int
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for. ``regex``: a regular expression, else plain text. ``word``: no word character right before or after it."""

    pattern: str
    regex: bool = False
    ignore_case: bool = False
    word: bool = False


def grep(
    workspace: Workspace,
    query: Query,
    *,
    limit: int = 1_000,
    context: int = 0,
    wanted: Callable[[str], bool] = lambda path: True,
    accepted: Callable[[str, str], bool] = lambda path, text: True,
    seconds: float = SECONDS,
) -> Found:
    """All lines that fit, by path and line, up to ``limit``.

    ``wanted(path)``: asked before a file is read. ``accepted(path, text)``: asked of a file that has a match. ``context``: lines before
    and after. Raises ``Invalid`` for a pattern that cannot be read, ``TimedOut`` after ``seconds`` of matching.
    """
    finder = _finder(query, time.monotonic() + seconds, seconds)
    scan = workspace.scan()
    matches: list[Match] = []
    searched = 0
    for entry in scan.files:
        if not wanted(entry.path):
            continue
        searched += 1
        source = _candidate(workspace, entry, finder)
        if source is None:
            continue
        spans = finder.spans(source.path, source.text)
        first = next(spans, None)
        if first is None or not accepted(source.path, source.text):
            continue
        for match in _Lines(source.path, source.text, context).matches(chain((first,), spans)):
            if len(matches) == limit:
                return Found(tuple(matches), True, searched, scan.skipped)
            matches.append(match)
    return Found(tuple(matches), False, searched, scan.skipped)


class _Finder:
    """Finds the places of one query in texts. ``rare``: bytes of which a file must hold one, or none where that is not known."""

    def __init__(self, search: "Callable[[str, str], Iterator[tuple[int, int]]]", rare: Sequence[bytes] = ()) -> None:
        self.spans = search
        self.rare = rare

    def possible(self, data: bytes) -> bool:
        return not self.rare or data.startswith(WIDE_MARKS) or any(one in data for one in self.rare)


def _finder(query: Query, deadline: float, seconds: float) -> _Finder:
    if not query.pattern:
        raise Invalid("there is nothing to look for: the pattern is empty", remedy="fireside grep TEXT")
    if len(query.pattern) > (MAX_PATTERN if query.regex else MAX_TEXT):
        raise Invalid(
            f"the pattern has {len(query.pattern):,} characters; {MAX_PATTERN if query.regex else MAX_TEXT:,} are allowed",
            remedy="look for a part of it",
        )
    if not query.regex:
        return _literal(query)
    pattern = _compiled(query)

    def search(path: str, text: str) -> Iterator[tuple[int, int]]:
        try:
            yield from _over_lines(pattern, text, deadline) if over else _by_lines(pattern, text, deadline, quick)
        except TimeoutError:
            raise TimedOut(
                f"broken off after {seconds:g} s, in {path}: the pattern goes back and forth too often",
                remedy="make it simpler: repeated groups inside repeated groups cost most",
                phase="total",
            ) from None

    over = OVER_LINES.search(query.pattern) is not None
    quick = not LOOKS_AROUND.search(query.pattern)
    return _Finder(search)


def _literal(query: Query) -> _Finder:
    """Plain text. Without letters of two kinds the bytes tell at once whether a file can hold it."""
    text = query.pattern.replace("\r\n", "\n")
    source = re.escape(text)
    pattern = re.compile(rf"(?<!\w){source}(?!\w)" if query.word else source, re.IGNORECASE if query.ignore_case else 0)

    def search(_: str, text: str) -> Iterator[tuple[int, int]]:
        return (found.span() for found in pattern.finditer(text))

    if query.ignore_case or "\n" in text:
        return _Finder(search)
    rare = {text.encode("utf-8", "surrogatepass")}
    if not text.isascii():
        rare.add(text.encode("latin-1", "replace"))
    return _Finder(search, tuple(rare))


def _compiled(query: Query) -> "regex.Pattern[str]":
    """Raises ``Invalid`` with the place of the mistake."""
    import regex

    if CALLS_ITSELF.search(query.pattern):
        raise Invalid("a pattern that calls itself is not taken", remedy="write out as many levels as you need")
    source = rf"(?<!\w)(?:{query.pattern})(?!\w)" if query.word else query.pattern
    try:
        regex.compile(query.pattern)
        return regex.compile(source, regex.MULTILINE | (regex.IGNORECASE if query.ignore_case else 0))
    except regex.error as error:
        place = f" at character {error.pos + 1}" if error.pos is not None else ""
        raise Invalid(
            f"the pattern cannot be read{place}: {error.msg}",
            remedy="put a backslash before ( [ * + ? . to mean the character itself, or leave out -e to look for plain text",
        ) from error
    except (RecursionError, OverflowError, MemoryError) as error:
        raise Invalid(
            "the pattern cannot be read: it is nested or repeated too much", remedy="make it simpler"
        ) from error


def _over_lines(pattern: "regex.Pattern[str]", text: str, deadline: float) -> Iterator[tuple[int, int]]:
    for found in pattern.finditer(text, timeout=_left(deadline)):
        yield found.span()


def _by_lines(pattern: "regex.Pattern[str]", text: str, deadline: float, quick: bool) -> Iterator[tuple[int, int]]:
    """``quick``: what fits no part of the text fits no line of it either."""
    if quick and pattern.search(text, timeout=_left(deadline)) is None:
        return
    start = 0
    for line in text.split("\n"):
        for number, found in enumerate(pattern.finditer(line, timeout=_left(deadline))):
            # "x*" also fits between any two characters; once a line is enough to say so.
            if number == 0 or found.end() > found.start():
                yield start + found.start(), start + found.end()
        start += len(line) + 1


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _candidate(workspace: Workspace, entry: FileEntry, finder: _Finder) -> SourceText | None:
    """The text of a file that may hold what is looked for."""
    try:
        data = _bytes(workspace.root / entry.path, workspace.max_bytes)
    except OSError:
        return None  # gone, or forbidden, since the walk
    if not finder.possible(data):
        return None
    source = decode(entry.path, data)
    return source if isinstance(source, SourceText) else None


def _bytes(path: Path, most: int) -> bytes:
    # Not to be held up by a pipe that has taken the place of a file since the walk.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        return file.read(most + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


class _Lines:
    """Turns places in a text into lines."""

    def __init__(self, path: str, text: str, context: int) -> None:
        self._path = path
        self._context = context
        self._lines = text.split("\n")
        self._starts = [0, *accumulate(len(line) + 1 for line in self._lines)]

    def matches(self, spans: Iterable[tuple[int, int]]) -> Iterator[Match]:
        """Places that begin in one line and end in one are one match."""
        rows, together = (-1, -1), list[tuple[int, int]]()
        for start, end in spans:
            # A line break at the end belongs to the line it ends.
            found = self._row(start), self._row(max(start, end - 1))
            if found != rows:
                if together:
                    yield self._match(*rows, together)
                rows, together = found, []
            together.append((start, end))
        if together:
            yield self._match(*rows, together)

    def _match(self, first: int, last: int, spans: Sequence[tuple[int, int]]) -> Match:
        lines, around, base = self._lines, self._context, self._starts[first]
        text = "\n".join(lines[first : last + 1])
        return Match(
            self._path,
            first + 1,
            last + 1,
            text,
            tuple((start - base, min(end - base, len(text))) for start, end in spans),
            tuple(lines[max(0, first - around) : first]),
            tuple(lines[last + 1 : last + 1 + around]),
        )

    def _row(self, offset: int) -> int:
        return min(bisect_right(self._starts, offset) - 1, len(self._lines) - 1)
