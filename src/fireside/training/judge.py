"""The stage ``eval``: measure what would be shipped against what it would replace, on files the training never saw.

The held-out files are cut from the run's own rows, by the same rule by which ``prepare`` kept them from training. Who can run a GGUF and
which suites there are is handed in: this room knows the run, not the engines.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Protocol

import msgspec

from fireside.core.errors import Invalid
from fireside.training import rows
from fireside.training.prepare.split import is_held_out
from fireside.training.stages import Desk, Facts, Hardware, Plan, Report, Step

SMOKE_CASES = 8
MEASURED = "files"


class EvalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``suites``: as ``fireside eval list`` names them. ``sources``: folders to cut cases from, instead of the run's held-out files.

    ``cases``: of each suite. ``against``: a model of yours to measure beside it, on the same cases. ``quantization``: which file is
    measured, else the first that was made.
    """

    suites: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("fim-line",)
    sources: tuple[str, ...] = ()
    cases: Annotated[int, msgspec.Meta(ge=1)] = 300
    against: str = ""
    quantization: str = ""


class Judge(Protocol):
    """Run suites against a model file. Returns their scores by suite, and leaves results.json, .md and .html in ``folder``."""

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
    ) -> Facts: ...


class Eval:
    """``judge``: see ``Judge``."""

    name = "eval"
    needs: tuple[str, ...] = ("quantize", "export")

    def __init__(self, settings: EvalSettings, judge: Judge) -> None:
        self.settings = settings
        self._judge = judge

    def sources(self) -> Mapping[str, str]:
        return {}

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        cases = self._cases(desk)
        missing = tuple(_no_folder(folder) for folder in self._sources() if not folder.is_dir())
        return Plan(
            "eval",
            seconds=0.5 * cases * len(self.settings.suites),
            memory=600 << 20,
            notes=(f"{cases} cases a suite",),
            refusals=missing,
        )

    def run(self, desk: Desk) -> Facts:
        model, adapter = self._measured(desk)
        folders = self._sources() or (self._held_out(desk),)
        for folder in folders:
            if not folder.is_dir():
                raise _no_folder(folder)

        def tell(step: Step) -> None:
            desk.step(step.done, step.total, step.unit, step.note)

        return self._judge(
            model,
            adapter,
            suites=self.settings.suites,
            sources=folders,
            cases=self._cases(desk),
            seed=desk.seed,
            against=self.settings.against,
            folder=desk.folder,
            report=tell,
        )

    def _sources(self) -> tuple[Path, ...]:
        return tuple(Path(one).expanduser() for one in self.settings.sources)

    def _cases(self, desk: Desk) -> int:
        return min(self.settings.cases, SMOKE_CASES) if desk.smoke else self.settings.cases

    def _measured(self, desk: Desk) -> tuple[Path, Path | None]:
        """The model file, and the adapter to lay over it."""
        exported = desk.of("export")
        adapter = exported / "adapter.gguf"
        if adapter.is_file():
            base = desk.facts("export").get("base", "")
            return Path(base) if base else exported / "base.gguf", adapter
        made = sorted(desk.of("quantize").glob("*.gguf")) if desk.has("quantize") else []
        chosen = [path for path in made if path.stem.endswith(self.settings.quantization)] or made
        return (chosen or [exported / "model.gguf"])[0], None

    def _held_out(self, desk: Desk) -> Path:
        """The files that ``prepare`` kept from training, as files again. Raises ``Invalid`` when there are none."""
        share = float(desk.facts("prepare").get("held_out", 0.03))
        place = desk.folder / MEASURED
        count = 0
        for row in rows.read(desk.of("collect") / "shards"):
            if row.kind == "lm" and is_held_out(row, share):
                # The number keeps two files of one path apart; ".." cannot climb out of the folder.
                inner = PurePosixPath(*(part for part in PurePosixPath(row.path).parts if part not in ("..", "/")))
                file = place / f"{count:05d}" / inner
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(row.text, "utf-8")
                count += 1
        if not count:
            raise Invalid(
                "none of the collected files was kept from training", remedy="collect more, or name eval.sources"
            )
        return place


def _no_folder(folder: Path) -> Invalid:
    return Invalid(f"{folder} is no folder", remedy="name folders of source files in eval.sources")
