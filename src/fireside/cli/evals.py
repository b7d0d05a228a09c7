"""``fireside eval``: measure a model, an engine or what needs none, and compare two measurements. Asks and draws; others measure."""

import os
import re
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fireside.cli.door import here, run
from fireside.core.errors import Invalid

if TYPE_CHECKING:
    from fireside.app.evaluation import Wanted
    from fireside.evals.compare import Comparison
    from fireside.evals.suite import CaseSettings, Result, Score
    from fireside.evals.suite import Step as Progress

LABEL = 22
LONGEST_LABEL = 34
# Of a column of figures, at least; a longer figure makes it wider.
COLUMN = 28
GAP = 2


class Evals(click.Group):
    """``fireside eval fim-line`` is ``fireside eval run fim-line``: whatever is no command of its own is a suite."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from fireside.evals.registry import SUITES

        return self.commands.get("run" if cmd_name in SUITES else cmd_name)


@click.group("eval", cls=Evals)
def eval_command() -> None:
    """Measure models: fireside eval [SUITE]... is the same as fireside eval run [SUITE]...

    Every figure comes with its 95 % interval and the number of cases it stands on.
    """


@eval_command.command("run")
@click.argument("suites", nargs=-1, metavar="[SUITE]...")
@click.option("--model", metavar="NAME", default="", help="The model to measure (else: as the suite's alias is set).")
@click.option("--file", type=click.Path(path_type=Path), help="A GGUF file to measure.")
@click.option("--adapter", type=click.Path(path_type=Path), help="A LoRA adapter to lay over --file.")
@click.option(
    "--url", metavar="URL", default="", help="Measure what answers there: OpenAI's API, Ollama, llama-server."
)
@click.option("--from", "sources", multiple=True, metavar="DIR", help="Folders to cut cases from (else: this project).")
@click.option("--cases", type=click.IntRange(0, 100_000), default=300, show_default=True, help="Of each suite; 0: all.")
@click.option("--seed", type=int, default=7, show_default=True, help="Which cases are drawn.")
@click.option("--parallel", type=click.IntRange(1, 256), default=1, show_default=True, help="Cases at a time.")
@click.option(
    "--tasks", type=click.Path(path_type=Path), help="pass-at-k: a file in HumanEval's format (else: Fireside's own)."
)
@click.option("--samples", type=click.IntRange(1, 1000), default=1, show_default=True, help="pass-at-k: of each task.")
@click.option("--ray", metavar="ADDRESS", default="", help="Share the cases out over a Ray cluster; with --url.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where results.json, .md and .html go (else: a new folder)."
)
@click.option("--json", "as_json", is_flag=True, help="The results as JSON.")
def run_suites(
    suites: tuple[str, ...],
    model: str,
    file: Path | None,
    adapter: Path | None,
    url: str,
    sources: tuple[str, ...],
    cases: int,
    seed: int,
    parallel: int,
    tasks: Path | None,
    samples: int,
    ray: str,
    out: Path | None,
    as_json: bool,
) -> int:
    """Measure with the suites that are named.

    Without a SUITE: fim-line, fim-syntax and latency. fireside eval list tells what each is.

    Without a model fim-line and fim-syntax still measure what needs none: copying.
    """
    from fireside.app.evaluation import Wanted
    from fireside.evals.registry import check
    from fireside.evals.report import PAGE, as_json_text, write
    from fireside.evals.suite import CaseSettings

    check(suites)
    if file is not None and url:
        raise Invalid("--file and --url name two models", remedy="name one of them")
    if adapter is not None and file is None:
        raise Invalid("--adapter needs the model it belongs to", remedy="add --file BASE.gguf")
    if ray and "pass-at-k" in suites:
        raise Invalid("pass-at-k runs programs and stays on this machine", remedy="leave --ray out")
    if ray and not url:
        raise Invalid(
            "--ray needs --url: every machine of the cluster must reach the model", remedy="add --url URL of the model"
        )
    for source in sources:
        if not Path(source).expanduser().exists():
            raise Invalid(f"{source} does not exist", remedy="name a folder that is there: --from DIR")
    settings = CaseSettings(sources=sources or (str(_project()),), cases=cases, seed=seed)
    options = {"pass-at-k": {"samples": samples, "tasks": tasks}}
    wanted = Wanted(model, url, file, adapter)
    results = _measured(wanted, suites, settings, parallel=parallel, ray=ray, options=options)
    if not results:
        raise Invalid("there is nothing to measure", remedy="name a model: --model NAME, or a URL: --url URL")
    folder = out or _new_folder(results)
    write(results, folder)
    if as_json:
        click.echo(as_json_text(results))
    else:
        for result in results:
            draw(result)
        click.echo(f"\nwith plots: {folder / PAGE}")
        click.echo(f"to compare with another: fireside eval compare {shlex.quote(str(folder))} OTHER")
    return 130 if results[-1].stopped else 0


@eval_command.command("list")
def list_suites() -> None:
    """List the suites."""
    from fireside.evals.registry import SUITES, suite

    for name in SUITES:
        click.echo(f"{name:<12} {suite(name).about}")


@eval_command.command("show")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--suite", metavar="SUITE", help="Only this one.")
def show_results(path: Path, suite: str | None) -> None:
    """Show results again.

    PATH is a results.json, or the folder it is in.
    """
    from fireside.evals.report import read

    for result in _of_suite(read(path), suite, path):
        draw(result)


@eval_command.command("compare")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--suite", metavar="SUITE", help="Only this one.")
@click.option("--json", "as_json", is_flag=True, help="The comparison as JSON.")
def compare_results(first: Path, second: Path, suite: str | None, as_json: bool) -> None:
    """Say whether one measurement is better than another.

    Both must stand on the same cases. For each figure: what SECOND gains over FIRST, with its 95 % interval, and whether it may be chance.
    """
    import msgspec

    from fireside.evals.compare import compare
    from fireside.evals.report import read

    ones, others = _of_suite(read(first), suite, first), _of_suite(read(second), suite, second)
    pairs = [(one, other) for one in ones for other in others if one.suite == other.suite]
    if not pairs:
        raise Invalid(f"{first} and {second} have no suite in common", remedy="measure both with the same suite")
    found = [compare(one, other) for one, other in pairs]
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for comparison in found:
        draw_comparison(comparison)


def _measured(
    wanted: "Wanted",
    suites: Sequence[str],
    settings: "CaseSettings",
    *,
    parallel: int,
    ray: str,
    options: Mapping[str, Mapping[str, Any]],
) -> "list[Result]":
    from fireside.app.evaluation import measure_suites, opened
    from fireside.cli.training_progress import stage_progress
    from fireside.evals.registry import USUAL
    from fireside.training.stages import Step

    with stage_progress() as show:

        def tell(step: "Progress") -> None:
            show(Step(step.suite, step.done, step.total, "cases", f"{step.failed} failed" if step.failed else ""))

        async def work() -> "list[Result]":
            async with opened(wanted, root=here().root, flags=here().flags) as bench:
                return await measure_suites(
                    bench,
                    suites or USUAL,
                    settings,
                    parallel=parallel,
                    report=tell,
                    named=bool(suites),
                    options=options,
                )

        if ray:
            from fireside.app.evaluation_ray import measure_on_ray

            return measure_on_ray(ray, wanted, suites or USUAL, settings, flags=here().flags, report=tell)
        return run(work())


def _project() -> Path:
    from fireside.workspace.workspace import find_root

    return here().root or find_root()


def _new_folder(results: "Sequence[Result]") -> Path:
    from fireside.config.paths import Paths

    name = re.sub(r"[^A-Za-z0-9._-]+", "-", results[0].subject)[:60]
    return Paths.from_environment(os.environ).data / "evals" / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"


def _of_suite(results: "Sequence[Result]", suite: str | None, path: Path) -> "list[Result]":
    found = [result for result in results if suite in (None, result.suite)]
    if not found:
        raise Invalid(
            f"{path} has no results of {suite!r}", remedy=f"it has: {', '.join(result.suite for result in results)}"
        )
    return found


def draw(result: "Result") -> None:
    """One suite as a table; in a narrow terminal, one table for each who was measured."""
    from fireside.evals.report import cell, columns_of

    stopped = ", stopped" if result.stopped else ""
    click.secho(f"\n{result.suite}", bold=True, nl=False)
    click.echo(f"  {len(result.outcomes)} cases{stopped}, {result.seconds:,.1f} s, 95 % intervals")
    columns = columns_of(result)
    width = max([COLUMN, *(len(cell(score)) + GAP for scores in columns.values() for score in scores)])
    fit = max(1, (shutil.get_terminal_size().columns + GAP - LABEL) // width)
    names = list(columns)
    for begin in range(0, len(names), fit):
        _draw_columns({name: columns[name] for name in names[begin : begin + fit]}, width)
    failed = [outcome for outcome in result.outcomes if outcome.failed]
    if failed:
        click.echo(f"{len(failed)} cases failed; the first: {failed[0].detail}", err=True)
    _draw_gate(result)


def _draw_columns(columns: "dict[str, tuple[Score, ...]]", width: int) -> None:
    from fireside.evals.report import cell

    names = dict.fromkeys(score.name for scores in columns.values() for score in scores)
    wide = min(LONGEST_LABEL, max(LABEL, *(len(name) + 2 for name in names), 0))
    head = "".join(f"{_short(name, width - GAP):<{width}}" for name in columns)
    click.echo(" " * wide + head.rstrip())
    for name in names:
        cells = (next((score for score in scores if score.name == name), None) for scores in columns.values())
        line = f"{_short(name, wide - 1):<{wide}}" + "".join(f"{cell(one):<{width}}" for one in cells)
        click.echo(line.rstrip())


def _draw_gate(result: "Result") -> None:
    """For a completion model: what it is worth beside copying, and whether it may be shown to users."""
    from fireside.evals.compare import against
    from fireside.evals.fim_line import COPY, FimLine, ships

    if result.suite != FimLine.name or not result.scores:
        return
    row = next(row for row in against(result, COPY).rows if row.name == "exact")
    click.echo(f"exact beside copy: {_signed(row.difference)} points {_between(row.low, row.high)}, p = {row.p:.4f}")
    verdict = ships(result)
    click.secho(
        "passes the gate" if verdict.ships else "does not pass the gate", fg="green" if verdict.ships else "red"
    )
    for reason in verdict.reasons:
        click.echo(f"  {reason}")


def draw_comparison(comparison: "Comparison") -> None:
    from fireside.evals.report import number

    click.secho(f"\n{comparison.suite}", bold=True, nl=False)
    click.echo(f"  {comparison.second} against {comparison.first}")
    for row in comparison.rows:
        figures = f"{number(row.first)} -> {number(row.second)}{' ' + row.unit if row.unit else ''}"
        told = f"{_signed(row.difference)} {_between(row.low, row.high)}  p = {row.p:.4f}  n={row.n}  {row.verdict}"
        click.echo(f"{_short(row.name, LABEL - 1):<{LABEL}}{figures:<22}{told}".rstrip())


def _signed(value: float) -> str:
    from fireside.evals.report import number

    return f"{'+' if value > 0 else ''}{number(value)}"


def _between(low: float, high: float) -> str:
    from fireside.evals.report import number

    return f"[{number(low)}, {number(high)}]"


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
