"""Measure models with the suites: who is measured, and what of Fireside stands beside it.

The only place where the suites meet the rest of the house. The gateway is opened for the measurement alone: no remembered answers, no
other model standing in.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fireside.app.fireside import Fireside
from fireside.assist.completion import Assist
from fireside.assist.copying import suggest
from fireside.core.errors import Invalid
from fireside.core.requests import CompletionRequest, Delta, Snippet
from fireside.core.values import replace
from fireside.engines.base_url import base_url
from fireside.engines.egress import Errand
from fireside.engines.transport import Timeouts
from fireside.evals.fill import Completer, Filled, Hole
from fireside.evals.registry import suite
from fireside.evals.subjects import GatewaySubject, Nobody
from fireside.evals.suite import CaseSettings, Report, Result, Subject, Suite, measure
from fireside.gateway.gateway import Gateway
from fireside.models.card import Capability, ModelCard

# The engine of this run only.
MEASURED = "measured"
FILLING = ("fim-line", "fim-syntax")
# A figure is of the model that was named and of no other, and computed each time.
QUIET: Mapping[str, object] = {"gateway.cache_bytes": 0, "gateway.fallback": False, "gateway.experiments": {}}
GLANCE = Timeouts(connect=3.0, load=5.0, first_token=5.0, stall=5.0)
ERRAND = Errand(engine=MEASURED, purpose="evaluation")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is to be measured: a ``model`` the gateway knows, one at a ``url``, or a GGUF ``file`` (with an ``adapter`` laid over it).

    Nothing named: the model that answers to the alias a suite needs.
    """

    model: str = ""
    url: str = ""
    file: Path | None = None
    adapter: Path | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """A house opened to be measured. ``model``: as named; "" for the alias a suite needs."""

    fireside: Fireside
    model: str = ""

    async def subject(self, name: str) -> Subject:
        """Who answers the suite of this name; ``Nobody`` when no model was named and none is there. Raises what is wrong with a choice."""
        alias = "complete" if name in FILLING else "chat"
        needs: frozenset[Capability] = frozenset(("fim",) if name in FILLING else ())
        card = await self.fireside.gateway.card_for(self.model or alias, needs=needs)
        if card is None:
            return Nobody()
        return GatewaySubject(self.fireside.gateway, f"{card.name}@{card.engine}", card.name)

    def suite(self, name: str, subject: Subject, **options: Any) -> Suite:
        """The suite with its rivals: for completions Fireside's copying, and the whole way an editor's question takes."""
        if name not in FILLING:
            return suite(name, **options)
        rivals: dict[str, Completer] = {"fireside copying": copying} if name == "fim-line" else {}
        if subject.model and name == "fim-line":
            rivals["fireside"] = Whole(self.fireside.gateway, subject.model)
        return suite(name, rivals=rivals)


