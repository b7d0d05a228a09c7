"""Where the text before the cursor stands elsewhere: the places something can be copied from. Knows text only, no lines and no code."""

from collections.abc import Iterator

from fireside.assist.cursor import Cursor

LONGEST = 200
SHORTEST = 2
ENOUGH_PLACES = 12
MOST_PLACES = 80


def places(cursor: Cursor) -> list[tuple[int, int]]:
    """Places in ``cursor.texts`` right behind the text that stands before the cursor too, each with how many characters agree.

    The longest end of that text that stands elsewhere (up to 200 characters, over line ends), and shorter ends of it, down to two
    characters, until there are enough: at the long end this is copying, at the short end it is an n-gram model of one file.
    """
    key = cursor.texts[max(0, cursor.at - LONGEST) : cursor.at]
    longest = _longest_elsewhere(cursor, key)
    if longest < SHORTEST:
        return []
    found: list[int] = []
    for size in sorted({longest, longest * 7 // 10, min(longest, 16), min(longest, 9), min(longest, 5)}, reverse=True):
        if size >= SHORTEST:
            found = _nearest(cursor, key[-size:])
        if len(found) >= ENOUGH_PLACES:
            break
    if len(found) > MOST_PLACES:
        found = sorted(found, key=lambda place: abs(place - cursor.at))[:MOST_PLACES]
    return [(place, _agreement(cursor.texts, place, key)) for place in found]


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
