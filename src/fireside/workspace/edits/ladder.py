"""Where lines stand in a file: step by step, from the very bytes to the same words at another depth. Knows no edits.

Each step finds all places that fit; whether there is exactly one is for the caller to judge, before a wider step is tried.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fireside.workspace.edits.shift import indent_pairs
from fireside.workspace.edits.spelling import bare, folded, same, squeezed, trimmed


@dataclass(frozen=True, slots=True)
class Match:
    """``rows``: for each searched line the row it was found at, -1 for a blank line (or, in a near match, any) that is not there.

    ``start``, ``stop``: the rows it covers, ``stop`` not included. ``pairs``: indentation searched -> found, where they differ.
    """

    rows: tuple[int, ...]
    start: int
    stop: int
    pairs: dict[str, str] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """``key``: lines with the same key are the same line. ``skips_blank``: blank lines may be missing or too many."""

    name: str
    key: Callable[[str], str]
    skips_blank: bool = False
    shifts: bool = False


EXACT = Step("exact", same)
STEPS = (
    EXACT,
    Step("trailing blanks", trimmed),
    Step("look-alikes", folded),
    Step("blank lines", folded, skips_blank=True),
    Step("depth", bare, shifts=True),
    Step("depth and blank lines", bare, skips_blank=True, shifts=True),
    Step("blanks within", squeezed, skips_blank=True, shifts=True),
)


def find(step: Step, search: Sequence[str], lines: Sequence[str]) -> list[Match]:
    """Every place where ``search`` fits, from top to bottom; places may overlap. Blank lines alone are found only exactly."""
    told = [number for number, text in enumerate(search) if text.strip()] if step.skips_blank else range(len(search))
    if not search or (step is not EXACT and not any(text.strip() for text in search)):
        return []
    rows = [row for row, text in enumerate(lines) if text.strip()] if step.skips_blank else range(len(lines))
    keys = [step.key(lines[row]) for row in rows]
    wanted = [step.key(search[number]) for number in told]
    found: list[Match] = []
    for at in _runs(wanted, keys):
        placed = [-1] * len(search)
        for number, row in zip(told, rows[at : at + len(wanted)], strict=True):
            placed[number] = row
        match = place(search, placed, lines, shifts=step.shifts)
        if match is not None:
            found.append(match)
    return found


def place(search: Sequence[str], rows: Sequence[int], lines: Sequence[str], *, shifts: bool) -> Match | None:
    """A match from the rows of the lines that have something on them. None where their depths do not fit together."""
    told = [number for number, row in enumerate(rows) if row >= 0]
    pairs = None
    if shifts:
        pairs = indent_pairs([search[number] for number in told], [lines[rows[number]] for number in told])
        if pairs is None:
            return None
    whole = _with_blank_lines(search, rows, lines)
    covered = [row for row in whole if row >= 0]
    return Match(tuple(whole), min(covered), max(covered) + 1, pairs)


def _runs(wanted: Sequence[str], keys: Sequence[str]) -> list[int]:
    """Where ``wanted`` stands in ``keys`` without a gap."""
    # The longest line is likely the rarest.
    pivot = max(range(len(wanted)), key=lambda number: len(wanted[number]))
    runs: list[int] = []
    for at, key in enumerate(keys):
        first = at - pivot
        if key == wanted[pivot] and first >= 0 and list(keys[first : first + len(wanted)]) == list(wanted):
            runs.append(first)
    return runs


def _with_blank_lines(search: Sequence[str], rows: Sequence[int], lines: Sequence[str]) -> list[int]:
    """Blank lines of the search find those of the file that stand where they do."""
    placed = list(rows)
    for number in range(1, len(placed)):
        beside = placed[number - 1] + 1
        if not search[number].strip() and placed[number] < 0 <= placed[number - 1] and _is_blank(lines, beside):
            placed[number] = beside
    for number in range(len(placed) - 2, -1, -1):
        beside = placed[number + 1] - 1
        if not search[number].strip() and placed[number] < 0 <= beside and beside not in placed:
            placed[number] = beside if _is_blank(lines, beside) else -1
    return placed


def _is_blank(lines: Sequence[str], row: int) -> bool:
    return row < len(lines) and not lines[row].strip()