@asynccontextmanager
async def opened(
    wanted: Wanted,
    *,
    root: Path | None = None,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> AsyncIterator[Bench]:
    """Raises ``Invalid`` for a URL or a file that is none, ``ConnectionFailed`` where nobody answers, ``NotPermitted`` outside."""
    given = {**(flags or {}), **QUIET}
    if wanted.url:
        given |= await _at(wanted.url, root, given, environ)
    elif wanted.file is not None:
        given |= _of_file(wanted.file, wanted.adapter)
    async with await Fireside.open(root, flags=given, environ=environ) as fireside:
        model = wanted.model
        if wanted.url or wanted.file is not None:
            model = await _measured(fireside, wanted)
        yield Bench(fireside, model)


async def measure_suites(
    bench: Bench,
    names: Sequence[str],
    settings: CaseSettings,
    *,
    parallel: int,
    report: Report,
    named: bool = True,
    options: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> list[Result]:
    """One result for each suite; fewer when it was stopped. ``named``: the user asked for these, so what cannot be measured is an error.

    ``options``: suite -> what its constructor takes.
    """
    results: list[Result] = []
    for name in names:
        subject = await bench.subject(name)
        if isinstance(subject, Nobody) and name not in FILLING and not named:
            continue
        chosen = options.get(name, {})
        made = bench.suite(name, subject, **chosen)
        cases = await asyncio.to_thread(made.cases, settings)
        sources = [Path(one).name for one in settings.sources]
        result = await measure(
            made,
            subject,
            cases=cases,
            parallel=parallel,
            seed=settings.seed,
            settings={"sources": sources, **{key: str(value) for key, value in chosen.items()}},
            report=report,
        )
        results.append(result)
        if result.stopped:
            break
    return results


async def copying(hole: Hole) -> Filled:
    """Fireside's first tier: completion without a model, from the file alone."""
    found = suggest(hole.prefix, hole.suffix, language=hole.language)
    return Filled(found.text, found.confidence) if found is not None else Filled("")


class Whole:
    """What an editor gets: Fireside's completion, with the measured model behind it and no files beside."""

    def __init__(self, gateway: Gateway, model: str) -> None:
        self._assist = Assist(_Pinned(gateway, model), _Alone())

    async def __call__(self, hole: Hole) -> Filled:
        before = hole.prefix
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        found = await self._assist.complete(hole.path, line, column, text=before + hole.suffix)
        return Filled(found.text)


@dataclass(frozen=True, slots=True)
class _Pinned:
    """A gateway that means one model, whatever is asked for."""

    gateway: Gateway
    model: str

    async def card_for(self, model: str, *, needs: Collection[Capability]) -> ModelCard | None:
        return await self.gateway.card_for(self.model, needs=needs)

    def complete(self, request: CompletionRequest) -> AsyncIterator[Delta]:
        # Holes are filled side by side: none makes another pointless, as it would in an editor.
        return self.gateway.complete(replace(request, model=self.model, supersedes=None))


class _Alone:
    """A file without a project around it: the text is always handed over."""

    @property
    def workspace(self) -> "_Alone":
        return self

    def read(self, path: Path | str) -> None:
        return None

    def neighbours(self, path: str) -> list[Snippet]:
        return []


def _of_file(file: Path, adapter: Path | None) -> dict[str, object]:
    for path in filter(None, (file, adapter)):
        if not path.is_file():
            raise Invalid(f"there is no model file {path}", remedy="name a GGUF file")
    table = f"engines.{MEASURED}"
    flags: dict[str, object] = {f"{table}.kind": "llama_server", f"{table}.models": [str(file.absolute())]}
    if adapter is not None:
        flags[f"{table}.loras"] = {str(adapter.absolute()): 1.0}
    return flags


async def _at(
    url: str, root: Path | None, flags: Mapping[str, object], environ: Mapping[str, str]
) -> dict[str, object]:
    """The settings of an engine for what answers at the URL: llama.cpp's server, Ollama, else whatever speaks OpenAI's API."""
    table, place = f"engines.{MEASURED}", base_url(url).root
    async with await Fireside.open(root, flags=flags, environ=environ) as fireside:
        ask = fireside.transport.request
        props = await ask("GET", f"{place}/props", timeouts=GLANCE, errand=ERRAND)
        if props.status == 200 and b"default_generation_settings" in props.body:
            return {f"{table}.kind": "llama_server", f"{table}.url": place}
        version = await ask("GET", f"{place}/api/version", timeouts=GLANCE, errand=ERRAND)
        if version.status == 200 and b'"version"' in version.body:
            return {f"{table}.kind": "ollama", f"{table}.url": place}
    return {f"{table}.kind": "openai", f"{table}.base_url": url}


async def _measured(fireside: Fireside, wanted: Wanted) -> str:
    """The model of this run's engine, as the gateway understands it. Raises what the engine raises."""
    cards = [card for card in await fireside.gateway.models(refresh=True) if card.engine == MEASURED]
    if wanted.file is not None:
        path = str(wanted.file.absolute())
        cards = [card for card in cards if card.path == path] or cards
    elif wanted.model:
        return f"{wanted.model}@{MEASURED}"
    if not cards:
        health = (await fireside.gateway.health()).get(MEASURED)
        told = health.detail if health is not None else ""
        if wanted.file is not None:
            raise Invalid(told or f"{wanted.file} cannot be run", remedy="name another GGUF file")
        raise Invalid(
            f"no model answers there{': ' + told if told else ''}", remedy="check the URL; name a model: --model NAME"
        )
    return f"{cards[0].name}@{MEASURED}"
