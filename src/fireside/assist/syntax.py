"""Cut a suggestion to what parses where it would stand.

Judged is the block around the cursor, not the file: one parse of it takes a fraction of a millisecond. Code that is being typed is
often broken already, so what counts is what a suggestion brings: no more errors than the block has without the line at all. Knows
grammars and text; not where a suggestion comes from. A language without a grammar passes.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fireside.assist.brackets import PAIRS, open_brackets
from fireside.assist.cursor import HEAD, indent_of
from fireside.index.languages import grammar

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

LINES_BEFORE = 50
LINES_BEHIND = 15
LONG_LINE = 2_000
LONG_BLOCK = 10_000
MOST_CUTS = 10
WORD = re.compile(r"\s*(?:\w+|[^\w\s])")
LEFT_OUT = frozenset(("markdown",))
# How a block that is cut out of another one is opened, so that what stands in it alone parses.
LONG_STRINGS = {"python": ('"""', "'''"), "javascript": ("`",), "typescript": ("`",), "tsx": ("`",), "go": ("`",)}
CLASS = ("class A {\n", "}\n")
AROUND = {"python": ("if 1:\n", ""), "php": ("<?php class A {\n", "}\n"), "rust": ("impl A {\n", "}\n")}
AROUND |= dict.fromkeys(("java", "csharp", "javascript", "typescript", "tsx", "cpp"), CLASS)
# What their preprocessor does cannot be parsed: a block with errors says nothing.
UNSURE = frozenset(("c", "cpp"))
GOES_ON = re.compile(
    r"\s*(?:else|elif|except|finally|case|catch|end|fi|done|esac|elsif|when|rescue|ensure)\b|\s*[)\]}]"
)
# A line may well end here and go on below, where nothing is written yet.
UNFINISHED = re.compile(r"(?:[(\[{,+\-*/%|&=.\\]|\b(?:and|or|not|in|if|else))\s*$")


@dataclass(frozen=True, slots=True)
class Block:
    """What stands around the cursor: ``before`` its line, in ``line`` as far as it is typed, and ``behind``; ``edge``: its indentation."""

    before: str
    line: str
    behind: str
    language: str
    edge: int


class Syntax:
    """What may stand at one cursor. ``language``: as the index names it; without a grammar everything may."""

    def __init__(self, prefix: str, suffix: str, language: str) -> None:
        self._parser = None if _inside(prefix, language) else _parser(language)
        self._block = _block(prefix, suffix, language)
        if len(self._block.before) + len(self._block.line) + len(self._block.behind) > LONG_BLOCK:
            self._parser = None

    def allows(self, text: str) -> bool:
        """Whether the block parses with ``text`` in it, or at least as well as it does without the line."""
        if self._parser is None:
            return True
        roots = []
        for whole in _endings(self._block, text):
            roots.append(self._parsed(whole))
            if not roots[-1].has_error:
                return True
        # What was cut out of the middle of something else, and does not parse on its own, says nothing.
        tolerated = self._tolerated
        unsure = self._block.edge > 0 or self._block.language in UNSURE
        return bool(tolerated) and (unsure or min(map(_errors, roots)) <= tolerated)

    @cached_property
    def _tolerated(self) -> int:
        return min(_errors(self._parsed(without)) for without in _without(self._block))

    def _parsed(self, text: str) -> "Node":
        assert self._parser is not None
        return self._parser.parse(text.encode("utf-8", "replace")).root_node


def longest_that_parses(prefix: str, text: str, suffix: str, language: str) -> str:
    """The longest beginning of ``text``, whole lines if one will do and else whole words, that parses between both; "" when none does.

    ``language``: as the index names it. Text in a language without a grammar comes back as it is.
    """
    syntax = Syntax(prefix, suffix, language)
    return next((cut for cut in _cuts(text) if syntax.allows(cut)), "")


def _parser(language: str) -> "Parser | None":
    """A parser of its own: the one in the index may be at work in another thread."""
    if language in LEFT_OUT:
        return None
    try:
        known = grammar(language)
    except (ImportError, OSError, ValueError, SyntaxError):
        return None
    if known is None or known[0].language is None:
        return None
    from tree_sitter import Parser

    return Parser(known[0].language)


def _inside(prefix: str, language: str) -> bool:
    """Whether the cursor stands in a string or a comment over several lines, where no block around it can be told."""
    if language not in ("python", "bash", "ruby") and prefix.rfind("/*") > prefix.rfind("*/"):
        return True
    return any(prefix.count(mark) % 2 for mark in LONG_STRINGS.get(language, ()))


