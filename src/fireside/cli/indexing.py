"""``fireside index``: read the project, once or as it changes, and report what was read."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fireside.cli.code import existing, print_json
from fireside.cli.progress import progress_bar

if TYPE_CHECKING:
    from fireside.context.project import Project
    from fireside.index.chunks import IndexReport


class IndexCommand(click.Command):
    """``fireside index eval`` is a command of its own; a folder of that name is ``./eval``."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] != ["eval"]:
            return super().make_context(info_name, args, parent, **extra)
        from fireside.cli.evaluation import eval_command

        return eval_command.make_context(f"{info_name} eval", args[1:], parent, **extra)


@click.command("index", cls=IndexCommand)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.option("--rebuild", is_flag=True, help="Read everything again.")
@click.option("--watch", is_flag=True, help="Go on reading what changes, until Ctrl-C; --json: a line each time.")
@click.option(
    "--into",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="One index for many projects, in a folder of its own; PATHs are added to it. To search: fireside search --in FOLDER",
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="With --into: parse and embed on a Ray cluster: HOST:PORT; auto: the one this machine is in; local: this machine alone.",
)
def index_command(
    paths: tuple[Path, ...], as_json: bool, rebuild: bool, watch: bool, into: Path | None, ray: str | None
) -> None:
    """Read the project at PATH (else: where you stand), or what has changed in it since the last time.

    To measure the search on a project: fireside index eval DIR
    """
    from fireside.cli.door import opened_project

    _consistent(paths, watch, into, ray)
    for path in paths:
        existing(path)
    if into is not None:
        _index_shared(into, paths, ray, as_json=as_json, rebuild=rebuild)
        return
    with opened_project(paths[0] if paths else None) as project:
        with progress_bar() as progress:
            report = project.update(progress, rebuild=rebuild, most_vectors=None)
        if as_json and watch:
            _print_line(project, report)
        elif as_json:
            print_json(_report_json(project, report))
        else:
            _print_report(project, report)
        if watch:
            _watch(project, report.generation, _print_line if as_json else _print_change)


def _consistent(paths: Sequence[Path], watch: bool, into: Path | None, ray: str | None) -> None:
    wrong = ""
    if into is None and len(paths) > 1:
        wrong = "several projects in one index need a folder for it: --into FOLDER"
    elif into is None and ray is not None:
        wrong = "--ray is for many projects in one index: --into FOLDER"
    elif into is not None and watch:
        wrong = "--watch is for one project, not for --into"
    if wrong:
        raise click.UsageError(wrong, click.get_current_context())


def _index_shared(into: Path, paths: Sequence[Path], ray: str | None, *, as_json: bool, rebuild: bool) -> None:
    from fireside.app.shared_index import gather
    from fireside.cli.door import here

    shared = gather(into, paths, ray=ray, flags=here().flags)
    try:
        with progress_bar() as progress:
            report = shared.update(progress, rebuild=rebuild)
        if as_json:
            sources = {name: str(root) for name, root in shared.sources.items()}
            print_json({**_report_json(shared.project, report), "sources": sources})
        else:
            _print_report(shared.project, report)
            click.echo(f"  of {_listed(list(shared.sources))}")
    finally:
        shared.close()


def _watch(project: "Project", seen: int, show: "Callable[[Project, IndexReport], None]") -> None:
    """``seen``: the generation that has been shown already."""
    import threading

    from fireside.index.watch import follow

    def on_report(report: "IndexReport") -> None:
        if report.generation != seen:
            show(project, report)

    try:
        follow(
            project,
            stop=threading.Event(),
            on_report=on_report,
            on_error=lambda error: click.echo(f"error: {error.message}", err=True),
            on_mode=lambda mode: click.echo(f"watching {project.root}, {mode}; Ctrl-C ends it", err=True),
        )
    except KeyboardInterrupt:
        return


def _print_line(project: "Project", report: "IndexReport") -> None:
    import orjson

    click.echo(orjson.dumps(_report_json(project, report)))


def _print_change(project: "Project", report: "IndexReport") -> None:
    changes = [f"{number} {word}" for number, word in _changes(report) if number]
    click.echo(
        f"{', '.join(changes) or 'made again'}: {report.files} files, {report.chunks} chunks, {report.seconds:.2f} s,"
        f" generation {report.generation}"
    )


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
    if report.note:
        click.echo(f"  searching {report.note}")
    elif report.unembedded:
        click.echo(f"  {report.unembedded} chunks are found by their words only, until their vectors are made")
    click.echo(f"  {report.seconds:.2f} s, generation {report.generation}")


def _changes(report: "IndexReport") -> tuple[tuple[int, str], ...]:
    return ((report.added, "new"), (report.changed, "changed"), (report.removed, "removed"))


def _listed(items: list[str], most: int = 12) -> str:
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")


def _report_json(project: "Project", report: "IndexReport") -> Mapping[str, object]:
    from dataclasses import asdict

    return {"root": str(project.root), **asdict(report), "languages": project.languages()}
