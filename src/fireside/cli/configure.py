"""``fireside config``: show, change and check settings, and keep secrets in the keyring.

Draws and asks; what a setting means and whether it fits is decided in ``fireside.config``. Errors go up to ``cli.main``, which draws them.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from fireside.cli.door import here
from fireside.cli.editing import echo_further_problems, edit_settings, first_problem
from fireside.config.layers import Config, NotLoaded
from fireside.config.notation import join_key, show_value, split_key
from fireside.config.paths import PROJECT_FILE
from fireside.config.secrets import Secret, Secrets, mask
from fireside.config.sources import Origin, read_text
from fireside.config.stack import FileName
from fireside.core.errors import Invalid

AnyConfig = Config[Any]
Item = tuple[str, object, Origin]
project_option = click.option("--project", is_flag=True, help="This project's .fireside.toml instead of your own file.")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the commands get what they work on. ``known``: the secrets' names and the variables people already use for them."""

    load: Callable[[], AnyConfig]
    known: Callable[[], Mapping[str, str]]

    def tolerant(self) -> AnyConfig:
        """The settings even where they do not fit, for the commands that can put that right."""
        try:
            return self.load()
        except NotLoaded as error:
            return error.config

    def secrets(self) -> Secrets:
        return Secrets(os.environ, self.known())


def make_config_group(load: Callable[[], AnyConfig], known: Callable[[], Mapping[str, str]]) -> click.Group:
    """The group ``config`` over the settings that ``load`` gives."""
    source = Source(load, known)

    def enter() -> None:
        click.get_current_context().obj = source

    commands = (show, get, set_, unset, edit, validate, path, secret)
    return click.Group(
        "config",
        commands={str(command.name): command for command in commands},
        callback=enter,
        help="Show and change settings; keep secrets.",
    )


@click.command()
@click.argument("key", required=False)
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def show(source: Source, key: str | None, origin: bool, as_json: bool) -> None:
    """Print the settings in force: all, or a table's."""
    config = source.load()
    items = _items(config, key) if key else config.items()
    click.echo(_as_json(items, origin) if as_json else "\n".join(_as_lines(items, origin)))


@click.command()
@click.argument("key")
@click.pass_obj
def get(source: Source, key: str) -> None:
    """Print one setting as it is, for scripts."""
    items = _items(source.load(), key)
    _, value, _ = items[0]
    if len(items) > 1 or value == {}:
        click.echo("\n".join(_as_lines(items, origin=False)))
    else:
        click.echo("" if value is None else value if isinstance(value, str) else show_value(value))


# A value may begin with a minus.
@click.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("key")
@click.argument("value")
@project_option
@click.pass_obj
def set_(source: Source, key: str, value: str, project: bool) -> None:
    """Set KEY to VALUE: plain text, or TOML such as 5, true, ["a", "b"]."""
    config, layer = source.tolerant(), _layer(project)
    config.set(key, config.parse(key, value), layer=layer)
    click.echo(f"{key} is set in {config.file(layer)}")
    origin = config.origin(key)
    if origin.layer != layer:
        click.echo(f"but {origin} goes before it", err=True)


@click.command()
@click.argument("key")
@project_option
@click.pass_obj
def unset(source: Source, key: str, project: bool) -> None:
    """Take KEY out, so that what lies below counts again."""
    config, layer = source.tolerant(), _layer(project)
    config.unset(key, layer=layer)
    click.echo(f"{key} is taken out of {config.file(layer)}")


@click.command()
@project_option
@click.pass_obj
def edit(source: Source, project: bool) -> None:
    """Open the settings in $VISUAL or $EDITOR; they count once they fit."""
    edit_settings(source.tolerant(), _layer(project))


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.pass_obj
def validate(source: Source, file: Path | None) -> None:
    """Check the settings in force, or FILE as if it were yours."""
    try:
        click.echo(f"valid: {_checked(source, file)}")
    except Invalid as error:
        echo_further_problems(error)
        raise Invalid(first_problem(error), remedy=error.remedy) from error


@click.command()
@project_option
@click.pass_obj
def path(source: Source, project: bool) -> None:
    """Print the settings file's path, whether it exists or not."""
    click.echo(source.tolerant().file(_layer(project)))


