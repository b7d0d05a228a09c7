"""Models: the files that are here, what engines offer, and whether the names in the settings lead anywhere."""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from fireside.app.doctor.diagnosis import Diagnosis, Subject
from fireside.app.doctor.inputs import DoctorInputs
from fireside.core.errors import FiresideError, Invalid
from fireside.engines.engine import Engine
from fireside.engines.ollama import OllamaEngine
from fireside.models.card import ModelCard
from fireside.models.gguf import read_header, verify
from fireside.models.store import StoredModel

ENGINE_SECONDS = 2.0
BLOCK = 1 << 20


async def files(inputs: DoctorInputs) -> list[Diagnosis]:
    """Headers only: the weights are read by ``hashes``, which takes seconds per gigabyte."""
    subject = Subject("model files")
    found = [finding for model in inputs.models for finding in await asyncio.to_thread(_file, model)]
    number = len(inputs.models)
    return found or [subject.ok(f"{number} whole" if number else "none stored")]


def _file(model: StoredModel) -> list[Diagnosis]:
    subject = Subject("model files")
    again = f"fireside models rm {model.name}, then pull or add it again"
    if not model.path.is_file():
        return [subject.error("model-file-missing", f"{model.name}: {model.path} is gone", again)]
    actual = model.path.stat().st_size
    if actual != model.size:
        message = f"{model.name}: {actual} bytes instead of {model.size}; it was cut or changed"
        return [subject.error("model-file-changed", message, again)]
    try:
        verify(read_header(model.path))
    except Invalid as error:
        return [subject.error("model-file-damaged", error.message, again)]
    return []


async def hashes(inputs: DoctorInputs) -> list[Diagnosis]:
    subject = Subject("model hashes")
    known = [model for model in inputs.models if model.path.is_file()]
    found = []
    for model in known:
        if await asyncio.to_thread(_sha256, model.path) != model.sha256:
            message = f"{model.name} is not what was stored: its SHA-256 differs"
            remedy = f"fireside models rm {model.name}, then pull or add it again"
            found.append(subject.error("model-hash-mismatch", message, remedy))
    return found or [subject.ok(f"{len(known)} as they were stored")] * bool(known)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


async def offered(inputs: DoctorInputs) -> list[Diagnosis]:
    """Whether anything can chat, and where each alias leads."""
    subject = Subject("models")
    lists = await asyncio.gather(*(_cards(engine) for engine in inputs.engines))
    cards = [card for found in lists if found is not None for card in found]
    silent = {engine.name for engine, found in zip(inputs.engines, lists, strict=True) if found is None}
    findings = list(_aliases(inputs, cards, silent))
    if not any(card.can("chat") for card in cards):
        remedy = "fireside models pull URL  (a GGUF file)\nor start Ollama: it is found by itself"
        message = "no model can chat: questions are answered with excerpts of the code itself"
        findings.append(subject.warning("no-chat-model", message, remedy))
    return findings or [subject.ok(f"{len(cards)} can be asked")]


async def _cards(engine: Engine) -> list[ModelCard] | None:
    try:
        async with asyncio.timeout(ENGINE_SECONDS):
            return await engine.models()
    except (FiresideError, TimeoutError):
        return None


def _aliases(inputs: DoctorInputs, cards: Sequence[ModelCard], silent: set[str]) -> Iterator[Diagnosis]:
    names = {engine.name for engine in inputs.engines}
    for alias, target in inputs.aliases.items():
        model, _, at = target.partition("@")
        if model in inputs.aliases:
            continue
        if at and at not in names:
            yield _no_engine(alias, target, at, names)
        elif not any(_is(card, model) and at in ("", card.engine) for card in cards) and not (
            at in silent or (not at and silent)
        ):
            yield _dangling(alias, target, model, at, cards)


def _no_engine(alias: str, target: str, at: str, names: set[str]) -> Diagnosis:
    close = get_close_matches(at, names, n=1) or sorted(names)
    remedy = f"fireside config set models.{alias} {target.partition('@')[0]}@{close[0] if close else 'ENGINE'}"
    message = f"{alias} is {target}, but there is no engine called {at}"
    return Subject("models").error("alias-without-engine", message, remedy)


def _dangling(alias: str, target: str, model: str, at: str, cards: Sequence[ModelCard]) -> Diagnosis:
    labels = {card.name: f"{card.name}@{card.engine}" for card in cards}
    close = get_close_matches(model, labels, n=3, cutoff=0.5)
    hint = f"; the closest are {', '.join(close)}" if close else ""
    choose = f"fireside config set models.{alias} {labels[close[0]]}\n" if close else ""
    pull = f"fireside models pull {model}" + (f"@{at}" if at else "")
    message = f"{alias} is {target}, which no engine has{hint}"
    return Subject("models").error("alias-dangling", message, choose + pull)


def _is(card: ModelCard, name: str) -> bool:
    return name in (card.name, card.name.removesuffix(":latest"))


async def engines(inputs: DoctorInputs) -> list[Diagnosis]:
    """All but Ollama, which is looked at more closely elsewhere."""
    others = [engine for engine in inputs.engines if not isinstance(engine, OllamaEngine)]
    return list(await asyncio.gather(*(_engine(engine) for engine in others)))


async def _engine(engine: Engine) -> Diagnosis:
    subject, health = Subject(engine.name), await engine.health()
    if health.state == "down":
        return subject.warning(
            "engine-down", health.detail or "does not answer", health.remedy or "fireside config show engines"
        )
    return subject.ok(health.detail or health.state)
