"""``fireside models compare | promote | rollback | card | quantize``: which of two models is better, and what is done about it.

Draws and asks; measuring is ``app.evaluation``'s, decisions are ``gateway.experiments``', files are the store's.
"""

import os
import re
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from fireside.cli.door import here, opened, run
from fireside.cli.experiments import apply, load
from fireside.core.errors import ConnectionFailed, Invalid, ModelNotFound, TimedOut

if TYPE_CHECKING:
    from fireside.evals.compare import Comparison
    from fireside.evals.suite import CaseSettings, Result
    from fireside.evals.suite import Step as Progress
    from fireside.models.card import Capability, ModelCard
    from fireside.models.store import ModelStore

ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
KINDS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")


class Cards(Protocol):
    """The part of the gateway a choice is checked with."""

    async def card_for(self, model: str, *, needs: "Collection[Capability]" = ()) -> "ModelCard | None": ...


@click.command("compare")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--suite", "suites", multiple=True, help="What to measure them with (else: fim-line). See fireside eval list."
)
@click.option("--from", "sources", multiple=True, metavar="DIR", help="Folders to cut cases from (else: this project).")
@click.option("--cases", type=click.IntRange(1, 100_000), default=300, show_default=True, help="Of each suite.")
@click.option("--seed", type=int, default=7, show_default=True, help="Which cases are drawn.")
@click.option("--json", "as_json", is_flag=True, help="The comparison as JSON.")
def compare_command(
    first: str, second: str, suites: tuple[str, ...], sources: tuple[str, ...], cases: int, seed: int, as_json: bool
) -> int:
    """Say whether model B is better than model A.

    Both are measured on the same cases; the difference is told with its 95 % interval.
    """
    import msgspec

    from fireside.cli.evals import draw_comparison
    from fireside.evals.registry import check
    from fireside.evals.suite import CaseSettings

    chosen = suites or ("fim-line",)
    check(chosen)
    settings = CaseSettings(sources=sources or (str(_project()),), cases=cases, seed=seed)
    found = compared(first, second, chosen, settings)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        for comparison in found:
            draw_comparison(comparison)
        click.echo(f"\nto decide for {second}: fireside models promote {second}")
    return 0


@click.command("promote")
@click.argument("name")
@click.option("--alias", default="complete", show_default=True, help="What it is to answer to.")
def promote_command(name: str, alias: str) -> None:
    """Let an alias (complete) mean NAME.

    An experiment that shares the alias is decided for it; rollback takes it back.
    """
    from fireside.gateway.experiments import adopt

    async def check() -> str:
        async with opened() as fireside:
            return await check_choice(fireside.gateway, alias, name)

    note = run(check())
    config = load()
    gateway = config.settings.gateway
    if config.settings.models.get(alias) == name and not any(
        one.alias == alias for one in gateway.experiments.values()
    ):
        click.echo(f"{alias} is {name} already")
        return
    apply(config, adopt(gateway.experiments, gateway.promoted, alias=alias, model=name, aliases=config.settings.models))
    click.echo(f"{alias} is now {load().settings.models[alias]} (in {config.file('user')})")
    click.echo(f"to take it back: fireside models rollback {alias}")
    if note:
        click.echo(note, err=True)


@click.command("rollback")
@click.argument("alias", default="complete")
@click.option(
    "--steps", type=click.IntRange(1, 100), default=1, show_default=True, help="How many decisions to take back."
)
def rollback_command(alias: str, steps: int) -> None:
    """Let ALIAS mean what it meant before.

    ALIAS is complete unless another is named. An experiment that shares it ends undecided.
    """
    from fireside.gateway.experiments import back

    for step in range(steps):
        config = load()
        gateway = config.settings.gateway
        try:
            changes = back(gateway.experiments, gateway.promoted, alias)
        except Invalid:
            if step == 0:
                raise
            click.echo(f"there was nothing before that ({step} of {steps} taken back)", err=True)
            break
        apply(config, changes)
    model = load().settings.models.get(alias, "")
    click.echo(f"{alias} is {model or 'the best model there is'} again")
    if model:
        _warn_unless_there(alias, model)


@click.command("card")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def card_command(name: str, as_json: bool) -> None:
    """Show a model's card: where it comes from.

    What it learnt from and what it is worth, for a model of the store, in Markdown.
    """
    import msgspec

    from fireside.models.modelcard import as_markdown

    story = _store().story(name)
    if story is None:
        raise Invalid(f"{name} has no card: nobody told where it comes from", remedy=f"fireside models show {name}")
    click.echo(msgspec.json.format(msgspec.json.encode(story)).decode() if as_json else as_markdown(story).rstrip())


