"""``fireside doctor``: draw what the checks found. What is wrong, and what helps, is known in ``app.doctor``."""

import json
import os
import shutil
import textwrap
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fireside.cli.door import here, run

if TYPE_CHECKING:
    from fireside.app.doctor.diagnosis import Diagnosis

WORDS = {"ok": ("ok", "green"), "note": ("note", "cyan"), "warning": ("warn", "yellow"), "error": ("ERROR", "red")}
LEVEL_WIDTH = 6
SUBJECT_WIDTH = 17
NARROWEST = 24
WIDEST = 110


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Findings as JSON.")
@click.option("--deep", is_flag=True, help="Also read every model file, and have models generate: takes a while.")
def doctor_command(as_json: bool, deep: bool) -> int:
    """Find out what is wrong here, and what to do about it. Exit code 1 when something does not work."""
    began = time.perf_counter()
    found = run(_examine(deep, draw=not as_json))
    seconds = time.perf_counter() - began
    failed = any(diagnosis.level == "error" for diagnosis in found)
    if as_json:
        report = {"ok": not failed, "seconds": round(seconds, 3), "diagnoses": [asdict(each) for each in found]}
        click.echo(json.dumps(report, indent=2))
    else:
        click.echo(_summary(found, seconds))
    return int(failed)


async def _examine(deep: bool, *, draw: bool) -> "list[Diagnosis]":
    from fireside.app.doctor.diagnose import diagnose
    from fireside.app.doctor.gather import doctor_inputs
    from fireside.core.streams import closing

    door, found = here(), []
    async with (
        doctor_inputs(door.root, environ=os.environ, flags=door.flags) as inputs,
        closing(diagnose(inputs, deep=deep)) as diagnoses,
    ):
        async for diagnosis in diagnoses:
            found.append(diagnosis)
            if draw:
                click.echo("\n".join(lines_of(diagnosis, shutil.get_terminal_size((100, 24)).columns)))
    return found


def lines_of(diagnosis: "Diagnosis", width: int) -> list[str]:
    """One finding as lines of at most ``width`` columns: level, subject, message; below it the remedy, one line each.

    In a terminal too narrow for columns the message begins on a line of its own.
    """
    word, color = WORDS[diagnosis.level]
    level = click.style(word.ljust(LEVEL_WIDTH), fg=color, bold=diagnosis.level == "error")
    width = min(width, WIDEST)
    indent = LEVEL_WIDTH + SUBJECT_WIDTH
    if width - indent < NARROWEST:
        indent = 2
        head, lines = [level + diagnosis.subject], _wrapped(diagnosis.message, width - indent)
    else:
        first, *rest = _wrapped(diagnosis.message, width - indent)
        head, lines = [level + diagnosis.subject.ljust(SUBJECT_WIDTH) + first], rest
    remedies = [] if diagnosis.level == "ok" else diagnosis.remedy.splitlines()
    for remedy in remedies:
        first, *rest = _wrapped(remedy, width - indent - 2)
        lines += [click.style("→ " + first, fg="cyan"), *(click.style("  " + line, fg="cyan") for line in rest)]
    return head + [" " * indent + line for line in lines]


def _wrapped(text: str, width: int) -> list[str]:
    """Never breaks inside a word: a command or a path must stay whole to be copied."""
    return textwrap.wrap(text, max(width, 8), break_long_words=False, break_on_hyphens=False) or [""]


def _summary(found: "Iterable[Diagnosis]", seconds: float) -> str:
    counts = Counter(str(diagnosis.level) for diagnosis in found)
    names = (
        ("error", "thing does not work", "things do not work"),
        ("warning", "warning", "warnings"),
        ("note", "note", "notes"),
    )
    parts = [f"{number} {one if number == 1 else many}" for level, one, many in names if (number := counts[level])]
    return f"\n{', '.join(parts) or 'all is well'} ({seconds:.1f} s)"
