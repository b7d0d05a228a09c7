"""Every text that might stand at the cursor, and what speaks for it. Knows where to look; not what the evidence is worth.

The rest of a line whose beginning agrees (``places``), the rest of a near line of the same shape with its names exchanged (``shapes``),
the best of these with a strange name exchanged (``scope``), where any of them begins with the brackets closed behind it, a begun name
finished, and the brackets alone.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fireside.assist.brackets import BLOCK, PAIRS, fit, open_brackets
from fireside.assist.cursor import LONG_LINE, Cursor, first_word, in_common, indent_of, is_word
from fireside.assist.places import places
from fireside.assist.scope import Scope
from fireside.assist.shapes import shapes
from fireside.core.values import replace

AGREEMENT_CAP = 80
MOST = 30
MOST_BEGINNINGS = 12
MOST_EXCHANGED = 5
NEIGHBOUR_WORTH = 0.3
CLOSING = re.compile(r"[\s)\]}>\"'`;:,]*")
BEGINNINGS = (re.compile(r"\w+"), re.compile(r" ?\w+(?:\.\w+)*"))


@dataclass(slots=True)
class Candidate:
    """``weight``: votes, the cube of the characters that agree, less with distance. ``places``: where it would be copied from.

    ``agreement``: the most characters that agree at any place. Whether at any place ``line``: all of the line agrees so far; ``follows``:
    the next line is the cursor's; ``previous``: characters in common with the line before;
    ``before`` and ``behind``: the line before and the next begin with the same word; ``step``: the next
    line is indented as much further. ``shape``: characters that agree in the best line of the same shape. ``share``: of the votes, where
    it only begins what they are for; ``closing``: it is only brackets. ``exchanged``: the share of what it would be but for one name;
    ``unused``: that name has not been used yet. ``finished``: how near the name is that it finishes, from 1; 0 where it finishes none.
    """

    text: str
    weight: float = 0.0
    places: list[int] = field(default_factory=list)
    agreement: int = 0
    line: bool = False
    follows: bool = False
    before: bool = False
    previous: int = 0
    behind: bool = False
    step: bool = False
    shape: int = 0
    share: float = 0.0
    closing: bool = False
    exchanged: float = 0.0
    unused: bool = False
    finished: int = 0


def candidates(cursor: Cursor) -> list[Candidate]:
    """The most likely ones by their votes; in no certain order."""
    found: dict[str, Candidate] = {}
    for place, agreement in places(cursor):
        _copied(cursor, found, place, agreement)
    for rest, line, agreed, distance in shapes(cursor):
        piece = fitted(cursor, rest, line)
        if piece:
            one = found.setdefault(piece, Candidate(piece))
            one.weight += agreed**3 / (1 + 0.3 * math.log1p(distance / 25))
            one.shape = max(one.shape, agreed)
    best = sorted(found.values(), key=lambda one: -one.weight)[:MOST]
    chosen = {one.text: one for one in best}
    scope = Scope(cursor)
    _exchanged(scope, best, chosen)
    _begun(cursor, best, chosen, scope)
    return list(chosen.values())


def _copied(cursor: Cursor, found: dict[str, Candidate], place: int, agreement: int) -> None:
    begin, end = cursor.line_around(place)
    if end - begin > LONG_LINE:
        return
    source = cursor.texts[begin:end]
    piece = fitted(cursor, cursor.texts[place:end], source)
    if not piece:
        return
    one = found.setdefault(piece, Candidate(piece))
    one.weight += min(agreement, AGREEMENT_CAP) ** 3 * _nearness(cursor, place)
    one.places.append(place)
    one.agreement = max(one.agreement, agreement)
    length = len(cursor.line) - cursor.indent
    one.line |= agreement >= length and place - begin - indent_of(source) == length
    _surroundings(cursor, one, begin, end)


def _surroundings(cursor: Cursor, one: Candidate, begin: int, end: int) -> None:
    """Compare the lines around a place, which is in the line from ``begin`` to ``end``, with those around the cursor."""
    previous, _ = cursor.line_before(begin)
    one.before |= bool(cursor.previous_line) and first_word(previous) == first_word(cursor.previous_line)
    one.previous = max(one.previous, in_common(previous[:40], cursor.previous_line[:40]))
    following, indent = cursor.line_after(end)
    one.step |= indent - indent_of(cursor.texts[begin:end]) == cursor.step
    if cursor.next_line:
        one.follows |= following == cursor.next_line
        one.behind |= first_word(following) == first_word(cursor.next_line)


def _exchanged(scope: Scope, best: Sequence[Candidate], chosen: dict[str, Candidate]) -> None:
    """The best ones with one name each exchanged that is strange here."""
    total = sum(one.weight for one in best) or 1.0
    for one in best[:MOST_EXCHANGED]:
        for text, unused in scope.exchanged(one.text):
            # What speaks for the place speaks for it with another name too.
            other = chosen.setdefault(text, replace(one, text=text, weight=0.0, places=[]))
            other.exchanged += one.weight / total
            other.unused |= unused


def _begun(cursor: Cursor, best: Sequence[Candidate], chosen: dict[str, Candidate], scope: Scope) -> None:
    """Where the best ones begin, and nothing after it but what closes the line; and what closes the line alone."""
    total = sum(one.weight for one in best) or 1.0
    shares: dict[str, float] = {"": 0.0}
    for one in best:
        for beginning in {found[0] for pattern in BEGINNINGS if (found := pattern.match(one.text))}:
            shares[beginning] = shares.get(beginning, 0.0) + one.weight / total
    finished = {name: rank for rank, name in enumerate(scope.finished(), 1)}
    for name in finished:
        shares.setdefault(name, 0.0)
    for beginning, share in sorted(shares.items(), key=lambda item: -item[1])[: MOST_BEGINNINGS + len(finished)]:
        for text in _closed(cursor, beginning):
            one = chosen.setdefault(text, Candidate(text))
            one.share, one.closing = share, not beginning
            one.finished = finished.get(beginning, 0)


def _closed(cursor: Cursor, beginning: str) -> Iterator[str]:
    """What has begun, closed as a line may be: all brackets and, for a block, the colon; or with a comma, inside brackets."""
    line = cursor.line + beginning
    if not line.strip() or (not beginning and not (is_word(line[-1]) or line[-1] in ")]}\"'")):
        return
    state = open_brackets(line)
    if state is None:
        return
    closers = "".join(PAIRS[opener] for opener in reversed(state[0]))
    colon = ":" if BLOCK.match(line) else ""
    for end in (closers + colon, "," if closers else ""):
        text = fitted(cursor, beginning + end, line + end)
        if text:
            yield text


def fitted(cursor: Cursor, piece: str, source: str) -> str:
    """The rest of a line as it would be inserted; "" when it cannot be, or only repeats what is there."""
    piece = piece.partition("\0")[0].rstrip()
    if not piece:
        return ""
    piece = fit(cursor.line, piece, source.rstrip())
    if (cursor.line + piece).strip() == cursor.next_line and not CLOSING.fullmatch(cursor.next_line):
        return ""
    if not cursor.after:
        return piece
    if piece.endswith(cursor.after):
        return piece[: -len(cursor.after)]
    # An editor has closed the brackets already: what is to be typed ends before them.
    if CLOSING.fullmatch(cursor.after):
        return piece.rstrip(":;{ ").removesuffix(cursor.after.strip())
    return ""


def _nearness(cursor: Cursor, place: int) -> float:
    worth = NEIGHBOUR_WORTH if place > cursor.end else 1.0
    return worth / (1 + 0.3 * math.log1p(abs(place - cursor.at) / 1000))
