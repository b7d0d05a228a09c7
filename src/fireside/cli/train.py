"""``fireside train``: your own model, a stage at a time or all at once. Draws plans, progress and results; the stages do the work."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fireside.cli.code import print_json
from fireside.cli.door import here
from fireside.core.errors import FiresideError, Invalid

if TYPE_CHECKING:
    from fireside.training.pipeline import Done, Pipeline
    from fireside.training.recipe import Recipe
    from fireside.training.stages import Hardware, Manifest, Plan

Command = TypeVar("Command", bound=Callable[..., Any])
STAGES: Mapping[str, str] = {
    "collect": "Read repositories and packages, secrets taken out.",
    "prepare": "Make a tokenizer and packed tokens, with fill-in-the-middle.",
    "pretrain": "Train a small model from scratch.",
    "tune": "Train an adapter (LoRA, QLoRA) on a model that is there.",
    "export": "Write it as GGUF, and prove that it answers the same.",
    "quantize": "Make it smaller, and measure what that costs.",
    "eval": "Measure it on files it never saw, beside plain copying.",
    "publish": "Put it into the store, with its card and its share.",
}
EXTRA = "training needs more packages than the rest of Fireside"


def _options(command: Command) -> Command:
    for option in reversed(
        (
            click.option(
                "--work", type=click.Path(path_type=Path), help="The run's folder (else: by the recipe's name)."
            ),
            click.option(
                "--set",
                "settings",
                metavar="KEY=VALUE",
                multiple=True,
                help="A setting of the recipe, for this run: tune.rank=8.",
            ),
            click.option("--dry-run", is_flag=True, help="Say what would be read and what it needs; do nothing."),
            click.option("--smoke", is_flag=True, help="The smallest run of it all, in a minute, offline."),
            click.option("--json", "as_json", is_flag=True, help="Plans or manifests as JSON."),
        )
    ):
        command = option(command)
    return command


ORDER = ("run", "adapt", *STAGES, "recipes", "show", "import")


class Ordered(click.Group):
    """Lists the commands in the order in which a run takes them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in ORDER if name in self.commands]


@click.group("train", cls=Ordered)
def train_command() -> None:
    """Make a model of your own: collect, train, measure, quantize, publish.

    `fireside train adapt` makes an adapter for one repository. `fireside train run RECIPE` does all that a recipe says, and goes on where
    it was when it is run again.
    """


def _stage_command(name: str, about: str) -> None:
    @train_command.command(name, help=f"{about}\n\nReads the settings of RECIPE's [{name}] table, else the usual ones.")
    @click.option("--recipe", metavar="RECIPE", help="A recipe's file, or one of Fireside's own by name.")
    @_options
    def command(recipe: str | None, **options: Any) -> int:
        return _stage(name, recipe, {}, **options)


@train_command.command(
    "collect", help=STAGES["collect"] + "\n\nEach PATH is a git repository or a folder; nothing else is read."
)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option("--recipe", metavar="RECIPE", help="A recipe's file, or one of Fireside's own by name.")
@_options
def collect_command(paths: tuple[Path, ...], recipe: str | None, **options: Any) -> int:
    named = {"collect.repositories": [str(path.absolute()) for path in paths]} if paths else {}
    return _stage("collect", recipe, named, **options)


for _name, _about in STAGES.items():
    if _name != "collect":
        _stage_command(_name, _about)


@train_command.command("run")
@click.argument("recipe", required=False)
@_options
def run_recipe(recipe: str | None, smoke: bool, **options: Any) -> int:
    """Do all that RECIPE says; what is done is not done again."""
    if recipe is None and not smoke:
        raise Invalid("name a recipe", remedy="fireside train recipes lists Fireside's own")
    return _go(_recipe(recipe or "smoke", (), {}), None, smoke=smoke, **options)


@train_command.command("adapt")
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option(
    "--base", metavar="MODEL", help="The model to adapt: a name of the store, a GGUF, or a checkpoint's folder."
)
@click.option("--name", help="What the adapted model is to be called (else: after the repository).")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.05),
    help="How long to train (else: as long as it helps, ten minutes at most).",
)
@_options
def adapt_command(path: Path, base: str | None, name: str | None, minutes: float | None, **options: Any) -> int:
    """Fit the completion model to one repository.

    An adapter (LoRA) is learnt from the files at PATH, on this machine, and used for completions in PATH from then on. The repository is
    only read; the run ends with the command that takes it back.
    """
    from fireside.app.training import adaptation

    recipe = adaptation(
        path,
        base=base,
        name=name,
        minutes=minutes,
        environ=os.environ,
        flags=here().flags,
    )
    return _go(recipe, None, **options)


@train_command.command("recipes")
def recipes_command() -> None:
    """List Fireside's own recipes."""
    from fireside.training.recipe import built_in, read

    for name in built_in():
        click.echo(f"{name:<20} {read(name).about}")


