"""One file while it is edited. Each edit is looked for in the file as it was read, and then as the earlier edits left it.

So edits may come in any order, and a later one may build on an earlier one; two that want the same lines are refused.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise

from fireside.workspace.edits.document import Document, Line, replace_lines
from fireside.workspace.edits.elision import elided, stands_for_more
from fireside.workspace.edits.escapes import readings, splits_a_string
from fireside.workspace.edits.ladder import EXACT, STEPS, Step, find
from fireside.workspace.edits.merge import Change, changes, opcodes
from fireside.workspace.edits.near import Neighbourhood
from fireside.workspace.edits.operations import Replace, Substitute
from fireside.workspace.edits.refusals import EditRefused, refuse
from fireside.workspace.edits.scope import choose
from fireside.workspace.edits.shift import at_depth
from fireside.workspace.edits.spelling import indent_of
from fireside.workspace.edits.substitute import substitutions

Finder = Callable[[Sequence[str]], list[Change] | None]


class Sheet:
    """``document``: the file as it was read."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.base = document.texts
        self.lines = [Line(line.text, line.end, row) for row, line in enumerate(document.lines)]
        self.done: set[Replace | Substitute] = set()

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    @property
    def data(self) -> str | bytes:
        """The file as it is now. Raises ``EditRefused`` (encoding)."""
        return self.document.write(self.lines)

    def replace(self, edit: Replace) -> None:
        """Raises ``EditRefused`` when the lines are not there exactly once, by any step of the ladder."""
        edit = dataclasses.replace(edit, replace=at_depth(edit.search, edit.replace))
        if edit in self.done or edit.search == edit.replace:
            return
        self._first_that_fits(_finders(edit), edit)
        self.done.add(edit)

    def substitute(self, edit: Substitute) -> None:
        """Raises ``EditRefused`` when the text is not there exactly once."""
        edit = dataclasses.replace(edit, new="\n".join(at_depth(edit.old.split("\n"), edit.new.split("\n"))))
        if edit in self.done or edit.old == edit.new:
            return
        as_lines = _as_lines(edit.old, edit.new, edit.line)
        self._first_that_fits([] if edit.everywhere else _text_finders(edit, as_lines), as_lines, edit)
        self.done.add(edit)

    def change(self, found: Sequence[Change]) -> None:
        """Changes in rows of the file as it is now, from top to bottom."""
        self._check_elision(found, self.texts)
        for one in reversed(found):
            replace_lines(self.lines, one.start, one.stop, one.texts)

    def write(self, texts: Sequence[str]) -> None:
        """All lines anew; those that stay keep their line ends."""
        before = self.texts
        self.change([Change(i1, i2, tuple(texts[j1:j2])) for _, i1, i2, j1, j2 in opcodes(before, texts)])

    def _first_that_fits(self, finders: Iterable[Finder], edit: Replace, text: Substitute | None = None) -> None:
        if text is not None and text.everywhere:
            finders = [partial(substitutions, text)]
        for finder in finders:
            if self._try(finder):
                return
        raise self._nowhere(edit)

    def _try(self, finder: Finder) -> bool:
        """Apply what ``finder`` finds, if it finds anything. Raises what it raises for the file as it is now, or else as it was."""
        problem: EditRefused | None = None
        found = None
        try:
            found = finder(self.base)
        except EditRefused as error:
            problem = error
        if found is not None:
            placed = self._rows_now(found)
            if placed is not None:
                self._check_elision(found, self.base)
                self.change(placed)
                return True
            problem = refuse(
                "overlap", "an earlier edit of this answer changes the same lines", _shown(found, self.base)
            )
        if self._is_changed():
            try:
                found = finder(self.texts)
            except EditRefused as error:
                raise problem or error from None
            if found is not None:
                self.change(found)
                return True
        if problem is not None:
            raise problem
        return False

    def _is_changed(self) -> bool:
        return len(self.lines) != len(self.base) or any(line.origin is None for line in self.lines)

    def _rows_now(self, found: Sequence[Change]) -> list[Change] | None:
        """Changes of the file as it was, in rows of the file as it is. None where an earlier edit changed the same lines."""
        if not self._is_changed():
            return list(found)
        now: dict[int | None, int] = {
            line.origin: row for row, line in enumerate(self.lines) if line.origin is not None
        }
        placed: list[Change] = []
        for one in found:
            start = self._place_now(one, now)
            length = one.stop - one.start
            if start is None or any(now.get(one.start + at) != start + at for at in range(length)):
                return None
            placed.append(Change(start, start + length, one.texts, one.below))
        return placed

    def _place_now(self, one: Change, now: dict[int | None, int]) -> int | None:
        if one.start < one.stop:
            return now.get(one.start)
        above = now.get(one.start - 1)
        beneath = now.get(one.start, len(self.lines) if one.start == len(self.base) else None)
        if one.below and above is not None:
            return above + 1
        if beneath is not None:
            return beneath
        return above + 1 if above is not None else None

    def _check_elision(self, found: Sequence[Change], texts: Sequence[str]) -> None:
        known = {text.strip() for text in texts}
        for one in found:
            mark = elided(one.texts, texts[one.start : one.stop], known)
            if mark is not None:
                raise refuse("elided", f"{mark!r} stands for lines that are not shown; write them out")

    def _nowhere(self, edit: Replace) -> EditRefused:
        texts = self.texts
        if any(stands_for_more(text) for text in edit.search):
            return refuse(
                "elided", "the text to be found leaves lines out; write them all, or only the part that changes"
            )
        if edit.replace and any(text.strip() for text in edit.replace) and find(EXACT, edit.replace, texts):
            row = find(EXACT, edit.replace, texts)[0].start
            shown = [f"{at + 1}: {texts[at]}" for at in range(row, min(row + len(edit.replace), row + 12))]
            return refuse("not_found", "the text is not there, but its replacement is: it may be done already", shown)
        shown = list(Neighbourhood(edit.search, texts).nearest())
        what = "the nearest lines are shown" if shown else "nothing there is like it"
        return refuse("not_found", f"the text is not there; {what}", shown)


