"""``fireside keys``: who may use the server, and how much. Draws; what a key is and what it opens is decided in ``fireside.records``."""

import getpass
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from fireside.cli.amounts import budget, iso, moment, span
from fireside.cli.code import print_json
from fireside.cli.door import here, run
from fireside.core.errors import FiresideError, NotPermitted

if TYPE_CHECKING:
    from fireside.app.records import Records
    from fireside.records.keys import ApiKey, KeyLimits, Scopes
    from fireside.records.usage import Used

JSON = click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
COUNT = click.IntRange(1)


@contextmanager
def opened_records() -> "Iterator[Records]":
    """The records, closed again afterwards."""
    from fireside.app.records import open_records

    records = run(open_records("cli", flags=here().flags))
    try:
        yield records
    finally:
        records.close()


@click.group("keys")
def keys_command() -> None:
    """Make, list and revoke the keys of people and programs that use your server (fireside serve)."""


@keys_command.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(["admin", "user", "viewer"]), default="user", show_default=True,
              help="admin: everything. user: ask models. viewer: only look.")  # fmt: skip
@click.option("--expires", type=span, metavar="SPAN", help="For how long: 30d, 12h. [for ever]")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE",
              help="Only this: chat, complete, embed, models, view, admin, or model:GLOB. Several times for more.")  # fmt: skip
@click.option("--rpm", type=COUNT, metavar="N", help="Requests a minute.")
@click.option("--tpm", type=COUNT, metavar="N", help="Tokens a minute.")
@click.option("--concurrency", type=COUNT, metavar="N", help="Requests at a time.")
@click.option("--budget", "budgets", type=budget, multiple=True, metavar="TOKENS", help="200k/day, 5M/month, or both.")
@JSON
def create(
    name: str, role: str, expires: float | None, scopes: tuple[str, ...], rpm: int | None, tpm: int | None,
    concurrency: int | None, budgets: tuple[tuple[str, int], ...], as_json: bool,
) -> None:  # fmt: skip
    """Make a key. It is shown this once; only its SHA-256 is kept."""
    from fireside.records.keys import KeyLimits, Role

    spend = dict(budgets)
    limits = KeyLimits(
        rpm=rpm, tpm=tpm, concurrency=concurrency, budget_day=spend.get("day"), budget_month=spend.get("month")
    )
    until = time.time() + expires if expires else None
    with opened_records() as records:
        key, secret = records.keys.create(name, role=Role(role), scopes=_scopes(scopes), limits=limits, expires=until)
        try:
            records.audit.write("key_created", **_told(key))
        except FiresideError:
            # A key nobody can trace is not given out.
            records.keys.revoke(key.id)
            raise
        _give_out(key, secret, as_json)


@keys_command.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that were revoked.")
@JSON
def list_(every: bool, as_json: bool) -> None:
    """List the keys: whose, for what, how long, last used when."""
    with opened_records() as records:
        found = [key for key in records.keys.list() if every or key.revoked is None]
    if as_json:
        print_json({"keys": [key_json(key) for key in found]})
    elif not found:
        click.echo("no keys yet; to make one: fireside keys create NAME")
    else:
        _print_table([_HEAD, *map(_row, found)])


@keys_command.command("revoke")
@click.argument("name", metavar="NAME|ID")
@JSON
def revoke(name: str, as_json: bool) -> None:
    """Refuse a key from now on, for good. Running servers obey within seconds."""
    with opened_records() as records:
        key = records.keys.find(name)
        if key.revoked is None:
            records.audit.write("key_revoked", **_told(key))
        gone = records.keys.revoke(name)
    if as_json:
        print_json(key_json(gone))
    else:
        click.echo(f"revoked: {gone.name} ({gone.id})")


@keys_command.command("rotate")
@click.argument("name", metavar="NAME|ID")
@JSON
def rotate(name: str, as_json: bool) -> None:
    """Give a key another secret; the old one is refused from now on. Limits and usage stay."""
    with opened_records() as records:
        records.audit.write("key_rotated", **_told(records.keys.find(name)))
        key, secret = records.keys.rotate(name)
        _give_out(key, secret, as_json)


