"""What a question names with ``@``: where the names stand, and what they may mean. Knows text only; what is meant is for ``meaning``.

An ``@`` inside a word (an address of mail), in pasted code between fences, or in a path is none. Whether a bare word such as ``@property``
means anything is known only to those who know the project: ``meaning``.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fireside.index.languages import BY_EXTENSION

MENTION = re.compile(
    r"""(?<![\w@./+-])@(?:"([^"\n]{1,1000})"|'([^'\n]{1,1000})'|`([^`\n]{1,1000})`|([^\s"'`<>|,;@]{1,1000}))((?::|\#L)\d+(?:-L?\d+)?)?"""
)
LINES = re.compile(r"(?::|#L)(\d+)(?:-L?(\d+)|:\d+)?$")
AT_END = ".,;:!?…。，、；：！？»*~"
CLOSING = {")": "(", "]": "[", "}": "{"}
FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
URL = re.compile(r"(?:https?|ftp|file)://|www\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mention:
    """``text``: as written; ``start``, ``end``: where in the question. ``name``: what is named, without quotes and lines.

    ``first_line``, ``last_line``: the lines asked for, from 1, both included; 0 for all of it.
    """

    text: str
    name: str
    start: int
    end: int
    first_line: int = 0
    last_line: int = 0
    quoted: bool = False

    @property
    def is_url(self) -> bool:
        return URL.match(self.name) is not None

    @property
    def is_path(self) -> bool:
        """Whether only a file or a folder can be meant."""
        extension = self.name.rpartition(".")[2].lower() if "." in self.name[1:] else ""
        return bool(self.quoted or self.first_line or "/" in self.name or extension in BY_EXTENSION)

    def spellings(self) -> Iterator[str]:
        """What may be meant, likeliest first: in ``@run(1)`` also run, in ``@main.py是`` also main.py."""
        yield self.name
        if not self.quoted:
            called = re.split(r"[(\[{]", self.name, maxsplit=1)[0].rstrip(AT_END)
            plain = re.match(r"[!-~]*", called)
            yield from dict.fromkeys(one for one in (called, plain[0] if plain else "") if one not in ("", self.name))


def find(question: str) -> list[Mention]:
    """Everything in ``question`` that may be a mention, in order."""
    text = _without_fences(question) if "```" in question or "~~~" in question else question
    return [_read(match) for match in MENTION.finditer(text)]


def without(question: str, mentions: Sequence[Mention]) -> str:
    """The question without the text of these mentions."""
    kept, position = [], 0
    for mention in mentions:
        kept.append(question[position : mention.start])
        position = mention.end
    return re.sub(" {2,}", " ", "".join((*kept, question[position:])))


def _read(match: re.Match[str]) -> Mention:
    quoted = next((part for part in match.groups()[:3] if part is not None), None)
    name = quoted if quoted is not None else _trimmed(match[4] + (match[5] or ""))
    end = match.end() if quoted is not None else match.start() + 1 + len(name)
    if quoted is not None:
        name += match[5] or ""
    lines = None if URL.match(name) else LINES.search(name)
    first = last = 0
    if lines:
        name = name[: lines.start()]
        first, last = sorted((int(lines[1]), int(lines[2] or lines[1])))
    return Mention(match.string[match.start() : end], name, match.start(), end, first, last, quoted is not None)


def _trimmed(name: str) -> str:
    """Without the punctuation of the sentence it stands in; brackets stay when they are pairs."""
    while name and (
        name[-1] in AT_END or (name[-1] in CLOSING and name.count(name[-1]) > name.count(CLOSING[name[-1]]))
    ):
        name = name[:-1]
    return name


def _without_fences(question: str) -> str:
    """The question with pasted code blanked, nothing moved; a fence that is never closed holds the rest."""
    kept: list[str] = []
    mark = ""
    for line in question.splitlines(keepends=True):
        found = FENCE.match(line)
        if found and not mark:
            mark = found[1]
        elif found and found[1].startswith(mark) and not line.strip(" \t\r\n`~"):
            mark = ""
            kept.append(" " * len(line))
            continue
        kept.append(" " * len(line) if mark else line)
    return "".join(kept)
