"""What really changes between the lines searched and their replacement, said in rows of the file.

Only the difference between the two is carried over: lines that the answer merely repeats stay as the file has them, whatever blanks,
quotes or accents the answer wrote them with.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from fireside.core.values import replace
from fireside.workspace.edits.ladder import Match
from fireside.workspace.edits.operations import Replace
from fireside.workspace.edits.refusals import refuse
from fireside.workspace.edits.shift import Shift, adopt_unit, only_unit, stands_below, step_of, unit_of, width
from fireside.workspace.edits.spelling import bare, indent_of, plain_characters, tokens

Opcode = tuple[str, int, int, int, int]
MOST_COMPARED = 1_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """``texts`` in the place of rows ``start`` to ``stop``. For an insertion, ``below``: it belongs to the row above it."""

    start: int
    stop: int
    texts: tuple[str, ...]
    below: bool = True


def opcodes(before: Sequence[str], after: Sequence[str]) -> list[Opcode]:
    """``difflib``'s, without "equal"; of very long texts only what lies between their equal beginnings and ends."""
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    here, there = before[head : len(before) - tail], after[head : len(after) - tail]
    if not here and not there:
        return []
    if not here or not there or len(here) * len(there) > MOST_COMPARED:
        tag = "replace" if here and there else "delete" if here else "insert"
        return [(tag, head, head + len(here), head, head + len(there))]
    found = SequenceMatcher(None, here, there, autojunk=False).get_opcodes()
    return [(tag, i1 + head, i2 + head, j1 + head, j2 + head) for tag, i1, i2, j1, j2 in found if tag != "equal"]


def changes(edit: Replace, match: Match, lines: Sequence[str]) -> list[Change]:
    """From top to bottom, apart from each other. Raises ``EditRefused`` when the replacement would drop lines the answer never showed."""
    edit, match = _lost_head(edit, match, lines)
    if _stands_right(edit, match, lines):
        # Only the search lost its depth: the replacement has that of the file.
        real = tuple(lines[match.start : match.stop])
        edit = replace(edit, search=real)
        match = Match(tuple(range(match.start, match.stop)), match.start, match.stop)
    mover = _mover(edit, match, lines)
    result: list[Change] = []
    for tag, i1, i2, j1, j2 in opcodes(edit.search, edit.replace):
        start, stop, below = _rows(match, i1, i2)
        if tag == "delete" and start == stop:
            continue
        texts = [mover.move(text) if mover else text for text in edit.replace[j1:j2]]
        if mover and i2 - i1 == j2 - j1:
            texts = list(_kept_depth(edit.search[i1:i2], edit.replace[j1:j2], texts, match.rows[i1:i2], lines))
        start, stop, texts = _with_unseen(match, lines, start, stop, texts)
        _check_shown(match, lines, start, stop, texts)
        if tag == "replace" and i2 - i1 == j2 - j1:
            texts = list(_kept_spelling(edit.search[i1:i2], texts, match.rows[i1:i2], lines))
        texts = adopt_unit(texts, foreign_unit(texts, lines), step_of((*edit.search, *edit.replace)))
        if texts != list(lines[start:stop]):
            result.append(Change(start, stop, tuple(texts), below))
    return result


def _stands_right(edit: Replace, match: Match, lines: Sequence[str]) -> bool:
    """Whether the replacement is as deep as the file, and the search is not: lines that both have tell, or else where each begins."""
    if match.pairs is None:
        return False
    found = {bare(lines[row]): indent_of(lines[row]) for row in match.rows if row >= 0}
    searched = {bare(text): indent_of(text) for text in edit.search}
    shared = [text for text in edit.replace if text.strip() and bare(text) in found]
    if shared:
        as_searched = any(indent_of(text) == searched.get(bare(text)) for text in shared)
        return not as_searched and any(indent_of(text) == found[bare(text)] for text in shared)
    before, after, real = (
        _first_indent(texts) for texts in (edit.search, edit.replace, lines[match.start : match.stop])
    )
    return after is not None and after != before and after == real


def _first_indent(texts: Sequence[str]) -> str | None:
    return next((indent_of(text) for text in texts if text.strip()), None)


def _lost_head(edit: Replace, match: Match, lines: Sequence[str]) -> tuple[Replace, Match]:
    """The first line alone lost its indentation: it gets it back, in the replacement as well, and all others stand where they say."""
    told = [(text, lines[row]) for text, row in zip(edit.search, match.rows, strict=True) if row >= 0 and text.strip()]
    (head, real), *others = told
    lost, depth = indent_of(head), indent_of(real)
    replaced = [text for text in edit.replace if text.strip()]
    if match.pairs is None or width(lost) >= width(depth) or not replaced or indent_of(replaced[0]) != lost:
        return edit, match
    if any(indent_of(text) != indent_of(line) for text, line in others):
        return edit, match
    if not others and (len(replaced) < 2 or not stands_below(replaced[0], replaced[1:], depth)):
        return edit, match
    known = {bare(text): indent_of(text) for text, _ in others}
    at = edit.replace.index(replaced[0])
    straight = known.get(bare(replaced[0]), depth) + replaced[0].lstrip()
    whole = (*edit.replace[:at], straight, *edit.replace[at + 1 :])
    search = tuple(real if text is head else text for text in edit.search)
    return replace(edit, search=search, replace=whole), replace(match, pairs=None)


