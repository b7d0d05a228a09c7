"""Rows as documents: what a model reads from one end token to the next. Knows characters and special tokens; no tokenizer.

The middle is cut out in characters, before anything is tokenised, because a cursor stands between characters. Two orders are trained
(Bavarian et al., arXiv 2207.14255):

- PSM: ``<|fim_prefix|>PREFIX<|fim_suffix|>SUFFIX<|fim_middle|>MIDDLE<|endoftext|>``
- joined ("SPM variant 2"): ``<|fim_prefix|><|fim_suffix|>SUFFIX<|fim_middle|>PREFIX MIDDLE<|endoftext|>``: prefix and middle are one
  text, with no token between them, so that the answer goes on from the prefix and a growing prefix keeps its cache.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from fireside.training.prepare.settings import PrepareSettings
from fireside.training.prepare.tokenizer import Specials
from fireside.training.rows import Row

Part = str | int
# A token of code is 3 to 4 characters; with fewer, a document would not fit into a row.
CHARACTERS = 2.6
SHORTEST = 0.3
TRIES = 4


@dataclass(frozen=True, slots=True)
class Document:
    """``parts``: texts and special tokens in their order. ``whole``: must not be cut, because its end answers its beginning.

    ``answer``: the last ``answer`` characters of the last text are what the model is to find (0: all of it).
    """

    parts: tuple[Part, ...]
    whole: bool = False
    answer: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    prefix: str
    middle: str
    suffix: str


class Documents:
    """``rate``: share of the windows cut; ``kept``: share of the fim rows used: together they give ``fim_rate`` and ``syntax_spans``."""

    def __init__(
        self, settings: PrepareSettings, specials: Specials, *, seed: int, rate: float = 0.0, kept: float = 1.0
    ) -> None:
        self._settings = settings
        self._specials = specials
        self._seed = seed
        self._rate = rate if specials.order != "none" else 0.0
        self._kept = kept if specials.order != "none" else 0.0
        self._window = int(settings.context * CHARACTERS)

    def of(self, row: Row) -> Iterator[Document]:
        """The documents of one row, the same for the same row and seed."""
        chance = random.Random(f"{self._seed}\n{row.repo}\n{row.path}\n{row.sha256}\n{row.kind}")
        if row.kind == "lm":
            yield from self._file(row, chance)
        elif row.kind == "fim":
            yield from self._node(row, chance)
        else:
            yield self._instructed(row)

    def plain(self, row: Row) -> Document:
        """A file as it stands, with neither header nor cut, as the measures read it."""
        return Document((row.text, self._specials.end))

    def cuts(self, row: Row, most: int) -> Iterator[Document]:
        """At most ``most`` windows of a file cut from cursor to line end, in both orders by turns: what the measures fill in."""
        chance = random.Random(f"measure\n{row.repo}\n{row.path}")
        for number, window in enumerate(_windows(row.text, self._window, chance)):
            cut = _line(window, chance)
            if number >= most or cut is None:
                return
            yield self._filled(cut, (), joined=number % 2 == 0)

    def _file(self, row: Row, chance: random.Random) -> Iterator[Document]:
        left = len(row.text)
        for window in _windows(row.text, self._window, chance):
            left -= len(window)
            cut = self._cut(window, chance) if chance.random() < self._rate else None
            header = self._header(row, chance)
            if cut is not None:
                yield self._filled(cut, header, joined=self._joined(chance))
            else:
                # Only the file's end ends the document.
                yield Document((*header, window, *(() if left else (self._specials.end,))))

    def _node(self, row: Row, chance: random.Random) -> Iterator[Document]:
        room = self._window - len(row.text)
        if room < self._window // 8 or chance.random() >= self._kept:
            return
        before = min(len(row.prefix), max(int(room * chance.uniform(0.4, 0.9)), room - len(row.suffix)))
        after = room - before
        cut = Cut(row.prefix[len(row.prefix) - before :], row.text, row.suffix[:after])
        yield self._filled(cut, self._header(row, chance), joined=self._joined(chance))

    def _instructed(self, row: Row) -> Document:
        """A plain instruct form: ChatML where the tokenizer has its tokens."""
        marks, asked = self._specials, row.instruction.strip()
        if row.before:
            asked = f"{asked}\n\n{row.path}\n```\n{row.before.rstrip()}\n```"
        answer = f"```\n{row.text.rstrip()}\n```"
        if min(marks.start_turn, marks.end_turn) < 0:
            return Document((f"{asked}\n\n{answer}\n", marks.end), whole=True)
        turns = (marks.start_turn, f"user\n{asked}", marks.end_turn, "\n", marks.start_turn, f"assistant\n{answer}")
        return Document((*turns, marks.end_turn, "\n", marks.end), whole=True)

    def _joined(self, chance: random.Random) -> bool:
        return self._specials.order == "joined" and chance.random() < self._settings.joined

    def _cut(self, window: str, chance: random.Random) -> Cut | None:
        lines = self._settings.line_spans
        rest = max(1.0 - lines - self._settings.syntax_spans, 0.0)
        if chance.random() * (lines + rest) < lines:
            return _line(window, chance)
        return _anywhere(window, chance)

    def _header(self, row: Row, chance: random.Random) -> tuple[Part, ...]:
        marks = self._specials
        if min(marks.repo, marks.file) < 0 or not row.repo or chance.random() >= self._settings.headers:
            return ()
        return (marks.repo, f"{row.repo}\n", marks.file, f"{row.path}\n")

    def _filled(self, cut: Cut, header: tuple[Part, ...], *, joined: bool) -> Document:
        marks, text = self._specials, cut.middle
        if joined:
            parts: tuple[Part, ...] = (marks.prefix, marks.suffix, cut.suffix, marks.middle, cut.prefix + text)
        else:
            parts = (marks.prefix, cut.prefix, marks.suffix, cut.suffix, marks.middle, text)
        return Document((*header, *parts, marks.end), whole=True, answer=len(text))


def _windows(text: str, longest: int, chance: random.Random) -> Iterator[str]:
    """A text in pieces that fit into a row, of different lengths, each ending with a line where it can."""
    start = 0
    while start < len(text):
        end = start + int(longest * chance.uniform(SHORTEST, 1.0))
        if end >= len(text):
            end = len(text)
        else:
            line = text.rfind("\n", start + longest // 8, end)
            end = end if line < 0 else line + 1
        yield text[start:end]
        start = end


def _line(window: str, chance: random.Random) -> Cut | None:
    """From a cursor in some line, at its first sign or behind, to the end of the line."""
    for _ in range(TRIES):
        somewhere = int(chance.random() * len(window))
        start = window.rfind("\n", 0, somewhere) + 1
        end = window.find("\n", somewhere)
        line = window[start : end if end >= 0 else len(window)]
        indent = len(line) - len(line.lstrip())
        if line.strip():
            at = start + indent + int(chance.random() * (len(line) - indent))
            return Cut(window[:at], window[at : start + len(line)], window[start + len(line) :])
    return None


def _anywhere(window: str, chance: random.Random) -> Cut | None:
    """Any span of at most half the window."""
    if len(window) < 2:
        return None
    at = int(chance.random() * (len(window) - 1))
    end = at + 1 + int(chance.random() * min(len(window) - at - 1, len(window) // 2))
    return Cut(window[:at], window[at:end], window[end:])
