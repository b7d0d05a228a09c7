"""Stages one after another: plan them all, then run what is not done. Knows their order; not what they do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fireside.core.errors import Invalid, OutOfResources
from fireside.models.disk import in_words
from fireside.training.stages import Desk, Hardware, Manifest, Plan, Report, Stage, claimed, manifest_of, perform


@dataclass(frozen=True, slots=True)
class Done:
    """``fresh``: whether the stage had to run; False: it was done before, and nothing it depends on has changed."""

    manifest: Manifest
    fresh: bool


class Pipeline:
    """``stages``: in the order in which they run, all in the folder ``work``."""

    def __init__(self, stages: Sequence[Stage], work: Path, *, seed: int = 7, smoke: bool = False) -> None:
        self.stages = tuple(stages)
        self.work = work
        self._seed = seed
        self._smoke = smoke

    def desk(self, stage: Stage, report: Report | None = None) -> Desk:
        return Desk(self.work, stage.name, self._seed, self._smoke, report=report or (lambda step: None))

    def plans(self, hardware: Hardware) -> list[Plan]:
        """What each stage will need. Writes nothing."""
        return [stage.plan(self.desk(stage), hardware) for stage in self.stages]

    def check(self, hardware: Hardware) -> None:
        """Raise what the first stage that cannot be done here has to say, before anything has begun."""
        plans = self.plans(hardware)
        for plan in plans:
            for refusal in plan.refusals:
                raise refusal
        needed = sum(plan.disk for plan in plans)
        if needed > hardware.disk:
            raise OutOfResources(
                f"this run needs {in_words(needed)} of disk, and {in_words(hardware.disk)} are free in {self.work}",
                remedy="free some space, or work elsewhere: --work DIR",
            )

    def run(self, report: Report | None = None) -> Iterator[Done]:
        """Run every stage that is not done, giving each as it ends. Raises what a stage raises; what was done before stays done."""
        with claimed(self.work):
            for stage in self.stages:
                self._ready(stage)
                manifest, fresh = perform(stage, self.desk(stage, report))
                yield Done(manifest, fresh)

    def _ready(self, stage: Stage) -> None:
        """Raise ``Invalid`` when nothing of what the stage reads is there; which of it the stage must have is its own matter."""
        if stage.needs and all(manifest_of(self.work, name) is None for name in stage.needs):
            raise Invalid(
                f"the stage {stage.name} reads what {' or '.join(stage.needs)} leaves, and {self.work} has nothing of it",
                remedy=f"run it first: fireside train {stage.needs[0]} --work {self.work}",
            )
