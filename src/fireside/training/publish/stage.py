"""The stage ``publish``: the run's model into the store with its card, and a share of the requests to it.

The store, the settings in force and whoever writes settings are handed in. Nothing is given to users that lost against copying.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fireside.core.errors import FiresideError, Invalid, OutOfResources
from fireside.gateway.experiments import Changes, Experiment, Promoted, adopt, begin
from fireside.models.disk import SPARE, in_words, write_atomically
from fireside.models.modelcard import as_markdown
from fireside.models.store import ModelStore, StoredModel, checked_name
from fireside.training.export.stage import ADAPTER, BASE, MODEL
from fireside.training.publish.card import BEFORE, gathered, need
from fireside.training.publish.settings import PublishSettings
from fireside.training.stages import Desk, Facts, Hardware, Plan

CARD = "card.md"


class Sharing(Protocol):
    """The gateway's settings."""

    @property
    def experiments(self) -> Mapping[str, Experiment]: ...
    @property
    def promoted(self) -> Mapping[str, Promoted]: ...


class Chosen(Protocol):
    """The settings in force, as far as they say which model answers to which name."""

    @property
    def models(self) -> Mapping[str, str]: ...
    @property
    def gateway(self) -> Sharing: ...


@dataclass(frozen=True, slots=True)
class Files:
    """What is registered: a model; or an adapter, over a base that is registered too (``own``) or is somebody's already."""

    model: Path
    adapter: Path | None = None
    own: bool = True


