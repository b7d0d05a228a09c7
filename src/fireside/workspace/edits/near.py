"""Lines that are almost there: a searched text with typing errors, and what to show when nothing fits.

Almost is not the same: another number, another operator, another name that the file knows, are no typing errors.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from fireside.workspace.edits.ladder import Match, place
from fireside.workspace.edits.merge import opcodes
from fireside.workspace.edits.operations import Replace
from fireside.workspace.edits.spelling import bare

ALIKE = 0.9
CLEARLY_FIRST = 0.04
LINE_ALIKE = 0.7
SHOWN = 12
PLACES = 8
MOST_SEARCHED = 2_000
MOST_FREQUENT = 300
WORD = re.compile(r"\w+")
SIGN = re.compile(r"\w+|[^\w\s]")
PART = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+|\d+")
DIGITS = re.compile(r"\d+")
COMMENT = re.compile(r"(#|//|/\*|\*|--|;;|<!--)")
HARMLESS = frozenset(",;'\"`")
SHORT_NAME = 4


@dataclass(frozen=True, slots=True)
class Place:
    """``pairs``: number of a searched line -> row. ``alike``: the share of characters that agree, blanks at the ends not counted."""

    pairs: dict[int, int]
    alike: float


class Neighbourhood:
    """``lines`` seen from ``search``: the places most like it, best first."""

    def __init__(self, search: Sequence[str], lines: Sequence[str]) -> None:
        self.search = search
        self.lines = lines
        self.told = [number for number, text in enumerate(search) if text.strip()][:MOST_SEARCHED]
        self.rows = [row for row, text in enumerate(lines) if text.strip()]
        self.wanted = [bare(search[number]) for number in self.told]
        self.keys = [bare(lines[row]) for row in self.rows]
        self.places = sorted(self._places(), key=lambda one: -one.alike)

    def match(self, edit: Replace) -> list[Match]:
        """The near match, if one is clearly the best and differs by nothing but typing errors; or all, if there are several."""
        if not self.places or self.places[0].alike < ALIKE:
            return []
        rivals = [one for one in self.places if one.alike >= min(ALIKE, self.places[0].alike - CLEARLY_FIRST)]
        meant = [one for one in rivals if self._only_typing_errors(one, edit)]
        if not meant or meant[0] is not self.places[0]:
            return []
        return [found for one in meant if (found := self._match(one)) is not None]

    def nearest(self) -> tuple[str, ...]:
        """The lines of the best place, with their numbers."""
        if not self.places:
            return ()
        rows = sorted(self.places[0].pairs.values())
        last = min(rows[-1], rows[0] + SHOWN - 1)
        return tuple(f"{row + 1}: {self.lines[row][:200]}" for row in range(rows[0], last + 1))

    def _match(self, found: Place) -> Match | None:
        rows = [found.pairs.get(number, -1) for number in range(len(self.search))]
        return place(self.search, rows, self.lines, shifts=True)

    def _places(self) -> Iterable[Place]:
        known: dict[tuple[int, int], Place] = {}
        for offset in self._offsets():
            one = self._align(offset)
            if one is not None:
                span = (min(one.pairs.values()), max(one.pairs.values()))
                overlapping = next((key for key in known if key[0] <= span[1] and span[0] <= key[1]), None)
                if overlapping is None:
                    known[span] = one
                elif known[overlapping].alike < one.alike:
                    del known[overlapping]
                    known[span] = one
        return known.values()

    def _offsets(self) -> list[int]:
        """How far the search must be moved down, in lines that have something on them; likeliest first."""
        votes: Counter[int] = Counter()
        index: dict[str, list[int]] = defaultdict(list)
        for at, key in enumerate(self.keys):
            index[key].append(at)
        for number, key in enumerate(self.wanted):
            places = index.get(key, ())
            if len(places) <= MOST_FREQUENT:
                for at in places:
                    votes[at - number] += 2 + len(key)
        unknown = [number for number, key in enumerate(self.wanted) if key not in index]
        for number in sorted(unknown, key=lambda number: -len(self.wanted[number]))[:3]:
            for at, alike in self._alike(self.wanted[number]):
                votes[at - number] += int((2 + len(self.wanted[number])) * alike)
        return [offset for offset, _ in votes.most_common(PLACES)]

    def _alike(self, wanted: str) -> list[tuple[int, float]]:
        """Where lines stand that are like one line, by the characters they share and then by their order."""
        wanted = wanted.lower()
        letters = Counter(wanted)
        rough: list[tuple[float, int]] = []
        for at, key in enumerate(self.keys):
            if abs(len(key) - len(wanted)) * 2 > len(wanted) + 4:
                continue
            shared = sum(
                min(count, letters[letter]) for letter, count in Counter(key.lower()).items() if letter in letters
            )
            share = 2 * shared / (len(key) + len(wanted))
            if share > 0.5:
                rough.append((share, at))
        best = sorted(rough, key=lambda one: (-one[0], one[1]))[:40]
        scored = [(at, _ratio(wanted, self.keys[at].lower())) for _, at in best]
        return [(at, alike) for at, alike in sorted(scored, key=lambda one: -one[1])[:PLACES] if alike > 0.4]

    def _align(self, offset: int) -> Place | None:
        """Pair the searched lines with those around ``offset``; at most two may be missing or too many at a time."""
        first = max(offset - 2, 0)
        window = self.keys[first : max(offset, 0) + len(self.wanted) + 2]
        pairs: dict[int, int] = {}
        agreed = 0.0
        for tag, i1, i2, j1, j2 in SequenceMatcher(None, self.wanted, window, autojunk=False).get_opcodes():
            if tag == "insert" or tag == "delete":
                continue
            for number, at in self._paired(tag, range(i1, i2), range(j1, j2), window):
                alike = 1.0 if tag == "equal" else _ratio(self.wanted[number], window[at])
                pairs[self.told[number]] = self.rows[first + at]
                agreed += alike * (len(self.wanted[number]) + len(window[at]))
        if not pairs:
            return None
        covered = [key for key, row in zip(self.keys, self.rows, strict=True) if _within(row, pairs)]
        total = sum(map(len, self.wanted)) + sum(map(len, covered))
        return Place(pairs, agreed / total if total else 0.0)

    def _paired(self, tag: str, here: range, there: range, window: Sequence[str]) -> list[tuple[int, int]]:
        if tag == "equal" or len(here) == len(there):
            return list(zip(here, there, strict=True))
        pairs: list[tuple[int, int]] = []
        left = there.start
        for number in here:
            scored = [(_ratio(self.wanted[number], window[at]), -at) for at in range(left, min(there.stop, left + 6))]
            best = max(scored, default=(0.0, 0))
            if best[0] >= LINE_ALIKE:
                pairs.append((number, -best[1]))
                left = 1 - best[1]
        return pairs

    def _only_typing_errors(self, found: Place, edit: Replace) -> bool:
        """Whether each pair of lines says the same, the first and the last are there, and so is every line that the replacement changes."""
        if not {self.told[0], self.told[-1]} <= found.pairs.keys():
            return False
        changed = {number for _, i1, i2, _, _ in opcodes(edit.search, edit.replace) for number in range(i1, i2)}
        if any(number in changed and number not in found.pairs for number in self.told):
            return False
        words = {word for row in self.rows for word in WORD.findall(self.lines[row])}
        return all(
            _mistyped(bare(self.search[number]), bare(self.lines[row]), words) for number, row in found.pairs.items()
        )


def _within(row: int, pairs: dict[int, int]) -> bool:
    return min(pairs.values()) <= row <= max(pairs.values())


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio() if one != other else 1.0


def _mistyped(searched: str, real: str, words: set[str]) -> bool:
    """Whether one line is the other with typing errors. ``words``: those of the file."""
    if searched == real:
        return True
    if DIGITS.findall(searched) != DIGITS.findall(real):
        return False
    if COMMENT.match(searched) and COMMENT.match(real):
        return True
    here, there = SIGN.findall(searched), SIGN.findall(real)
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, here, there, autojunk=False).get_opcodes():
        if tag == "equal" or HARMLESS.issuperset(here[i1:i2] + there[j1:j2]):
            continue
        if i2 - i1 != j2 - j1 or not all(
            _misspelt(one, other, words) for one, other in zip(here[i1:i2], there[j1:j2], strict=True)
        ):
            return False
    return True


def _misspelt(word: str, real: str, words: set[str]) -> bool:
    """Not another name of the file, not the plural, not a short name with another letter."""
    if word in words or min(len(word), len(real)) < SHORT_NAME or not (word + real).replace("_", "").isalnum():
        return False
    if word.rstrip("s") == real.rstrip("s") or word.lower() == real.lower():
        return False
    here, there = PART.findall(word), PART.findall(real)
    if len(here) != len(there):
        return _ratio(word, real) >= ALIKE
    return all(one == other or _ratio(one, other) >= LINE_ALIKE for one, other in zip(here, there, strict=True))
