"""Complete a line without a model, by copying from the same file and its neighbours.

Code repeats itself, near by and with other names. Two kinds of places are looked for, and vote for what should follow:

1. **The same text.** The longest end of the text before the cursor (up to 200 characters, over line ends) that stands elsewhere, and,
   while that gives few places, shorter ends of it, down to two characters: at the long end this is copying, at the short end it is an
   n-gram model of this one file. Each place votes for the rest of its line with the cube of the characters that agree before it,
   less if it is far away.
2. **The same shape with other names.** A line near by that reads like this one up to the cursor but for its identifiers
   (``self.width = w|`` and ``self.height = height``); the names that were exchanged before the cursor are exchanged after it.

Every vote is fitted to the line it would stand on (brackets, colon), loses what already follows the cursor, and counts for nothing if it
only repeats the next line. The winner's confidence is what its share of the votes and the length of its agreement were worth on lines of
the Python standard library; below ``SILENT`` nothing is said. ``python -m benchmarks.copying`` measures all of this.

Copying from the file as a baseline: Hellendoorn & Devanbu, "Are deep neural networks the best choice for modeling source code?"
(FSE 2017), whose nested cache models this follows in spirit.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fireside.assist.brackets import fit
from fireside.core.requests import Snippet

LONGEST = 200
SHORTEST = 2
ENOUGH_PLACES = 8
MOST_PLACES = 200
NEAR_LINES = 120
TEXT_LIMIT = 400_000
LONG_LINE = 2_000
NEIGHBOUR_LIMIT = 100_000
NEIGHBOUR_WORTH = 0.3
AGREEMENT_CAP = 80
SILENT = 0.16
TOKEN = re.compile(r"[^\W\d]\w*|\d+|[ \t]+|[^\w\s]")
NAME = re.compile(r"[^\W\d]\w*")
CLOSING = re.compile(r"[\s)\]}>\"'`;:,]*")
FIXED = frozenset(
    """
    def class function fn func let const var import from as if elif else for while do switch case match try except catch finally with
    return yield raise throw await async new del delete assert in is not and or None True False true false null nil self this super
    public private protected static void int str float bool
    """.split()  # noqa: SIM905  a list of fifty quoted words reads worse
)

Source = Literal["file", "neighbour"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """``text``: to be inserted at the cursor. ``source``: where it is from. ``confidence``: the share of such ones that is right."""

    text: str
    source: Source
    confidence: float


@dataclass(slots=True)
class Votes:
    """What speaks for one text. ``places``: where in the joined texts it would be copied from."""

    weight: float = 0.0
    agreement: int = 0
    places: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place to complete at. ``texts``: the file and its neighbours joined, with the cursor at ``at``; ``end``: where the file ends."""

    line: str
    after: str
    next_line: str
    texts: str
    at: int
    end: int


def suggest(
    prefix: str, suffix: str, *, neighbours: Sequence[Snippet] = (), language: str = "", max_lines: int = 1
) -> Suggestion | None:
    """What would be typed between ``prefix`` and ``suffix``, or ``None`` when nothing is likely enough.

    ``max_lines``: lines the suggestion may have; further lines follow only where one place agrees and goes on. ``language``: "" or the
    file's, as the index names it; prose (markdown, text) is left alone.
    """
    if language in ("markdown", "text", "rst"):
        return None
    cursor = _cursor(prefix, suffix, neighbours)
    if len(cursor.line) > LONG_LINE:
        return None
    votes: dict[str, Votes] = defaultdict(Votes)
    _vote_same_text(cursor, votes)
    _vote_same_shape(cursor, votes)
    if not votes:
        return None
    text, best = max(votes.items(), key=lambda item: item[1].weight)
    confidence = _confidence(best, sum(vote.weight for vote in votes.values()), text)
    if confidence < SILENT:
        return None
    source: Source = "file" if not best.places or min(best.places) <= cursor.end else "neighbour"
    more = _following_lines(cursor, best, max_lines - 1) if max_lines > 1 else ""
    return Suggestion(text + more, source, round(confidence, 3))


def _cursor(prefix: str, suffix: str, neighbours: Sequence[Snippet]) -> Cursor:
    before, behind = prefix[-TEXT_LIMIT:], suffix[:TEXT_LIMIT]
    after, _, rest = behind.partition("\n")
    following = (line.strip() for line in rest.split("\n", 20)[:20])
    joined = [before, "\0", behind]
    size = 0
    for neighbour in neighbours:
        size += len(neighbour.text)
        if size > NEIGHBOUR_LIMIT:
            break
        joined += ["\0\n", neighbour.text]
    return Cursor(
        line=before[before.rfind("\n") + 1 :],
        after=after.rstrip(),
        next_line=next(filter(None, following), ""),
        texts="".join(joined),
        at=len(before),
        end=len(before) + 1 + len(behind),
    )


# The same text


def _vote_same_text(cursor: Cursor, votes: Mapping[str, Votes]) -> None:
    key = cursor.texts[max(0, cursor.at - LONGEST) : cursor.at]
    for place in _places(cursor, key):
        agreement = _agreement(cursor.texts, place, key)
        begin, end = _line_around(cursor.texts, place)
        if end - begin > LONG_LINE:
            continue
        piece = _fitted(cursor, cursor.texts[place:end], cursor.texts[begin:end])
        if piece:
            vote = votes[piece]
            vote.weight += min(agreement, AGREEMENT_CAP) ** 3 * _nearness(cursor, place)
            vote.agreement = max(vote.agreement, agreement)
            vote.places.append(place)