def _mover(edit: Replace, match: Match, lines: Sequence[str]) -> Shift | None:
    pairs = match.pairs
    if pairs is None or all(here == there for here, there in pairs.items()):
        return None
    return Shift(pairs, step_of((*edit.search, *edit.replace)), unit_of(lines))


def foreign_unit(texts: Sequence[str], lines: Sequence[str]) -> str:
    """The file's one unit, when some of the new lines are indented with the other character."""
    indents = {indent[0] for text in texts if (indent := indent_of(text))}
    unit = only_unit(lines) if indents else ""
    return unit if unit and indents != {unit[0]} else ""


def _rows(match: Match, i1: int, i2: int) -> tuple[int, int, bool]:
    """The rows of the searched lines ``i1`` to ``i2``; for none, the place between the lines around them."""
    rows = [row for row in match.rows[i1:i2] if row >= 0]
    if rows:
        return min(rows), max(rows) + 1, True
    above = next((row for row in reversed(match.rows[:i1]) if row >= 0), None)
    if above is not None:
        return above + 1, above + 1, True
    beneath = next((row for row in match.rows[i2:] if row >= 0), match.start)
    return beneath, beneath, False


def _with_unseen(
    match: Match, lines: Sequence[str], start: int, stop: int, texts: list[str]
) -> tuple[int, int, list[str]]:
    """Lines of the file that the search overlooked and the replacement shows: they are replaced by themselves, not repeated."""
    unseen = set(range(match.start, match.stop)) - set(match.rows)
    shown = {bare(text) for text in texts if text.strip()}
    while stop in unseen and (not lines[stop].strip() or bare(lines[stop]) in shown):
        stop += 1
    while start - 1 in unseen and (not lines[start - 1].strip() or bare(lines[start - 1]) in shown):
        start -= 1
    while stop > start and stop - 1 in unseen and not lines[stop - 1].strip():
        stop -= 1
    while start < stop and start in unseen and not lines[start].strip():
        start += 1
    return start, stop, texts


def _check_shown(match: Match, lines: Sequence[str], start: int, stop: int, texts: Sequence[str]) -> None:
    shown = {bare(text) for text in texts}
    unseen = set(range(match.start, match.stop)) - set(match.rows)
    # Whether an insertion goes above or below a line that nobody saw, nobody said.
    hidden = unseen & (set(range(start, stop)) if start < stop else {start - 1, start})
    dropped = [row for row in sorted(hidden) if lines[row].strip() and bare(lines[row]) not in shown]
    if dropped:
        raise refuse(
            "not_found",
            "among the lines searched the file has others, just where the change would be",
            (f"{row + 1}: {lines[row]}" for row in dropped[:12]),
        )


def _kept_depth(
    search: Sequence[str], replaced: Sequence[str], moved: Sequence[str], rows: Sequence[int], lines: Sequence[str]
) -> Iterator[str]:
    """Lines whose depth alone the search has wrong, and the replacement right, stay as they are."""
    for before, after, shifted, row in zip(search, replaced, moved, rows, strict=True):
        right = row >= 0 and bare(before) == bare(after) and indent_of(after) == indent_of(lines[row])
        yield lines[row] if right else shifted


def _kept_spelling(
    search: Sequence[str], texts: Sequence[str], rows: Sequence[int], lines: Sequence[str]
) -> Iterator[str]:
    for before, after, row in zip(search, texts, rows, strict=True):
        yield keep_spelling(before, after, lines[row]) if row >= 0 else after


def keep_spelling(before: str, after: str, real: str) -> str:
    """The line ``after`` with every part that ``before`` has too written as the ``real`` line has it."""
    indent = indent_of(after)
    if bare(after) == bare(real) and indent == indent_of(real):
        return real
    here, there = tokens(before.strip()), tokens(real.strip())
    if before.strip() == real.strip() or [_sign(one) for one in here] != [_sign(one) for one in there]:
        return after
    wanted = tokens(after.strip())
    parts: list[str] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, here, wanted, autojunk=False).get_opcodes():
        parts += there[i1:i2] if tag == "equal" else wanted[j1:j2]
    return indent + "".join(parts)


def _sign(token: str) -> str:
    return " " if token.isspace() else plain_characters(token)
