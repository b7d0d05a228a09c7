"""``fireside edit apply``: an answer from standard input, applied to the project. Draws; what applies is decided below."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from fireside.cli.code import existing, print_json
from fireside.core.errors import FiresideError

if TYPE_CHECKING:
    from fireside.workspace.edits.apply import FileChange
    from fireside.workspace.edits.landing import Plan
    from fireside.workspace.edits.refusals import Refusal

FORMATS = ("auto", "search_replace", "whole", "udiff", "apply_patch", "edit_tool", "function")
MOST_ANSWER = 10_000_000
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.group("edit")
def edit_command() -> None:
    """Apply edits that a model wrote."""


@edit_command.command("apply")
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="auto",
    show_default=True,
    help="How the answer is written.",
)
@click.option("--root", type=click.Path(path_type=Path), help="The project's folder (else: found from here upwards).")
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
def apply_command(format_: str, root: Path | None, dry_run: bool, as_json: bool) -> None:
    """Apply the answer on standard input: all of it, or nothing. To take it back: fireside undo.

    For example: fireside edit apply < answer.md
    """
    from fireside.app.checkpoints import open_checkpoints
    from fireside.cli.door import here
    from fireside.workspace.edits.landing import carry_out, plan_answer
    from fireside.workspace.edits.refusals import EditRefused

    if sys.stdin.isatty():
        raise click.UsageError("pipe an answer in: fireside edit apply < answer.md", click.get_current_context())
    with open_checkpoints(existing(root) or here().root, environ=os.environ) as checkpoints:
        try:
            plan = plan_answer(checkpoints.workspace, _read_answer(), format=format_, outline=_outline)
            if not dry_run:
                carry_out(plan, checkpoints)
        except EditRefused as error:
            _refuse(error.refusals, as_json)
        except FiresideError as error:
            if not as_json or "path" not in error.context:
                raise
            reason = str(error.context.get("reason", "failed"))
            _print_result((), [(str(error.context["path"]), f"{reason}: {error.message}", ())])
            raise click.exceptions.Exit(1) from None
    _report(plan, dry_run, as_json)


def _read_answer() -> str:
    """Raises ``Invalid`` for what is no text, or more of it than any model writes."""
    from fireside.workspace.edits.refusals import refuse

    raw = sys.stdin.buffer.read(MOST_ANSWER + 1)
    if len(raw) > MOST_ANSWER:
        raise refuse("too_large", f"standard input has more than {MOST_ANSWER // 1_000_000} MB; an answer has less")
    if not raw.strip():
        raise refuse("malformed", "standard input is empty; pipe an answer in: fireside edit apply < answer.md")
    try:
        if b"\0" in raw:
            raise refuse("malformed", "standard input is not text")
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise refuse("malformed", "standard input is not UTF-8 text") from None


def _outline(path: str, text: str) -> list[tuple[str, int, int]]:
    """Where definitions stand, by the grammars of the index."""
    from fireside.index.languages import language_of
    from fireside.index.parse import parse

    symbols = parse(path, text, language_of(path, text)).symbols
    return [(one.qualified, one.start_line - 1, one.end_line - 1) for one in symbols]


def _refuse(refusals: "Sequence[Refusal]", as_json: bool) -> NoReturn:
    if as_json:
        _print_result((), [(one.path, f"{one.reason}: {one.message}", one.nearest) for one in refusals])
    else:
        click.echo("nothing was changed:", err=True)
        for one in refusals:
            place = f"{_shown(one.path)}: " if one.path else ""
            click.echo(f"{place}{click.style(one.reason, fg='red')}: {_shown(one.message)}", err=True)
            for line in one.nearest:
                click.echo(f"    {_shown(line)}", err=True)
    raise click.exceptions.Exit(1)


def _report(plan: "Plan", dry_run: bool, as_json: bool) -> None:
    if as_json:
        _print_result(plan.changes, ())
        return
    if dry_run:
        for line in plan.diff():
            click.echo(click.style(line, fg=COLOURS.get(line[:1])))
    for change in plan.changes:
        origin = f" (was {_shown(change.source)})" if change.source else ""
        click.echo(f"{'would be ' if dry_run else ''}{change.action}  {_shown(change.path)}{origin}")
    if not dry_run:
        click.echo("to take it back: fireside undo")


def _print_result(changes: "Sequence[FileChange]", refused: Sequence[tuple[str, str, Sequence[str]]]) -> None:
    applied: list[Mapping[str, object]] = [{"path": _shown(one.path), "action": one.action} for one in changes]
    print_json(
        {
            "applied": applied,
            "refused": [
                {"path": _shown(path), "reason": _shown(reason), "nearest": [_shown(line) for line in nearest]}
                for path, reason, nearest in refused
            ],
        }
    )


def _shown(text: str) -> str:
    """Text that can be written: half characters, and bytes of names that are no UTF-8, become a mark."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