def _places(cursor: Cursor, key: str) -> list[int]:
    """Where the end of ``key`` stands besides at the cursor: its longest end, and shorter ones until there are enough places."""
    longest = _longest_elsewhere(cursor, key)
    if longest < SHORTEST:
        return []
    places: list[int] = []
    for size in sorted({longest, longest * 7 // 10, min(longest, 10), min(longest, 6)}, reverse=True):
        if size >= SHORTEST:
            places = _nearest(cursor, key[-size:])
        if len(places) >= ENOUGH_PLACES:
            break
    if len(places) > MOST_PLACES:
        places = sorted(places, key=lambda place: abs(place - cursor.at))[:MOST_PLACES]
    return places


def _longest_elsewhere(cursor: Cursor, key: str) -> int:
    """Characters of the longest end of ``key`` that stands elsewhere. If one does, every shorter one does, so it is bisected."""
    low, high = 0, len(key)
    while low < high:
        middle = (low + high + 1) // 2
        if next(_occurrences(cursor, key[-middle:]), None) is not None:
            low = middle
        else:
            high = middle - 1
    return low


def _occurrences(cursor: Cursor, text: str) -> Iterator[int]:
    """The places right behind each ``text``, but for the cursor itself."""
    at = cursor.texts.find(text)
    while at >= 0:
        if at + len(text) != cursor.at:
            yield at + len(text)
        at = cursor.texts.find(text, at + 1)


def _nearest(cursor: Cursor, text: str) -> list[int]:
    """The same, in order, but of a text that stands everywhere only as many before and behind the cursor as can be of use."""
    before: list[int] = []
    at = cursor.texts.rfind(text, 0, max(0, cursor.at - 1))
    while at >= 0 and len(before) < MOST_PLACES:
        before.append(at + len(text))
        at = cursor.texts.rfind(text, 0, at + len(text) - 1)
    behind: list[int] = []
    at = cursor.texts.find(text, max(0, cursor.at + 1 - len(text)))
    while at >= 0 and len(behind) < MOST_PLACES:
        behind.append(at + len(text))
        at = cursor.texts.find(text, at + 1)
    return [*reversed(before), *behind]


def _agreement(texts: str, place: int, key: str) -> int:
    """How many characters before ``place`` are those before the cursor."""
    low, high = 0, min(place, len(key))
    while low < high:
        middle = (low + high + 1) // 2
        if texts[place - middle : place] == key[-middle:]:
            low = middle
        else:
            high = middle - 1
    return low


# The same shape with other names


def _vote_same_shape(cursor: Cursor, votes: Mapping[str, Votes]) -> None:
    begun = TOKEN.findall(cursor.line.lstrip())
    partial = begun.pop() if begun and NAME.fullmatch(begun[-1]) else ""
    if len(begun) < 2:
        return
    for distance, line in _near_lines(cursor):
        if line[:1] != begun[0][:1] and (begun[0] in FIXED or not NAME.fullmatch(begun[0])):
            continue
        found = _renamed(begun, partial, TOKEN.findall(line))
        if found is not None:
            piece = _fitted(cursor, found[0], line)
            if piece:
                vote = votes[piece]
                vote.weight += found[1] ** 3 / (1 + 0.3 * math.log1p(distance / 25))
                vote.agreement = max(vote.agreement, found[1])


def _near_lines(cursor: Cursor) -> Iterator[tuple[int, str]]:
    """Lines around the cursor without their indentation, each with how far away it is."""
    before = cursor.texts[: cursor.at].rsplit("\n", NEAR_LINES)[:-1][-NEAR_LINES + 1 :]
    behind = cursor.texts[cursor.at + 1 : cursor.end].split("\n", NEAR_LINES)[1:NEAR_LINES]
    yield from ((distance, line.strip()) for distance, line in enumerate(reversed(before), 1))
    yield from ((distance, line.strip()) for distance, line in enumerate(behind, 1))


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


# What a vote counts for


def _fitted(cursor: Cursor, piece: str, source: str) -> str:
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


def _confidence(best: Votes, total: float, text: str) -> float:
    # Scaled on 3,000 lines of the standard library: 0.04, 0.14, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75 were right in 5, 14, 23, 34, 40, 58,
    # 68, 81 % of the cases.
    share = 0.8 * best.weight / total
    return float(share * (1 - math.exp(-best.agreement / 12)) * min(1.0, 12 / len(text)) ** 0.25)


def _line_around(texts: str, place: int) -> tuple[int, int]:
    end = texts.find("\n", place)
    return texts.rfind("\n", 0, place) + 1, len(texts) if end < 0 else end


def _following_lines(cursor: Cursor, best: Votes, count: int) -> str:
    """The lines after the one copied, while they stay in its block and do not say what already follows the cursor."""
    if len(best.places) != 1:
        return ""
    begin, end = _line_around(cursor.texts, best.places[0])
    indent = _indent(cursor.texts[begin:end])
    lines: list[str] = []
    for line in cursor.texts[end + 1 :].split("\n", count + 1)[:count]:
        if not line.strip() or "\0" in line or _indent(line) < indent or line.strip() == cursor.next_line:
            break
        lines.append("\n" + cursor.line[: _indent(cursor.line)] + line[indent:].rstrip())
    return "".join(lines)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
