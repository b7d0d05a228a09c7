"""How far a stage of training is, and what came of it: a bar with the time that is left, or a line now and then; then its figures in words.

Knows what the stages count and measure; a figure that is not there is left out.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fireside.training.stages import Step

PLAIN_SECONDS = 10.0


@contextmanager
def stage_progress(stream: IO[str] | None = None) -> "Iterator[Callable[[Step], None]]":
    """Hears every step of every stage, and draws the one that runs."""
    out = stream or sys.stderr
    if not out.isatty():
        yield _plain(out)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    bars = Progress(*columns, console=Console(file=out), transient=True)
    tasks: dict[tuple[str, str], TaskID] = {}
    with bars:

        def show(step: "Step") -> None:
            # A count of another unit is another bar: rows and characters have no speed in common.
            key, total = (step.stage, step.unit), step.total or None
            for other, task in tasks.items():
                if other != key:
                    bars.update(task, visible=False)
            if key not in tasks:
                # What was done before the run was stopped says nothing about how fast it is now.
                tasks[key] = bars.add_task(step.stage, total=total, completed=int(step.done), note="")
            bars.update(tasks[key], completed=step.done, total=total, note=_note(step), visible=True)

        yield show


def _plain(out: IO[str]) -> "Callable[[Step], None]":
    said: dict[str, float] = {}
    began: dict[str, float] = {}
    first: dict[tuple[str, str], tuple[float, float]] = {}

    def show(step: "Step") -> None:
        now = time.monotonic()
        began.setdefault(step.stage, now)
        since, done = first.setdefault((step.stage, step.unit), (now, step.done))
        if now - said.setdefault(step.stage, now) < PLAIN_SECONDS:
            return
        said[step.stage] = now
        # What was done before the run was stopped says nothing about how fast it is now.
        new = step.done - done
        left = f", {(now - since) / new * (step.total - step.done):.0f} s left" if step.total and new > 0 else ""
        print(f"{step.stage}: {_note(step)}, {now - began[step.stage]:.0f} s{left}", file=out, flush=True)

    return show


def _note(step: "Step") -> str:
    count = f"{step.done:,.0f} of {step.total:,.0f}" if step.total else f"{step.done:,.0f}"
    return "  ".join(filter(None, (f"{count} {step.unit}".strip(), step.note)))


def in_figures(stage: str, facts: Mapping[str, Any]) -> list[str]:
    """What came of a stage, in lines: the first goes beside its name, the others under it. All of it: ``fireside train show --json``."""
    lines = [line for line in TOLD.get(stage, _plainly)(facts) if line]
    note = facts.get("note", "")
    return [*(lines or [""]), *([note] if note else [])]


def _plainly(facts: Mapping[str, Any]) -> list[str]:
    return ["  ".join(f"{key} {value}" for key, value in facts.items() if isinstance(value, int | float | str))]


def _collected(facts: Mapping[str, Any]) -> list[str]:
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(facts.get("rows", {}).items()))
    return [f"{facts['files']:,} files, {_size(facts['bytes'])}; rows: {kinds}"]


def _prepared(facts: Mapping[str, Any]) -> list[str]:
    tokens = facts["tokens"]
    return [
        f"{tokens['train']:,} tokens to learn, {tokens.get('held', 0):,} held out; vocabulary {facts['vocabulary']:,}"
    ]


def _pretrained(facts: Mapping[str, Any]) -> list[str]:
    learnt = f"{facts['parameters'] / 1e6:.1f}M parameters, {facts['tokens']:,} tokens, {facts['tokens_per_second']:,} tokens/s"
    before, after = facts.get("before", {}), facts.get("after", {})
    names = {"held": "of unseen files", "held_fim": "of their hidden middles", "other_held": "of other code"}
    measured = [
        f"{said} {before[key]:.3f} -> {after[key]:.3f}"
        for name, said in names.items()
        if (key := f"{name}_bits_per_byte") in before and key in after
    ]
    return [learnt, f"bits per byte {', '.join(measured)}" if measured else "", *facts.get("notes", [])]


def _tuned(facts: Mapping[str, Any]) -> list[str]:
    told = [
        f"{said} {facts[f'{name}_before']:.3f} -> {facts[f'{name}_after']:.3f} ({100 * facts[f'{name}_change']:+.1f} %)"
        for name, said in (("target", "of unseen files"), ("other", "of other code"))
        if f"{name}_change" in facts
    ]
    strength = facts.get("strength", 1.0)
    kept = f"kept at {strength:.2g} of its strength, so that other code gets no worse" if strength < 1 else ""
    learnt = f"{facts['steps']:,} steps, {facts['tokens']:,} tokens"
    return [learnt, f"bits per byte {', '.join(told)}" if told else "", kept]


def _exported(facts: Mapping[str, Any]) -> list[str]:
    gates = f"gates {facts['gates']}" if "gates" in facts else ""
    differs = f"logits differ by {facts['logit_difference']:.4f} at most" if "logit_difference" in facts else ""
    return [", ".join(filter(None, (facts["file"], _size(facts["bytes"]), gates, differs)))]


def _quantized(facts: Mapping[str, Any]) -> list[str]:
    files = [
        f"{name}, {_size(made['bytes'])}" + (f", perplexity {100 * made['cost']:+.2f} %" if "cost" in made else "")
        for name, made in facts.get("files", {}).items()
    ]
    return ["; ".join([*files, f"gates {facts['gates']}"] if "gates" in facts else files)]


def _judged(facts: Mapping[str, Any]) -> list[str]:
    lines = [f"{name}: {told}" for name, told in facts.items() if isinstance(told, str)]
    if "passes_the_gate" not in facts:
        return ["", *lines]
    passed = "passes the gate" if facts["passes_the_gate"] else "does not pass the gate"
    return [f"{passed}: well over plain copying, and what it offers parses", *lines]


def _published(facts: Mapping[str, Any]) -> list[str]:
    over = f", over {facts['base']}" if facts.get("base") else ""
    if facts.get("repository"):
        use = f"; it completes in {facts['repository']} from now on"
    elif facts.get("share"):
        use = f"; {100 * facts['share']:.0f} % of the requests for {facts['alias']} go to it"
    else:
        use = "; nobody gets it yet"
    return [f"{facts['model']}, {_size(facts['bytes'])}{over}{use}"]


TOLD: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "collect": _collected,
    "prepare": _prepared,
    "pretrain": _pretrained,
    "tune": _tuned,
    "export": _exported,
    "quantize": _quantized,
    "eval": _judged,
    "publish": _published,
}


def _size(size: int) -> str:
    from fireside.models.disk import in_words

    return in_words(size)
