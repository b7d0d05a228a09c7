"""``fireside search``. Draws; decides nothing about what is found."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fireside.cli.progress import progress_bar
from fireside.core.errors import Invalid

if TYPE_CHECKING:
    from rich.console import Console

    from fireside.context.roots import RootHit, Roots, RootsResult
    from fireside.index.chunks import Hit, IndexReport

SHOWN_LINES = 12
MAX_LIMIT = 200


@click.command("search")
@click.argument("query", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="The hits as JSON.")
@click.option("--limit", "-n", type=click.IntRange(1, MAX_LIMIT), default=10, show_default=True, help="How many hits.")
@click.option("--lang", help="Only this language, for example python or ts.")
@click.option("--path", "glob", metavar="GLOB", help="Only these files: a folder, a name or a pattern.")
@click.option("--tests/--no-tests", default=None, help="Only tests, or none (else: as the query asks).")
@click.option(
    "--root",
    "folders",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A project's folder (else: found from here upwards). Several times: search them together.",
)
@click.option(
    "--in",
    "shared",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="A shared index, as it is: fireside index --into FOLDER",
)
def search_command(
    query: tuple[str, ...],
    as_json: bool,
    limit: int,
    lang: str | None,
    glob: str | None,
    tests: bool | None,
    folders: tuple[Path, ...],
    shared: Path | None,
) -> None:
    """Find the lines that answer QUERY: a question in your words, or a name such as Class.method."""
    text = " ".join(query)
    if not text.strip():
        raise click.UsageError(
            'search what? For example: fireside search "where is the retry delay computed"', click.get_current_context()
        )
    if shared is not None and folders:
        raise click.UsageError("--in or --root, not both", click.get_current_context())
    with _opened(folders) if shared is None else _opened_shared(shared) as (roots, reports):
        result = roots.search(text, limit=limit, language=lang, path=glob, tests=tests)
        if as_json:
            print_json(_result_json(result))
            return
        for report in reports:
            note_state(report)
        for note in dict.fromkeys(one.note for one in result.roots if one.note):
            click.echo(note, err=True)
        if not result.hits:
            click.echo(_nothing(roots, lang, glob))
        elif sys.stdout.isatty():
            _draw_hits(result)
        else:
            _print_hits(result)


@contextmanager
def _opened(folders: Sequence[Path]) -> "Iterator[tuple[Roots, list[IndexReport]]]":
    """The projects, read."""
    from fireside.cli.door import opened_project
    from fireside.context.roots import Roots

    with ExitStack() as stack:
        named = [existing(folder) for folder in folders] or [None]
        roots = Roots([stack.enter_context(opened_project(folder)) for folder in named])
        with progress_bar() as progress:
            reports = roots.update(progress)
        yield roots, reports


@contextmanager
def _opened_shared(folder: Path) -> "Iterator[tuple[Roots, list[IndexReport]]]":
    """A shared index as it is. What it is about may be on another machine, so nobody looks what has changed."""
    from fireside.app.shared_index import look_into
    from fireside.cli.door import here
    from fireside.context.roots import Roots

    shared = look_into(folder, flags=here().flags)
    try:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(shared.updated))
        click.echo(f"{', '.join(shared.sources)}, as of {when}; newer: fireside index --into {folder}", err=True)
        yield Roots([shared.project]), []
    finally:
        shared.close()


def existing(path: Path | None) -> Path | None:
    if path is not None and not path.is_dir():
        raise Invalid(
            f"{path} is not a folder" if path.exists() else f"{path} does not exist", remedy="name the project's folder"
        )
    return path


def note_state(report: "IndexReport") -> None:
    """What a reader of an answer should know, on standard error."""
    if report.rebuilt:
        click.echo(f"the index was made again: {report.rebuilt}", err=True)
    if report.pending:
        click.echo(
            f"another process is reading the project; {report.pending} changed files are not in these answers yet",
            err=True,
        )


def _nothing(roots: "Roots", lang: str | None, glob: str | None) -> str:
    from fireside.index.languages import canonical

    files = sum(sum(project.languages().values()) for project in roots.projects)
    if not files:
        return f"nothing found: there are no files to search in {', '.join(str(one.root) for one in roots.projects)}"
    languages = {language for project in roots.projects for language in project.languages()}
    if lang and not languages & {canonical(lang), "tsx" if canonical(lang) == "typescript" else ""}:
        return f"nothing found: no file here is {lang}; there are {', '.join(sorted(languages))}"
    narrowed = " and ".join(f"{name} {value}" for name, value in (("--lang", lang), ("--path", glob)) if value)
    return f"nothing found in {files} files{f' with {narrowed}' if narrowed else ''}; try other words"


def _print_hits(result: "RootsResult") -> None:
    for number, one in enumerate(result.hits):
        chunk = one.hit.chunk
        symbol = f"  {chunk.symbol}" if chunk.symbol else ""
        click.echo(
            ("\n" if number else "") + f"{_root(result, one)}{chunk.path}:{chunk.start_line}-{chunk.end_line}{symbol}"
        )
        click.echo(chunk.text)


def _root(result: "RootsResult", one: "RootHit") -> str:
    """Which project a hit is from, where there are several."""
    return f"[{one.root}] " if len(result.roots) > 1 else ""


def _draw_hits(result: "RootsResult") -> None:
    """Hits for a terminal: clickable path:line, the symbol, why, and the first lines in colour."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for one in result.hits:
        chunk = one.hit.chunk
        heading = Text.assemble(
            (_root(result, one), "magenta"),
            (f"{chunk.path}:{chunk.start_line}", "bold cyan"),
            ("  " + chunk.symbol if chunk.symbol else "", "green"),
        )
        console.print(heading, overflow="fold")
        if one.hit.reasons:
            console.print(Text("  " + ", ".join(one.hit.reasons), style="dim"), overflow="fold")
        draw_source(console, chunk.text, chunk.language, first_line=chunk.start_line, most=SHOWN_LINES)
        console.print()


