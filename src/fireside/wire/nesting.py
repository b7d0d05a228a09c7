"""Where a value that comes in pieces ends, without reading it: brackets and quotes are counted, sign by sign, once.

For deciding how long a text must be held back; what it holds is read by others when it is there.
"""

import re

OPENING = "{[("
SIGN = re.compile(r"[{}\[\]()\"'\u201c]")
TEXTS = {
    '"': re.compile(r'["\\]'),
    "'": re.compile(r"['\\]"),
    "\u201c": re.compile(r"[\u201c\u201d\\]"),
    '"""': re.compile(r'"""|\\'),
    "'''": re.compile(r"'''|\\"),
}
LONG = 3


class Nesting:
    """One value in brackets. Text before the first bracket is passed over."""

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""
        self._rest = ""

    def feed(self, text: str) -> str | None:
        """What stands behind the value once it has ended; ``None`` before."""
        text, self._rest = self._rest + text, ""
        at = 0
        while True:
            if self._quote:
                at = self._leave_text(text, at)
            else:
                found = SIGN.search(text, at)
                if found is None:
                    return None
                at = self._pass_sign(text, found.start())
                if at > 0 and not self._depth and not self._quote and text[at - 1] in "}])":
                    return text[at:]
            if at < 0:
                return None

    def _pass_sign(self, text: str, at: int) -> int:
        sign = text[at]
        if sign in OPENING:
            self._depth += 1
        elif sign in "}])":
            self._depth = max(0, self._depth - 1)
        elif self._depth:
            return self._enter_text(text, at, sign)
        return at + 1

    def _enter_text(self, text: str, at: int, sign: str) -> int:
        if sign != "\u201c" and len(text) - at < LONG and text.count(sign, at) == len(text) - at:
            # An empty text, or the beginning of a long one: the next piece tells.
            self._rest = text[at:]
            return -1
        self._quote = sign * LONG if text.startswith(sign * LONG, at) else sign
        return at + len(self._quote)

    def _leave_text(self, text: str, at: int) -> int:
        found = TEXTS[self._quote].search(text, at)
        if found is None:
            self._rest = text[max(at, len(text) - LONG + 1) :] if len(self._quote) == LONG else ""
            return -1
        if found[0] == "\\":
            if found.end() == len(text):
                self._rest = "\\"
                return -1
            return found.end() + 1
        self._quote = ""
        return found.end()


class Until:
    """Text up to an end tag."""

    def __init__(self, tag: re.Pattern[str], longest: int) -> None:
        self._tag = tag
        self._longest = longest
        self._rest = ""

    def feed(self, text: str) -> str | None:
        """What stands behind the tag once it has come; ``None`` before."""
        text = self._rest + text
        found = self._tag.search(text)
        if found is not None:
            return text[found.end() :]
        self._rest = text[-self._longest :]
        return None
