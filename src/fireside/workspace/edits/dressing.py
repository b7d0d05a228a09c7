"""A listing without what an answer put around each of its lines: numbers, quote marks, plus signs, escapes, a margin, another indentation.

The file decides: what its own lines bear is its own. Knows lines; replaces nothing.
"""

import re
from collections.abc import Callable, Sequence
from html import unescape
from textwrap import dedent

from fireside.workspace.edits.shift import adopt_unit, only_unit, step_of
from fireside.workspace.edits.spelling import indent_of
from fireside.workspace.edits.unfinished import is_prose

NUMBERED = re.compile(r"^\s*L?(\d+)(?:\s*[|:\u2192\u2502]|[.)\t]|(?=\s|$))(?P<body>.*)$")
MARKED = re.compile(r"^[ +-]")
ENTITY = re.compile(r"&(?:lt|gt|amp|quot|#39);")
LEAST = 2
KNOWN = 0.25


def undressed(path: str, before: Sequence[str], texts: Sequence[str]) -> list[str]:
    """``texts`` as the file that holds ``before`` (no lines: a new one) would have them."""
    plain = list(texts)
    # Numbers and quotes are as likely to be what a page of prose is to have.
    of_code = () if is_prose(path) else (_without_numbers, _without_quotes)
    for strip in (*of_code, _without_pluses, _without_escapes, _without_margin):
        plain = strip(before, plain)
    return _with_own_indentation(before, plain)


def as_hunk(before: Sequence[str], texts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The lines searched and the lines that replace them, for a listing whose every line bears a diff's mark; None for any other."""
    told = [text for text in texts if text.strip()]
    if not any(text[0] in "+-" for text in told) or not all(MARKED.match(text) for text in told):
        return None
    searched = tuple(text[1:] for text in texts if text[:1] != "+")
    known = {text.strip() for text in before}
    found = sum(text.strip() in known for text in searched if text.strip())
    as_it_is = sum(text.strip() in known for text in told)
    if found * 2 < len([text for text in searched if text.strip()]) or found <= as_it_is:
        return None
    return searched, tuple(text[1:] for text in texts if text[:1] != "-")


def _without_numbers(before: Sequence[str], texts: list[str]) -> list[str]:
    """Lines that count up one by one, in a file that does not."""
    found = [NUMBERED.match(text) for text in texts]
    while found and not texts[len(found) - 1].strip():
        found.pop()
    numbers = [int(one[1]) for one in found if one]
    if len(numbers) < LEAST or len(numbers) != len(found) or not _counts(numbers):
        return texts
    own = [int(one[1]) for text in before if text.strip() and (one := NUMBERED.match(text))]
    if own or not before:
        return texts
    bodies = [one["body"] for one in found if one]
    known = {text.strip() for text in before}
    if sum(body.strip() in known for body in bodies) < KNOWN * len(bodies):
        return texts
    padded = all(body.startswith(" ") for body in bodies if body.strip())
    return [(body[1:] if padded else body).rstrip() if not body.strip() else body[padded:] for body in bodies]


def _counts(numbers: Sequence[int]) -> bool:
    return list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))


def _without_quotes(before: Sequence[str], texts: list[str]) -> list[str]:
    return _without_mark(before, texts, ">", lambda text: text[1:].removeprefix(" "))


def _without_pluses(before: Sequence[str], texts: list[str]) -> list[str]:
    return _without_mark(before, texts, "+", lambda text: text[1:])


def _without_mark(before: Sequence[str], texts: list[str], mark: str, strip: Callable[[str], str]) -> list[str]:
    """Without a sign that all lines begin with, and none of the file."""
    told = [text for text in texts if text.strip()]
    if len(told) < LEAST or not all(text.startswith(mark) for text in told):
        return texts
    return texts if any(text.startswith(mark) for text in before) else [strip(text) for text in texts]


def _without_escapes(before: Sequence[str], texts: list[str]) -> list[str]:
    """``&lt;`` for ``<``, where the file has no such thing and has the lines that it stands for."""
    escaped = [text for text in texts if ENTITY.search(text)]
    if not escaped or any(ENTITY.search(text) for text in before):
        return texts
    known = {text.strip() for text in before}
    meant = sum(unescape(text).strip() in known for text in escaped)
    return [unescape(text) for text in texts] if meant * 2 >= len(escaped) else texts


def _without_margin(before: Sequence[str], texts: list[str]) -> list[str]:
    if any(text.strip() and not indent_of(text) for text in before):
        return dedent("\n".join(texts)).split("\n") if texts else texts
    return texts


def _with_own_indentation(before: Sequence[str], texts: list[str]) -> list[str]:
    """Tabs where the file knows only tabs, or blanks where it knows only blanks; unless that is all the listing changes."""
    unit = only_unit(before)
    kinds = {indent[0] for text in texts if text.strip() and (indent := indent_of(text))}
    if not unit or not kinds or unit[0] in kinds:
        return texts
    adopted = adopt_unit(texts, unit, step_of(texts))
    return texts if list(map(str.rstrip, adopted)) == list(map(str.rstrip, before)) else adopted