@click.group()
def secret() -> None:
    """API keys and tokens, kept in this system's keyring."""


@secret.command("set")
@click.argument("name")
@click.pass_obj
def set_secret(source: Source, name: str) -> None:
    """Ask for the secret NAME (or read it from a pipe) and keep it."""
    secrets = source.secrets()
    variables = secrets.variables(name)
    secrets.set(name, _ask_for(name))
    click.echo(f"{name} is in the keyring")
    used = secrets.origin(name)
    if used in variables:
        click.echo(f"but the variable {used} is set and goes before it", err=True)


@secret.command("delete")
@click.argument("name")
@click.pass_obj
def delete_secret(source: Source, name: str) -> None:
    """Take the secret NAME out of the keyring."""
    source.secrets().delete(name)
    click.echo(f"{name} is no longer in the keyring")


@secret.command("list")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.pass_obj
def list_secrets(source: Source, names: tuple[str, ...]) -> None:
    """Say which secrets there are and where they come from; NAME adds one to look for."""
    secrets = source.secrets()
    rows = [(name, secrets.find(name), secrets.variables(name)) for name in sorted({*secrets.names(), *names})]
    for line in _aligned([(name, _secret_state(found, variables)) for name, found, variables in rows], "  "):
        click.echo(line)
    if secrets.trouble:
        click.echo(secrets.trouble, err=True)


def _layer(project: bool) -> FileName:
    return "project" if project else "user"


def _as_lines(items: Iterable[Item], origin: bool) -> list[str]:
    """TOML, so that it can be kept as a file. Columns are aligned where the widest line fits the terminal, or goes into a pipe."""
    rows = [_row(item) for item in items]
    if not origin:
        return _aligned([(key, value) for key, value, _ in rows], " = ")
    pairs = _aligned([(key, value) for key, value, _ in rows], " = ")
    lines = _aligned([(pair, source) for pair, (_, _, source) in zip(pairs, rows, strict=True)], "  # ")
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    if columns and max(map(len, lines), default=0) > columns:
        return [f"{key} = {value}\n  # {source}" for key, value, source in rows]
    return lines


def _row(item: Item) -> tuple[str, str, str]:
    key, value, source = item
    # TOML has no null; the line stays a comment.
    return (f"# {key}" if value is None else key), show_value(value), str(source)


def _aligned(pairs: list[tuple[str, str]], between: str) -> list[str]:
    width = max((len(left) for left, _ in pairs if len(left) <= 60), default=0)
    return [f"{left:<{width}}{between}{right}" for left, right in pairs]


def _as_json(items: Iterable[Item], origin: bool) -> str:
    if not origin:
        return msgspec.json.encode({key: value for key, value, _ in items}).decode()
    described = {
        key: {
            "value": value,
            "layer": source.layer,
            "file": str(source.file) if source.file else None,
            "line": source.line,
            "variable": source.variable or None,
        }
        for key, value, source in items
    }
    return msgspec.json.encode(described).decode()


def _items(config: AnyConfig, key: str) -> list[Item]:
    """The setting with this key, or all of a table's. Raises ``Invalid`` where there is none."""
    config.get(key)
    name = join_key(split_key(key))
    return [item for item in config.items() if item[0] == name or item[0].startswith(f"{name}.")]


def _checked(source: Source, file: Path | None) -> str:
    if file is None:
        return f"{len(source.load().items())} settings"
    if not file.exists():
        raise Invalid(f"{file} does not exist", remedy="fireside config path")
    source.tolerant().check(read_text(file), layer=_layer(file.name == PROJECT_FILE), file=file)
    return str(file)


def _secret_state(found: Secret | None, variables: list[str]) -> str:
    return f"{mask(found.reveal())} from {found.origin}" if found else f"not set ({', '.join(variables)})"


def _ask_for(name: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(f"{name} (not shown)", hide_input=True, err=True))
    return sys.stdin.read()


def _default_load() -> AnyConfig:
    from fireside.app.settings import load_config
    from fireside.workspace.workspace import find_root

    return load_config(here().root or find_root(), os.environ, here().flags)


def _default_known() -> Mapping[str, str]:
    from fireside.app.settings import known_secrets

    return known_secrets()


config_command = make_config_group(_default_load, _default_known)
