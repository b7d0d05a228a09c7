"""Definitions rewritten whole and addressed by name. Knows names and extents; where definitions stand, an outline says.

An outline is a function from a path and its text to (qualified name, first row, last row) of each definition, rows counted from 0.
"""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from textwrap import dedent

from fireside.workspace.edits.fences import FENCE, listings
from fireside.workspace.edits.labels import looks_like_path
from fireside.workspace.edits.merge import Change
from fireside.workspace.edits.names import Names
from fireside.workspace.edits.operations import Operation, Rewrite
from fireside.workspace.edits.refusals import refuse
from fireside.workspace.edits.shift import Shift, step_of, unit_of
from fireside.workspace.edits.spelling import indent_of

Place = tuple[str, int, int]
Outline = Callable[[str, str], Sequence[Place]]

HEADING = re.compile(
    r"^[\s#*>`/-]*(?P<path>[^\s`*:#]+\.\w+)\s*(?:::|#|:|\s|`)\s*`?(?P<name>[A-Za-z_$][\w.$:]*)(?:\(\))?[`*:\s]*$"
)
ATTRIBUTE = re.compile(r"\s*(?:@\w|#\[|\[\w)")
COMMENT = re.compile(r"\s*(?:#(?!\[)|//|/\*|\*)")


def read_function(lines: Sequence[str], names: Names) -> list[Operation]:
    """Listings below ``path::name``, or below a path alone: then the source says which definitions it is. Raises ``EditRefused``."""
    renamed = [_without_symbol(line) for line in lines]
    operations: list[Operation] = []
    for one in listings(renamed, names):
        if one.last < 0:
            raise refuse("truncated", "the listing has no end", path=one.name)
        above = next((line for line in reversed(lines[: one.first]) if line.strip()), "")
        heading = HEADING.match(above) or HEADING.match(one.info.rpartition(" ")[2])
        symbol = heading["name"].replace("::", ".") if heading and looks_like_path(heading["path"]) else ""
        operations.append(Operation(one.name, Rewrite(symbol, one.texts), one.mentions))
    return operations


def _without_symbol(line: str) -> str:
    found = HEADING.match(line)
    return found["path"] if found and not FENCE.match(line) and looks_like_path(found["path"]) else line


def rewrite(action: Rewrite, path: str, lines: Sequence[str], outline: Outline) -> list[Change]:
    """Raises ``EditRefused``: not_found, ambiguous, malformed."""
    places = outline(path, "\n".join(lines))
    source = dedent("\n".join(action.source)).strip("\n")
    defined = outline(path, source)
    if not source:
        raise refuse("truncated", "the listing is empty")
    if not action.name:
        return _all_defined(defined, source.split("\n"), lines, places)
    simple = action.name.rpartition(".")[2]
    if defined and simple not in {name.rpartition(".")[2] for name, _, _ in defined}:
        raise refuse("malformed", f"the new source defines {defined[0][0]}, not {action.name}")
    level = _level(action.name, defined)
    if len(level) > 1 or (level and level[0][0] != defined[0][0]):
        if all(_fitting(name, places) for name, _, _ in level):
            return _changes(level, source.split("\n"), lines, places)
        if level[0][0] != defined[0][0]:
            raise refuse("malformed", f"the new source shows more of the class than {action.name}")
    return [_change(_find(action.name, places, lines), source.split("\n"), lines)]


def _level(name: str, defined: Sequence[Place]) -> list[Place]:
    """What the source defines beside ``name``, and that itself: at its margin, or within the class it shows around a method."""
    around = name.rpartition(".")[0]
    shown = around if any(one[0] == around for one in defined) else ""
    return [one for one in defined if one[0].rpartition(".")[0] == shown]


def _all_defined(
    defined: Sequence[Place], source: Sequence[str], lines: Sequence[str], places: Sequence[Place]
) -> list[Change]:
    """Each outermost definition of the source in the place of the one with its name."""
    outer: list[Place] = []
    for one in defined:
        if not outer or one[1] > outer[-1][2]:
            outer.append(one)
    if not outer:
        raise refuse("malformed", "the new source defines nothing; say which definition it is: path::name")
    return _changes(outer, source, lines, places)


def _changes(
    wanted: Sequence[Place], source: Sequence[str], lines: Sequence[str], places: Sequence[Place]
) -> list[Change]:
    found = [_change(_find(name, places, lines), source[first : last + 1], lines) for name, first, last in wanted]
    return sorted(found, key=lambda one: one.start)


def _fitting(name: str, places: Sequence[Place]) -> list[Place]:
    exact = [one for one in places if one[0] == name]
    return exact or [one for one in places if one[0].endswith("." + name)]


def _find(name: str, places: Sequence[Place], lines: Sequence[str]) -> Place:
    fitting = _fitting(name, places)
    if len(fitting) > 1:
        shown = [f"{first + 1}: {lines[first]}" for _, first, _ in fitting]
        raise refuse("ambiguous", f"{name} is defined {len(fitting)} times; give its class too", shown)
    if not fitting:
        known = [one[0] for one in places]
        near = get_close_matches(name, known, n=5, cutoff=0.5) or known[:12]
        raise refuse("not_found", f"nothing here is called {name}", near)
    return fitting[0]


def _change(place: Place, source: Sequence[str], lines: Sequence[str]) -> Change:
    """What stands above a definition stays where the new source does not bring its own."""
    _, first, last = place
    source = list(source)
    while source and first and COMMENT.match(source[0]) and source[0].strip() in _comments_above(lines, first):
        source.pop(0)
    if source and not ATTRIBUTE.match(source[0]):
        while first < last and ATTRIBUTE.match(lines[first]):
            first += 1
    shift = Shift({indent_of(source[0]): indent_of(lines[first])}, step_of(source), unit_of(lines))
    return Change(first, last + 1, tuple(shift.move(text) for text in source))


def _comments_above(lines: Sequence[str], row: int) -> set[str]:
    found: set[str] = set()
    while row and COMMENT.match(lines[row - 1]):
        row -= 1
        found.add(lines[row].strip())
    return found


def python_outline(path: str, text: str) -> Sequence[Place]:
    """An outline of Python by its own parser; nothing for other languages, and for what does not parse."""
    import ast

    if not path.endswith((".py", ".pyi")):
        return []
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []
    found: list[Place] = []
    pending: list[tuple[ast.AST, str]] = [(tree, "")]
    while pending:
        node, prefix = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first = min([child.lineno, *(one.lineno for one in child.decorator_list)])
                found.append((prefix + child.name, first - 1, (child.end_lineno or child.lineno) - 1))
                pending.append((child, f"{prefix}{child.name}."))
            else:
                pending.append((child, prefix))
    return sorted(found, key=lambda one: (one[1], -one[2]))
