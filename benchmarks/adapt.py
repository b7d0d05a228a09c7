"""What an adapter learns of one repository, and what it forgets of other code: ``python -m benchmarks.adapt``.

The repository is this one (``--repository`` names another), its held-out files are never trained on. Without ``--base`` a base is trained
first, with Fireside's own trainer, on the standard library but for the files that forgetting is measured on. Everything after that is
``fireside train adapt`` with its own settings; ``--minutes`` limits either training. ``--work`` keeps what was made: a second run goes on
with it.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import Figure, show
from fireside.training.adapt import adaptation
from fireside.training.collect.stage import Collect
from fireside.training.prepare import other
from fireside.training.prepare.settings import PrepareSettings
from fireside.training.prepare.stage import OTHER_HELD, Prepare
from fireside.training.pretrain.settings import PretrainSettings
from fireside.training.pretrain.stage import Pretrain
from fireside.training.recipe import made
from fireside.training.rows import Row, write_shard
from fireside.training.stages import Desk, Facts, Hardware, Plan, Stage, Step, perform
from fireside.training.tune import bases
from fireside.training.tune.stage import Tune

VOCABULARY, CONTEXT = 4096, 512
LEARNT, FORGOTTEN = 10.0, 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="an HF folder or a GGUF to adapt, instead of training one")
    parser.add_argument("--base-minutes", type=float, default=10)
    parser.add_argument("--repository", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--minutes", type=float, default=0, help="of the adapter's training (else as adapt decides)")
    parser.add_argument("--work", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        work = chosen.work or Path(place)
        base = chosen.base or pretrained(work / "base", chosen.base_minutes)
        facts = adapted(work / "adapt", chosen.repository, base, chosen.minutes)
    show(figures(facts))


def figures(facts: Facts) -> list[Figure]:
    sizes = {name: facts["after"][name]["bytes"] for name in ("target", "other")}
    return [
        Figure(
            "the repository's unseen files, before",
            facts["target_before"],
            "bits/byte",
            note=f"{sizes['target']} bytes",
        ),
        Figure("the same, after", facts["target_after"], "bits/byte"),
        Figure("easier by", -100 * facts["target_change"], "%", LEARNT, at_most=False),
        Figure("other code, before", facts["other_before"], "bits/byte", note=f"{sizes['other']} bytes"),
        Figure("the same, after", facts["other_after"], "bits/byte"),
        Figure(
            "harder by", 100 * facts["other_change"], "%", FORGOTTEN, note=f"at {facts['strength']:g} of its strength"
        ),
        Figure("training", facts["minutes"], "min", note=f"{facts['steps']} steps, {facts['tokens']} tokens"),
    ]


def pretrained(work: Path, minutes: float) -> Path:
    """A base of 5M parameters that has seen nine tenths of the standard library."""
    run(Given([row for row in other.read(other.STDLIB) if row.text]), work)
    settings = PrepareSettings(vocabulary=VOCABULARY, context=CONTEXT, held_out=OTHER_HELD, other="")
    run(Prepare(settings), work)
    run(Pretrain(PretrainSettings(depth=4, batch=8, minutes=minutes)), work)
    return work / "pretrain" / "model"


def adapted(work: Path, repository: Path, base: Path, minutes: float) -> Facts:
    tables = adaptation(repository, base, minutes=minutes, parameters=bases.look(base).parameters)
    recipe = made({"name": "adapt", **tables}, "adapt")
    assert recipe.collect is not None
    assert recipe.prepare is not None
    assert recipe.tune is not None
    run(Collect(recipe.collect), work)
    run(Prepare(recipe.prepare), work)
    return run(Tune(recipe.tune), work)


def run(stage: Stage, work: Path) -> Facts:
    work.mkdir(parents=True, exist_ok=True)
    manifest, fresh = perform(stage, Desk(work, stage.name, report=tell))
    print(f"\r{stage.name}: {manifest.seconds:.0f} s{'' if fresh else ', done before'}{' ' * 40}", flush=True)
    return manifest.facts


def tell(step: Step) -> None:
    print(f"\r{step.stage} {step.done:.0f}/{step.total:.0f} {step.unit} {step.note[:40]:<40}", end="", flush=True)


class Given:
    """A stage ``collect`` whose rows are given."""

    name = "collect"
    needs: tuple[str, ...] = ()
    settings = PrepareSettings()

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def sources(self) -> dict[str, str]:
        return {"rows": str(len(self._rows))}

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        return Plan(self.name)

    def run(self, desk: Desk) -> Facts:
        (desk.folder / "shards").mkdir()
        return {"rows": write_shard(desk.folder / "shards" / "rows-00000.jsonl.zst", self._rows)}


if __name__ == "__main__":
    main()
