"""How often copying completes a line exactly: ``python -m benchmarks.copying [--cases N] [--seed N]``.

Random cursor positions in random non-blank lines of the Python standard library (tests left out); the target is the rest of the line, and
the line's end is all that is hidden. Prints the exact-line rate with and without the files beside as neighbours, how often nothing was
said, how often what was said was right, and the time a call takes.
"""

import argparse
import random
import sysconfig
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fireside.assist.copying import suggest
from fireside.core.requests import Snippet

LEFT_OUT = {"site-packages", "test", "tests", "idlelib", "encodings", "__pycache__"}
LINES = range(100, 4001)


@dataclass(frozen=True)
class Case:
    path: Path
    prefix: str
    suffix: str
    wanted: str


def files() -> list[Path]:
    library = Path(sysconfig.get_paths()["stdlib"])
    return sorted(path for path in library.rglob("*.py") if not LEFT_OUT & set(path.relative_to(library).parts))


def cases(paths: Sequence[Path], count: int, seed: int) -> Iterator[Case]:
    rng = random.Random(seed)
    while count:
        path = rng.choice(paths)
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        at = rng.randrange(len(lines))
        line = lines[at].rstrip()
        indent = len(line) - len(line.lstrip())
        if len(lines) not in LINES or len(line) - indent < 2:
            continue
        column = rng.randrange(indent, len(line))
        before = "\n".join([*lines[:at], line[:column]])
        yield Case(path, before, "\n" + "\n".join(lines[at + 1 :]), line[column:])
        count -= 1


def beside(path: Path, count: int = 4) -> list[Snippet]:
    """Other files of the folder, alphabetically after this one: what a project would offer without knowing any better."""
    others = [other for other in sorted(path.parent.glob("*.py")) if other != path]
    others.sort(key=lambda other: (other.name < path.name, other.name))
    return [Snippet(other.name, other.read_text(encoding="utf-8", errors="replace")) for other in others[:count]]


def measure(chosen: Sequence[Case], *, neighbours: bool) -> str:
    right = said = 0
    seconds = []
    for case in chosen:
        near = beside(case.path) if neighbours else []
        start = time.perf_counter()
        found = suggest(case.prefix, case.suffix, neighbours=near, language="python")
        seconds.append(time.perf_counter() - start)
        if found is not None:
            said += 1
            right += found.text == case.wanted
    seconds.sort()
    total = len(chosen)
    return (
        f"exact {right / total:6.1%}   silent {1 - said / total:6.1%}   right when said {right / max(1, said):6.1%}   "
        f"{seconds[total // 2] * 1000:5.2f} ms median  {seconds[total * 95 // 100] * 1000:5.2f} ms p95"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chosen = list(cases(files(), options.cases, options.seed))
    print(f"{options.cases} cursor positions in the Python standard library, seed {options.seed}")
    print(f"the file alone       {measure(chosen, neighbours=False)}")
    print(f"and 4 files beside   {measure(chosen, neighbours=True)}")


if __name__ == "__main__":
    main()
