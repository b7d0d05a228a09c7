"""``fireside models``: which models there are, where they run, and which of them answers to which name.

Draws and asks; models are found by the gateway, files are kept by the store, choices by the configuration.
"""

import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from fireside.cli import model_choices
from fireside.cli.door import opened, run
from fireside.cli.model_choices import check_choice
from fireside.core.errors import FiresideError, Invalid, ModelNotFound, NotPermitted

if TYPE_CHECKING:
    from fireside.app.settings import Settings
    from fireside.cli.model_tables import Step
    from fireside.config.layers import Config
    from fireside.engines.engine import EngineHealth, PullProgress
    from fireside.engines.transport import Transport
    from fireside.models.card import Capability, ModelCard
    from fireside.models.download import FetchStream
    from fireside.models.store import ModelStore, StoredModel

GOES_ON = "stopped; run the same command again: it goes on where it was"


class Models(Protocol):
    """The part of the gateway these commands need."""

    async def models(self) -> list["ModelCard"]: ...
    async def health(self) -> "dict[str, EngineHealth]": ...
    async def card_for(self, model: str, *, needs: "Collection[Capability]" = ()) -> "ModelCard | None": ...
    def pull(self, name: str, engine: str | None = None) -> "AsyncIterator[PullProgress]": ...


@dataclass(frozen=True, slots=True)
class Shelf:
    """Every model there is: ``cards`` of the engines that answer, ``down`` engines, and ``unused`` files no engine lists."""

    cards: "Sequence[ModelCard]"
    down: "Mapping[str, EngineHealth]"
    unused: "Sequence[StoredModel]"


@click.group("models")
def models_command() -> None:
    """List, add, pull, choose, compare and quantize models."""


@models_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_command(as_json: bool) -> None:
    """List every model of every engine, and what it can do."""

    async def work() -> None:
        from fireside.cli import model_tables

        async with opened() as fireside:
            shelf = await look(fireside.gateway, fireside.store)
            chosen = fireside.config.settings.models
        if as_json:
            click.echo(model_tables.shelf_json(shelf.cards, shelf.down, shelf.unused, chosen))
            return
        model_tables.print_cards(shelf.cards, chosen)
        for stored in shelf.unused:
            click.echo(f"{stored.name}: {trouble(stored)}", err=True)
        for name, health in shelf.down.items():
            click.echo(f"{name}: {health.detail}", err=True)

    run(work())


@models_command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show_command(name: str, as_json: bool) -> None:
    """Everything known about one model. NAME is an alias, a model, or MODEL@ENGINE."""

    async def work() -> None:
        from fireside.cli import model_tables

        async with opened() as fireside:
            card = await find_card(fireside.gateway, name)
            same = (kept for kept in fireside.store.list() if (kept.name, str(kept.path)) == (card.name, card.path))
            stored = next(same, None)
            story = fireside.store.story(stored.name) if stored else None
        if as_json:
            click.echo(model_tables.card_json(card, stored, story))
            return
        click.echo(model_tables.card_text(card, stored))
        if story is not None:
            click.echo(f"to read where it comes from: fireside models card {card.name}")

    run(work())


@models_command.command("pull")
@click.argument("source", metavar="URL|NAME[@ENGINE]")
@click.option("--name", help="What to call it (else: the file's name).")
@click.option("--sha256", help="The digest the file must have.")
def pull_command(source: str, name: str | None, sha256: str | None) -> None:
    """Bring a model here, from a URL or by its name.

    A GGUF from a URL comes into the store; a NAME is pulled by an engine that can, such as Ollama.

    What was broken off goes on where it was. For a host outside your network a terminal is asked first; scripts need it in
    privacy.allow_hosts.
    """
    if not is_url(source) and (name or sha256):
        raise click.UsageError("--name and --sha256 belong to a URL", click.get_current_context())
    _pull(source, name, sha256)


@models_command.command("add")
@click.argument("source", metavar="FILE|URL")
@click.option("--name", help="What to call it (else: the file's name).")
@click.option("--link", is_flag=True, help="Leave the file where it is and only register it.")
@click.option("--sha256", help="The digest the file must have (with a URL).")
@click.option("--base", metavar="NAME|FILE", help="For a LoRA adapter: the model it is laid over.")
def add_command(source: str, name: str | None, link: bool, sha256: str | None, base: str | None) -> None:
    """Take a GGUF file into the store, where the embedded engine finds it."""
    if base and (is_url(source) or link):
        raise click.UsageError("--base belongs to a file that is copied", click.get_current_context())
    if is_url(source):
        if link:
            raise click.UsageError("--link belongs to a file, not to a URL", click.get_current_context())
        _pull(source, name, sha256)
        return
    if sha256:
        raise click.UsageError("--sha256 belongs to a URL", click.get_current_context())

    from fireside.cli.model_tables import copying_bar

    async def find_store() -> "ModelStore":
        async with opened() as fireside:
            return fireside.store

    store = run(find_store())
    if base:
        from fireside.models.download import default_name

        laid = store.add_adapter(name or default_name(Path(source).name), Path(source), base)
        click.echo(f"{laid.name} is ready, laid over {base}; to use it: fireside models use complete {laid.name}")
        return
    # Outside the event loop: there Ctrl-C would have to wait until the whole file is copied.
    with copying_bar() as progress:
        stored = store.add(Path(source), name, copy=not link, progress=progress)
    _say_ready(stored)


