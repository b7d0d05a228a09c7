"""``fireside checkpoints``, ``undo``, ``redo`` and ``restore``. Draw; what may be taken back is decided below."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fireside.cli.code import existing, print_json

if TYPE_CHECKING:
    from fireside.workspace.checkpoints import Checkpoints
    from fireside.workspace.checkpoints.states import Checkpoint, Restored

ROOT = click.option(
    "--root", type=click.Path(path_type=Path), help="The project's folder (else: found from here upwards)."
)
JSON = click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
FORCE = click.option("--force", is_flag=True, help="Also where you have changed the same file since.")
NAMED_BY_KIND = {"undo": "undo: ", "redo": "redo: "}
SHOWN_LEFT = 10


@contextmanager
def opened_checkpoints(root: Path | None = None) -> "Iterator[Checkpoints]":
    """The checkpoints of the project, closed again afterwards."""
    from fireside.app.checkpoints import open_checkpoints
    from fireside.cli.door import here

    with open_checkpoints(existing(root) or here().root, environ=os.environ) as checkpoints:
        yield checkpoints


@click.command("checkpoints")
@click.option("--limit", "-n", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@JSON
@ROOT
def checkpoints_command(limit: int, as_json: bool, root: Path | None) -> None:
    """List the states of the project you can go back to: fireside restore ID."""
    with opened_checkpoints(root) as checkpoints:
        found = checkpoints.list()
        if as_json:
            print_json({"checkpoints": [_checkpoint_json(one) for one in found[:limit]]})
        elif not found:
            click.echo(f"no checkpoints of {checkpoints.workspace.root} yet; the first change makes one")
        else:
            _print_checkpoints(found[:limit])
            if len(found) > limit:
                click.echo(f"and {len(found) - limit} older: fireside checkpoints --limit {len(found)}")


@click.command("undo")
@FORCE
@DRY_RUN
@JSON
@ROOT
def undo_command(force: bool, dry_run: bool, as_json: bool, root: Path | None) -> None:
    """Take back the last change Fireside has made; what you have changed in other files since stays. Again: the one before."""
    with opened_checkpoints(root) as checkpoints:
        done = checkpoints.undo(force=force, dry_run=dry_run)
        _report(
            done, as_json, "would undo" if dry_run else "undone", "" if dry_run else "to have it back: fireside redo"
        )


@click.command("redo")
@FORCE
@DRY_RUN
@JSON
@ROOT
def redo_command(force: bool, dry_run: bool, as_json: bool, root: Path | None) -> None:
    """Take the last undo back: the files get the bytes they had before it."""
    with opened_checkpoints(root) as checkpoints:
        done = checkpoints.redo(force=force, dry_run=dry_run)
        _report(done, as_json, "would redo" if dry_run else "redone", "")


@click.command("restore")
@click.argument("number", metavar="ID", type=click.IntRange(1))
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@DRY_RUN
@JSON
@ROOT
def restore_command(number: int, paths: tuple[str, ...], dry_run: bool, as_json: bool, root: Path | None) -> None:
    """Make every file what it was at checkpoint ID, or only these files and folders. What is there now can be had back: fireside undo."""
    with opened_checkpoints(root) as checkpoints:
        chosen = [_from_here(path, checkpoints.workspace.root) for path in paths] or None
        done = checkpoints.restore(number, chosen, dry_run=dry_run)
        _report(
            done, as_json, f"would restore {number}" if dry_run else f"restored {number}",
            "" if dry_run else "to take that back: fireside undo",
        )  # fmt: skip


def _from_here(path: str, root: Path) -> str:
    """A path as the user sees it from the current folder, relative to the root; from outside the project it counts from the root."""
    here = Path.cwd()
    start = here if here.is_relative_to(root) else root
    return os.path.relpath(start / path, root).replace(os.sep, "/")


def _report(done: "Restored", as_json: bool, verb: str, hint: str) -> None:
    if as_json:
        print_json(_restored_json(done))
        return
    click.echo(f"{verb}: {_shown(done.label)}")
    for one in done.files:
        click.echo(f"  {one.action:8}{_shown(one.path)}")
    if not done.files:
        click.echo("  nothing to change: the files are like that already")
    for left in done.left[:SHOWN_LEFT]:
        click.echo(f"left as it is: {_shown(left.path)} ({left.reason})", err=True)
    if len(done.left) > SHOWN_LEFT:
        click.echo(f"and {len(done.left) - SHOWN_LEFT} more left as they are", err=True)
    if hint and done.files:
        click.echo(hint)


def _print_checkpoints(found: "tuple[Checkpoint, ...]") -> None:
    width = max(len(str(one.id)) for one in found)
    for one in found:
        count = one.changed or one.files
        changed = f"{count} {'file' if count == 1 else 'files'}{' changed' if one.changed else ''}"
        when = datetime.fromtimestamp(one.when).strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"{one.id:>{width}}  {when}  {changed:16}  {NAMED_BY_KIND.get(one.kind, '')}{_shown(one.label)}")


def _checkpoint_json(one: "Checkpoint") -> Mapping[str, object]:
    return {
        "id": one.id,
        "when": datetime.fromtimestamp(one.when, UTC).isoformat(timespec="milliseconds"),
        "label": one.label,
        "kind": one.kind,
        "files": one.files,
        "changed": one.changed,
    }


def _restored_json(done: "Restored") -> Mapping[str, object]:
    return {
        "label": done.label,
        "files": [{"path": _utf8(one.path), "action": one.action} for one in done.files],
        "left": [{"path": _utf8(one.path), "reason": one.reason} for one in done.left],
        "checkpoint": done.checkpoint,
    }


def _utf8(path: str) -> str:
    return path.encode("utf-8", "replace").decode()


def _shown(text: str) -> str:
    """A name may hold line ends, or what moves the cursor of a terminal."""
    return text if text.isprintable() else text.encode("unicode_escape", "replace").decode("ascii", "replace")
