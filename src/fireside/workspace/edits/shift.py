"""How deep lines stand: what was matched at another depth, or in another unit, moves its replacement along. Knows only blanks and tabs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fireside.workspace.edits.refusals import refuse
from fireside.workspace.edits.spelling import bare, indent_of

UNITS = (1, 2, 3, 4, 8)
USUAL_LEVEL = 4


def width(indent: str) -> int:
    """Columns; for tabs alone their number."""
    return len(indent) if len(set(indent)) < 2 else len(indent.expandtabs(4))


def unit_of(lines: Iterable[str]) -> str:
    """What one level of a text is indented by; "" where nothing is indented."""
    tabs = blanks = 0
    steps: Counter[int] = Counter()
    before = 0
    for text in lines:
        if not text.strip():
            continue
        indent = indent_of(text)
        if indent.startswith("\t"):
            tabs += 1
        elif indent:
            blanks += 1
        step = len(indent) - before
        if step > 1 and "\t" not in indent:
            steps[step] += 1
        before = len(indent)
    if tabs > blanks:
        return "\t"
    return " " * steps.most_common(1)[0][0] if steps else ""


def step_of(lines: Iterable[str]) -> int:
    """The smallest difference between depths, as ``width`` counts, 1 for tabs; 0 where there is none that could be a unit."""
    indents = {indent_of(text) for text in lines if text.strip()}
    if any("\t" in indent for indent in indents):
        return 1
    depths = sorted(width(indent) for indent in indents)
    step = min((deeper - depth for depth, deeper in pairwise(depths)), default=0)
    return step if step in UNITS else 0


@dataclass(frozen=True, slots=True)
class Shift:
    """``pairs``: indentation in the answer -> in the file. ``step``: one level in the answer (0: unknown); ``unit``: one in the file."""

    pairs: Mapping[str, str]
    step: int
    unit: str

    def move(self, text: str) -> str:
        """A line of the answer as deep as it must stand in the file. Raises ``EditRefused`` where it would stand left of the margin."""
        indent = indent_of(text)
        body = text[len(indent) :]
        return self._indent(indent) + body if body.strip() else ""

    def _indent(self, indent: str) -> str:
        if indent in self.pairs:
            return self.pairs[indent]
        moved = self._by_prefix(indent)
        return self._by_level(indent) if moved is None else moved

    def _by_prefix(self, indent: str) -> str | None:
        """All lines were moved by the same blanks: so is this one. None where that cannot be said."""
        if len(self.pairs) == 1 and self.step and self.unit and self.unit != self._step_text(indent):
            (here, there), *_ = self.pairs.items()
            # As many levels here as there, or none to compare: then the unit differs, and not the depth.
            if not here or width(here) * width(self.unit) == width(there) * self.step:
                return None
        deeper = {there.removesuffix(here) for here, there in self.pairs.items() if there.endswith(here)}
        if len(deeper) == 1 and all(there.endswith(here) for here, there in self.pairs.items()):
            prefix = deeper.pop()
            return prefix + indent if len(set(prefix + indent)) < 2 or not indent else None
        shallower = {here.removesuffix(there) for here, there in self.pairs.items() if here.endswith(there)}
        if len(shallower) == 1 and all(here.endswith(there) for here, there in self.pairs.items()):
            prefix = shallower.pop()
            return indent[len(prefix) :] if indent.startswith(prefix) else None
        return None

    def _step_text(self, indent: str) -> str:
        return ("\t" if "\t" in indent else " ") * self.step

    def _by_level(self, indent: str) -> str:
        """From the nearest depth that is known, level by level."""
        known = sorted(self.pairs, key=width)
        here = next((one for one in reversed(known) if width(one) <= width(indent)), known[0])
        away = width(indent) - width(here)
        there = self.pairs[here]
        unit = self._unit_between(known) or self.unit or self._step_text(indent)
        if not self.step or not unit:
            levels, rest = 0, away
        else:
            levels, rest = divmod(abs(away), self.step)
            levels, rest = (levels, rest) if away >= 0 else (-levels, -rest)
        lost = len(unit) * -levels if levels < 0 else 0
        if rest < 0 or lost > len(there):
            raise refuse("malformed", "the replacement stands further left than the lines it replaces can move")
        return there[: len(there) - lost] + unit * max(levels, 0) + " " * rest

    def _unit_between(self, known: Sequence[str]) -> str:
        """One level in the file, from two depths that are known on both sides."""
        for here, deeper in pairwise(known):
            away = width(deeper) - width(here)
            there, below = self.pairs[here], self.pairs[deeper]
            if self.step and away % self.step == 0 and below.startswith(there):
                added = below[len(there) :]
                levels = away // self.step
                if added and len(added) % levels == 0:
                    return added[: len(added) // levels]
        return ""


def indent_pairs(search: Sequence[str], found: Sequence[str]) -> dict[str, str] | None:
    """Indentation of each line that has something on it -> that of the line it was found as.

    None where the two are not shaped alike: one depth here is two there, or the other way round, or shallower becomes deeper.
    """
    pairs: dict[str, str] = {}
    for here, there in zip(search, found, strict=True):
        if here.strip() and pairs.setdefault(indent_of(here), indent_of(there)) != indent_of(there):
            return None
    depths = [width(pairs[one]) for one in sorted(pairs, key=width)]
    return pairs if all(left < right for left, right in pairwise(depths)) else None


def stands_below(first: str, rest: Sequence[str], indent: str) -> bool:
    """Whether ``rest`` is as deep as it must be below ``first``, if that one alone lost its indentation, ``indent``."""
    opens = first.rstrip().endswith((":", "{", "(", "["))
    depth = width(indent)
    return min(width(indent_of(text)) for text in rest) >= depth and not (opens and width(indent_of(rest[0])) <= depth)


def at_depth(search: Sequence[str], replacement: Sequence[str]) -> tuple[str, ...]:
    """``replacement``, as deep as ``search`` where it is the same block with changes, written at the margin.

    Moving a block to the margin and nothing else is an edit; so is what begins otherwise.
    """
    told, new = [text for text in search if text.strip()], [text for text in replacement if text.strip()]
    depth = indent_of(told[0]) if told else ""
    if not depth or not new or told[0] != depth + new[0] or not new[0].rstrip().endswith((":", "{")):
        return tuple(replacement)
    known = {bare(text): indent_of(text) for text in told}
    shared = [text for text in new if bare(text) in known]
    moved = tuple(depth + text if text.strip() else text for text in replacement)
    alike = len(shared) > 1 and all(known[bare(text)] == depth + indent_of(text) for text in shared)
    return moved if alike and [text for text in moved if text.strip()] != told else tuple(replacement)


def adopt_unit(texts: Sequence[str], unit: str, step: int) -> list[str]:
    """New lines in a file that knows only tabs, or only blanks, are indented as all others are. ``unit``: one level there."""
    if not unit or not step:
        return list(texts)
    foreign = " " if unit == "\t" else "\t"
    if unit == "\t":
        step = _blanks_a_level(texts, step)
    adopted: list[str] = []
    for text in texts:
        indent = indent_of(text)
        if indent and set(indent) == {foreign}:
            levels, rest = divmod(len(indent), step if foreign == " " else 1)
            text = unit * levels + " " * rest + text[len(indent) :]
        adopted.append(text)
    return adopted


def _blanks_a_level(texts: Iterable[str], step: int) -> int:
    """How many blanks stand for one tab; among lines that are indented by tabs, models write four of them."""
    depths = sorted({len(indent) for text in texts if (indent := indent_of(text)) and "\t" not in indent})
    return step if step > 1 or not depths else depths[0] if depths[0] in UNITS[1:4] else USUAL_LEVEL


def only_unit(lines: Sequence[str]) -> str:
    """The unit of a text whose lines are all indented by tabs, or all by blanks; "" for any other."""
    kinds = {indent[0] for text in lines if text.strip() and (indent := indent_of(text))}
    return unit_of(lines) if len(kinds) == 1 else ""
