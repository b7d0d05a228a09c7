"""JSON as small models write it: trailing commas, Python's quotes and words, raw line ends, a fence around it, encoded twice, not closed.

Only what is missing by its form is put right; no value is ever made up. One pass over the text, so hostile input costs no more than
friendly input. Knows nothing of tools.
"""

import json
import re
from dataclasses import dataclass
from math import isfinite
from typing import Literal, NoReturn

import orjson

# What was wrong. "closed": brackets were missing at the end. "broken_off": the end of a text was, so nobody knows how it went on.
Fault = Literal["syntax", "closed", "broken_off", "fenced", "encoded"]
DEEPEST = 64
LEVELS = 3
SPACE = re.compile(r"(?:[\s\u200b\ufeff]++|//[^\n]*+|/\*.*?\*/)*+", re.DOTALL)
BARE_KEY = re.compile(r"[A-Za-z_$][\w$-]*+")
NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d{0,63})(?:\.\d{0,64})?|\.\d{1,64})(?:[eE][+-]?\d{1,4})?(?![\w.])")
WORD = re.compile(r"[A-Za-z]{4,5}\b")
WORDS: dict[str, object] = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
# A text by the sign it begins with: everything up to the sign that ends it.
TEXTS = {
    opens: re.compile(rf"[^\\{ends}]*+(?:\\.[^\\{ends}]*+)*+", re.DOTALL)
    for opens, ends in {'"': '"', "'": "'", "\u201c": "\u201c\u201d", "\u201d": "\u201d", "\u2018": "\u2019"}.items()
}
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U00[01][0-9a-fA-F]{5}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "/": "/"}
HALVES = re.compile("[\ud800-\udfff]")
ESCAPED_ONCE = re.compile(r'\s*[\[{]\s*\\"')
FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*([\w+-]*)[ \t]*\n?")
# An end tag or a bracket too many, behind a whole value, changes nothing in it.
DEBRIS = re.compile(r"[\s}\];`]*")


class NotJson(ValueError):
    """No value of any kind, or one that cannot be read without guessing."""


@dataclass(frozen=True, slots=True)
class Reading:
    """``end``: where the value ends in the text. ``faults``: what had to be put right; empty for JSON."""

    value: object
    end: int
    faults: frozenset[Fault] = frozenset()


def _refuse(word: str) -> NoReturn:
    raise NotJson(f"{word} is no number")


def _finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _refuse(text[:40])


_STRICT = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def read_value(text: str, at: int = 0) -> Reading:
    """The value that begins at ``at``, whatever follows it. Raises ``NotJson``."""
    try:
        value, end = _STRICT.raw_decode(text, at)
        return Reading(value, end)
    except (ValueError, RecursionError):
        pass
    reader = _Reader(text)
    value, end = reader.value(at, 0)
    return Reading(value, min(end, len(text)), frozenset(reader.cut or ("syntax",)))


def read_object(text: str) -> Reading:
    """The object that is the whole text: bare, in a fence, or encoded as text up to three times. Nothing is ``{}``. Raises ``NotJson``."""
    faults: frozenset[Fault] = frozenset()
    for _ in range(LEVELS + 1):
        inner = text.strip()
        if not inner:
            return Reading({}, len(text), faults | {"syntax"})
        if (fenced := unfenced(inner)) is not None:
            inner, faults = fenced[1], faults | {"fenced"}
        elif ESCAPED_ONCE.match(inner):
            inner = f'"{inner}"'
        reading = read_value(inner)
        faults |= reading.faults
        rest = DEBRIS.match(inner, reading.end)
        if rest is None or rest.end() < len(inner):
            raise NotJson("more than one value")
        if reading.end < len(inner.rstrip()):
            faults |= {"syntax"}
        if isinstance(reading.value, dict):
            return Reading(reading.value, len(text), faults)
        if not isinstance(reading.value, str):
            raise NotJson("no object")
        text, faults = reading.value, faults | {"encoded"}
    raise NotJson("encoded too often")


