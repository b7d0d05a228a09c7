"""How the answers of look-ups are drawn. Knows words and colours; decides nothing about what is found.

In a terminal, places are grouped by file; elsewhere every place is one line that begins with ``path:line``.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fireside.cli.places import Place, draw_places

if TYPE_CHECKING:
    from fireside.context.project import Project
    from fireside.context.repomap import RepoMap
    from fireside.index.chunks import Chunk, Hit, Symbol
    from fireside.index.references import Reference, References
    from fireside.workspace.grep import Match

MENTIONS = ("comment", "string", "text")
BODY_LINES = 400
SHORT = 80


def short(text: str) -> str:
    """What a user typed, fit to be quoted in a message."""
    shown = " ".join(text.split())
    return shown if len(shown) <= SHORT else shown[: SHORT - 1] + "…"


def say_nothing(what: str, near: Sequence[str]) -> None:
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    click.echo(f"{what}{hint}", err=True)


def draw_matches(matches: "Sequence[Match]", *, apart: bool) -> None:
    draw_places([place for match in matches for place in _lines(match)], apart=apart)


def _lines(match: "Match") -> list[Place]:
    """A match as lines: those before it, its own, those after."""
    first = match.line - len(match.before)
    own = match.text.split("\n")
    shown = [*match.before, *own, *match.after]
    places: list[Place] = []
    offset = 0
    for number, text in enumerate(shown, first):
        within = match.line <= number <= match.end_line
        spans: tuple[tuple[int, int], ...] = ()
        if within:
            spans = tuple(
                (max(0, start - offset), min(len(text), end - offset))
                for start, end in match.spans
                if start <= offset + len(text) and end >= offset
            )
            offset += len(text) + 1
        places.append(Place(match.path, number, text, spans=spans, around=not within))
    return places


def draw_map(project: "Project", drawn: "RepoMap") -> None:
    if not drawn.files:
        click.echo(f"nothing to draw: no file in {project.root} defines anything that is known here")
        return
    for line in drawn.text.split("\n"):
        path, _, about = line.partition("  ")
        if path in drawn.files:
            click.echo(click.style(path, fg="cyan", bold=True) + (click.style(f"  {about}", dim=True) if about else ""))
        else:
            click.echo(line)


def draw_symbol(project: "Project", one: "Symbol", *, body: bool) -> None:
    click.echo(
        f"{click.style(f'{one.path}:{one.start_line}', fg='cyan', bold=True)}  {one.kind} {click.style(one.qualified, fg='green')}"
    )
    source = project.body(one) if body else None
    if body and source is not None:
        _draw_body(source, one)
        return
    if body:
        click.echo("  (its file has changed or gone; look again)")
    if one.signature:
        click.echo(f"  {one.signature}")
    if one.doc:
        click.echo(f"  {click.style(one.doc, dim=True)}")


def _draw_body(source: str, one: "Symbol") -> None:
    if not sys.stdout.isatty():
        click.echo(source)
        return
    from rich.console import Console

    from fireside.cli.code import draw_source
    from fireside.index.languages import language_of

    draw_source(
        Console(highlight=False), source, language_of(one.path, source), first_line=one.start_line, most=BODY_LINES
    )


def draw_references(found: "References", *, everything: bool) -> None:
    shown = [one for one in found.found if everything or one.kind not in MENTIONS]
    draw_places([_place(one) for one in shown])
    kept = [one for one in found.found if one.kind in MENTIONS] if not everything else []
    told = [
        f"{sum(one.kind == kind for one in kept)} in {word}"
        for kind, word in (("comment", "comments"), ("string", "strings"), ("text", "prose and settings"))
        if any(one.kind == kind for one in kept)
    ]
    if told:
        click.echo(f"not shown: {', '.join(told)} (--all)", err=True)
    for note in unknown(found):
        click.echo(note, err=True)


def _place(one: "Reference") -> Place:
    kind = one.kind + ("" if one.sure else "?")
    name = (one.column - 1, one.column - 1 + len(one.name))
    return Place(one.path, one.line, one.text, kind=kind, symbol=one.symbol, spans=(name,), column=one.column)


def unknown(found: "References") -> list[str]:
    """What these places do not tell."""
    notes: list[str] = []
    unsure = sum(not one.sure for one in found.found)
    owners = sorted({one.qualified for one in found.definitions})
    if unsure:
        notes.append(f"{unsure} places marked ? may mean another one: what stands before the dot is not said nearby")
    elif len(owners) > 1:
        some = ", ".join(owners[:4]) + (", ..." if len(owners) > 4 else "")
        notes.append(f"{len(owners)} definitions bear this name ({some}): name one to narrow")
    if found.left_out:
        notes.append(f"{found.left_out} more places bear the name: --limit")
    if found.gone:
        notes.append(f"{len(found.gone)} files have gone since the project was read: {', '.join(found.gone[:3])}")
    return notes


def draw_related(chunk: "Chunk", hits: "Sequence[Hit]") -> None:
    symbol = f"  {chunk.symbol}" if chunk.symbol else ""
    if not hits:
        click.echo(f"nothing is like {chunk.path}:{chunk.start_line}-{chunk.end_line}{symbol}")
        return
    click.echo(f"like {chunk.path}:{chunk.start_line}-{chunk.end_line}{symbol}:", err=True)
    for hit in hits:
        name = f"  {click.style(hit.chunk.symbol, fg='green')}" if hit.chunk.symbol else ""
        where = click.style(f"{hit.chunk.path}:{hit.chunk.start_line}", fg="cyan", bold=True)
        click.echo(f"{where}-{hit.chunk.end_line}{name}  {hit.score:.0%}")
        for reason in hit.reasons:
            click.echo(click.style(f"  {reason}", dim=True))
