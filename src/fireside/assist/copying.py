"""Complete a line without a model, by copying from the same file and its neighbours.

Code repeats itself, near by and with other names. ``candidates`` gathers what could follow and what speaks for each, ``ranking`` says how
likely each is and what it is worth. Here is decided what to say: the candidate that is worth most and parses (``syntax``), cut where it
stops being likely, or nothing at all where even its first word is not likely. ``python -m benchmarks completion`` measures all of this.

Copying from the file as a baseline: Hellendoorn & Devanbu, "Are deep neural networks the best choice for modeling source code?" (FSE
2017), whose nested cache models this follows in spirit.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from operator import itemgetter
from typing import Literal

from fireside.assist.candidates import Candidate, candidates
from fireside.assist.cursor import LONG_LINE, Cursor, cursor_between, indent_of
from fireside.assist.ranking import judged
from fireside.assist.syntax import Syntax
from fireside.core.requests import Snippet

# How likely the first word must be for anything to be said, and each further one, with all before it, to be said as well.
LIKELY = 0.015
# A candidate that does not parse gives way to the next, this often.
TRIED = 3
PROSE = ("markdown", "text", "rst", "restructuredtext")
WORD = re.compile(r"\s*(?:\w+|[^\w\s])")

Source = Literal["file", "neighbour"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """``text``: to be inserted at the cursor. ``source``: where it is from. ``confidence``: the share of such ones that is right."""

    text: str
    source: Source
    confidence: float


def suggest(
    prefix: str,
    suffix: str,
    *,
    neighbours: Sequence[Snippet] = (),
    language: str = "",
    max_lines: int = 1,
) -> Suggestion | None:
    """What would be typed between ``prefix`` and ``suffix``, or ``None`` when nothing is likely enough.

    ``max_lines``: lines the suggestion may have; further lines follow only where one place agrees and goes on. ``language``: "" or the
    file's, as the index names it; prose (markdown, text) is left alone, and what would not parse is not said.
    """
    if language in PROSE:
        return None
    cursor = cursor_between(prefix, suffix, neighbours)
    if len(cursor.line) > LONG_LINE:
        return None
    found = candidates(cursor)
    if not found:
        return None
    likelihoods, worths = judged(cursor, found)
    likely = {one.text: likelihood for likelihood, one in zip(likelihoods, found, strict=True)}
    by_worth = [one for _, one in nlargest(TRIED, zip(worths, found, strict=True), key=itemgetter(0))]
    syntax = Syntax(prefix, suffix, language)
    best = next((one for one in by_worth if syntax.allows(one.text)), None)
    text, confidence = likely_part(best.text, likely) if best else ("", 0.0)
    if best is None or not text:
        return None
    if max_lines > 1 and text == best.text:
        text += _following_lines(cursor, best, max_lines - 1)
    return Suggestion(text, _source(cursor, best), round(min(confidence, 1.0), 3))


def likely_part(text: str, likely: Mapping[str, float]) -> tuple[str, float]:
    """The words ``text`` begins with while they are likely, and how likely they are together; "" where the first one is not."""
    said, confidence = "", 0.0
    for word in WORD.finditer(text):
        begun = text[: word.end()]
        chance = sum(likelihood for other, likelihood in likely.items() if other.startswith(begun))
        if chance < LIKELY:
            break
        said, confidence = begun, chance
    return said, confidence


def _source(cursor: Cursor, best: Candidate) -> Source:
    return "file" if not best.places or min(best.places) <= cursor.end else "neighbour"


def _following_lines(cursor: Cursor, best: Candidate, count: int) -> str:
    """The lines after the one copied, while they stay in its block and do not say what already follows the cursor."""
    if len(best.places) != 1:
        return ""
    begin, end = cursor.line_around(best.places[0])
    indent = indent_of(cursor.texts[begin:end])
    lines: list[str] = []
    for line in cursor.texts[end + 1 :].split("\n", count + 1)[:count]:
        if not line.strip() or "\0" in line or indent_of(line) < indent or line.strip() == cursor.next_line:
            break
        lines.append("\n" + cursor.line[: cursor.indent] + line[indent:].rstrip())
    return "".join(lines)
