"""Runs of training, put together: a recipe's stages with the store, the settings and the engines they need.

The only place where the training meets the rest of the house. What a stage does is its own matter.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fireside.app.evaluation import Wanted, measure_suites, opened
from fireside.app.inference import build_egress
from fireside.app.settings import Settings, load_config
from fireside.config.layers import Config
from fireside.config.notation import join_key
from fireside.config.paths import Paths
from fireside.core.errors import ModelNotFound
from fireside.core.values import replace
from fireside.evals.compare import compare
from fireside.evals.fim_line import FimLine, ships
from fireside.evals.registry import check
from fireside.evals.report import write
from fireside.evals.suite import CaseSettings, Result, Score
from fireside.evals.suite import Step as Progress
from fireside.gateway.experiments import Changes
from fireside.models import gguf
from fireside.models.store import ModelStore
from fireside.training.judge import Eval
from fireside.training.pipeline import Pipeline
from fireside.training.recipe import STAGES, Recipe, made
from fireside.training.stages import Facts, Report, Stage, Step

HEADLINES = 4


@dataclass(frozen=True, slots=True)
class House:
    """What of the house a run may use. ``store`` and ``config`` of a smoke run are not the user's."""

    config: Config[Settings]
    paths: Paths
    store: ModelStore
    environ: Mapping[str, str]
    root: Path | None

    def configure(self, changes: Changes) -> None:
        """Write them into the user's own file; a running server takes them over from there."""
        for path, value in changes.items():
            if value is None:
                self.config.unset(join_key(path), layer="user")
            else:
                self.config.set(join_key(path), value, layer="user")


def build_pipeline(
    recipe: Recipe,
    *,
    only: Sequence[str] | None = None,
    work: Path | None = None,
    smoke: bool = False,
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    root: Path | None = None,
) -> Pipeline:
    """The stages of a recipe that have a table, or those of them in ``only``. Reads settings; starts nothing."""
    paths = Paths.from_environment(environ)
    folder = (
        work or (Path(recipe.work).expanduser() if recipe.work else work_folder(recipe.name, environ, smoke=smoke))
    ).absolute()
    own = dict(environ) | {"FIRESIDE_HOME": str(folder / "home")} if smoke else environ
    house = House(
        load_config(root, own, flags),
        Paths.from_environment(own),
        ModelStore(_models(paths, folder, smoke=smoke)),
        own,
        root,
    )
    wanted = [name for name in STAGES if name in recipe.stages and (only is None or name in only)]
    stages = [BUILDERS[name](recipe, house) for name in wanted]
    return Pipeline(stages, folder, seed=recipe.seed, smoke=smoke)


def adaptation(
    root: Path,
    *,
    base: str | None,
    name: str | None,
    minutes: float | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object],
) -> Recipe:
    """The recipe of ``fireside train adapt``: fit a completion model to the repository in ``root``, for completions in that folder.

    ``base``: a model of the store, a GGUF, or a checkpoint's folder; else what completes code now. Raises ``ModelNotFound`` without one.
    """
    from fireside.training.adapt import CONTEXT
    from fireside.training.adapt import adaptation as tables_for
    from fireside.training.tune.bases import look

    place = root.expanduser().resolve()
    found = look(_base(base, environ, flags))
    context = min(CONTEXT, found.context) if found.context else CONTEXT
    tables = tables_for(place, found.path, minutes=minutes or 0.0, parameters=found.parameters, context=context)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name or place.name).strip("-._") or "mine"
    publish = {"name": plain, "share": 0.0, "repository": str(place)}
    return made({"name": f"adapt-{plain}"[:64], **tables, "publish": publish}, "fireside train adapt")