def draw_source(console: "Console", text: str, language: str, *, first_line: int, most: int) -> None:
    """At most ``most`` lines of code in colour, with their numbers where there is room."""
    from rich.syntax import Syntax
    from rich.text import Text

    lines = text.split("\n")
    console.print(
        Syntax(
            "\n".join(lines[:most]),
            language or "text",
            line_numbers=console.width >= 60,
            start_line=first_line,
            theme="ansi_dark",
            background_color="default",
            word_wrap=False,
        )
    )
    if len(lines) > most:
        console.print(Text(f"  ... to line {first_line + len(lines) - 1}", style="dim"))


def _result_json(result: "RootsResult") -> Mapping[str, object]:
    """Hits of several projects bear the ``root`` they are from, whose state is told in ``roots``."""
    several = len(result.roots) > 1
    roots = [
        {"root": one.root, "folder": str(one.folder), "generation": one.generation, "pending": one.pending}
        for one in result.roots
    ]
    return {
        "query": result.query,
        "results": [({"root": one.root} if several else {}) | hit_json(one.hit, one.score) for one in result.hits],
        "generation": max(one.generation for one in result.roots),
        "pending": sum(one.pending for one in result.roots),
        "note": next((one.note for one in result.roots if one.note), ""),
    } | ({"roots": roots} if several else {})


def hit_json(hit: "Hit", score: float) -> dict[str, object]:
    return {
        "path": hit.chunk.path,
        "start_line": hit.chunk.start_line,
        "end_line": hit.chunk.end_line,
        "score": score,
        "symbol": hit.chunk.symbol,
        "text": hit.chunk.text,
        "reasons": list(hit.reasons),
    }


def print_json(value: Mapping[str, object]) -> None:
    import orjson

    # Bytes, not text: JSON is UTF-8 whatever the terminal's encoding is.
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))
