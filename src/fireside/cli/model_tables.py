"""How models and their pulling look in a terminal, in a pipe and as JSON. Only draws."""

import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Protocol

import click
import orjson
from msgspec import to_builtins

from fireside.core.streams import closing
from fireside.models.disk import in_words

if TYPE_CHECKING:
    from fireside.engines.engine import EngineHealth
    from fireside.models.card import ModelCard
    from fireside.models.modelcard import ModelStory
    from fireside.models.store import StoredModel

HEADINGS = ("NAME", "ENGINE", "SIZE", "CONTEXT", "CAN", "WHERE")
NO_MODELS = "no models yet; to get one: fireside models pull URL, or: ollama pull qwen2.5-coder:7b"


class Step(Protocol):
    """A step of a pull. ``completed``, ``total``: bytes; 0 = unknown."""

    @property
    def status(self) -> str: ...
    @property
    def completed(self) -> int: ...
    @property
    def total(self) -> int: ...


def print_cards(cards: "Sequence[ModelCard]", chosen: Mapping[str, str]) -> None:
    """A table; names that an alias means say so."""
    if not cards:
        click.echo(NO_MODELS, err=True)
        return
    rows = [HEADINGS, *(_row(card, chosen) for card in cards)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for index, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(click.style(line, bold=True) if index == 0 and sys.stdout.isatty() else line)


def _row(card: "ModelCard", chosen: Mapping[str, str]) -> tuple[str, ...]:
    names = [alias for alias, target in chosen.items() if target in (card.name, f"{card.name}@{card.engine}")]
    return (
        card.name + (f" ({', '.join(names)})" if names else ""),
        card.engine,
        in_words(card.size) if card.size else "-",
        f"{card.context_window:,}" if card.context_window else "-",
        " ".join(sorted(card.capabilities)) or "-",
        "store" if "/blobs/sha256-" in card.path else card.path or "-",
    )


def shelf_json(
    cards: "Sequence[ModelCard]",
    down: "Mapping[str, EngineHealth]",
    unused: "Sequence[StoredModel]",
    chosen: Mapping[str, str],
) -> str:
    return _json(
        {
            "models": [_card(card) for card in cards],
            "aliases": dict(chosen),
            "down": {name: {"detail": health.detail, "remedy": health.remedy} for name, health in down.items()},
            "unused": [stored.name for stored in unused],
        }
    )


def card_json(card: "ModelCard", stored: "StoredModel | None", story: "ModelStory | None" = None) -> str:
    told = {"stored": _stored(stored)} if stored else {}
    return _json(_card(card) | told | ({"story": to_builtins(story)} if story else {}))


def card_text(card: "ModelCard", stored: "StoredModel | None") -> str:
    """One fact a line."""
    facts = {
        "name": card.name,
        "engine": card.engine,
        "family": card.family,
        "can": ", ".join(sorted(card.capabilities)),
        "context": f"{card.context_window:,} tokens" if card.context_window else "",
        "weights": f"{card.parameters:,}" if card.parameters else "",
        "quantization": card.quantization,
        "size": in_words(card.size) if card.size else "",
        "file": card.path,
        "sha256": card.sha256 or (stored.sha256 if stored else ""),
    }
    if stored:
        facts["source"] = stored.source
        facts["added"] = time.strftime("%Y-%m-%d %H:%M", time.localtime(stored.added))
        facts["version"] = str(stored.version)
        facts["parent"] = stored.parent
        facts["adapter"] = str(stored.adapter or "")
        facts["base"] = stored.base
    width = max(map(len, facts))
    return "\n".join(f"{fact.ljust(width)}  {value}" for fact, value in facts.items() if value)


def _card(card: "ModelCard") -> dict[str, object]:
    return asdict(card) | {"capabilities": sorted(card.capabilities)}


def _stored(stored: "StoredModel") -> dict[str, object]:
    return asdict(stored) | {"path": str(stored.path), "adapter": str(stored.adapter or "")}


def _json(data: object) -> str:
    return orjson.dumps(data, option=orjson.OPT_INDENT_2).decode()


async def follow(steps: AsyncIterator[Step], stream: IO[str]) -> None:
    """Draw the steps as they come, to the last one; closes ``steps`` also when interrupted."""
    async with closing(steps) as each:
        with _drawing(stream) as draw:
            async for step in each:
                draw(step)


@contextmanager
def copying_bar() -> Iterator[Callable[[Step], None]]:
    """A bar for the store's own reading and copying, on standard error."""
    with _drawing(sys.stderr) as draw:
        yield draw


@contextmanager
def _drawing(stream: IO[str]) -> Iterator[Callable[[Step], None]]:
    """A bar in a terminal; elsewhere a line when the status changes and at each tenth of the way."""
    if not stream.isatty():
        yield _lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        task = progress.add_task("", total=None)

        def draw(step: Step) -> None:
            progress.update(task, description=step.status, completed=step.completed, total=step.total or None)

        yield draw


def _lines(stream: IO[str]) -> Callable[[Step], None]:
    said = ("", -1)

    def draw(step: Step) -> None:
        nonlocal said
        tenth = step.completed * 10 // step.total if step.total else 0
        if (step.status, tenth) != said:
            said = (step.status, tenth)
            share = f" {in_words(step.completed)} of {in_words(step.total)}" if step.total else ""
            print(f"{step.status}{share}", file=stream, flush=True)

    return draw