def _base(named: str | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> Path:
    """The file or folder of the model to adapt."""
    if named is not None and Path(named).expanduser().exists():
        return Path(named).expanduser()
    store = ModelStore(Paths.from_environment(environ).data / "models")
    if named is not None:
        return store.find(named).path
    chosen = load_config(None, environ, flags).settings.models.get("complete", "").partition("@")[0]
    for stored in sorted(store.list(), key=lambda one: (one.name != chosen, one.size)):
        if stored.present and gguf.card(stored.path, engine="").can("fim"):
            return stored.path
    raise ModelNotFound(
        "there is no model here that fills in code, so there is nothing to adapt",
        remedy="take one in: fireside models add MODEL.gguf; or name one: fireside train adapt --base GGUF_OR_FOLDER",
    )


def work_folder(name: str, environ: Mapping[str, str], *, smoke: bool = False) -> Path:
    """Where the run of a recipe works when nobody says where."""
    paths = Paths.from_environment(environ)
    return paths.cache / "training-smoke" / name if smoke else paths.data / "training" / name


class _Judge:
    """The stage ``eval``'s way to the suites: the model file runs in the embedded engine, as it would when it is shipped."""

    def __init__(self, house: House) -> None:
        self._house = house

    def __call__(
        self,
        model: Path,
        adapter: Path | None,
        *,
        suites: tuple[str, ...],
        sources: tuple[Path, ...],
        cases: int,
        seed: int,
        against: str,
        folder: Path,
        report: Report,
    ) -> Facts:
        settings = CaseSettings(sources=tuple(str(source) for source in sources), cases=cases, seed=seed)

        def tell(step: Progress) -> None:
            report(Step("eval", step.done, step.total, "cases", step.suite))

        async def measured(wanted: Wanted) -> list[Result]:
            async with opened(wanted, root=self._house.root, environ=self._house.environ) as bench:
                return await measure_suites(bench, suites, settings, parallel=1, report=tell)

        results = _whole(asyncio.run(measured(Wanted(file=model, adapter=adapter))))
        write(results, folder)
        facts: Facts = {}
        for result in results:
            everybody = {result.subject: result.scores, **result.rivals}
            facts |= {f"{result.suite} {name}": _brief(scores) for name, scores in everybody.items()}
            if result.suite == FimLine.name:
                facts["passes_the_gate"] = ships(result).ships
        if against:
            others = _whole(asyncio.run(measured(Wanted(model=against))))
            write(others, folder / "against")
            told = [msgspec.to_builtins(compare(other, result)) for other, result in zip(others, results, strict=True)]
            facts["against"] = {"model": against, "comparisons": told}
        return facts


def _whole(results: list[Result]) -> list[Result]:
    """The results; raises ``KeyboardInterrupt`` when they are of a part of the cases, for nothing may be published on those."""
    if any(result.stopped for result in results):
        raise KeyboardInterrupt
    return results


def _brief(scores: Sequence[Score]) -> str:
    """The first scores of a suite, which say most; all of them, with their intervals, are in results.json."""
    return ", ".join(f"{score.name} {score.value:.1f}{score.unit}" for score in scores[:HEADLINES])


def _models(paths: Paths, folder: Path, *, smoke: bool) -> Path:
    return folder / "home" / "data" / "models" if smoke else paths.data / "models"


def _collect(recipe: Recipe, house: House) -> Stage:
    from fireside.app.cluster import reached
    from fireside.training.collect.stage import Collect

    assert recipe.collect is not None
    egress = build_egress(house.config.settings, house.paths)
    return Collect(recipe.collect, permit=lambda place: asyncio.run(reached(place, egress)))


def _prepare(recipe: Recipe, house: House) -> Stage:
    from fireside.training.prepare.stage import Prepare

    assert recipe.prepare is not None
    return Prepare(recipe.prepare)


def _pretrain(recipe: Recipe, house: House) -> Stage:
    from fireside.training.pretrain.stage import Pretrain

    assert recipe.pretrain is not None
    return Pretrain(recipe.pretrain)


def _tune(recipe: Recipe, house: House) -> Stage:
    from fireside.training.tune.stage import Tune

    assert recipe.tune is not None
    return Tune(recipe.tune)


def _export(recipe: Recipe, house: House) -> Stage:
    from fireside.training.export.stage import Export

    assert recipe.export is not None
    return Export(replace(recipe.export, name=recipe.export.name or recipe.name))


def _quantize(recipe: Recipe, house: House) -> Stage:
    from fireside.training.export.quantizing import Quantize

    assert recipe.quantize is not None
    return Quantize(recipe.quantize)


def _eval(recipe: Recipe, house: House) -> Stage:
    assert recipe.eval is not None
    check(recipe.eval.suites)  # before a night of training, not after it
    return Eval(recipe.eval, _Judge(house))


def _publish(recipe: Recipe, house: House) -> Stage:
    from fireside.training.publish.stage import Publish

    assert recipe.publish is not None
    wanted = replace(recipe.publish, name=recipe.publish.name or recipe.name)
    return Publish(wanted, store=house.store, settings=house.config.settings, configure=house.configure)


BUILDERS: Mapping[str, Callable[[Recipe, House], Stage]] = {
    "collect": _collect,
    "prepare": _prepare,
    "pretrain": _pretrain,
    "tune": _tune,
    "export": _export,
    "quantize": _quantize,
    "eval": _eval,
    "publish": _publish,
}
