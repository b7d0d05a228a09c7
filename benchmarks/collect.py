"""How fast training data is collected: ``python -m benchmarks collect``.

The whole stage on one core, on the packages installed beside Fireside: listing, reading, screening, secrets, syntax trees, signatures,
copies, shards. Megabytes of source read in a second of CPU time, so that other work on the machine counts less; then the last commits
of this repository.
"""

import tempfile
import time
from pathlib import Path

from benchmarks.table import Figure, show
from fireside.training.collect.settings import CollectSettings
from fireside.training.collect.stage import Collect
from fireside.training.stages import Desk, Manifest, perform

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = CollectSettings(packages_from="environment", languages=("python",), package_bytes=300_000, workers=1)
COMMITS = CollectSettings(repositories=(str(ROOT),), kinds=("edit",), commits=200, workers=1)


def main() -> None:
    packages, seconds = _timed(PACKAGES)
    size = packages.facts["bytes_read"] / 1e6
    figures = [Figure("packages, one core", size / seconds, "MB/s", 2, at_most=False, note=_told(packages, size))]
    if (ROOT / ".git").exists():
        edits, seconds = _timed(COMMITS)
        figures.append(Figure("commits, one core", edits.facts["rows"]["edit"] / seconds, "edits/s"))
    show(figures)


def _timed(settings: CollectSettings) -> tuple[Manifest, float]:
    """The stage's manifest, and its CPU time in seconds."""
    with tempfile.TemporaryDirectory() as work:
        stage = Collect(settings)
        began = time.process_time()
        manifest, _ = perform(stage, Desk(Path(work), "collect"))
        return manifest, time.process_time() - began


def _told(manifest: Manifest, size: float) -> str:
    rows = ", ".join(f"{count} {kind}" for kind, count in manifest.facts["rows"].items())
    return f"{size:.1f} MB, {rows}"