@click.command("quantize")
@click.argument("source", metavar="NAME|FILE")
@click.option("--to", "kind", type=click.Choice(KINDS, case_sensitive=False), required=True, help="How small.")
@click.option("--out", type=click.Path(path_type=Path), help="The file to write, instead of a model of the store.")
def quantize_command(source: str, kind: str, out: Path | None) -> None:
    """Make a model smaller: weights in fewer bits.

    A NAME of the store becomes NAME-Q4_K_M there; a FILE becomes one beside it. The original stays.
    """
    from fireside.models.disk import in_words

    place = Path(source).expanduser()
    if not place.is_file():
        stored = _store().find(source)
        if stored.adapter is not None:
            raise Invalid(f"{stored.name} is an adapter: it is small as it is", remedy="quantize its base")
        place = stored.path
        if out is None:
            made = _quantized_in_store(place, f"{stored.name}-{kind}", kind)
            click.echo(f"{made} is ready; to use it: fireside models use complete {made}")
            return
    target = out or place.with_name(f"{place.stem}-{kind}.gguf")
    if target.exists():
        raise Invalid(f"{target} is there already", remedy="name another file: --out FILE")
    size = _quantized(place, target, kind)
    click.echo(f"{target} ({in_words(size)}, it was {in_words(place.stat().st_size)})")


COMMANDS = (compare_command, promote_command, rollback_command, card_command, quantize_command)


# What the commands do, without drawing


async def check_choice(gateway: Cards, alias: str, model: str) -> str:
    """Refuse an alias that cannot be one, and a model that is not there or cannot do what the alias is for.

    Returns a line to tell when it could not be checked, because the engine does not answer now.
    """
    if not ALIAS.fullmatch(alias):
        raise Invalid(f"{alias!r} cannot be an alias", remedy="use letters, digits, - and _, beginning with a letter")
    roles: Mapping[str, frozenset[Capability]] = {
        "chat": frozenset(("chat",)),
        "complete": frozenset(("fim",)),
        "embed": frozenset(("embed",)),
    }
    try:
        card = await gateway.card_for(model, needs=roles.get(alias, frozenset()))
    except (ConnectionFailed, TimedOut) as error:
        return f"not checked: {error.message}"
    if card is None:
        raise ModelNotFound(f"there is no model {model}", remedy="fireside models list")
    return ""


def compared(first: str, second: str, suites: tuple[str, ...], settings: "CaseSettings") -> "list[Comparison]":
    """Both models on the same cases, one after the other. Raises ``ModelNotFound``, before anything is measured, for one not there."""
    from fireside.app.evaluation import Wanted, measure_suites
    from fireside.app.evaluation import opened as bench_opened
    from fireside.cli.training_progress import stage_progress
    from fireside.evals.compare import compare
    from fireside.training.stages import Step

    async def looked_up(model: str) -> None:
        async with bench_opened(Wanted(model=model), root=here().root, flags=here().flags) as bench:
            for name in suites:
                await bench.subject(name)

    async def measured(model: str, tell: "Callable[[Progress], None]") -> "list[Result]":
        async with bench_opened(Wanted(model=model), root=here().root, flags=here().flags) as bench:
            return await measure_suites(bench, suites, settings, parallel=1, report=tell)

    for model in (first, second):
        run(looked_up(model))
    found = []
    with stage_progress() as show:
        for model in (first, second):

            def tell(step: "Progress", model: str = model) -> None:
                show(Step(model, step.done, step.total, "cases", step.suite))

            found.append(run(measured(model, tell)))
            if any(result.stopped for result in found[-1]):
                raise KeyboardInterrupt
    return [compare(one, other) for one, other in zip(*found, strict=True)]


def _warn_unless_there(alias: str, model: str) -> None:
    """Say when what an alias means again is not there any more."""

    async def check() -> str:
        async with opened() as fireside:
            return await check_choice(fireside.gateway, alias, model)

    try:
        note = run(check())
    except (Invalid, ModelNotFound) as error:
        note = f"{error.message}; choose another: fireside models use {alias} MODEL"
    if note:
        click.echo(note, err=True)


def _store() -> "ModelStore":
    from fireside.config.paths import Paths
    from fireside.models.store import ModelStore

    return ModelStore(Paths.from_environment(os.environ).data / "models")


def _quantized_in_store(source: Path, name: str, kind: str) -> str:
    """Quantize into the store; returns the name it has there."""
    import hashlib

    store = _store()
    with tempfile.TemporaryDirectory(dir=store.root, prefix=".quantizing-") as folder:
        target = Path(folder) / "model.gguf"
        _quantized(source, target, kind)
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return store.adopt(target, name, sha256=digest).name


def _quantized(source: Path, target: Path, kind: str) -> int:
    """Quantize, with a bar; returns the size in bytes. What could not have its type is told."""
    from fireside.cli.training_progress import stage_progress
    from fireside.models.quantize import quantize
    from fireside.training.stages import Step

    with stage_progress() as show:
        made = quantize(
            source, target, kind, progress=lambda done, total: show(Step("quantize", done, total, "tensors", kind))
        )
    for line in made.fallbacks:
        click.echo(line, err=True)
    return made.size


def _project() -> Path:
    from fireside.workspace.workspace import find_root

    return here().root or find_root()