class Publish:
    """``settings``: those in force. ``configure``: writes changes where the user's are."""

    name = "publish"
    needs: tuple[str, ...] = BEFORE

    def __init__(
        self,
        wanted: PublishSettings,
        /,
        *,
        store: ModelStore,
        settings: Chosen,
        configure: Callable[[Changes], None],
    ) -> None:
        self.settings = wanted
        self._store = store
        self._chosen = settings
        self._configure = configure

    def sources(self) -> Mapping[str, str]:
        return {}

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        settings = self.settings
        try:
            name = self._name(desk)
            files = self._files(desk) if desk.has("export") else None
        except FiresideError as error:
            return Plan(self.name, refusals=(error,))
        size = sum(path.stat().st_size for path in (files.model, files.adapter) if path) if files else 0
        way = "only registered"
        if settings.repository:
            way = f"completes in {settings.repository}, unless it learnt nothing there"
        elif settings.share:
            way = f"{100 * settings.share:.0f} % of the requests for {settings.alias} go to it"
        refusals = (
            (OutOfResources(f"the store needs {in_words(size)}", remedy="fireside models rm NAME"),)
            if size + SPARE > hardware.disk
            else ()
        )
        return Plan(self.name, disk=size, notes=(f"becomes {name}:{self._number(name)}", way), refusals=refusals)

    def run(self, desk: Desk) -> Facts:
        name = self._name(desk)
        files = self._files(desk)
        number = self._number(name, _digest(files.adapter or files.model))
        stored = self._registered(desk, f"{name}:{number}", files)
        base = "" if files.adapter is None else self._base_name(stored)
        before = self._chosen.models.get(self.settings.alias, "")
        parent = f"{name}:{number - 1}" if number > 1 else before
        self._store.set_story(stored.name, gathered(desk, self.settings, parent=parent, base=base))
        story = self._store.story(stored.name)
        assert story is not None
        write_atomically(desk.folder / CARD, as_markdown(story).encode())
        facts: Facts = {"model": stored.name, "sha256": stored.sha256, "bytes": stored.size, "parent": parent}
        return facts | ({"base": base} if base else {}) | self._shared(desk, stored.name)

    def _shared(self, desk: Desk, model: str) -> Facts:
        """Give the model its share, or say why it has none."""
        settings = self.settings
        alias, gateway = settings.alias, self._chosen.gateway
        if settings.repository:
            return self._given_to(settings.repository, desk, model)
        if not settings.share:
            return {"share": 0.0, "note": f"to use it: fireside models promote {model} --alias {alias}"}
        lost = desk.has("eval") and desk.facts("eval").get("passes_the_gate") is False
        # A smoke run has a home of its own: nobody is given what it makes.
        if lost and settings.gate == "auto" and not desk.smoke:
            return {
                "share": 0.0,
                "note": "it does not beat copying, so nobody gets it; publish.gate = 'no' gives it all the same",
            }
        try:
            if settings.share == 1:
                changes = adopt(
                    gateway.experiments, gateway.promoted, alias=alias, model=model, aliases=self._chosen.models
                )
            else:
                experiment = re.sub(r"[^A-Za-z0-9_-]+", "-", model)
                changes = begin(
                    gateway.experiments,
                    experiment,
                    alias=alias,
                    model=model,
                    share=settings.share,
                    aliases=self._chosen.models,
                )
        except Invalid as error:
            # The model is made and registered; that its alias is taken must not undo a night's work.
            return {"share": 0.0, "note": f"{error.message}; {error.remedy}"}
        self._configure(changes)
        return {
            "alias": alias,
            "share": settings.share,
            "note": f"to decide: fireside models promote {model} --alias {alias}",
        }

    def _given_to(self, repository: str, desk: Desk, model: str) -> Facts:
        """Have the model complete in one folder, unless it learnt nothing there."""
        worse = desk.has("tune") and desk.facts("tune").get("target_change", -1.0) >= 0 and not desk.smoke
        if worse:
            return {
                "share": 0.0,
                "note": "it tells the repository's code no better than its base, so it is only registered",
            }
        self._configure({("assist", "models", repository): model})
        key = f'assist.models."{repository}"'
        return {"repository": repository, "note": f"to take it back: fireside config unset '{key}'"}

    def _registered(self, desk: Desk, name: str, files: Files) -> StoredModel:
        if files.adapter is None:
            return self._store.add(
                files.model, name, progress=lambda step: desk.step(step.completed, step.total, "bytes", name)
            )
        base: str | Path = files.model
        if files.own:
            stem, _, number = name.rpartition(":")
            base = self._store.add(files.model, f"{stem}-base:{number}").name
        return self._store.add_adapter(name, files.adapter, base)

    def _base_name(self, stored: StoredModel) -> str:
        """What the base is called: in the store, else by its file."""
        names = [model.name for model in self._store.list() if model.sha256 == stored.base]
        return names[0] if names else stored.path.name

    def _name(self, desk: Desk) -> str:
        name = self.settings.name or re.sub(r"[^A-Za-z0-9._+-]+", "-", desk.work.name).strip("-._+") or "model"
        if ":" in name:
            raise Invalid(
                f"{name} has a colon; versions are numbered by Fireside", remedy="set publish.name without one"
            )
        return checked_name(name)

    def _number(self, name: str, digest: str = "") -> int:
        """The next number; that of the newest when it has these very contents (a run that was ended after registering them)."""
        pattern = re.compile(rf"{re.escape(name)}:(\d+)", re.IGNORECASE)
        found = {int(match[1]): model for model in self._store.list() if (match := pattern.fullmatch(model.name))}
        newest = max(found, default=0)
        return newest if newest and found[newest].sha256 == digest else newest + 1

    def _files(self, desk: Desk) -> Files:
        exported = desk.of("export")
        made = sorted(desk.of("quantize").glob("*.gguf")) if desk.has("quantize") else []
        wanted = self.settings.quantization
        fitting = [path for path in made if path.stem.endswith(wanted)] if wanted else self._first(desk, made)
        if wanted and not fitting:
            raise Invalid(
                f"the run has no file of the kind {wanted}",
                remedy=f"it has: {', '.join(path.name for path in made) or 'none'}; add it to quantize.kinds",
            )
        adapter = exported / ADAPTER
        if not adapter.is_file():
            return Files(fitting[0] if fitting else need(exported / MODEL))
        base = str(desk.facts("export").get("base") or "")
        if base:
            return Files(need(Path(base)), adapter, own=False)
        return Files(fitting[0] if fitting else need(exported / BASE), adapter)

    def _first(self, desk: Desk, made: list[Path]) -> list[Path]:
        """The files in the order in which they were asked for."""
        order = list(desk.facts("quantize").get("files", {})) if made else []
        return sorted(made, key=lambda path: order.index(path.name) if path.name in order else len(order))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
