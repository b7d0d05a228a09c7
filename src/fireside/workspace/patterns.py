"""Patterns of rule files as git reads them (``dir.c`` and ``wildmatch.c`` of git 2.47), as regular expressions. Knows no files.

One difference is wanted: ``?`` and ``[...]`` stand for one character, where git takes one byte.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

SPECIAL = re.compile(r"[*?\[\\]")
CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}
NOTHING = "(?!)"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of a rule file. ``regex`` is matched from the start against a path that ends in ``/`` when it is a folder.

    ``ignores``: False for a line that begins with ``!``. ``name_only``: it holds for the last part of a path, wherever that lies.
    """

    regex: str
    ignores: bool
    name_only: bool


def read_pattern(line: str) -> Pattern | None:
    """The pattern in a line without its line end; None for a comment, an empty line, and what can match nothing."""
    if line.startswith("#"):
        return None
    text = _without_trailing_spaces(line)
    ignores = not text.startswith("!")
    text = text if ignores else text[1:]
    folders_only = text.endswith("/")
    text = text.removesuffix("/")
    name_only = "/" not in text
    text = text.removeprefix("/")
    if not text:
        return None
    # git compares what stands before the first wildcard by itself; what follows then counts as a beginning for "**".
    wild = SPECIAL.search(text)
    plain = text[: wild.start()] if wild else text
    try:
        regex = re.escape(plain) + _translated(text[len(plain) :], name_only)
    except ValueError:
        return None
    # The slash that marks a folder is no part of what git compares: "a/*" is what lies in a, not a itself.
    return Pattern(regex + "(?<!/)" + ("/" if folders_only else "/?") + r"\Z", ignores, name_only)


def _without_trailing_spaces(line: str) -> str:
    """Spaces at the end do not count unless a backslash protects them."""
    bare = line.rstrip(" ")
    backslashes = len(bare) - len(bare.rstrip("\\"))
    return bare + " " if backslashes % 2 and len(bare) < len(line) else bare


def _translated(text: str, name_only: bool) -> str:
    """Raises ``ValueError`` for what git never matches."""
    parts: list[str] = []
    fixed, starred = "", False
    for kind, piece in _tokens(text, name_only):
        if kind == "one":
            fixed += piece
            continue
        # After a star the first place that fits is as good as any later one: without going back, "*a*a*a*b" costs no more than a walk.
        if starred:
            parts.append(f"(?>[^/]*?{fixed})" if kind == "star" else f"[^/]*{fixed}")
        else:
            parts.append(fixed)
        starred = kind == "star"
        fixed = "" if starred else piece
    return "".join((*parts, f"[^/]*{fixed}" if starred else fixed))


def _tokens(text: str, name_only: bool) -> Iterator[tuple[str, str]]:
    """("one", regex of one character), ("star", "") within a part of a path, ("border", regex) for a slash or what goes over slashes."""
    at = 0
    while at < len(text):
        here = text[at]
        if here == "*":
            end = at
            while text[end : end + 1] == "*":
                end += 1
            free = (
                end - at > 1 and not name_only and text[at - 1 : at] in ("", "/") and text[end : end + 1] in ("", "/")
            )
            if free and end < len(text):
                yield "border", "(?:.*/)?"
                end += 1
            else:
                yield ("border", ".*") if free else ("star", "")
            at = end
        elif here == "[":
            regex, at = _set(text, at + 1)
            yield "one", regex
        elif here == "\\":
            if at + 1 == len(text):
                raise ValueError("a backslash with nothing behind it")
            yield "one", re.escape(text[at + 1])
            at += 2
        else:
            yield ("border", "/") if here == "/" else ("one", "[^/]" if here == "?" else re.escape(here))
            at += 1


def _set(text: str, at: int) -> tuple[str, int]:
    """The regex of a set whose ``[`` stands before ``at``, and where it ends. Raises ``ValueError`` for one without an end."""
    negated = text[at : at + 1] in ("!", "^")
    at += negated
    first, before, members = at, "", ""
    while at == first or text[at : at + 1] != "]":
        named = re.compile(r"\[:([^\]]*):\]").match(text, at)
        if named is not None:
            if named[1] not in CLASSES:
                raise ValueError(f"no class is called {named[1]}")
            members, before, at = members + CLASSES[named[1]], "", named.end()
            continue
        ranged = bool(before) and text[at : at + 1] == "-" and text[at + 1 : at + 2] not in ("", "]")
        at += ranged
        at += text[at : at + 1] == "\\"
        if at >= len(text):
            raise ValueError("a set without an end")
        low, high = (before if ranged else text[at]), text[at]
        # A range that runs backwards holds nothing but where it began.
        members += f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""
        before = "" if ranged else high
        at += 1
    if not members:
        return ("[^/]" if negated else NOTHING), at + 1
    return (f"[^/{members}]" if negated else f"(?!/)[{members}]"), at + 1
