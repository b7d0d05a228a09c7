"""``fireside grep``, ``map``, ``symbol``, ``refs`` and ``related``: exact look-ups, and orientation. Asks; ``found`` draws the answers.

A look-up that finds nothing exits with 1, as grep does.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fireside.cli.code import MAX_LIMIT, existing, hit_json, note_state, print_json
from fireside.cli.found import (
    draw_map,
    draw_matches,
    draw_references,
    draw_related,
    draw_symbol,
    say_nothing,
    short,
    unknown,
)
from fireside.core.errors import Invalid

if TYPE_CHECKING:
    from fireside.context.project import Project
    from fireside.index.chunks import IndexReport
    from fireside.index.references import References

root_option = click.option(
    "--root", type=click.Path(path_type=Path), help="The project's folder (else: found from here upwards)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="The answer as JSON.")


@click.command("grep")
@click.argument("pattern")
@click.option("--regex", "-e", is_flag=True, help="PATTERN is a regular expression (else: plain text).")
@click.option("--ignore-case", "-i", is_flag=True, help="Take capital and small letters for the same.")
@click.option("--word", "-w", is_flag=True, help="Only whole words.")
@click.option("--lang", help="Only this language, for example python or ts.")
@click.option("--path", "glob", metavar="GLOB", help="Only these files: a folder, a name or a pattern.")
@click.option("--tests/--no-tests", default=None, help="Only tests, or none.")
@click.option("--context", "-C", type=click.IntRange(0, 100), default=0, help="Lines to show before and after.")
@click.option("--limit", "-n", type=click.IntRange(1, 100_000), default=500, show_default=True, help="How many lines.")
@root_option
@json_option
@click.pass_context
def grep_command(
    ctx: click.Context,
    pattern: str,
    regex: bool,
    ignore_case: bool,
    word: bool,
    lang: str | None,
    glob: str | None,
    tests: bool | None,
    context: int,
    limit: int,
    root: Path | None,
    as_json: bool,
) -> None:
    """Find PATTERN, exactly, in the project's files as they are now.

    A regular expression is tried line by line; one that speaks of line ends (\\n) may go over lines.
    """
    from fireside.cli.door import opened_project
    from fireside.workspace.grep import Query

    with opened_project(existing(root)) as project:
        query = Query(pattern, regex=regex, ignore_case=ignore_case, word=word)
        found = project.grep(query, language=lang, path=glob, tests=tests, context=context, limit=limit)
        if as_json:
            print_json({"pattern": _sound(pattern), **asdict(found)})
        elif found.matches:
            draw_matches(found.matches, apart=context > 0)
            if found.more:
                click.echo(f"only the first {limit} lines are shown: --limit", err=True)
        else:
            click.echo(f"nothing found in {found.files} files", err=True)
    if not found.matches:
        ctx.exit(1)


@click.command("map")
@click.argument("path", required=False)
@click.option(
    "--tokens", type=click.IntRange(64, 1_000_000), default=1024, show_default=True, help="How long it may be."
)
@root_option
@json_option
def map_command(path: str | None, tokens: int, root: Path | None, as_json: bool) -> None:
    """The project in a page: the files most of it hangs on, and what they define. PATH: drawn around a file or folder."""
    from fireside.cli.door import opened_project, read_project
    from fireside.context import repomap

    with opened_project(existing(root)) as project:
        report = read_project(project)
        focus = (_inside(project, path),) if path is not None else ()
        drawn = repomap.build(project, tokens=tokens, focus=focus)
        if as_json:
            print_json(
                {
                    "text": drawn.text,
                    "files": list(drawn.files),
                    "left_out": drawn.left_out,
                    "tokens": drawn.tokens,
                    **_state(report),
                }
            )
            return
        note_state(report)
        draw_map(project, drawn)


@click.command("symbol")
@click.argument("name")
@click.option("--body", is_flag=True, help="With the source.")
@root_option
@json_option
@click.pass_context
def symbol_command(ctx: click.Context, name: str, body: bool, root: Path | None, as_json: bool) -> None:
    """Where NAME is defined: parse_config, parseConfig and PARSE_CONFIG are one; Class.method narrows."""
    from fireside.cli.door import opened_project, read_project

    _asked(name, "fireside symbol Class.method")
    with opened_project(existing(root)) as project:
        report = read_project(project)
        found = project.symbols(name)
        near = [] if found else project.nearest(name)
        if as_json:
            print_json(
                {
                    "name": _sound(name),
                    "symbols": [asdict(one) | ({"body": project.body(one)} if body else {}) for one in found],
                    "nearest": near,
                    **_state(report),
                }
            )
        else:
            note_state(report)
            for number, one in enumerate(found):
                if number:
                    click.echo()
                draw_symbol(project, one, body=body)
            if not found:
                say_nothing(f"nothing is called {short(name)}", near)
    if not found:
        ctx.exit(1)


@click.command("refs")
@click.argument("name")
@click.option("--limit", "-n", type=click.IntRange(1, 100_000), default=200, show_default=True, help="How many places.")
@click.option("--all", "-a", "everything", is_flag=True, help="Also comments, strings and prose.")
@root_option
@json_option
@click.pass_context
def refs_command(ctx: click.Context, name: str, limit: int, everything: bool, root: Path | None, as_json: bool) -> None:
    """Where NAME is used, in exactly this spelling: defined, called, imported, read. Class.method narrows."""
    from fireside.cli.door import opened_project, read_project

    _asked(name, "fireside refs Class.method")
    with opened_project(existing(root)) as project:
        report = read_project(project)
        found = project.references(name, limit=limit)
        near = [] if found.found else project.nearest(name)
        if as_json:
            print_json(_references_json(found) | {"nearest": near} | _state(report))
        else:
            note_state(report)
            draw_references(found, everything=everything)
            if not found.found:
                say_nothing(f"{short(name)} is used nowhere", near)
    if not found.found:
        ctx.exit(1)


@click.command("related")
@click.argument("place", metavar="PATH:LINE")
@click.option("--limit", "-n", type=click.IntRange(1, MAX_LIMIT), default=10, show_default=True, help="How many hits.")
@root_option
@json_option
def related_command(place: str, limit: int, root: Path | None, as_json: bool) -> None:
    """Code like the lines at PATH:LINE, in other places of the project."""
    from fireside.cli.door import opened_project, read_project

    path, _, line = place.rpartition(":")
    if not path or not line.isascii() or not line.isdigit() or len(line) > 9:
        raise click.UsageError(f"PATH:LINE, not {short(place)}; for example: fireside related src/app.py:40")
    with opened_project(existing(root)) as project:
        report = read_project(project)
        chunk, hits = project.related(_inside(project, path), int(line), limit=limit)
        if as_json:
            told = {
                "path": chunk.path,
                "start_line": chunk.start_line,
                "end_line": chunk.end_line,
                "symbol": chunk.symbol,
            }
            print_json({"place": told, "results": [hit_json(hit, hit.score) for hit in hits], **_state(report)})
            return
        note_state(report)
        draw_related(chunk, hits)


def _references_json(found: "References") -> dict[str, object]:
    return {
        "name": found.name,
        "definitions": [asdict(one) for one in found.definitions],
        "uses": [asdict(one) for one in found.found],
        "left_out": found.left_out,
        "gone": list(found.gone),
        "notes": unknown(found),
    }


def _state(report: "IndexReport") -> dict[str, object]:
    return {"generation": report.generation, "pending": report.pending}


def _sound(text: str) -> str:
    """A word of the command line as JSON can hold it: it may have bytes that are no UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _asked(name: str, example: str) -> None:
    if not name.strip():
        raise click.UsageError(f"which name? For example: {example}", click.get_current_context())


def _inside(project: "Project", path: str) -> str:
    """A path as the user sees it from where he stands, as one of the project; what does not exist here is taken as it is."""
    try:
        here = Path(path)
        return project.workspace.relative(here.absolute()) if here.exists() else path
    except (OSError, ValueError) as error:
        raise Invalid(f"{short(path)} is not a path", remedy="give a path inside the project") from error
