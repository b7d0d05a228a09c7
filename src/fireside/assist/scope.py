"""Names that could stand in place of others: those of the definition the cursor is in, and attributes of the same thing.

A line that is copied brings names of where it is from. One that is strange here gives way to a name of here: after a dot to what followed
the same name and dot near by, else to a name of the definition, those that are not used yet first. Knows tokens, no language.
"""

import re
from collections.abc import Iterator, Sequence

from fireside.assist.cursor import Cursor
from fireside.assist.shapes import FIXED, TOKEN

NEAR = 6_000
MOST_NAMES = 3
MOST_COMPLETED = 4
MEMBER = re.compile(r"([^\W\d]\w*)\.([^\W\d]\w*)")


class Scope:
    """The names of one cursor, gathered once."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        near = cursor.texts[max(0, cursor.at - NEAR) : cursor.at]
        self._line = frozenset(TOKEN.findall(cursor.line))
        self._names = cursor.plain_names
        self._members = _members(near)

    def exchanged(self, text: str) -> Iterator[tuple[str, bool]]:
        """``text`` with one strange name exchanged, the likeliest first; and whether the new name was not used yet."""
        begun = self._cursor.partial
        tokens = TOKEN.findall(self._cursor.line[-200:] + text)
        brought = TOKEN.findall(begun + text)
        offset = len(tokens) - len(brought)
        for at, token in enumerate(brought):
            if not self._strange(token):
                continue
            owner, follower = _owner(tokens, offset + at), brought[at + 1] if at + 1 < len(brought) else ""
            for name in self._instead(token, owner, follower):
                if at or name.startswith(begun):
                    new = "".join(name if one == token else one for one in brought)
                    yield new[len(begun) :], not owner and self._names.get(name) == 1

    def finished(self) -> Iterator[str]:
        """What would finish the name that is begun, the nearest first."""
        begun = self._cursor.partial
        if not begun:
            return
        owner = _owner(TOKEN.findall(self._cursor.line[-200:]), -1)
        found = self._members.get(owner, ()) if owner else self._names
        rests = (name[len(begun) :] for name in found if name.startswith(begun) and len(name) > len(begun))
        for count, rest in enumerate(dict.fromkeys(rests)):
            if count == MOST_COMPLETED:
                return
            yield rest

    def _strange(self, token: str) -> bool:
        return (token[0].isalpha() or token[0] == "_") and token not in FIXED and token not in self._cursor.scope

    def _instead(self, token: str, owner: str, follower: str) -> Sequence[str]:
        if owner:
            return [name for name in self._members.get(owner, ()) if name != token][:MOST_NAMES]
        if follower == "(":
            return ()
        names = [name for name in self._names if name != token and name not in self._line]
        return sorted(names, key=lambda name: self._names[name] > 1)[:MOST_NAMES]


def _members(text: str) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for owner, name in reversed(MEMBER.findall(text)):
        found.setdefault(owner, {})[name] = None
    return {owner: list(names) for owner, names in found.items()}


def _owner(tokens: Sequence[str], at: int) -> str:
    """The name before the dot before the token at ``at``; or ""."""
    at %= len(tokens) or 1
    return tokens[at - 2] if at > 1 and tokens[at - 1] == "." else ""
