"""``fireside audit``: look at the audit log, check that nobody has changed it, and hand it on. Needs no database and no server."""

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fireside.cli.amounts import moment
from fireside.cli.code import print_json
from fireside.cli.keys import shown
from fireside.core.errors import Invalid, NotPermitted

if TYPE_CHECKING:
    from fireside.records.chain import Verdict

JSON = click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
SINCE = click.option("--since", type=moment, help="From then on: 2026-11-30, 2026-11-30T12:00, or 2h (ago).")
FIRST = ("time", "log", "event")
BOOKKEEPING = (*FIRST, "previous")


@click.group("audit")
def audit_command() -> None:
    """Who used your server for what, which keys were made and revoked, who was refused."""


@audit_command.command("verify")
@JSON
def verify(as_json: bool) -> None:
    """Follow the chain of hashes through every log. Exit code 1 when a line was changed, removed or inserted."""
    from fireside.records import audit

    try:
        found = audit.verify(_folder())
    except OSError as error:
        raise _unreadable(error) from error
    if as_json:
        print_json({"logs": {log: _verdict_json(verdict) for log, verdict in found.items()}})
    elif not found:
        click.echo("there is no audit log yet; fireside serve writes one")
    else:
        for log, verdict in found.items():
            click.echo(_told(log, verdict))
    broken = [(log, verdict) for log, verdict in found.items() if verdict.broken_at is not None]
    if broken:
        log, verdict = broken[0]
        raise Invalid(
            f"line {verdict.broken_at} of {verdict.broken_in} does not follow from the one before it: the log {log} was changed",
            remedy="compare it with a copy you have kept elsewhere",
        )


@audit_command.command("tail")
@click.option("--lines", "-n", type=click.IntRange(1), default=20, show_default=True, help="How many, the newest.")
@SINCE
@JSON
def tail(lines: int, since: str | None, as_json: bool) -> None:
    """Show the newest entries of all logs."""
    from fireside.records import audit

    try:
        found = audit.tail(_folder(), lines, since=since or "")
    except OSError as error:
        raise _unreadable(error) from error
    if not found and not as_json:
        click.echo("no entries" + (" since then" if since else " yet; fireside serve writes them"))
    _print(found, as_json=as_json)


@audit_command.command("export")
@SINCE
@click.option("--json/--text", "as_json", default=True, help="JSON lines (the default), or words.")
def export(since: str | None, as_json: bool) -> None:
    """Print every entry as JSON, oldest first. To keep them: fireside audit export > audit.jsonl"""
    from fireside.records import audit

    try:
        _print(audit.entries(_folder(), since=since or ""), as_json=as_json)
    except OSError as error:
        raise _unreadable(error) from error


def _folder() -> Path:
    from fireside.app.records import audit_folder
    from fireside.config.paths import Paths

    return audit_folder(Paths.from_environment(os.environ))


def _print(entries: Iterable[dict[str, object]], *, as_json: bool) -> None:
    import orjson

    for entry in entries:
        click.echo(orjson.dumps(entry) if as_json else _line(entry))


def _line(entry: dict[str, object]) -> str:
    """``2026-11-30 12:00:00  server  request  route=... status=200``, in local time."""
    facts = " ".join(f"{name}={value}" for name, value in entry.items() if name not in BOOKKEEPING)
    time, log, event = (str(entry.get(name, "")) for name in FIRST)
    return shown(f"{_local(time)}  {log:6}  {event:13}  {facts}")


def _local(time: str) -> str:
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return time


def _told(log: str, verdict: "Verdict") -> str:
    count = "1 entry" if verdict.entries == 1 else f"{verdict.entries} entries"
    torn = f", {verdict.torn} cut off while being written" if verdict.torn else ""
    state = "whole" if verdict.broken_at is None else "CHANGED"
    return f"{shown(log)}: {count}{torn}, {state}; last hash {verdict.last}"


def _verdict_json(verdict: "Verdict") -> dict[str, object]:
    return {
        "entries": verdict.entries,
        "torn": verdict.torn,
        "broken_at": verdict.broken_at,
        "broken_in": str(verdict.broken_in) if verdict.broken_in else None,
        "last": verdict.last,
    }


def _unreadable(error: OSError) -> NotPermitted:
    return NotPermitted(f"the audit log cannot be read: {error}", remedy=f"check: ls -l {_folder()}")
