"""Lines that read like the one being typed but for their names: ``self.width = w|`` and ``self.height = height``.

The names that were exchanged before the cursor are exchanged after it. Knows tokens of a line, no language.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from fireside.assist.cursor import NAME, NEAR_LINES, Cursor

TOKEN = re.compile(r"[^\W\d]\w*|\d+|[ \t]+|[^\w\s]")
FIXED = frozenset(
    """
    def class function fn func let const var import from as if elif else for while do switch case match try except catch finally with
    return yield raise throw await async new del delete assert in is not and or None True False true false null nil self this super
    public private protected static void int str float bool
    """.split()  # noqa: SIM905  a list of fifty quoted words reads worse
)


def shapes(cursor: Cursor) -> Iterator[tuple[str, str, int, int]]:
    """Rests of near lines with the names exchanged: the rest, the line, how many characters agreed, how many lines away."""
    begun = TOKEN.findall(cursor.line.lstrip())
    partial = begun.pop() if begun and NAME.fullmatch(begun[-1]) else ""
    if len(begun) < 2:
        return
    for distance, line in chain(cursor.lines_before(NEAR_LINES), cursor.lines_behind(NEAR_LINES)):
        if line[:1] != begun[0][:1] and (begun[0] in FIXED or not NAME.fullmatch(begun[0])):
            continue
        found = _renamed(begun, partial, TOKEN.findall(line))
        if found is not None:
            yield found[0], line, found[1], distance


def _renamed(begun: Sequence[str], partial: str, line: Sequence[str]) -> tuple[str, int] | None:
    """The rest of ``line`` with the names exchanged that differ up to the cursor, and how many characters agreed; or ``None``.

    At least one exchanged name must come up again in the rest: otherwise nothing ties it to this line.
    """
    rest = line[len(begun) :]
    if not rest:
        return None
    names: dict[str, str] = {}
    agreed = 0
    for mine, theirs in zip(begun, line, strict=False):
        if mine == theirs:
            agreed += len(mine)
        elif not (_may_differ(mine) and _may_differ(theirs)):
            return None
        if names.setdefault(theirs, mine) != mine:
            return None
    exchanged = sum(names.get(token, token) != token for token in rest)
    text = "".join(names.get(token, token) for token in rest)
    if not exchanged or not text.startswith(partial) or len(text) == len(partial):
        return None
    return text[len(partial) :], agreed + len(partial) + 3 * exchanged


def _may_differ(token: str) -> bool:
    return token not in FIXED and NAME.fullmatch(token) is not None