def _cuts(text: str) -> Iterator[str]:
    """``text`` and what it may be cut to, longest first: whole lines, then words of the first line."""
    lines = text.split("\n")
    for count in range(len(lines), 0, -1):
        yield "\n".join(lines[:count])
    ends = [word.end() for word in WORD.finditer(lines[0])]
    for end in ends[-2 : -2 - MOST_CUTS : -1]:
        yield lines[0][:end]


def _endings(block: Block, text: str) -> Iterator[str]:
    """The block with ``text``; and, where that ends as a line that goes on below, with an end made up for it."""
    before = block.before + block.line + text
    yield before + block.behind
    last = (block.line + text).rpartition("\n")[2]
    python, deeper = block.language == "python", _goes_deeper(block)
    if python and last.endswith(":") and not deeper:
        yield f"{before}\n{' ' * (indent_of(last) + 1)}pass{block.behind}"
    state = open_brackets(block.line + text) if UNFINISHED.search(last) else None
    if state is None or not state[0] or (python and deeper):
        return
    closers = ("" if last.endswith((*PAIRS, ",")) else " a") + "".join(PAIRS[opener] for opener in reversed(state[0]))
    yield before + closers + block.behind
    if python:
        yield f"{before}{closers}:{block.behind}"
    else:
        yield f"{before}{block.behind}\n{closers}"


def _without(block: Block) -> Iterator[str]:
    """The block without the line; and where lines below stand in a block of it, with a plain head in its place."""
    rest = block.behind.partition("\n")[2]
    yield block.before + rest
    if block.language == "python" and _goes_deeper(block):
        yield f"{block.before}{' ' * indent_of(block.line)}if 1:\n{rest}"


def _goes_deeper(block: Block) -> bool:
    return indent_of(next(filter(str.strip, block.behind.split("\n")[1:]), "")) > indent_of(block.line)


def _errors(root: "Node") -> int:
    """Errors and missing marks below a node. A list, not recursion: brackets may be nested deeper than calls may."""
    count, pending = 0, [root]
    while pending:
        node = pending.pop()
        if node.has_error:
            count += node.is_error or node.is_missing
            pending.extend(node.children)
    return count


def _block(prefix: str, suffix: str, language: str) -> Block:
    """The lines around the cursor that belong together, by their indentation."""
    *before, line = prefix.rsplit("\n", LINES_BEFORE)[-LINES_BEFORE - 1 :]
    after, _, rest = suffix.partition("\n")
    indent = indent_of(line + after)
    begin = _beginning(before, indent)
    edge = min(indent_of(before[begin]), indent) if begin < len(before) else indent
    kept = "".join(f"{one}\n" for one in before[begin:])
    behind = _behind(rest.split("\n", LINES_BEHIND)[:LINES_BEHIND], edge, more=indent <= edge)
    opening, closing = AROUND.get(language, ("", "")) if edge else ("", "")
    if language == "php" and not edge and "<?php" not in kept:
        opening = "<?php\n"
    if len(behind) == LINES_BEHIND and language != "python":
        closing = _closers([*before[begin:], *behind]) + closing
    return Block(opening + kept, line, "\n".join([after, *behind, closing]), language, edge)


def _closers(lines: Sequence[str]) -> str:
    """What closes the brackets that lines leave open, told by their indentation: quotes and comments would mislead a count."""
    opened: list[tuple[int, str]] = []
    for line in lines:
        text = line.strip()
        while text and opened and opened[-1][0] >= indent_of(line):
            opened.pop()
        if text[-1:] in PAIRS:
            opened.append((indent_of(line), PAIRS[text[-1]]))
    return "".join(f"{closer}\n" for _, closer in reversed(opened))


def _beginning(before: Sequence[str], indent: int) -> int:
    """The line the block begins with: the head of the nearest definition around it, or what stands at the left edge."""
    begin, edge = len(before), LONG_LINE
    for number in range(len(before) - 1, -1, -1):
        one = before[number]
        here = indent_of(one)
        if one.strip() and here < edge and not GOES_ON.match(one):
            begin, edge = number, here
            if not edge or (here < indent and HEAD.match(one)):
                break
    return begin


def _behind(lines: Sequence[str], edge: int, *, more: bool) -> Sequence[str]:
    """The lines that still belong to the block. ``more``: one statement beyond it too, which may belong to the cursor's line."""
    for number, one in enumerate(lines):
        if not one.strip() or indent_of(one) > edge or (indent_of(one) == edge and GOES_ON.match(one)):
            continue
        if not more or indent_of(one) < edge:
            return lines[:number]
        more = False
    return lines
