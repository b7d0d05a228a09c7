"""The card of what a run made, gathered from the manifests of its stages. Knows what the stages leave, not how they work."""

import hashlib
import time
from collections import Counter
from pathlib import Path

import msgspec

from fireside.core.errors import Invalid
from fireside.evals.report import read as read_results
from fireside.evals.suite import Result
from fireside.models.modelcard import Figure, ModelStory, scalars
from fireside.training import rows
from fireside.training.publish.settings import PublishSettings
from fireside.training.stages import Desk, Manifest, manifest_of

RESULTS = "results.json"
BEFORE = ("collect", "prepare", "pretrain", "tune", "export", "quantize", "eval")


def gathered(desk: Desk, settings: PublishSettings, *, parent: str, base: str) -> ModelStory:
    """Everything the run knows of its model; name and digest are the store's to add."""
    done = {stage: found for stage in BEFORE if (found := manifest_of(desk.work, stage)) is not None}
    licences, count, size = _material(desk) if "collect" in done else (Counter[str](), 0, 0)
    notes = list(_notes(licences, done))
    exported = done["export"].settings if "export" in done else {}
    return ModelStory(
        about=settings.about,
        licence=settings.licence or str(exported.get("licence") or ""),
        parent=parent,
        base=base,
        data=_data_digest(done),
        documents=count,
        bytes=size,
        licences=dict(licences),
        figures=tuple(_figures(desk)) if "eval" in done else (),
        facts={stage: scalars(found.facts) for stage, found in done.items() if stage != "eval"},
        recipe={stage: found.settings for stage, found in done.items()},
        seed=desk.seed,
        versions=next((found.versions for found in reversed(done.values())), {}),
        manifests={stage: found.fingerprint for stage, found in done.items()},
        notes=tuple(notes),
        made=time.time(),
    )


def _material(desk: Desk) -> tuple[Counter[str], int, int]:
    """Licence -> files, rows in all, and bytes of their texts, from the shards themselves."""
    licences: Counter[str] = Counter()
    files: set[tuple[str, str]] = set()
    count = size = 0
    for row in rows.read(desk.of("collect") / "shards"):
        count += 1
        size += len(row.text.encode())
        if (row.repo, row.path) not in files:
            files.add((row.repo, row.path))
            licences[row.licence] += 1
    return licences, count, size


def _data_digest(done: dict[str, Manifest]) -> str:
    """Of the shards, or of what ``prepare`` read where nothing was collected in this run."""
    found = done.get("collect")
    shards = {name: digest for name, digest in found.files.items() if name.startswith("shards/")} if found else {}
    told = shards or ({"prepare": done["prepare"].fingerprint} if "prepare" in done else {})
    return hashlib.sha256(msgspec.json.encode(sorted(told.items()))).hexdigest() if told else ""


def _figures(desk: Desk) -> list[Figure]:
    place = desk.of("eval") / RESULTS
    if not place.is_file():
        return []
    return [figure for result in read_results(place) for figure in _of(result)]


def _of(result: Result) -> list[Figure]:
    columns = {"": result.scores, **result.rivals}
    return [
        Figure(
            suite=result.suite,
            name=score.name,
            value=score.value,
            low=score.low,
            high=score.high,
            n=score.n,
            unit=score.unit,
            who=who,
        )
        for who, scores in columns.items()
        for score in scores
    ]


def _notes(licences: Counter[str], done: dict[str, Manifest]) -> list[str]:
    """What a reader must know before using or passing on the model."""
    notes = []
    if licences[""]:
        notes.append(f"{licences['']:,} of its files have no known licence: for your own use, not to be passed on.")
    if "eval" in done and done["eval"].facts.get("passes_the_gate") is False:
        notes.append("It does not beat completion by copying (see the figures).")
    if "eval" not in done:
        notes.append("It was not measured.")
    for stage in ("export", "quantize"):
        told = str(done[stage].facts.get("gates", "")) if stage in done else ""
        if told and told != "passed":
            notes.append(f"{stage}: {told}.")
    return notes


def need(path: Path) -> Path:
    """Raises ``Invalid`` when a stage's file is not there."""
    if not path.is_file():
        raise Invalid(f"{path} is not there", remedy=f"run the stage {path.parent.name} again")
    return path