def unfenced(text: str) -> tuple[str, str] | None:
    """Label (in lower case) and inside of text that is one code fence, the last line of which may be missing; ``None`` for other text."""
    begin = FENCE.match(text)
    if begin is None:
        return None
    inside = text[begin.end() :].rstrip()
    return begin[2].lower(), inside.removesuffix(begin[1])


def dump(value: object) -> str:
    """As JSON text; also numbers of any size, and halves of characters."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value)


class _Reader:
    """Reads one value. ``cut``: what of it was missing at the end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.cut: set[Fault] = set()

    def value(self, at: int, depth: int) -> tuple[object, int]:
        at = self._skip(at)
        sign = self.text[at : at + 1]
        if depth > DEEPEST or not sign:
            raise NotJson("too deep" if sign else "a value is missing")
        if sign == "{":
            return self._object(at + 1, depth + 1)
        if sign == "[":
            return self._array(at + 1, depth + 1)
        if sign in TEXTS:
            return self._quoted(at)
        if word := WORD.match(self.text, at):
            if word[0] not in WORDS:
                raise NotJson(f"no value at {at}")
            return WORDS[word[0]], word.end()
        return self._number(at)

    def _object(self, at: int, depth: int) -> tuple[object, int]:
        found: dict[str, object] = {}
        at = self._skip(at)
        while not self._closes("}", at):
            key, at = self._key(at)
            at = self._skip(at)
            if self.text[at : at + 1] != ":":
                raise NotJson(f"no value for {key[:40]!r}")
            found[key], at = self.value(at + 1, depth)
            at = self._next("}", at)
        return found, at + 1

    def _array(self, at: int, depth: int) -> tuple[object, int]:
        found: list[object] = []
        at = self._skip(at)
        while not self._closes("]", at):
            value, at = self.value(at, depth)
            found.append(value)
            at = self._next("]", at)
        return found, at + 1

    def _closes(self, sign: str, at: int) -> bool:
        if at >= len(self.text):
            self.cut.add("closed")
            return True
        return self.text[at] == sign

    def _next(self, sign: str, at: int) -> int:
        """Past the comma behind a value, to the next value or to the end of them all."""
        at = self._skip(at)
        if self.text[at : at + 1] == ",":
            at = self._skip(at + 1)
            if at >= len(self.text):
                # A comma says that more was to come.
                self.cut.add("broken_off")
        elif at < len(self.text) and self.text[at] != sign:
            raise NotJson(f"no comma at {at}")
        return at

    def _key(self, at: int) -> tuple[str, int]:
        if self.text[at] in TEXTS:
            return self._quoted(at)
        bare = BARE_KEY.match(self.text, at)
        if bare is None:
            raise NotJson(f"no name at {at}")
        return bare[0], bare.end()

    def _quoted(self, at: int) -> tuple[str, int]:
        body = TEXTS[self.text[at]].match(self.text, at + 1)
        assert body is not None
        if body.end() >= len(self.text) or self.text[body.end()] == "\\":
            self.cut.add("broken_off")
        return _unescaped(body[0]), body.end() + 1

    def _number(self, at: int) -> tuple[object, int]:
        number = NUMBER.match(self.text, at)
        if number is None:
            raise NotJson(f"no value at {at}")
        whole = number[0].lstrip("+-").isdigit()
        return int(number[0]) if whole else _finite(number[0]), number.end()

    def _skip(self, at: int) -> int:
        space = SPACE.match(self.text, at)
        return space.end() if space else at


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    plain = ESCAPE.sub(_sign, text)
    if HALVES.search(plain):
        return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return plain


def _sign(found: re.Match[str]) -> str:
    name = found[1]
    if len(name) > 1:
        return chr(int(name[1:], 16))
    # A backslash before any other sign was meant as it stands (\d, \s, the end of a line of shell).
    return ESCAPES.get(name, found[0])