@train_command.command("show")
@click.argument("work", metavar="WORK", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The manifests as JSON.")
def show_command(work: Path, as_json: bool) -> None:
    """Show what a run has done so far.

    WORK is its folder, or its recipe's name.
    """
    import msgspec

    from fireside.app.training import work_folder
    from fireside.training.recipe import STAGES as EVERY
    from fireside.training.stages import manifest_of

    folder = work if work.is_dir() else work_folder(str(work), os.environ)
    found = [manifest for name in EVERY if (manifest := manifest_of(folder, name)) is not None]
    if not found:
        raise Invalid(f"{folder} holds no run", remedy="name the folder given as --work, or a recipe that has run")
    if as_json:
        print_json({"stages": [msgspec.to_builtins(one) for one in found]})
        return
    for manifest in found:
        _print_manifest(manifest, fresh=True)


@train_command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Exit with 1 when a key is not supported.")
@click.pass_context
def import_command(ctx: click.Context, file: Path, strict: bool) -> None:
    """Turn an Axolotl YAML file into a recipe.

    The recipe goes to standard output; every key it cannot hold is listed.
    """
    from fireside.training.tune.axolotl import imported

    found = imported(file)
    click.echo(found.recipe, nl=False)
    for line in found.unsupported:
        click.echo(f"not supported: {line}", err=True)
    if strict and found.unsupported:
        ctx.exit(1)


def _stage(name: str, recipe: str | None, named: Mapping[str, Any], *, smoke: bool, **options: Any) -> int:
    """One stage. A smoke run also does the stages before it, where they are not done."""
    chosen = _recipe(recipe or ("smoke" if smoke else ""), (name,), named)
    if not smoke:
        return _go(chosen, (name,), smoke=smoke, **options)
    from fireside.training.recipe import STAGES as EVERY

    return _go(chosen, EVERY[: EVERY.index(name) + 1], smoke=smoke, **options)


def _recipe(name: str, stages: Sequence[str], named: Mapping[str, Any]) -> "Recipe":
    """The recipe of that name, or one of the usual settings; with a table for each of ``stages`` and the values ``named``."""
    from msgspec import to_builtins

    from fireside.training.recipe import made, read

    table = {key: value for key, value in to_builtins(read(name)).items() if value is not None} if name else {}
    for stage in stages:
        table.setdefault(stage, {})
    for key, value in named.items():
        stage, _, field = key.partition(".")
        table[stage][field] = value
    return made(table, name or "the command line")


def _go(
    recipe: "Recipe",
    only: Sequence[str] | None,
    *,
    work: Path | None,
    settings: tuple[str, ...],
    dry_run: bool,
    smoke: bool,
    as_json: bool,
) -> int:
    from fireside.app.training import build_pipeline
    from fireside.training.hardware import look
    from fireside.training.recipe import changed

    recipe = changed(recipe, _pairs(settings)) if settings else recipe
    pipeline = build_pipeline(
        recipe, only=only, work=work, smoke=smoke, environ=os.environ, flags=here().flags, root=here().root
    )
    hardware = look(pipeline.work)
    try:
        if dry_run:
            return _print_plans(pipeline, pipeline.plans(hardware), hardware, as_json=as_json)
        pipeline.check(hardware)
        done = _run(pipeline, as_json=as_json)
    except ModuleNotFoundError as error:
        raise Invalid(f"{EXTRA}: {error.name} is not installed", remedy="pip install 'fireside[train]'") from error
    if as_json:
        import msgspec

        print_json({"stages": [msgspec.to_builtins(one.manifest) | {"fresh": one.fresh} for one in done]})
    return 0


def _pairs(settings: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or "." not in key:
            raise click.UsageError(f"--set takes STAGE.KEY=VALUE, not {setting!r}")
        pairs[key.strip()] = value.strip()
    return pairs


def _run(pipeline: "Pipeline", *, as_json: bool) -> "list[Done]":
    from fireside.cli.training_progress import stage_progress

    done = []
    with stage_progress() as report:
        for one in pipeline.run(report):
            done.append(one)
            if not as_json:
                _print_manifest(one.manifest, fresh=one.fresh)
    if not as_json:
        click.echo(f"all in {pipeline.work}")
    return done


def _print_plans(pipeline: "Pipeline", plans: "Sequence[Plan]", hardware: "Hardware", *, as_json: bool) -> int:
    """The plan of every stage; 1 when one of them cannot be done here."""
    from fireside.models.disk import in_words

    refusals = [(plan.stage, refusal) for plan in plans for refusal in plan.refusals]
    if as_json:
        print_json({"plans": [_told(plan) for plan in plans]})
        return 1 if refusals else 0
    gpus = ", ".join(in_words(size) for size in hardware.gpus) or "none"
    click.echo(
        f"here: {hardware.cores} cores, {in_words(hardware.memory)} of memory free, {in_words(hardware.disk)} of disk, GPUs: {gpus}"
    )
    for plan in plans:
        needs = [f"about {_duration(plan.seconds)}"] if plan.seconds else []
        needs += [f"{in_words(plan.memory)} of memory"] if plan.memory else []
        needs += [f"{in_words(plan.disk)} of disk"] if plan.disk else []
        click.echo(f"{click.style(plan.stage, bold=True)}: {', '.join(needs) or 'next to nothing'}")
        for note in plan.notes:
            click.echo(f"  {note}")
    for stage, refusal in refusals:
        click.echo(f"{stage} cannot be done here: {refusal.message}", err=True)
        if refusal.remedy:
            click.echo(f"  {refusal.remedy}", err=True)
    if not refusals:
        click.echo(f"nothing was done; it would work in {pipeline.work}")
    return 1 if refusals else 0


def _told(plan: "Plan") -> dict[str, object]:
    def told(refusal: FiresideError) -> dict[str, object]:
        return {"message": refusal.message, "remedy": refusal.remedy}

    return {
        "stage": plan.stage,
        "seconds": plan.seconds,
        "memory": plan.memory,
        "disk": plan.disk,
        "notes": list(plan.notes),
        "refusals": [told(one) for one in plan.refusals],
    }


def _print_manifest(manifest: "Manifest", *, fresh: bool) -> None:
    """A stage: its name and how long it took, and what came of it."""
    from fireside.cli.training_progress import in_figures

    when = _duration(manifest.seconds) if fresh else "done before"
    first, *rest = in_figures(manifest.stage, manifest.facts)
    click.echo(f"{click.style(manifest.stage, bold=True)} ({when})  {first}".rstrip())
    for line in rest:
        click.echo(f"  {line}")


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
