"""``fireside experiments``: which models share an alias's requests, and the decision for one of them.

Draws and writes settings; which settings a decision changes is decided in ``fireside.gateway.experiments``.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from fireside.cli.code import print_json
from fireside.cli.door import here
from fireside.core.errors import Invalid

if TYPE_CHECKING:
    from fireside.app.settings import Settings
    from fireside.config.layers import Config
    from fireside.gateway.experiments import Changes, Experiment

JSON = click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
NONE = "no experiments; how to begin one: docs/experiments.md"


@click.group("experiments", invoke_without_command=True)
@click.pass_context
def experiments_command(ctx: click.Context) -> None:
    """Share an alias's requests among models, and decide for one of them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@experiments_command.command("list")
@JSON
def list_(as_json: bool) -> None:
    """List the experiments, and those that were decided."""
    gateway = load().settings.gateway
    if as_json:
        running = {name: _told(each) for name, each in gateway.experiments.items()}
        over = {name: {"alias": each.alias, "arm": each.arm} for name, each in gateway.promoted.items()}
        print_json({"experiments": running, "promoted": over})
        return
    for name, experiment in gateway.experiments.items():
        shares = ", ".join(f"{each['arm']} {each['share']:.0%}" for each in _arms(experiment))
        click.echo(f"{name}: {experiment.alias} is {shares}")
    for name, decided in gateway.promoted.items():
        click.echo(f"{name}: decided for {decided.arm}; to take it back: fireside experiments rollback {name}")
    if not gateway.experiments and not gateway.promoted:
        click.echo(NONE)


@experiments_command.command("show")
@click.argument("name")
@JSON
def show(name: str, as_json: bool) -> None:
    """Show the arms of one experiment. What came of them, a running server tells: GET /api/v1/metrics."""
    experiments = load().settings.gateway.experiments
    if name not in experiments:
        raise Invalid(f"there is no experiment {name}", remedy="fireside experiments list")
    experiment = experiments[name]
    if as_json:
        print_json(_told(experiment))
        return
    click.echo(f"alias   {experiment.alias}")
    click.echo(f"sticky  {experiment.sticky}")
    for each in _arms(experiment):
        click.echo(f"{each['arm']}  {each['share']:>4.0%}  {each['model']}")


@experiments_command.command("promote")
@click.argument("name")
@click.argument("arm")
def promote_command(name: str, arm: str) -> None:
    """Decide for an ARM. Its model is what the alias means from now on, and the experiment ends."""
    from fireside.gateway.experiments import promote

    config = load()
    settings = config.settings
    alias = settings.gateway.experiments[name].alias if name in settings.gateway.experiments else ""
    gateway = settings.gateway
    apply(config, promote(gateway.experiments, name, arm, aliases=settings.models, promoted=gateway.promoted))
    click.echo(f"{alias} is now {load().settings.models[alias]} (in {config.file('user')})")


@experiments_command.command("rollback")
@click.argument("name")
def rollback_command(name: str) -> None:
    """Take a decision back. An experiment that still runs ends undecided."""
    from fireside.gateway.experiments import rollback

    config = load()
    gateway = config.settings.gateway
    apply(config, rollback(gateway.experiments, gateway.promoted, name))
    alias = (gateway.promoted.get(name) or gateway.experiments[name]).alias
    click.echo(f"{alias} is {load().settings.models.get(alias) or 'the best model there is'} again")


def load() -> "Config[Settings]":
    """The settings in force here."""
    from fireside.app.settings import load_config

    return load_config(None, os.environ, here().flags)


def apply(config: "Config[Settings]", changes: "Changes") -> None:
    """Write them into the user's own file; a running server takes them over from there."""
    from fireside.config.notation import join_key

    for path, value in changes.items():
        if value is None:
            config.unset(join_key(path), layer="user")
        else:
            config.set(join_key(path), value, layer="user")


def _arms(experiment: "Experiment") -> list[dict[str, object]]:
    from fireside.gateway.experiments import arms_of

    return [{"arm": name, "model": arm.model, "share": share} for name, arm, share in arms_of(experiment)]


def _told(experiment: "Experiment") -> Mapping[str, object]:
    return {"alias": experiment.alias, "sticky": experiment.sticky, "arms": _arms(experiment)}
