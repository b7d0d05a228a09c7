"""Complete code at a cursor: by copying what is surely right, else by a model that fills in the middle, else by copying after all.

Copying is cheap and comes first; a model is asked where the copy is not sure, and what it is not sure of itself is not shown.
Knows the gateway and the project through the two small protocols here. Never raises because a model cannot answer: a key stroke is no
place for an error message; what went wrong is the gateway's to publish. No model sees a file that holds secrets, nor what looks like a key.
"""

import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from fireside.assist.copying import suggest
from fireside.assist.likelihood import Likelihood
from fireside.assist.settings import AssistSettings
from fireside.assist.syntax import longest_that_parses
from fireside.assist.trim import Trimmer
from fireside.core.errors import FiresideError, Invalid
from fireside.core.requests import CompletionRequest, Delta, Sampling, Snippet
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.index.languages import TEXT, language_of
from fireside.models.card import Capability, ModelCard
from fireside.workspace.exposure import findings, redact, withheld

MAX_TOKENS = 96
PREFIX_LIMIT = 12_000
PREFIX_STEP = 2_000
SUFFIX_LIMIT = 4_000
NEIGHBOUR_LINES = 60
NEIGHBOURS = 3
FILLS: frozenset[Capability] = frozenset(("fim",))
PROSE = {".md": "markdown", ".markdown": "markdown", ".rst": "rst", ".txt": "text"}


class Source(Protocol):
    @property
    def text(self) -> str: ...


class Files(Protocol):
    def read(self, path: Path | str, /) -> Source | None: ...


class Surroundings(Protocol):
    """The part of a project that completion needs."""

    @property
    def workspace(self) -> Files: ...

    def neighbours(self, path: str, /) -> list[Snippet]: ...


class Models(Protocol):
    """The part of the gateway that completion needs."""

    async def card_for(self, model: str, *, needs: Collection[Capability]) -> ModelCard | None: ...

    def complete(self, request: CompletionRequest, /) -> AsyncIterator[Delta]: ...


@dataclass(frozen=True, slots=True)
class Completion:
    """``text``: to be inserted at the cursor; empty when ``source`` is none. ``model``: who wrote it. ``seconds``: until it was whole."""

    text: str
    source: Literal["model", "copying", "none"]
    model: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is to be completed. ``language``: as the index names it; "" for one it does not know."""

    path: str
    language: str
    prefix: str
    suffix: str
    neighbours: Sequence[Snippet]
    max_lines: int


class Assist:
    """What an editor asks for while somebody types."""

    def __init__(
        self,
        gateway: Models,
        project: Surroundings,
        settings: AssistSettings = AssistSettings(),  # noqa: B008  frozen
        *,
        model: str = "complete",
    ) -> None:
        """``model``: who is asked, by alias or name."""
        self._gateway = gateway
        self._project = project
        self._settings = settings
        self._model = model

    async def complete(
        self, path: str, line: int, column: int | None = None, *, text: str | None = None, max_lines: int = 1
    ) -> Completion:
        """What would be typed at ``line`` and ``column`` of a file, both from 1; without a column, at the line's end.

        ``text``: what the editor holds, where the file on disk is older. ``max_lines``: lines the answer may have.
        Raises ``Invalid`` for a place the file does not have, or a file that cannot be read.
        """
        started = time.perf_counter()
        prefix, suffix = split_at(self._text(path) if text is None else text, line, column, path)
        place = Place(path, _language(path), prefix, suffix, self._neighbours(path), max_lines)
        copied = suggest(prefix, suffix, neighbours=place.neighbours, language=place.language, max_lines=max_lines)
        if copied is None or copied.confidence < self._settings.copy_confidence:
            written = await self._written(place)
            if written is not None:
                return replace(written, seconds=time.perf_counter() - started)
        seconds = time.perf_counter() - started
        return Completion(copied.text, "copying", "", seconds) if copied else Completion("", "none", "", seconds)

    async def _written(self, place: Place) -> Completion | None:
        """By the model: ``None`` when there is none, when it fails, or when it is not sure enough."""
        card = await self._card() if not withheld(place.path) else None
        if card is None:
            return None
        text = await self._ask(place)
        return Completion(text, "model", f"{card.name}@{card.engine}") if text else None

    def _text(self, path: str) -> str:
        source = self._project.workspace.read(path)
        if source is None:
            raise Invalid(f"{path} cannot be read as text", remedy="name a text file of this project, as FILE:LINE")
        return source.text

    def _neighbours(self, path: str) -> list[Snippet]:
        try:
            return self._project.neighbours(path)
        except FiresideError:
            return []  # a file outside the project has none

    async def _card(self) -> ModelCard | None:
        try:
            return await self._gateway.card_for(self._model, needs=FILLS)
        except FiresideError:
            return None

    async def _ask(self, place: Place) -> str:
        """The model's text as far as it parses, or "" when it has none, fails, or guesses."""
        request = self._request(place)
        try:
            try:
                trimmer, likelihood = await self._drawn(request, place)
            except Invalid:  # some servers refuse a request for logprobs instead of passing it over
                unsure = replace(request, sampling=replace(request.sampling, logprobs=None))
                trimmer, likelihood = await self._drawn(unsure, place)
        except FiresideError:
            return ""
        text = longest_that_parses(place.prefix, trimmer.text(), place.suffix, place.language)
        sure = likelihood.mean(trimmer.begin, trimmer.begin + len(text))
        return text if sure is None or sure >= self._settings.least_logprob else ""

    async def _drawn(self, request: CompletionRequest, place: Place) -> tuple[Trimmer, Likelihood]:
        trimmer, likelihood = Trimmer(place.prefix, place.suffix, max_lines=place.max_lines), Likelihood()
        async with closing(self._gateway.complete(request)) as deltas:
            async for delta in deltas:
                likelihood.take(delta)
                if trimmer.take(delta.text):
                    break  # enough: closing the stream frees the engine at once
        return trimmer, likelihood

    def _request(self, place: Place) -> CompletionRequest:
        prefix, suffix = _end_of(place.prefix, 2 * PREFIX_LIMIT), place.suffix[: 2 * SUFFIX_LIMIT]
        before, after = _without_keys(prefix, suffix, place.path)
        return CompletionRequest(
            prefix=_end_of(before, PREFIX_LIMIT),
            suffix=after[:SUFFIX_LIMIT],
            path=place.path,
            model=self._model,
            neighbours=tuple(_head(near) for near in _harmless(place.neighbours)),
            max_tokens=MAX_TOKENS,
            heal=self._settings.heal,
            sampling=Sampling(logprobs=0),
            supersedes=f"complete:{place.path}",
        )


