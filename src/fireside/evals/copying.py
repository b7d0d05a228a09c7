"""The baseline every model must beat: copy the rest of a line that began alike elsewhere in the same file.

The plain heuristic, kept as simple as it can be on purpose: it must not get better when Fireside's own copying does.
"""

from fireside.evals.fill import Filled, Hole

SHORTEST = 4
LONGEST = 200


async def plain_copy(hole: Hole) -> Filled:
    """The longest text before the cursor, of at least 4 characters, that stands elsewhere in the file; what follows it on its line."""
    before, after = hole.prefix, hole.suffix
    low, high, found = SHORTEST, min(LONGEST, len(before)), ""
    while low <= high:
        # When a text stands elsewhere, every shorter end of it does too, so the length can be bisected.
        middle = (low + high) // 2
        rest = _elsewhere(before, after, before[-middle:])
        if rest is None:
            high = middle - 1
        else:
            found, low = rest, middle + 1
    return Filled(found.rstrip())


def _elsewhere(before: str, after: str, key: str) -> str | None:
    """The rest of the line behind the last ``key`` before the cursor, else behind the first after it."""
    at = before.rfind(key, 0, len(before) - 1)
    if at >= 0:
        return before[at + len(key) :].partition("\n")[0]
    at = after.find(key)
    return after[at + len(key) :].partition("\n")[0] if at >= 0 else None
