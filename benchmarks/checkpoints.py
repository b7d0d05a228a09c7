"""What undo costs: 5,000 files, one of them changed per turn. CPU time, for other programs share the machine."""

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.table import Figure, show
from fireside.workspace.checkpoints import Checkpoints
from fireside.workspace.workspace import Workspace

FILES = 5_000
TURNS = 15
SETTLED_SECONDS = 0.2


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        size = _write_project(root)
        # A file is read again as long as its times are too young to be trusted.
        time.sleep(SETTLED_SECONDS)
        with Checkpoints(Workspace(root), Path(folder) / "state") as checkpoints:
            show(_measured(checkpoints, root, size))


def _measured(checkpoints: Checkpoints, root: Path, size: int) -> list[Figure]:
    first, first_wall = _timed(lambda: checkpoints.take("first"))
    target = root / "package7/module7.py"
    turns, walls = [], []
    for turn in range(TURNS):
        time.sleep(SETTLED_SECONDS)

        def one_turn(turn: int = turn) -> None:
            with checkpoints.change(f"turn {turn}"):
                target.write_text(f"turn = {turn}\n")

        cpu, wall = _timed(one_turn)
        turns.append(cpu)
        walls.append(wall)
    undo, _ = _timed(checkpoints.undo)
    for path in root.rglob("*.py"):
        path.write_text("gone")
    restore, restore_wall = _timed(lambda: checkpoints.restore(1))
    checkpoints.close()
    stored = sum(path.stat().st_size for path in checkpoints.folder.iterdir())
    return [
        Figure(f"a turn: a checkpoint before and after, {FILES} files", statistics.median(turns), "ms CPU", bar=300,
               note=f"{statistics.median(walls):.0f} ms in all"),
        Figure("undo", undo, "ms CPU"),
        Figure(f"first checkpoint, {size / 1e6:.0f} MB", first, "ms CPU", note=f"{first_wall:.0f} ms in all"),
        Figure(f"restore of {FILES} changed files", restore, "ms CPU", note=f"{restore_wall:.0f} ms in all"),
        Figure("on disk, as a part of the project", stored / size, "times"),
    ]  # fmt: skip


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """(CPU, wall) in milliseconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return (time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3


def _write_project(root: Path) -> int:
    """Files that compress about as code does. Returns how many bytes they are."""
    source = random.Random(1)
    words = ["".join(source.choices("abcdefghijklmnop", k=source.randint(2, 9))) for _ in range(2_000)]
    size = 0
    for number in range(FILES):
        text = "\n".join(" ".join(source.choices(words, k=7)) for _ in range(source.randint(20, 200)))
        path = root / f"package{number % 50}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        size += path.write_text(text)
    return size
