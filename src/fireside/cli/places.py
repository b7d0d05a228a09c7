"""Draw places in files: grouped under their file in a terminal, one ``path:line`` a line elsewhere. Knows widths and colours only."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import click

LONGEST = 400
LEAST = 20
NUMBER = 8
NARROW = 50


@dataclass(frozen=True, slots=True)
class Place:
    """One line of a file. ``spans``: what to point at, in characters of ``text``. ``around``: shown for its neighbour's sake only.

    ``kind``, ``symbol``: what happens here, and in which definition. ``column`` counts from 1; 0: not told.
    """

    path: str
    line: int
    text: str
    kind: str = ""
    symbol: str = ""
    spans: tuple[tuple[int, int], ...] = ()
    around: bool = False
    column: int = 0


def draw_places(places: Sequence[Place], *, apart: bool = False) -> None:
    """``apart``: a mark between places that do not follow each other."""
    if sys.stdout.isatty():
        _draw(places, apart)
    else:
        _print(places, apart)


def _print(places: Sequence[Place], apart: bool) -> None:
    before: Place | None = None
    for one in _once(places):
        if apart and before is not None and (one.path, one.line) != (before.path, before.line + 1):
            click.echo("--")
        mark = "-" if one.around else ":"
        where = f"{one.path}{mark}{one.line}{mark}" + (f"{one.column}{mark}" if one.column else "")
        told = "".join(f" {word}" for word in (one.kind, f"[{one.symbol}]" if one.symbol else "") if word)
        click.echo(where + (f"{told}  {one.text.strip()}" if told else one.text))
        before = one


def _draw(places: Sequence[Place], apart: bool) -> None:
    width = shutil.get_terminal_size().columns
    for number, (path, several) in enumerate(groupby(_once(places), key=lambda one: one.path)):
        if number:
            click.echo()
        click.secho(path, fg="cyan", bold=True)
        before = 0
        for one in several:
            if apart and before and one.line != before + 1:
                click.secho("  --", dim=True)
            click.echo(_drawn(one, width))
            before = one.line


def _drawn(one: Place, width: int) -> str:
    """One line that fits the terminal: number, kind, the text around what is pointed at, and the definition where there is room."""
    kind = f"{one.kind:<11}" if one.kind and width >= NARROW else ""
    room = max(LEAST, width - NUMBER - len(kind) - 1)
    text, spans = _visible(one, min(room, LONGEST))
    drawn, at = "", 0
    for start, end in spans:
        drawn += text[at:start] + click.style(text[start:end], fg="red", bold=True)
        at = end
    drawn = click.style(text, dim=True) if one.around else drawn + text[at:]
    left = room - len(text) - 3
    symbol = f"   {click.style(one.symbol, fg='green')}" if one.symbol and len(one.symbol) <= left else ""
    return click.style(f"{one.line:>{NUMBER - 2}}", fg="green") + "  " + click.style(kind, dim=True) + drawn + symbol


def _visible(one: Place, room: int) -> tuple[str, list[tuple[int, int]]]:
    """The part of a line that holds the first span, and the spans in it. Where what happens is told, the indent says nothing."""
    start = len(one.text) - len(one.text.lstrip()) if one.kind else 0
    first = one.spans[0] if one.spans else (0, 0)
    if first[1] - start > room - 1:
        start = max(start, min(first[0] - room // 3, len(one.text) - room + 2))
    text = one.text[start : start + room]
    cut_before = start > 0 and bool(one.text[:start].strip())
    cut_after = start + room < len(one.text)
    shown = (
        ("…" if cut_before else text[:1]) + text[1:-1] + ("…" if cut_after else text[-1:]) if len(text) > 1 else text
    )
    shown = "".join(letter if letter.isprintable() else " " for letter in shown)
    spans = [(max(0, a - start), min(len(shown), b - start)) for a, b in one.spans]
    return shown, [(a, b) for a, b in spans if a < b]


def _once(places: Sequence[Place]) -> list[Place]:
    """Each line once: a line may stand before one match and after another, or be a match itself."""
    seen: dict[tuple[str, int, int], Place] = {}
    for one in places:
        key = (one.path, one.line, one.column)
        if key not in seen or (seen[key].around and not one.around):
            seen[key] = one
    paths = {path: number for number, path in enumerate(dict.fromkeys(one.path for one in places))}
    return sorted(seen.values(), key=lambda one: (paths[one.path], one.line, one.column))
