"""Text for text, also within a line, said in rows of the file. A place that cuts a word or a number in two is none."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from fireside.workspace.edits.merge import Change, foreign_unit
from fireside.workspace.edits.operations import Substitute
from fireside.workspace.edits.refusals import refuse
from fireside.workspace.edits.shift import Shift, adopt_unit, stands_below, step_of, unit_of
from fireside.workspace.edits.spelling import indent_of

Span = tuple[int, int]


def substitutions(edit: Substitute, texts: Sequence[str]) -> list[Change] | None:
    """The change where ``old`` stands exactly once, or everywhere; None where it is nowhere. Raises ``EditRefused``."""
    old, new = _without_common_end(edit.old, edit.new)
    text = "".join(line + "\n" for line in texts)
    starts = [0, *accumulate(len(line) + 1 for line in texts)]
    if edit.everywhere:
        spans = _spans(old, text, overlapping=False)
        if spans and edit.count is not None and edit.count != len(spans):
            raise refuse("ambiguous", f"the text stands {len(spans)} times, not {edit.count}")
        return _grouped(spans, new, texts, starts, text) if spans else None
    raw = _spans(old, text, overlapping=True)
    at_depth = [span for span in raw if not _cuts_indentation(text, span)]
    # One line at another depth may be replaced by one; several lines must move with it, which is not for here.
    raw = at_depth if at_depth or ("\n" in new and "\n" not in old) else raw
    spans = [span for span in raw if not _cuts_a_word(text, span)]
    if raw and not spans:
        rows = [_row(starts, start) for start, _ in raw[:12]]
        raise refuse("not_found", "the text stands only within longer words", (_shown(texts, row) for row in rows))
    if len(spans) > 1:
        spans = _one_of(spans, edit.line, texts, starts)
    return _grouped(spans, new, texts, starts, text) if spans else None


def _one_of(spans: list[Span], line: int | None, texts: Sequence[str], starts: Sequence[int]) -> list[Span]:
    rows = [_row(starts, start) for start, _ in spans]
    if line is not None and rows.count(line - 1) == 1:
        return [spans[rows.index(line - 1)]]
    numbers = ", ".join(str(row + 1) for row in rows[:20])
    shown = [_shown(texts, row) for row in rows[:20]]
    raise refuse("ambiguous", f"the text stands at lines {numbers}; give more of the lines around it", shown)


def _without_common_end(old: str, new: str) -> tuple[str, str]:
    """A line end that only closes the last line is no part of the edit."""
    while old.endswith("\n") and new.endswith("\n") and old.strip("\n") and new.strip("\n"):
        old, new = old[:-1], new[:-1]
    if old.endswith("\n") and new and not new.endswith("\n") and old.strip("\n"):
        old = old[:-1]
    while old.startswith("\n") and new.startswith("\n") and old.strip("\n") and new.strip("\n"):
        old, new = old[1:], new[1:]
    # Without its line end the new text would be glued to the line above, unless it gives up the indentation as well.
    joins = indent_of(old.lstrip("\n")) and not indent_of(new)
    if old.startswith("\n") and new and not new.startswith("\n") and old.strip("\n") and not joins:
        old = old.lstrip("\n")
    return old, new


def _spans(old: str, text: str, *, overlapping: bool) -> list[Span]:
    spans: list[Span] = []
    at = text.find(old)
    while at >= 0:
        spans.append((at, at + len(old)))
        at = text.find(old, at + (1 if overlapping else len(old)))
    return spans


def _cuts_a_word(text: str, span: Span) -> bool:
    start, stop = span
    before, first = text[start - 1 : start], text[start : start + 1]
    last, after = text[stop - 1 : stop], text[stop : stop + 1]
    cuts = (_in_word(before) and _in_word(first)) or (_in_word(last) and _in_word(after))
    return cuts or (last.isdigit() and after == "." and text[stop + 1 : stop + 2].isdigit())


def _cuts_indentation(text: str, span: Span) -> bool:
    """Whether the text begins within the blanks a line begins with: then it stands at another depth."""
    start = span[0]
    above = text.rfind("\n", 0, start) + 1
    return text[start] in " \t" and above < start and not text[above:start].strip()


def _in_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def _grouped(spans: Sequence[Span], new: str, texts: Sequence[str], starts: Sequence[int], text: str) -> list[Change]:
    """One change for the spans that share a row."""
    changes: list[Change] = []
    group: list[Span] = []
    for span in spans:
        if group and _row(starts, span[0]) > _row(starts, group[-1][1]):
            changes.append(_change(group, new, texts, starts, text))
            group = []
        group.append(span)
    changes.append(_change(group, new, texts, starts, text))
    return changes


def _change(group: Sequence[Span], new: str, texts: Sequence[str], starts: Sequence[int], text: str) -> Change:
    first, last = _row(starts, group[0][0]), _row(starts, group[-1][1])
    if len(group) == 1 and not new and _fills_lines(group[0], starts[first], text):
        return Change(first, last + (text[group[0][1] - 1] != "\n"), ())
    begin, end = starts[first], starts[last + 1] if last + 1 < len(starts) else len(text)
    parts: list[str] = []
    at = begin
    for start, stop in group:
        # A line end after a whole line, where the old text had none, would only leave a blank line.
        ends_line = text[stop : stop + 1] == "\n" and new.endswith("\n") and new[:-1] not in ("", text[start:stop])
        settled = new[:-1] if ends_line else new
        indent = text[starts[_row(starts, start)] : start]
        if "\n" in settled and not indent.strip() and ("\n" not in text[start:stop] or not indent):
            settled = _settled(settled, indent, texts)
        parts += [text[at:start], settled]
        at = stop
    after = ("".join(parts) + text[at:end]).removesuffix("\n").split("\n")
    before = list(texts[first : min(last + 1, len(texts))])
    return _narrowed(first, before, after)


def _settled(new: str, indent: str, texts: Sequence[str]) -> str:
    """Several lines in the place of what stands behind the indentation of a line, as deep as that line."""
    first, *rest = new.split("\n")
    told = [text for text in rest if text.strip()]
    if indent and told and not indent_of(first) and not stands_below(first, told, indent):
        shift = Shift({"": indent}, step_of((first, *rest)), unit_of(texts))
        rest = [shift.move(text) for text in rest]
    return "\n".join((first, *adopt_unit(rest, foreign_unit(rest, texts), step_of((first, *rest)))))


def _fills_lines(span: Span, begin: int, text: str) -> bool:
    """Whether nothing but blanks stands beside the text in its lines."""
    start, stop = span
    end = text.find("\n", stop - 1 if text[stop - 1] == "\n" else stop)
    return not text[begin:start].strip() and not text[stop:end].strip()


def _narrowed(first: int, before: Sequence[str], after: Sequence[str]) -> Change:
    """Without the lines at both ends that stay as they are."""
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    return Change(first + head, first + len(before) - tail, tuple(after[head : len(after) - tail]))


def _row(starts: Sequence[int], offset: int) -> int:
    return bisect_right(starts, offset) - 1


def _shown(texts: Sequence[str], row: int) -> str:
    return f"{row + 1}: {texts[row][:200]}" if row < len(texts) else f"{row + 1}:"
