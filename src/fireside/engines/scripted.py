"""An engine that says what its script says: for tests, for demonstrations, for developing a door without a model.

It keeps every rule a real engine keeps (one finish reason, usage, cancellation, typed errors), so whatever works against it has met
the protocol. It is never chosen by itself: a user names it in the configuration.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from fireside.core.errors import ERRORS, ContextTooLong, ErrorKind, FiresideError, Invalid, ModelNotFound
from fireside.core.messages import ToolCall
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, FinishReason, Sampling, Usage, Vectors
from fireside.engines.engine import Boundary, EngineHealth, PullProgress
from fireside.models.card import Capability, ModelCard

EVERYTHING: frozenset[Capability] = frozenset(("chat", "tools", "fim", "embed", "json_schema", "vision", "thinking"))
PIECE = re.compile(r"\s*\S+|\s+")
DIMENSIONS = 32


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. ``when``: a regular expression the last message (or the prefix) must hold for this reply to be chosen.

    ``error`` is raised after ``fail_after`` pieces; ``pace``: seconds before each piece; ``hold``: wait for this event before the first.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    when: str = ""
    error: FiresideError | None = None
    fail_after: int = 0
    pace: float = 0.0
    hold: asyncio.Event | None = None


class ScriptedSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="scripted"
):
    """``script``: a JSON file: a list of {"text", "reasoning", "when", "pace", "tool_calls": [{"name", "arguments"}], "error": kind}."""

    script: str = ""
    says: str = ""
    context_window: int = 8192


class ScriptedEngine:
    """Answers with the first unused reply whose ``when`` fits; the last reply that fits is said again for ever.

    ``requests`` holds what was asked, ``cancelled`` counts streams closed before their end, ``running`` those open now.
    """

    def __init__(
        self,
        *replies: Reply | str,
        name: str = "scripted",
        says: str | None = None,
        fail_after: int | None = None,
        error: FiresideError | None = None,
        boundary: Boundary = Boundary.MACHINE,
        cards: Sequence[ModelCard] | None = None,
        health: EngineHealth | None = None,
    ) -> None:
        script = [reply if isinstance(reply, Reply) else Reply(text=reply) for reply in replies]
        if says is not None:
            script.append(Reply(text=says))
        if fail_after is not None or error is not None:
            failure = error or ERRORS[ErrorKind.CONNECTION](f"{name} broke off, as its script says", cause="cut")
            script.append(Reply(text=says or "one two three four", error=failure, fail_after=fail_after or 0))
        self.name = name
        self.boundary = boundary
        self.requests: list[ChatRequest | CompletionRequest] = []
        self.warmed: list[ChatRequest] = []
        self.cancelled = 0
        self.running = 0
        self._script = script or [Reply(text="Hello from a script.")]
        self._used: set[int] = set()
        self._cards = list(cards) if cards is not None else [scripted_card(name)]
        self._health = health or EngineHealth(state="ready", detail="follows its script")

    async def chat(self, request: ChatRequest, card: ModelCard) -> AsyncIterator[Delta]:
        self._accept(request, card)
        asked = request.messages[-1].content if request.messages else ""
        prompt = _count(" ".join(message.content for message in request.messages))
        async for delta in self._say(self._choose(asked), prompt, request.sampling, card):
            yield delta

    async def complete(self, request: CompletionRequest, card: ModelCard) -> AsyncIterator[Delta]:
        self._accept(request, card)
        sampling = replace(request.sampling, max_tokens=request.sampling.max_tokens or request.max_tokens)
        prompt = _count(request.prefix) + _count(request.suffix)
        async for delta in self._say(self._choose(request.prefix), prompt, sampling, card):
            yield delta

    async def embed(self, texts: Sequence[str], card: ModelCard) -> Vectors:
        self._known(card)
        if not card.can("embed"):
            raise Invalid(f"{card.name} does not embed", remedy="choose a model that can: fireside models list")
        return [_hash_vector(text) for text in texts]

    async def models(self) -> list[ModelCard]:
        return list(self._cards)

    async def health(self) -> EngineHealth:
        return replace(self._health, busy=self.running)

    async def count_tokens(self, request: ChatRequest | str, card: ModelCard) -> int | None:
        self._known(card)
        if isinstance(request, str):
            return _count(request)
        return sum(_count(message.content) for message in request.messages)

    async def warm(self, request: ChatRequest, card: ModelCard) -> None:
        self._known(card)
        self.warmed.append(request)

    async def pull(self, name: str) -> AsyncIterator[PullProgress]:
        yield PullProgress("pulling", 0, 100)
        self._cards.append(scripted_card(self.name, name))
        yield PullProgress("success", 100, 100)

    async def aclose(self) -> None:
        return None

    def _known(self, card: ModelCard) -> None:
        if card.name not in {known.name for known in self._cards}:
            raise ModelNotFound(f"{card.name} is not in the script of {self.name}", remedy="fireside models list")

    def _accept(self, request: ChatRequest | CompletionRequest, card: ModelCard) -> None:
        self._known(card)
        self.requests.append(request)

    def _choose(self, asked: str) -> Reply:
        fitting = [index for index, reply in enumerate(self._script) if re.search(reply.when, asked)]
        if not fitting:
            raise Invalid("the script has no reply to this", remedy='add a reply with an empty "when" as the last')
        unused = [index for index in fitting if index not in self._used]
        chosen = unused[0] if unused else fitting[-1]
        self._used.add(chosen)
        return self._script[chosen]

    async def _say(self, reply: Reply, prompt: int, sampling: Sampling, card: ModelCard) -> AsyncIterator[Delta]:
        if card.context_window and prompt > card.context_window:
            raise ContextTooLong(
                f"the prompt has {prompt} tokens, {card.name} takes {card.context_window}",
                remedy="ask about fewer files",
                prompt_tokens=prompt,
                context_window=card.context_window,
            )
        self.running += 1
        finished = False
        try:
            if reply.hold is not None:
                await reply.hold.wait()
            async for delta in _pieces(reply, prompt, sampling):
                finished = delta.finish_reason is not None
                yield delta
        except FiresideError:
            finished = True
            raise
        finally:
            self.running -= 1
            self.cancelled += not finished


def scripted_card(engine: str, name: str = "script", *, context_window: int = 8192) -> ModelCard:
    """A card for a scripted model that can everything."""
    return ModelCard(
        name=name, engine=engine, family="scripted", context_window=context_window, capabilities=EVERYTHING
    )


def build(name: str, settings: ScriptedSettings, context: object) -> ScriptedEngine:
    """The entry point: read the script named in the configuration."""
    replies = _read_script(Path(settings.script)) if settings.script else []
    cards = [scripted_card(name, context_window=settings.context_window)]
    return ScriptedEngine(*replies, name=name, says=settings.says or None, cards=cards)


build.settings = ScriptedSettings  # type: ignore[attr-defined]


def _read_script(path: Path) -> list[Reply]:
    try:
        entries = json.loads(path.read_bytes())
        return [_reply(entry) for entry in entries]
    except OSError as error:
        raise Invalid(
            f"cannot read the script {path}: {error.strerror}", remedy="check engines.<name>.script"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Invalid(
            f"{path} is not a script: {error}", remedy='a script is a JSON list of {"text": "..."}'
        ) from error


def _reply(entry: dict[str, object]) -> Reply:
    calls = entry.get("tool_calls", [])
    assert isinstance(calls, list)
    kind = entry.get("error")
    return Reply(
        text=str(entry.get("text", "")),
        reasoning=str(entry.get("reasoning", "")),
        when=str(entry.get("when", "")),
        pace=float(str(entry.get("pace", 0))),
        tool_calls=tuple(
            ToolCall(f"call_{index}", str(call["name"]), json.dumps(call.get("arguments", {})))
            for index, call in enumerate(calls)
        ),
        error=ERRORS[ErrorKind(str(kind))]("as the script says") if kind else None,
        fail_after=int(str(entry.get("fail_after", 0))),
    )


async def _pieces(reply: Reply, prompt: int, sampling: Sampling) -> AsyncIterator[Delta]:
    text, stopped = _until_stop(reply.text, sampling.stop)
    words = PIECE.findall(text)
    limit = len(words) if sampling.max_tokens is None else sampling.max_tokens
    pieces = [Delta(reasoning=piece) for piece in PIECE.findall(reply.reasoning)]
    pieces += [Delta(text=word) for word in words[:limit]]
    pieces += [Delta(tool_call=call) for call in reply.tool_calls]
    for index, piece in enumerate(pieces):
        if reply.error is not None and index >= reply.fail_after:
            raise reply.error
        await asyncio.sleep(reply.pace)
        yield piece
    if reply.error is not None:
        raise reply.error
    reason: FinishReason = (
        "tool_calls" if reply.tool_calls else "length" if len(words) > limit and not stopped else "stop"
    )
    yield Delta(finish_reason=reason, usage=Usage(prompt_tokens=prompt, completion_tokens=len(pieces)))


def _until_stop(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    ends = [text.index(stop) for stop in stops if stop and stop in text]
    return (text[: min(ends)], True) if ends else (text, False)


def _count(text: str) -> int:
    return len(PIECE.findall(text))


def _hash_vector(text: str) -> list[float]:
    """A unit vector that depends on the text alone: equal texts are equal, others almost orthogonal."""
    digest = hashlib.shake_256(text.encode()).digest(DIMENSIONS)
    raw = [byte - 127.5 for byte in digest]
    length = sum(value * value for value in raw) ** 0.5
    return [value / length for value in raw]