def _finders(edit: Replace) -> Iterator[Finder]:
    for step in STEPS:
        yield partial(_by_step, edit, step)
    for straight in _with_straight_head(edit):
        for step in STEPS:
            yield partial(_by_step, straight, step)
    if any(stands_for_more(text) for text in edit.search):
        yield partial(_around_elisions, edit)
    else:
        yield partial(_nearly, edit)


def _text_finders(edit: Substitute, as_lines: Replace) -> Iterator[Finder]:
    yield partial(substitutions, edit)
    others = [
        (Substitute(old, new, line=edit.line), _as_lines(old, new, edit.line))
        for old, new in readings(edit.old, edit.new)
        if not splits_a_string(new) or splits_a_string(old)
    ]
    for other, _ in others:
        yield partial(substitutions, other)
    for lines in (as_lines, *(lines for _, lines in others)):
        for step in STEPS:
            yield partial(_by_step, lines, step)
    if any(stands_for_more(text) for text in as_lines.search):
        yield partial(_around_elisions, as_lines)
    else:
        yield partial(_nearly, as_lines)


def _as_lines(old: str, new: str, line: int | None) -> Replace:
    search, replace = old.strip("\n"), new.strip("\n")
    return Replace(tuple(search.split("\n")), tuple(replace.split("\n")) if replace else (), line=line)


def _with_straight_head(edit: Replace) -> Iterator[Replace]:
    """The same with its first line as deep as another one below it: models lose the blanks before the first."""
    lost = indent_of(edit.search[0])
    for depth in dict.fromkeys(indent_of(text) for text in edit.search[1:] if text.strip()):
        if edit.search[0].strip() and len(lost) < len(depth):
            replace = list(edit.replace)
            if replace and indent_of(replace[0]) == lost:
                replace[0] = depth + replace[0].lstrip()
            search = (depth + edit.search[0].lstrip(), *edit.search[1:])
            yield dataclasses.replace(edit, search=search, replace=tuple(replace))


def _by_step(edit: Replace, step: Step, texts: Sequence[str]) -> list[Change] | None:
    match = choose(find(step, edit.search, texts), edit, texts)
    return changes(edit, match, texts) if match is not None else None


def _nearly(edit: Replace, texts: Sequence[str]) -> list[Change] | None:
    match = choose(Neighbourhood(edit.search, texts).match(edit), edit, texts)
    return changes(edit, match, texts) if match is not None else None


def _around_elisions(edit: Replace, texts: Sequence[str]) -> list[Change] | None:
    """The parts between lines that stand for more, each by itself: the first wherever it is, the others below it."""
    here, there = _parts(edit.search), _parts(edit.replace)
    if len(here) != len(there):
        return None
    found: list[Change] = []
    first = next((text for part in here for text in part if text.strip()), "")
    for number, (search, replace) in enumerate(zip(here, there, strict=True)):
        if search == replace:
            continue
        if not any(text.strip() for text in search):
            return None
        anchors = (first,) if number and any(text.strip() for part in here[:number] for text in part) else ()
        part = Replace(search, replace, line=None if number else edit.line, anchors=anchors, binding=bool(anchors))
        one = next((one for step in STEPS if (one := _by_step(part, step, texts)) is not None), None)
        if one is None:
            return None
        found += one
    found.sort(key=lambda one: one.start)
    if any(upper.stop > lower.start for upper, lower in pairwise(found)):
        return None
    return found


def _parts(texts: Sequence[str]) -> list[tuple[str, ...]]:
    parts: list[list[str]] = [[]]
    for text in texts:
        if stands_for_more(text):
            parts.append([])
        else:
            parts[-1].append(text)
    return [tuple(part) for part in parts]


def _shown(found: Sequence[Change], texts: Sequence[str]) -> list[str]:
    return [f"{row + 1}: {texts[row]}" for one in found for row in range(one.start, one.stop)][:12]
