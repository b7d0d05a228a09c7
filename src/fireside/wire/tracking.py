"""Follows a text that began like a tool call, to see whether it goes on as one: value after value, and nothing else between or behind.

Decides only how long a text is held back; whether it is a call is read when all of it is there. Knows no tool.
"""

import re
from collections.abc import Callable

from fireside.wire.envelopes import BEHIND, END_OF_TAGS, LONGEST_AROUND, NAME
from fireside.wire.nesting import Nesting, Until
from fireside.wire.textcalls import MOST_CALLS, TAG_STARTS

NAMED = re.compile(NAME)
TAGGED = ("<function=", "<invoke name=")
NAMING = ("<|channel|>", "<｜tool▁call▁begin｜>", "<|tool_call_begin|>")
# Mistral puts marks of its own between a name and its object.
OBJECT = re.compile(r"(?=\{)")
LONGEST_NAME = 200


class Tracker:
    """Feed it the text from the first mark or value on. ``may_begin``: whether a name, or the beginning of one, is known."""

    def __init__(self, may_begin: Callable[[str], bool]) -> None:
        self._may_begin = may_begin
        self._inside: Nesting | Until | None = None
        self._between = ""
        self._values = 0

    def feed(self, text: str) -> bool:
        """Whether it still can be one."""
        while text:
            if self._inside is None:
                text, self._between = self._between + text, ""
                behind = BEHIND.match(text)
                text = text[behind.end() :] if behind else text
                if not text:
                    break
                name = NAMED.match(text)
                if name is not None and not self._may_begin(name[0]):
                    return False
                if _unfinished(text, name):
                    self._between = text
                    break
                self._inside = _beginning(text)
                self._values += 1
                if self._inside is None or self._values > MOST_CALLS:
                    return False
            after = self._inside.feed(text)
            if after is None:
                break
            self._inside, text = None, after
        return True


def _unfinished(text: str, name: re.Match[str] | None) -> bool:
    """Whether more must be seen to know what begins here."""
    if text[0] == "<":
        return len(text) < LONGEST_AROUND and any(start.startswith(text) and start != text for start in TAG_STARTS)
    return name is not None and len(text) < LONGEST_NAME and not text[name.end() :].strip()


def _beginning(text: str) -> Nesting | Until | None:
    """What the value that begins here ends with; ``None`` when none does."""
    if text.startswith(TAGGED):
        return Until(END_OF_TAGS, LONGEST_AROUND)
    if text[0] in "{[" or text.startswith(NAMING):
        return Nesting()
    name = NAMED.match(text)
    following = text[name.end() : name.end() + LONGEST_NAME].lstrip()[:1] if name else ""
    if following == "<":
        return Until(END_OF_TAGS, LONGEST_AROUND)
    if following == "[":
        return Until(OBJECT, 1)
    return Nesting() if following and following in "({" else None
