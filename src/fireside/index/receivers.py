"""What the text of a file says about the thing before a dot: which class it may be of, or that it is none of the project's.

Knows declarations and assignments as words on a line, in all languages alike; no types, no other file.
"""

import re
import sys
from collections.abc import Iterator

MOST_PLACES = 400
LINE_PART = 200
OWN_NAMES = frozenset(
    ("self", "this", "cls", "Self", "super", "super()", "$this", "static", "parent", "me", "base", "type(self)")
)
PATH = r"(?:\w+(?:\.|::))*\w+"
MADE = re.compile(rf"\s*:?=\s*(?:(?:new|await)\s+|[&*])*({PATH})")
ANNOTATED = re.compile(r"\s*:(?!=)([^=\n,)]*)")
TYPE_BEHIND = re.compile(rf"[ \t]+[*&]*({PATH})")
TYPE_BEFORE = re.compile(r"(\w+)(?:<[^<>\n]*>)?[ \t*&]+$")
OPENED_AS = re.compile(rf"\bwith\s+(?:await\s+)?({PATH})\(.*\)\s+as\s+$")
CALLED = re.compile(rf"\(?[&*]?(?:new\s+|await\s+)?({PATH})\s*[({{<]")
MODULE_CALL = re.compile(r"\s*(?::[^=\n]+)?=\s*(\w+)\.\w+\(")


class Receivers:
    """Answers for one text; remembers what it has looked up."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._classes: dict[str, frozenset[str]] = {}
        self._foreign: dict[str, bool] = {}

    def classes(self, receiver: str) -> frozenset[str]:
        """Names that may be its class: what makes it, what it is declared as. Other words of those lines may be among them."""
        if receiver not in self._classes:
            self._classes[receiver] = frozenset(self._found(receiver))
        return self._classes[receiver]

    def foreign(self, receiver: str) -> bool:
        """Whether it is plain data, a module a Python text imports, or what one of Python's own modules made."""
        if receiver not in self._foreign:
            self._foreign[receiver] = receiver[:1] in "\"'`[{0123456789" or self._is_foreign(receiver)
        return self._foreign[receiver]

    def _found(self, receiver: str) -> Iterator[str]:
        if called := CALLED.match(receiver):
            yield from re.findall(r"\w+", called[1])
        words = re.findall(r"[\w$]+", receiver)
        if not words:
            return
        for before, after in self._places(words[-1]):
            for behind in (MADE, ANNOTATED, TYPE_BEHIND):
                if said := behind.match(after):
                    yield from re.findall(r"\w+", said[1])
            for ahead in (TYPE_BEFORE, OPENED_AS):
                if said := ahead.search(before):
                    yield from re.findall(r"\w+", said[1])

    def _is_foreign(self, receiver: str) -> bool:
        if not re.fullmatch(r"\w+", receiver):
            return False
        for before, after in self._places(receiver):
            if re.match(r"\s*import\s(?:[^#;]*[\s,])?$", before) and re.match(r"\s*(?:,|$|#)", after):
                return True
            made = MODULE_CALL.match(after) if not before.strip() else None
            if made is not None and made[1] in sys.stdlib_module_names:
                return True
        return False

    def _places(self, name: str) -> Iterator[tuple[str, str]]:
        """What stands before and behind each of the first places of a name, on its line."""
        for number, place in enumerate(re.finditer(rf"(?<![\w$]){re.escape(name)}(?![\w$])", self._text)):
            if number == MOST_PLACES:
                return
            start = self._text.rfind("\n", max(0, place.start() - LINE_PART), place.start()) + 1
            end = self._text.find("\n", place.end(), place.end() + LINE_PART)
            yield (
                self._text[max(start, place.start() - LINE_PART) : place.start()],
                self._text[place.end() : end if end >= 0 else place.end() + LINE_PART],
            )