def _language(path: str) -> str:
    found = PROSE.get(Path(path).suffix.lower()) or language_of(path)
    return "" if found == TEXT and not path.lower().endswith(".txt") else found


def _end_of(prefix: str, limit: int) -> str:
    """The last part of a long prefix. It begins at the same place for many key strokes, so that an engine's cache of it stays of use."""
    begin = -(-(len(prefix) - limit) // PREFIX_STEP) * PREFIX_STEP
    return prefix[begin:] if begin > 0 else prefix


def _harmless(neighbours: Sequence[Snippet]) -> list[Snippet]:
    """The nearest files for a prompt: without those that hold secrets by their name, and without values that look like keys."""
    shown = [near for near in neighbours if not withheld(near.path)][:NEIGHBOURS]
    return [Snippet(near.path, redact(near.text, near.path).text) for near in shown]


def _without_keys(prefix: str, suffix: str, path: str) -> tuple[str, str]:
    """What stands before and after the cursor, without values that look like keys. One that the cursor is in is gone from both sides."""
    whole, cursor = prefix + suffix, len(prefix)
    for found in findings(whole, path):
        if found.start < cursor < found.end:
            prefix, suffix = whole[: found.start], whole[found.end :]
    return redact(prefix, path).text, redact(suffix, path).text


def split_at(text: str, line: int, column: int | None, path: str) -> tuple[str, str]:
    """The text before and after a place; lines and columns from 1. Raises ``Invalid`` with the file's real size."""
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        raise Invalid(
            f"{path} has {len(lines)} lines, there is no line {line}", remedy=f"name a line from 1 to {len(lines)}"
        )
    here = lines[line - 1].removesuffix("\r")
    if column is not None and not 1 <= column <= len(here) + 1:
        raise Invalid(
            f"line {line} of {path} has {len(here)} characters, there is no column {column}",
            remedy=f"name a column from 1 to {len(here) + 1}",
        )
    at = sum(len(before) + 1 for before in lines[: line - 1]) + (len(here) if column is None else column - 1)
    return text[:at], text[at:]


def _head(near: Snippet) -> Snippet:
    return Snippet(near.path, "\n".join(near.text.split("\n", NEIGHBOUR_LINES)[:NEIGHBOUR_LINES]))
