"""JSON as models write it: trailing commas, single quotes, raw line ends, quotes that nobody escaped, text that was encoded twice.

What breaks off is never completed. A quote ends a text only where what follows can follow a text.
"""

import json
import re
from collections.abc import Collection

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "/": "/"}
SMART = {"\u201c": "\u201d\u201c", "\u2018": "\u2019\u2018"}
SPACE = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
WORD = re.compile(r"[\w.+-]+")
BARE_KEY = re.compile(r"[A-Za-z_]\w*")
AFTER_ALL = re.compile(r"\s*(?:[,}\]]|$|</|```|\{|\))")
LITERALS: dict[str, Json] = {
    "true": True,
    "false": False,
    "null": None,
    "True": True,
    "False": False,
    "None": None,
    "undefined": None,
}
ENCODED = re.compile(r"\s*[\[{]\s*\\+\"")
DEEPEST = 40


class BreaksOff(ValueError):
    """The text ends within a value."""


class NotJson(ValueError):
    """This is no value of any kind."""


def read_json(text: str, at: int, keys: Collection[str]) -> tuple[Json, int]:
    """The value at ``at``, and where it ends. ``keys``: the names a quote and a comma may be followed by.

    Raises ``BreaksOff`` and ``NotJson``.
    """
    try:
        return json.JSONDecoder(strict=False, object_pairs_hook=_once).raw_decode(text, at)
    except (ValueError, RecursionError):
        pass
    reader = _Reader(text, keys)
    value, end = reader.value(at, 0)
    return value, end


def unwrapped(value: Json, keys: Collection[str]) -> Json:
    """A value that was encoded as text, once more or twice more."""
    for _ in range(3):
        if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
            break
        try:
            value = read_json(decoded_once(value), len(value) - len(value.lstrip()), keys)[0]
        except NotJson:
            break
    return value


def decoded_once(text: str) -> str:
    """Text all of whose quotes are escaped, without that escaping."""
    if not ENCODED.match(text):
        return text
    return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[0]), text, flags=re.DOTALL)


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise NotJson("a name stands twice")
    return dict(pairs)


class _Reader:
    def __init__(self, text: str, keys: Collection[str]) -> None:
        self.text = text
        names = "|".join(sorted(map(re.escape, keys), key=len, reverse=True))
        self.next_key = re.compile(rf"\s*,?\s*[\"'\u201c]?(?:{names})[\"'\u201d]?\s*:")

    def value(self, at: int, depth: int) -> tuple[Json, int]:
        at = self._skip(at)
        if depth > DEEPEST:
            raise NotJson("too deep")
        sign = self.text[at]
        if sign == "{":
            return self._object(at + 1, depth)
        if sign == "[":
            return self._array(at + 1, depth)
        if sign in "\"'`" or sign in SMART:
            return self._string(at, is_key=False)
        word = WORD.match(self.text, at)
        if not word:
            raise NotJson(f"no value at {at}")
        if word[0] in LITERALS:
            return LITERALS[word[0]], word.end()
        try:
            return float(word[0]) if "." in word[0] else int(word[0]), word.end()
        except ValueError:
            raise NotJson(f"no value at {at}") from None

    def _object(self, at: int, depth: int) -> tuple[Json, int]:
        pairs: list[tuple[str, Json]] = []
        while True:
            at = self._skip(at)
            if self.text[at] == "}":
                return _once(pairs), at + 1
            if self.text[at] == ",":
                at += 1
                continue
            key, at = self._key(at)
            at = self._skip(at)
            if self.text[at] != ":":
                raise NotJson(f"no value for {key!r}")
            value, at = self.value(at + 1, depth + 1)
            pairs.append((key, value))

    def _array(self, at: int, depth: int) -> tuple[Json, int]:
        values: list[Json] = []
        while True:
            at = self._skip(at)
            if self.text[at] == "]":
                return values, at + 1
            if self.text[at] == ",":
                at += 1
                continue
            value, at = self.value(at, depth + 1)
            values.append(value)

    def _key(self, at: int) -> tuple[str, int]:
        bare = BARE_KEY.match(self.text, at)
        if bare:
            return bare[0], bare.end()
        if self.text[at] in "\"'" or self.text[at] in SMART:
            return self._string(at, is_key=True)
        raise NotJson(f"no name at {at}")

    def _string(self, at: int, *, is_key: bool) -> tuple[str, int]:
        quote = self.text[at : at + 3] if self.text[at : at + 3] in ('"""', "'''") else self.text[at]
        # Two quotes and a comma are an empty text, not the beginning of a long one.
        ends = SMART.get(quote, quote)
        at += len(quote)
        parts: list[str] = []
        while at < len(self.text):
            sign = self.text[at]
            if sign == "\\" and at + 1 < len(self.text):
                text, at = self._escape(at + 1)
                parts.append(text)
            elif len(quote) == 3 and self.text.startswith(quote, at):
                return "".join(parts), at + 3
            elif len(quote) < 3 and sign in ends and (is_key or self._ends_text(at + 1)):
                return "".join(parts), at + 1
            else:
                parts.append(sign)
                at += 1
        raise BreaksOff("the text ends within quotes")

    def _ends_text(self, at: int) -> bool:
        """Whether what stands after a quote can stand after a text."""
        if self.next_key.match(self.text, at):
            return True
        rest = SPACE.match(self.text, at)
        after = rest.end() if rest else at
        if after >= len(self.text):
            return True
        if self.text[after] in "}]":
            return bool(AFTER_ALL.match(self.text, after + 1)) or self.text[after + 1 : after + 2] == "\n"
        rest = SPACE.match(self.text, after + 1)
        beyond = rest.end() if rest else after + 1
        closes = self.text[beyond : beyond + 1] in ("}", "]", "{")
        return self.text[after] == "," and (closes or bool(self.next_key.match(self.text, beyond)))

    def _escape(self, at: int) -> tuple[str, int]:
        sign = self.text[at]
        if sign == "u" and re.match(r"[0-9a-fA-F]{4}", self.text[at + 1 : at + 5]):
            return json.loads(f'"\\u{self.text[at + 1 : at + 5]}"'), at + 5
        if sign == "\n":
            return "\n", at + 1
        # A backslash before any other sign was meant literally (\d, \s).
        return ESCAPES.get(sign, "\\" + sign), at + 1

    def _skip(self, at: int) -> int:
        found = SPACE.match(self.text, at)
        at = found.end() if found else at
        if at >= len(self.text):
            raise BreaksOff("the text ends within a value")
        return at
