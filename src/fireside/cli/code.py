"""``fireside index`` and ``fireside search``: read the project, find lines in it. Draws; decides nothing about what is found."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from fireside.core.errors import Invalid

if TYPE_CHECKING:
    from fireside.context.project import Project
    from fireside.index.chunks import Hit, IndexReport, Progress, SearchResult

SHOWN_LINES = 12
MAX_LIMIT = 200
PLAIN_PROGRESS_SECONDS = 5.0


@click.command("index")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.option("--rebuild", is_flag=True, help="Read everything again.")
def index_command(path: Path | None, as_json: bool, rebuild: bool) -> None:
    """Read the project at PATH (else: where you stand), or what has changed in it since the last time."""
    from fireside.cli.door import opened_project

    with opened_project(_existing(path)) as project:
        with progress_bar() as progress:
            report = project.update(progress, rebuild=rebuild)
        if as_json:
            _print_json(_report_json(project, report))
        else:
            _print_report(project, report)


@click.command("search")
@click.argument("query", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="The hits as JSON.")
@click.option("--limit", "-n", type=click.IntRange(1, MAX_LIMIT), default=10, show_default=True, help="How many hits.")
@click.option("--lang", help="Only this language, for example python or ts.")
@click.option("--path", "glob", metavar="GLOB", help="Only these files: a folder, a name or a pattern.")
@click.option("--tests/--no-tests", default=None, help="Only tests, or none (else: as the query asks).")
@click.option("--root", type=click.Path(path_type=Path), help="The project's folder (else: found from here upwards).")
def search_command(
    query: tuple[str, ...],
    as_json: bool,
    limit: int,
    lang: str | None,
    glob: str | None,
    tests: bool | None,
    root: Path | None,
) -> None:
    """Find the lines that answer QUERY: a question in your words, or a name such as Class.method."""
    from fireside.cli.door import opened_project

    text = " ".join(query)
    if not text.strip():
        raise click.UsageError(
            'search what? For example: fireside search "where is the retry delay computed"', click.get_current_context()
        )
    with opened_project(_existing(root)) as project:
        with progress_bar() as progress:
            report = project.update(progress)
        result = project.search(text, limit=limit, language=lang, path=glob, tests=tests)
        if as_json:
            _print_json(_result_json(result))
            return
        _note_state(report)
        if not result.hits:
            click.echo(_nothing(project, report, lang, glob))
        elif sys.stdout.isatty():
            _draw_hits(result)
        else:
            _print_hits(result)


def _existing(path: Path | None) -> Path | None:
    if path is not None and not path.is_dir():
        raise Invalid(
            f"{path} is not a folder" if path.exists() else f"{path} does not exist", remedy="name the project's folder"
        )
    return path


@contextmanager
def progress_bar(stream: IO[str] | None = None) -> "Iterator[Callable[[Progress], None]]":
    """A bar on standard error in a terminal; a line now and then elsewhere, and none when it is quick."""
    out = stream or sys.stderr
    if not out.isatty():
        yield _plain_progress(out)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("reading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    bar = Bar(*columns, console=Console(file=out), transient=True)
    task = bar.add_task("", total=None, visible=False)
    with bar:

        def show(progress: "Progress") -> None:
            bar.update(
                task,
                completed=progress.done,
                total=progress.total,
                description=_shorten(progress.path, 40),
                visible=True,
            )

        yield show


def _plain_progress(out: IO[str]) -> "Callable[[Progress], None]":
    began = said = time.monotonic()

    def show(progress: "Progress") -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= PLAIN_PROGRESS_SECONDS:
            said = now
            print(
                f"reading the project: {progress.done} of {progress.total} files, {now - began:.0f} s",
                file=out,
                flush=True,
            )

    return show


def _note_state(report: "IndexReport") -> None:
    """What a reader of the hits should know, on standard error."""
    if report.rebuilt:
        click.echo(f"the index was made again: {report.rebuilt}", err=True)
    if report.pending:
        click.echo(
            f"another process is reading the project; {report.pending} changed files are not in these answers yet",
            err=True,
        )


def _nothing(project: "Project", report: "IndexReport", lang: str | None, glob: str | None) -> str:
    if not report.files:
        return f"nothing found: there are no files to search in {project.root}"
    narrowed = (
        f" with {' and '.join(name for name, value in (('--lang', lang), ('--path', glob)) if value)}"
        if lang or glob
        else ""
    )
    return f"nothing found in {report.files} files{narrowed}; try other words"


def _print_hits(result: "SearchResult") -> None:
    for number, hit in enumerate(result.hits):
        click.echo(("\n" if number else "") + _heading(hit))
        click.echo(hit.chunk.text)


def _heading(hit: "Hit") -> str:
    chunk = hit.chunk
    symbol = f"  {chunk.symbol}" if chunk.symbol else ""
    return f"{chunk.path}:{chunk.start_line}-{chunk.end_line}{symbol}"


def _draw_hits(result: "SearchResult") -> None:
    """Hits for a terminal: clickable path:line, the symbol, why, and the first lines in colour."""
    from rich.console import Console
    from rich.syntax import Syntax
    from rich.text import Text

    console = Console(highlight=False)
    for hit in result.hits:
        chunk = hit.chunk
        heading = Text.assemble(
            (f"{chunk.path}:{chunk.start_line}", "bold cyan"), ("  " + chunk.symbol if chunk.symbol else "", "green")
        )
        console.print(heading, overflow="fold")
        if hit.reasons:
            console.print(Text("  " + ", ".join(hit.reasons), style="dim"), overflow="fold")
        lines = chunk.text.split("\n")
        syntax = Syntax(
            "\n".join(lines[:SHOWN_LINES]),
            chunk.language if chunk.language not in ("", "text") else "text",
            line_numbers=console.width >= 60,
            start_line=chunk.start_line,
            theme="ansi_dark",
            background_color="default",
            word_wrap=False,
        )
        console.print(syntax)
        if len(lines) > SHOWN_LINES:
            console.print(Text(f"  ... to line {chunk.end_line}", style="dim"))
        console.print()


def _print_report(project: "Project", report: "IndexReport") -> None:
    if report.rebuilt:
        click.echo(f"made again: {report.rebuilt}")
    if report.pending:
        click.echo(f"another process is reading {project.root}; {report.pending} changed files are still to be read")
    changes = [f"{number} {word}" for number, word in _changes(report) if number]
    click.echo(
        f"{project.root}: {report.files} files, {report.chunks} chunks ({', '.join(changes) or 'nothing has changed'})"
    )
    languages = [f"{name} {number}" for name, number in project.languages().items()]
    if languages:
        click.echo(f"  languages: {_listed(languages)}")
    if report.fell_back:
        click.echo(
            f"  in line chunks, for want of a grammar: {_listed([f'{name} {number}' for name, number in report.fell_back.items()])}"
        )
    if report.skipped:
        click.echo(f"  left out: {_listed([f'{number} {reason}' for reason, number in report.skipped.items()])}")
    click.echo(f"  {report.seconds:.2f} s, generation {report.generation}")


def _changes(report: "IndexReport") -> tuple[tuple[int, str], ...]:
    return ((report.added, "new"), (report.changed, "changed"), (report.removed, "removed"))


def _listed(items: list[str], most: int = 12) -> str:
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")


def _shorten(path: str, width: int) -> str:
    return path if len(path) <= width else "…" + path[1 - width :]


def _result_json(result: "SearchResult") -> Mapping[str, object]:
    return {
        "query": result.query,
        "hits": [
            {
                "path": hit.chunk.path,
                "start_line": hit.chunk.start_line,
                "end_line": hit.chunk.end_line,
                "score": hit.score,
                "symbol": hit.chunk.symbol,
                "text": hit.chunk.text,
                "reasons": list(hit.reasons),
            }
            for hit in result.hits
        ],
        "generation": result.generation,
        "pending": result.pending,
    }


def _report_json(project: "Project", report: "IndexReport") -> Mapping[str, object]:
    from dataclasses import asdict

    return {"root": str(project.root), **asdict(report), "languages": project.languages()}


def _print_json(value: Mapping[str, object]) -> None:
    import orjson

    # Bytes, not text: JSON is UTF-8 whatever the terminal's encoding is.
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))
