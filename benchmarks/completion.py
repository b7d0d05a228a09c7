"""How much of a line completes itself without a model: ``python -m benchmarks completion``.

Cases: a random file of 100 to 4,000 lines, a random line of it that is not blank, a random column of that line; the target is the rest of
the line, and nothing else is hidden. The same once more with targets of at least 10 characters (``--shortest``), which are harder:
near the end of a line a bracket or two is often all there is to say. Files come from installed packages that nothing
here was fitted on (they are on the list of ``fireside.training.exclusions``, and no model of ours may learn from them either), or from
any folder: ``--folder``, in any language.

Each method is told with the file alone, and with four files of the same folder beside it:
- **plain**: the longest end of the text before the cursor, at least 4 characters, that stands elsewhere; the rest of that line, copied.
- **copying**: ``fireside.assist.copying.suggest``.

Columns, over all cases: *exact*, the whole rest of the line and no more; *saved*, characters that the target and the suggestion begin
with in common, whether or not the rest is right, of all characters of all targets; *offered*. Over those offered: *first*, the first word
or mark is right; *kept*, every character offered is right; *parses*, the file with the suggestion in the hole is Python (of Python
files). Times are processor time. With 1,000 cases the 95 % interval of exact is about 2.8 points to either side.
"""

import argparse
import ast
import random
import re
import sysconfig
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fireside.assist.copying import suggest
from fireside.assist.cursor import in_common
from fireside.core.requests import Snippet
from fireside.index.languages import grammar, language_of
from fireside.training.exclusions import package

LEFT_OUT = {"site-packages", "test", "tests", "testing", "idlelib", "encodings", "__pycache__"}
LINES = range(100, 4001)
BESIDE = 4
SHORTEST = 4
LONGEST = 200
WORD = re.compile(r"\w+|\s+|[^\w\s]")

Method = Callable[[str, str, Sequence[Snippet], str], str]


@dataclass(frozen=True)
class Case:
    path: Path
    prefix: str
    suffix: str
    wanted: str


def standard_library() -> list[Path]:
    return _sources(Path(sysconfig.get_paths()["stdlib"]))


def unseen_packages() -> list[Path]:
    """Files of the installed packages that nothing of ours may learn from."""
    site = Path(sysconfig.get_paths()["purelib"])
    return [
        path
        for folder in sorted(site.iterdir())
        if folder.is_dir() and package(folder.name)
        for path in _sources(folder)
    ]


def _sources(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix and not LEFT_OUT & set(path.relative_to(folder).parts))
    return sorted(path for path in found if path.is_file() and _code(path))


def _code(path: Path) -> bool:
    language = language_of(path.name)
    return language not in ("markdown", "html", "text") and grammar(language) is not None


def cases(paths: Sequence[Path], count: int, seed: int, shortest: int = 1) -> Iterator[Case]:
    """``shortest``: characters a target has at least."""
    rng = random.Random(seed)
    while count:
        path = rng.choice(paths)
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        at = rng.randrange(len(lines))
        line = lines[at].rstrip()
        indent = len(line) - len(line.lstrip())
        if len(lines) not in LINES or len(line) - indent < max(2, shortest):
            continue
        column = rng.randrange(indent, len(line) - shortest + 1)
        before = "\n".join([*lines[:at], line[:column]])
        yield Case(path, before, "\n" + "\n".join(lines[at + 1 :]), line[column:])
        count -= 1


def beside(path: Path) -> list[Snippet]:
    """Other files of the folder, alphabetically after this one: what a project would offer without knowing any better."""
    others = [other for other in sorted(path.parent.glob(f"*{path.suffix}")) if other != path]
    others.sort(key=lambda other: (other.name < path.name, other.name))
    return [Snippet(other.name, other.read_text(encoding="utf-8", errors="replace")) for other in others[:BESIDE]]


def plain(prefix: str, suffix: str, neighbours: Sequence[Snippet], _language: str) -> str:
    """The heuristic everything here is measured against, in twenty lines."""
    texts = "\0\n".join([prefix + "\0" + suffix, *(near.text for near in neighbours)])

    def elsewhere(key: str) -> int:
        before = texts.rfind(key, 0, max(0, len(prefix) - 1))
        return before if before >= 0 else texts.find(key, len(prefix) + 1)

    low, high = 0, min(LONGEST, len(prefix))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if elsewhere(prefix[-middle:]) >= 0 else (low, middle - 1)
    if low < SHORTEST:
        return ""
    rest = texts[elsewhere(prefix[-low:]) + low :].partition("\n")[0]
    return rest.partition("\0")[0].rstrip()


def copying(prefix: str, suffix: str, neighbours: Sequence[Snippet], language: str) -> str:
    found = suggest(prefix, suffix, neighbours=neighbours, language=language)
    return found.text if found else ""


def measure(chosen: Sequence[Case], method: Method, *, neighbours: bool) -> str:
    exact = saved = characters = first = kept = offered = parsed = python = 0
    seconds = []
    for case in chosen:
        near = beside(case.path) if neighbours else []
        start = time.process_time()
        text = method(case.prefix, case.suffix, near, language_of(case.path.name, case.prefix))
        seconds.append(time.process_time() - start)
        characters += len(case.wanted)
        if not text:
            continue
        offered += 1
        exact += text == case.wanted
        saved += in_common(text, case.wanted)
        first += _first(text) == _first(case.wanted)
        kept += case.wanted.startswith(text)
        if case.path.suffix == ".py":
            python += 1
            parsed += parses(case.prefix + text + case.suffix)
    seconds.sort()
    total = len(chosen)
    figures = f"{exact / total:7.1%} {saved / characters:7.1%} {offered / total:7.1%} | "
    figures += " ".join(
        f"{count / max(1, of):7.1%}" for count, of in ((first, offered), (kept, offered), (parsed, python))
    )
    return f"{figures} | {seconds[total // 2] * 1000:6.2f} {seconds[total * 95 // 100] * 1000:6.2f}"


def parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def _first(text: str) -> str:
    found = WORD.match(text)
    return found[0] if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shortest", type=int, default=10, help="characters a target has at least, the second time")
    parser.add_argument("--folder", type=Path, help="measure on the sources below this folder")
    options = parser.parse_args()
    paths = _sources(options.folder) if options.folder else unseen_packages()
    print(f"{options.cases} cursor positions in {len(paths)} files, seed {options.seed}")
    for shortest in (1, options.shortest):
        chosen = list(cases(paths, options.cases, options.seed, shortest))
        mean = sum(len(case.wanted) for case in chosen) / len(chosen)
        print(f"\nTargets of {shortest} characters and more, {mean:.0f} on average")
        print(f"{'':24}   exact   saved offered |   first    kept  parses | median    p95 ms of processor")
        for beside_it, place in ((False, "the file alone"), (True, f"and {BESIDE} files beside")):
            for method in (plain, copying):
                print(f"{place:16} {method.__name__:8}{measure(chosen, method, neighbours=beside_it)}", flush=True)


if __name__ == "__main__":
    main()