@keys_command.command("usage")
@click.option("--since", type=moment, default="30d", show_default=True, help="From this day on: 2026-11-30, or 7d.")
@JSON
def usage(since: str, as_json: bool) -> None:
    """Requests and tokens by day, key and model."""
    from fireside.records.usage import report

    with opened_records() as records:
        found = report(records.database, since=since[:10])
        names = {key.id: key.name for key in records.keys.list()}
    if as_json:
        print_json({"usage": [_used_json(used, names) for used in found]})
    elif not found:
        click.echo("nothing was asked since then")
    else:
        head = ("DAY", "KEY", "MODEL", "REQUESTS", "FAILED", "PROMPT", "ANSWER")
        _print_table([head, *(tuple(map(str, _used_json(used, names).values())) for used in found)])


def key_json(key: "ApiKey") -> dict[str, object]:
    """A key as data; nothing in it opens anything."""
    import msgspec

    limits = {name: value for name, value in msgspec.structs.asdict(key.limits).items() if value is not None}
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "role": str(key.role),
        "state": key.state(time.time()),
        "models": list(key.scopes.models),
        "routes": list(key.scopes.routes),
        "limits": limits,
        "created": iso(key.created),
        "expires": iso(key.expires) if key.expires else None,
        "last_used": iso(key.last_used) if key.last_used else None,
        "revoked": iso(key.revoked) if key.revoked else None,
    }


def shown(text: str) -> str:
    """What came from outside may hold what moves the cursor of a terminal."""
    return text if text.isprintable() else text.encode("unicode_escape", "replace").decode("ascii", "replace")


_HEAD = ("NAME", "ID", "KEY", "ROLE", "STATE", "EXPIRES", "LAST USED", "LIMITS")


def _row(key: "ApiKey") -> tuple[str, ...]:
    return (
        key.name, key.id, key.prefix + "...", str(key.role), key.state(time.time()), _day(key.expires, "never"),
        _day(key.last_used, "never"), _limits(key.limits, key.scopes),
    )  # fmt: skip


def _limits(limits: "KeyLimits", scopes: "Scopes") -> str:
    import msgspec

    from fireside.records.keys import ROUTES

    told = [f"{name} {value}" for name, value in msgspec.structs.asdict(limits).items() if value is not None]
    if scopes.routes != ROUTES:
        told.append("only " + " ".join(scopes.routes))
    if scopes.models != ("*",):
        told.append("models " + " ".join(scopes.models))
    return ", ".join(told) or "none"


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    drawn = [[shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in drawn) for column in range(len(drawn[0]))]
    for row in drawn:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _scopes(words: Sequence[str]) -> "Scopes":
    from fireside.records.keys import Scopes

    models = tuple(word.removeprefix("model:") for word in words if word.startswith("model:"))
    routes = tuple(route for word in words if not word.startswith("model:") for route in word.split(","))
    return Scopes(models=models or Scopes().models, routes=routes or Scopes().routes)


def _give_out(key: "ApiKey", secret: str, as_json: bool) -> None:
    if as_json:
        print_json({**key_json(key), "key": secret})
        return
    click.echo(secret)
    click.echo(
        f"This is the key {key.name} ({key.id}). It is not shown again; send it as: Authorization: Bearer KEY", err=True
    )


def _told(key: "ApiKey") -> Mapping[str, str]:
    return {"id": key.id, "name": key.name, "role": str(key.role), "by": _who()}


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise NotPermitted("this system does not know who you are", remedy="export LOGNAME=NAME") from error


def _used_json(used: "Used", names: Mapping[str, str]) -> dict[str, object]:
    return {
        "day": used.day,
        "key": names.get(used.key_id, used.key_id or "-"),
        "model": used.model or "-",
        "requests": used.requests,
        "failed": used.failed,
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
    }


def _day(moment: float | None, otherwise: str) -> str:
    return iso(moment)[:16].replace("T", " ") if moment else otherwise
