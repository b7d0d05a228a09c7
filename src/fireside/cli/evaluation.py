"""``fireside index eval``: the table of what each signal of the search is worth. Draws; the figures and verdicts are made elsewhere."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fireside.cli.code import existing, print_json
from fireside.cli.progress import progress_bar

if TYPE_CHECKING:
    from fireside.context.development import Evaluation, Repository
    from fireside.index.evaluate import Row

HEADINGS = (
    *("signal", "ndcg10", "hit5", "mrr10", "by file", "spans", "lines", "p50 ms", "p95 ms"),
    *("gain", "verdict"),
)
# In a narrow terminal these go first, in this order.
EXPENDABLE = ("p95 ms", "p50 ms", "mrr10", "hit5", "lines", "by file", "spans")
NAMED = 6


@click.command("eval")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The tables as JSON.")
@click.option("--set", "which", type=click.Choice(["files", "spans"]), help="Only this set of an annotated DIR.")
@click.option(
    "--scope",
    type=click.Choice(["root", "repo"]),
    default="root",
    show_default=True,
    help="Search the library's folder, or the whole checkout.",
)
@click.option("--repo", "only", metavar="NAME", help="Only this repository of an annotated DIR.")
@click.option("--checkouts", type=click.Path(path_type=Path), help="Where the code is when DIR holds questions only.")
@click.option("--strict", is_flag=True, help="Exit with 1 when a signal makes it worse.")
@click.pass_context
def eval_command(
    ctx: click.Context,
    folder: Path,
    as_json: bool,
    which: str | None,
    scope: str,
    only: str | None,
    checkouts: Path | None,
    strict: bool,
) -> None:
    """Measure the search on DIR, with every signal of its ranking and without each.

    DIR is any project: then questions are made of its documentation comments, at most 60, and asked over a copy without them. Or it holds
    questions of your own (queries.jsonl), or an annotated set of repositories (repos.json).
    """
    from fireside.app.knowledge import usual_embedding
    from fireside.context.development import evaluate, subjects
    from fireside.index.evaluate import Verdict

    place = existing(folder) or folder
    chosen = subjects(place, checkouts=existing(checkouts), which=which, whole=scope == "repo", only=only)
    embedding = usual_embedding()
    if sys.stderr.isatty():
        with progress_bar() as progress:
            tables = evaluate(chosen, embedding=embedding, progress=progress)
    else:
        tables = evaluate(chosen, embedding=embedding)
    worse = {table.kind: [row.name for row in table.rows if row.verdict == Verdict.WORSE] for table in tables}
    if as_json:
        print_json({"scope": scope, "tables": [asdict(table) for table in tables], "worse": worse})
    else:
        for number, table in enumerate(tables):
            click.echo("\n" if number else "", nl=False)
            _print_table(table)
        for kind, names in worse.items():
            if names:
                click.echo(f"\nmakes {kind} worse: {', '.join(names)}")
    if strict and any(worse.values()):
        ctx.exit(1)


def _print_table(table: "Evaluation") -> None:
    from fireside.index.evaluate import ERRORS, Verdict

    click.echo(_about(table))
    for repository in table.repositories:
        if repository.missing:
            click.echo(
                f"{repository.name}: {len(repository.missing)} targets are not in the index and count as missed:"
                f" {_listed(repository.missing)}",
                err=True,
            )
    cells = [HEADINGS, *(_cells(row) for row in table.rows if row.verdict != Verdict.UNUSED)]
    kept = _kept(cells)
    widths = {column: max(len(row[column]) for row in cells) for column in kept}
    for number, row in enumerate(cells):
        line = "  ".join(row[column].ljust(widths[column]) for column in kept).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 and sys.stdout.isatty() else line)
    unused = [row.name for row in table.rows if row.verdict == Verdict.UNUSED]
    if unused:
        click.echo(f"no effect on any of these questions: {', '.join(unused)}")
    if len(table.languages) > 1:
        by_language = [f"{name} {_figure(row.ndcg)} ({row.questions})" for name, row in table.languages.items()]
        click.echo(f"by language: {', '.join(by_language)}")
    click.echo(f"gain: ndcg10 with the signal less without it; within {ERRORS:g} standard errors (±) it is noise")


def _about(table: "Evaluation") -> str:
    from fireside.context.development import SPANS

    done = table.repositories
    questions, usable = sum(one.questions for one in done), sum(one.usable for one in done)
    asked = f"{questions} questions" if questions == usable else f"{questions} of {usable} questions"
    made = ", made of documentation comments" if table.kind == SPANS else ""
    chunks, seconds = sum(one.chunks for one in done), sum(one.index_seconds for one in done)
    where = _listed([_counted(one) for one in done]) if len(done) > 1 else done[0].name
    return (
        f"{table.kind}: {asked}{made}, over {where}; {sum(one.files for one in done)} files, {chunks} chunks,"
        f" read in {seconds:.1f} s"
    )


def _counted(repository: "Repository") -> str:
    return f"{repository.name} {repository.questions}"


def _cells(row: "Row") -> tuple[str, ...]:
    from fireside.index.evaluate import ALL, WORDS_ALONE

    return (
        row.name if row.name in (ALL, WORDS_ALONE) else f"without {row.name}",
        f"{_figure(row.ndcg)} ±{_figure(row.error)}",
        _figure(row.hit),
        _figure(row.reciprocal),
        _figure(row.file_ndcg),
        "-" if row.span_ndcg is None else _figure(row.span_ndcg),
        f"{row.lines:.0f}",
        f"{row.p50_ms:.1f}",
        f"{row.p95_ms:.1f}",
        f"{'+' if row.gain >= 0 else '-'}{_figure(abs(row.gain))} ±{_figure(row.gain_error)}" if row.verdict else "",
        row.verdict,
    )


def _figure(value: float) -> str:
    """Three places, as such figures are always written: .860, 1.000."""
    return f"{value:.3f}".removeprefix("0")


def _kept(cells: Sequence[Sequence[str]]) -> list[int]:
    """The columns that fit; all of them when the output is no terminal."""
    kept = list(range(len(HEADINGS)))
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for heading in EXPENDABLE:
        if sum(max(len(row[column]) for row in cells) + 2 for column in kept) - 2 <= room:
            break
        kept.remove(HEADINGS.index(heading))
    return kept


def _listed(items: Sequence[str]) -> str:
    rest = len(items) - NAMED
    return ", ".join(items[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
