"""The place in a text where something is to be completed, and the lines around it. Knows text only: no language, no candidates."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from fireside.core.requests import Snippet

TEXT_LIMIT = 400_000
NEIGHBOUR_LIMIT = 100_000
LONG_LINE = 2_000
NEAR_LINES = 120
SCOPE_LINES = 60
NAME = re.compile(r"[^\W\d]\w*")
PLAIN = re.compile(r"(?<![\w.])([^\W\d]\w*)(?![\w(])")
NOT_BLANK = re.compile(r"\S")
PARTIAL = re.compile(r"[^\W\d]\w*$")
PROSE = re.compile(r"\s*(#|//|\*|--|/\*)|.*(\s#\s|\s//\s)")
HEAD = re.compile(
    r"\s*(?:async |export |pub |public |private |protected |static |default )*(?:def|class|fn|func|function|impl)\b"
)


@dataclass(frozen=True)
class Cursor:
    """``line``, ``after``: of the cursor's line, what stands before and after it. ``next_line``: the next that is not blank, stripped.

    ``texts``: the file and its neighbours joined, with a NUL at ``at``, the cursor, and between any two; ``end``: where the file ends.
    """

    line: str
    after: str
    next_line: str
    texts: str
    at: int
    end: int

    @cached_property
    def partial(self) -> str:
        """The name that is being typed, as far as it is; or ""."""
        found = PARTIAL.search(self.line[-200:])
        return found[0] if found else ""

    @cached_property
    def indent(self) -> int:
        return indent_of(self.line)

    @cached_property
    def previous_line(self) -> str:
        """The last line before this one that is not blank, stripped."""
        return self.line_before(self.at - len(self.line))[0]

    @cached_property
    def step(self) -> int:
        """How much further the next line is indented than this one; columns."""
        end = self.texts.find("\n", self.at)
        return self.line_after(end)[1] - self.indent if 0 <= end < self.end else -self.indent

    @cached_property
    def in_prose(self) -> bool:
        """Whether the cursor stands in a comment, or in what looks like one, or like a doc string."""
        if PROSE.match(self.line):
            return True
        words = self.line.split()
        return len(words) > 3 and sum(word.isalpha() for word in words) > 0.75 * len(words)

    @cached_property
    def here(self) -> str:
        """The lines before the cursor's of the definition around it, at most ``SCOPE_LINES``."""
        before = self.texts[: self.at].rsplit("\n", SCOPE_LINES)[-SCOPE_LINES:-1]
        begin = 0
        for index in range(len(before) - 1, -1, -1):
            if HEAD.match(before[index]) and indent_of(before[index]) < max(self.indent, 1):
                begin = index
                break
        return "".join(f"{line}\n" for line in before[begin:])

    @cached_property
    def plain_names(self) -> dict[str, int]:
        """Names of the definition up to the cursor that follow no dot and are not called, the last first, each with how often."""
        found = PLAIN.findall(self.here + self.line[: len(self.line) - len(self.partial)])
        counts = Counter(found)
        return {name: counts[name] for name in reversed(found)}

    @cached_property
    def latest(self) -> frozenset[str]:
        """Names of the three lines before the cursor's and of its own."""
        return frozenset(NAME.findall("\n".join(self.here.rsplit("\n", 4)[-4:]) + self.line))

    @cached_property
    def scope(self) -> frozenset[str]:
        """Names in the lines around the cursor: of the definition around it, and a few lines ahead."""
        behind = self.texts[self.at + 1 : self.end].split("\n", 12)[:12]
        return frozenset(NAME.findall("\n".join([self.here + self.line, "", *behind])))

    def line_before(self, begin: int) -> tuple[str, int]:
        """The last line before the place ``begin`` that is not blank, stripped, and its indentation."""
        end = begin - 1
        while end > 0 and self.texts[end].isspace():
            end -= 1
        line = self.texts[self.texts.rfind("\n", 0, max(end, 0)) + 1 : end + 1]
        return line.strip(), indent_of(line)

    def line_after(self, end: int) -> tuple[str, int]:
        """The next line after the place ``end`` that is not blank, stripped, and its indentation."""
        found = NOT_BLANK.search(self.texts, end)
        if found is None:
            return "", 0
        begin, end = self.line_around(found.start())
        return self.texts[begin:end].strip(), found.start() - begin

    def lines_before(self, count: int) -> Iterator[tuple[int, str]]:
        """Lines above the cursor's, stripped, nearest first, each with how far away it is."""
        before = self.texts[: self.at].rsplit("\n", count + 1)[:-1][-count:]
        yield from ((distance, line.strip()) for distance, line in enumerate(reversed(before), 1))

    def lines_behind(self, count: int) -> Iterator[tuple[int, str]]:
        """The same below."""
        behind = self.texts[self.at + 1 : self.end].split("\n", count + 1)[1 : count + 1]
        yield from ((distance, line.strip()) for distance, line in enumerate(behind, 1))

    def line_around(self, place: int) -> tuple[int, int]:
        """Where the line that holds ``place`` begins and ends."""
        end = self.texts.find("\n", place)
        return self.texts.rfind("\n", 0, place) + 1, len(self.texts) if end < 0 else end


def cursor_between(prefix: str, suffix: str, neighbours: Sequence[Snippet]) -> Cursor:
    before, behind = prefix[-TEXT_LIMIT:].replace("\0", " "), suffix[:TEXT_LIMIT].replace("\0", " ")
    after, _, rest = behind.partition("\n")
    following = (line.strip() for line in rest.split("\n", 20)[:20])
    joined = [before, "\0", behind]
    size = 0
    for neighbour in neighbours:
        size += len(neighbour.text)
        if size > NEIGHBOUR_LIMIT:
            break
        joined += ["\0\n", neighbour.text]
    return Cursor(
        line=before[before.rfind("\n") + 1 :],
        after=after.rstrip(),
        next_line=next(filter(None, following), ""),
        texts="".join(joined),
        at=len(before),
        end=len(before) + 1 + len(behind),
    )


def indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def first_word(line: str) -> str:
    """The first name of a stripped line, or its first character."""
    found = NAME.match(line)
    return found[0] if found else line[:1]


def is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def in_common(one: str, other: str) -> int:
    """With how many characters both begin."""
    shorter = min(len(one), len(other))
    return next((at for at in range(shorter) if one[at] != other[at]), shorter)
