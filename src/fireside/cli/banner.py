"""What ``fireside serve`` shows when it starts: where it listens, what answers there, and how clients are pointed at it. One screen."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fireside.app.fireside import Fireside
    from fireside.engines.engine import EngineHealth
    from fireside.models.card import ModelCard

ROLES = ("chat", "complete", "embed")
MOST_MODELS = 4
NO_MODEL = "fireside models pull URL-OF-A-GGUF, or start Ollama and: ollama pull qwen2.5-coder:7b"
ASK_FOR = "ask for one by its name, or for chat, complete, embed"
_greetings: "set[asyncio.Task[None]]" = set()


def greet(fireside: "Fireside", place: str) -> None:
    """Say at once where the server listens, and what was found as soon as that is known."""
    settings = fireside.config.settings.server
    shared = f", {settings.workers} processes" if settings.workers > 1 else ""
    _say(click.style(f"Fireside listens at {place}", bold=True) + f"{shared}; Ctrl-C ends it")
    for line in _doors(place):
        _say(line)
    for line in _keys(fireside, place):
        _say(line)
    task = asyncio.ensure_future(_introduce(fireside))
    _greetings.add(task)
    task.add_done_callback(_greetings.discard)


async def _introduce(fireside: "Fireside") -> None:
    health, cards = await asyncio.gather(fireside.gateway.health(), fireside.gateway.models())
    for line in (*_engines(health, cards), *_models(fireside.config.settings.models, cards)):
        _say(line)


def _doors(place: str) -> list[str]:
    return [
        _line("OpenAI", f"OPENAI_BASE_URL={place}/v1 OPENAI_API_KEY=local"),
        _line("Anthropic", f"ANTHROPIC_BASE_URL={place} ANTHROPIC_AUTH_TOKEN=local"),
        _line("Ollama", f"OLLAMA_HOST={place}"),
        _line("API", f"{place}/docs"),
    ]


def _keys(fireside: "Fireside", place: str) -> list[str]:
    from fireside.server.gates import must_show_keys

    settings = fireside.config.settings.server
    if not must_show_keys(settings, settings.host):
        return [_line("keys", "nobody on this machine needs one")]
    lines = [_line("keys", "every request needs one, in place of `local`: fireside keys create NAME")]
    if settings.host in ("0.0.0.0", "::", ""):
        lines.append(_line("", f"others find it under this machine's addresses, port {place.rpartition(':')[2]}"))
    return lines


def _engines(health: "Mapping[str, EngineHealth]", cards: "Sequence[ModelCard]") -> list[str]:
    lines = []
    for number, (name, each) in enumerate(health.items()):
        count = sum(card.engine == name for card in cards)
        is_up = each.state in ("ready", "idle", "loading")
        found = (
            f"{count} model{'' if count == 1 else 's'}"
            if is_up
            else f"{each.detail}; {_first(each.remedy)}".strip("; ")
        )
        state = click.style(each.state, fg="green" if is_up else "yellow")
        lines.append(_line("engines" if number == 0 else "", f"{name} {state}, {found}"))
    return lines


def _models(aliases: Mapping[str, str], cards: "Sequence[ModelCard]") -> list[str]:
    if not cards:
        return [_line("models", f"none yet: {NO_MODEL}")]
    names = [card.name for card in cards]
    more = f" and {len(names) - MOST_MODELS} more" if len(names) > MOST_MODELS else ""
    chosen = [f"{role} = {aliases[role]}" for role in ROLES if role in aliases]
    return [
        _line("models", ", ".join((*names[:MOST_MODELS],)) + more),
        *(_line("", each) for each in (*chosen, ASK_FOR)),
    ]


def _first(remedy: str) -> str:
    return remedy.partition("\n")[0]


def _line(name: str, text: str) -> str:
    return f"  {name:<10}{text}"


def _say(line: str) -> None:
    click.echo(line, err=True)
