"""How often a model's answer is applied rightly, and how fast: ``python -m benchmarks edits``.

The cases are the project's own suite (``tests/support/edit_cases``), written from the failure classes with results worked out by hand.
"Corrupted": another content than any acceptable one, without an error. Times are CPU time of one ``apply_edits`` call, parsing included.
"""

import sys
import time
from collections import defaultdict
from pathlib import Path
from textwrap import indent

from benchmarks.table import Figure, show

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from fireside.workspace.edits import EditRefused, apply_edits
from support.edit_cases import all_cases, verdict
from support.edit_cases.case import listing, write_edit

FUNCTIONS = 2_000
FORMATS = ("search_replace", "udiff", "apply_patch", "edit_tool", "whole", "function")


def main() -> None:
    cases = all_cases()
    seconds: list[float] = []
    verdicts: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        began = time.process_time()
        found = verdict(case)
        seconds.append(time.process_time() - began)
        verdicts[case.format].append(found)
    _show_formats(verdicts)
    judged = [found for of_format in verdicts.values() for found in of_format]
    show([
        Figure("right, all formats", 100 * _share(judged, "right"), "%", 97, at_most=False, note=f"{len(cases)} cases"),
        Figure("corrupted", sum(found.startswith("corrupted") for found in judged), "cases", 0),
        Figure("one edit, p95", 1000 * sorted(seconds)[len(seconds) * 95 // 100], "ms", 50),
        *(Figure(f"10,000 lines, {name}", _seconds(name), "s", 1) for name in LARGE),
    ])  # fmt: skip


def _show_formats(verdicts: dict[str, list[str]]) -> None:
    print("| format | cases | right | corrupted | refused or applied against expectation |\n|---|---|---|---|---|")
    for name in (*FORMATS, "auto"):
        found = verdicts[name]
        corrupted = sum(one.startswith("corrupted") for one in found)
        right = sum(one == "right" for one in found)
        print(f"| {name} | {len(found)} | {right / len(found):.1%} | {corrupted} | {len(found) - right - corrupted} |")
    print()


def _share(judged: list[str], wanted: str) -> float:
    return sum(found == wanted for found in judged) / len(judged)


def _function(number: int) -> str:
    return (
        f'def function_{number}(value, other):\n    """Compute thing number {number}."""\n'
        f"    result = value * {number} + other\n    return check(result, limit={number})"
    )


FILE = "".join(f"{_function(number)}\n\n" for number in range(FUNCTIONS))
OLD = _function(FUNCTIONS - 500)
NEW = OLD.replace("limit=", "most=")
LARGE = {
    "exact": write_edit("search_replace", "a.py", OLD, NEW),
    "another depth": write_edit("search_replace", "a.py", indent(OLD, "    "), indent(NEW, "    ")),
    "near match": write_edit("search_replace", "a.py", OLD.replace("Compute", "Comptue"), NEW),
    "not there": write_edit("search_replace", "a.py", OLD.replace("value", "amount").replace("other", "rest"), NEW),
    "unified diff": write_edit("udiff", "a.py", OLD, NEW),
    "whole file": listing("a.py", FILE.replace(OLD, NEW)),
}  # fmt: skip


def _seconds(name: str) -> float:
    began = time.process_time()
    try:
        apply_edits(LARGE[name], {"a.py": FILE})
    except EditRefused:
        if name != "not there":
            raise
    return time.process_time() - began


if __name__ == "__main__":
    main()