@models_command.command("rm")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def rm_command(names: tuple[str, ...]) -> None:
    """Remove models from the store. A linked file stays where it is."""

    async def work() -> None:
        from fireside.models.disk import in_words

        async with opened() as fireside:
            for name in names:
                stored = await remove(fireside.gateway, fireside.store, name)
                kept = f"; {stored.path} is kept" if stored.linked else f" ({in_words(stored.size)})"
                click.echo(f"removed {stored.name}{kept}")

    run(work())


@models_command.command("use")
@click.argument("alias")
@click.argument("model")
def use_command(alias: str, model: str) -> None:
    """Choose what an alias means.

    ALIAS is chat, complete, embed, or a name of your own; it will mean MODEL, MODEL@ENGINE or @ENGINE.
    """

    async def work() -> None:
        async with opened() as fireside:
            note = await check_choice(fireside.gateway, alias, model)
            fireside.config.set(f"models.{alias}", model, layer="user")
            file = fireside.config.file("user")
        click.echo(f"{alias} is now {model} (in {file})")
        if note:
            click.echo(note, err=True)

    run(work())


for _command in model_choices.COMMANDS:
    models_command.add_command(_command)


# What the commands do, without drawing


async def look(gateway: Models, store: "ModelStore") -> Shelf:
    """All models, the engines that are down, and the stored files no engine lists (they are missing or broken)."""
    import asyncio

    cards, health = await asyncio.gather(gateway.models(), gateway.health())
    down = {name: state for name, state in health.items() if state.state == "down"}
    listed = {(card.name, card.path) for card in cards}
    return Shelf(cards, down, [stored for stored in store.list() if (stored.name, str(stored.path)) not in listed])


def trouble(stored: "StoredModel") -> str:
    """Why a stored model is not offered, in one line."""
    from fireside.models.adapters import check_adapter
    from fireside.models.store import check_model

    try:
        check_model(stored.path)
        if stored.adapter is not None:
            check_adapter(stored.adapter, stored.path)
    except FiresideError as error:
        return f"{error.message} (fireside models rm {stored.name})"
    return "no engine offers it; is the embedded engine configured? fireside doctor"


async def find_card(gateway: Models, name: str) -> "ModelCard":
    card = await gateway.card_for(name)
    if card is None:
        raise ModelNotFound(f"no model here can serve for {name}", remedy="fireside models list")
    return card


async def remove(gateway: Models, store: "ModelStore", name: str) -> "StoredModel":
    """Remove from the store; a model that is elsewhere is said to be."""
    try:
        return store.remove(name)
    except ModelNotFound:
        plain = name.rpartition("@")[0] or name
        elsewhere = next((card for card in await gateway.models() if card.name in (plain, f"{plain}:latest")), None)
        if elsewhere is None:
            raise
        remedy = f"ollama rm {elsewhere.name}" if elsewhere.engine == "ollama" else f"remove it on {elsewhere.engine}"
        raise Invalid(
            f"{elsewhere.name} is not in the store, it belongs to {elsewhere.engine}", remedy=remedy
        ) from None


def is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


async def pulled(
    source: str, name: str | None, sha256: str | None, *, gateway: Models, store: "ModelStore", transport: "Transport"
) -> "AsyncIterator[Step]":
    """The steps of bringing a model here, from a URL or by an engine."""
    from fireside.core.streams import closing
    from fireside.engines.egress import Errand

    def fetch(url: str, *, headers: Mapping[str, str]) -> "AbstractAsyncContextManager[FetchStream]":
        return transport.stream("GET", url, headers=headers, errand=Errand(purpose="pull a model"))

    steps: AsyncIterator[Step] = gateway.pull(source)
    if is_url(source):
        steps = store.pull(source, name, sha256=sha256, fetch=fetch)
    async with closing(steps) as each:
        async for step in each:
            yield step


def _pull(source: str, name: str | None, sha256: str | None) -> None:
    async def work() -> None:
        from fireside.cli.model_tables import follow

        async with opened() as fireside:
            store, gateway = fireside.store, fireside.gateway
            while True:
                steps = pulled(source, name, sha256, gateway=gateway, store=store, transport=fireside.transport)
                try:
                    await follow(steps, sys.stderr)
                    break
                except NotPermitted as error:
                    if not _allowed_once(error, fireside.config):
                        raise
            if is_url(source):
                from fireside.models.download import default_name

                _say_ready(store.find(name or default_name(source)))
            else:
                click.echo(f"{source} is ready; to chat with it: fireside models use chat {source}")

    try:
        run(work())
    except KeyboardInterrupt:
        click.echo(GOES_ON, err=True)
        raise SystemExit(130) from None


def _allowed_once(error: NotPermitted, config: "Config[Settings]") -> bool:
    """Ask whether an outside host (the address itself, or where it redirects) may be reached for this one download."""
    host = error.context.get("host")
    if not isinstance(host, str) or not sys.stdin.isatty():
        return False
    if not click.confirm(f"{host} is outside your machine and network. Fetch from it this once?", err=True):
        return False
    config.set("privacy.allow_hosts", [*config.settings.privacy.allow_hosts, host], layer="runtime")
    return True


def _say_ready(stored: "StoredModel") -> None:
    from fireside.models import gguf
    from fireside.models.disk import in_words

    card = gguf.card(stored.path, engine="embedded", name=stored.name)
    role = "embed" if card.can("embed") else "chat" if card.can("chat") else "complete"
    click.echo(f"{stored.name} is ready ({in_words(stored.size)}, sha256 {stored.sha256[:12]})")
    click.echo(f"it can: {', '.join(sorted(card.capabilities))}; to use it: fireside models use {role} {stored.name}")
