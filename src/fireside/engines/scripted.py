"""An engine that says what its script says: for tests, for demonstrations, for developing a door without a model.

It keeps every rule a real engine keeps (one finish reason, usage, cancellation, typed errors), so whatever works against it has met
the protocol. It is never chosen by itself: a user names it in the configuration.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fireside.core.errors import (
    ERRORS,
    ConnectionFailed,
    ContextTooLong,
    ErrorKind,
    FiresideError,
    Invalid,
    ModelNotFound,
)
from fireside.core.messages import ToolCall
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, FinishReason, Sampling, Usage, Vectors
from fireside.core.values import replace
from fireside.engines.engine import Boundary, EngineHealth, PullProgress
from fireside.models.card import Capability, ModelCard

EVERYTHING: frozenset[Capability] = frozenset(("chat", "tools", "fim", "embed", "json_schema", "vision", "thinking"))
PIECE = re.compile(r"\s*\S+|\s+")
DIMENSIONS = 32


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. ``when``: a regular expression the last message (or the prefix) must hold for this reply to be chosen.

    ``offered``: a tool that must be offered for it, too; so a title that an agent asks for beside its turn is not taken for the turn.
    ``error`` is raised after ``fail_after`` pieces; ``pace``: seconds before each piece; ``hold``: an event to wait for after
    ``hold_after`` pieces.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    when: str = ""
    offered: str = ""
    error: FiresideError | None = None
    fail_after: int = 0
    pace: float = 0.0
    hold: asyncio.Event | None = None
    hold_after: int = 0


class ScriptedSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="scripted"
):
    """``script``: a JSON file: a list of {"text", "reasoning", "when", "offered", "pace", "tool_calls", "error": kind}.

    ``tool_calls``: a list of {"name", "arguments"}; arguments that are a text are said as they are, however broken.
    """

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

    def rehearse(self, *replies: Reply) -> None:
        """Go on with another script; what was asked so far stays in ``requests``."""
        self._script = list(replies)
        self._used.clear()

    def break_off(self) -> None:
        """From now on nobody is there: every question fails as it does when nothing listens."""
        self._health = EngineHealth(state="down", detail=f"{self.name} is gone", remedy="rehearse a script")

    async def chat(self, request: ChatRequest, card: ModelCard) -> AsyncGenerator[Delta]:
        self._accept(request, card)
        _check_chat(request, card)
        prompt = _count(" ".join(message.content for message in request.messages))
        reply = self._choose(request.messages[-1].content, {tool.name for tool in request.tools})
        if request.tool_choice == "none":
            reply = replace(reply, tool_calls=())
        async with aclosing(self._say(reply, prompt, request.sampling, card)) as deltas:
            async for delta in deltas:
                yield delta

    async def complete(self, request: CompletionRequest, card: ModelCard) -> AsyncGenerator[Delta]:
        self._accept(request, card)
        _need(card, "fim", "fill in code")
        sampling = replace(request.sampling, max_tokens=request.sampling.max_tokens or request.max_tokens)
        prompt = _count(request.prefix) + _count(request.suffix)
        async with aclosing(self._say(self._choose(request.prefix), prompt, sampling, card)) as deltas:
            async for delta in deltas:
                yield delta

    async def embed(self, texts: Sequence[str], card: ModelCard) -> Vectors:
        self._known(card)
        _need(card, "embed", "embed")
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
        if not name:
            raise Invalid("no model was named", remedy="fireside models pull NAME")
        yield PullProgress("pulling", 0, 100)
        self._cards.append(scripted_card(self.name, name))
        yield PullProgress("success", 100, 100)

    async def aclose(self) -> None:
        return None

    def _known(self, card: ModelCard) -> None:
        if self._health.state == "down":
            raise ConnectionFailed(f"{self.name} does not answer", remedy=self._health.remedy, cause="refused")
        if card.name not in {known.name for known in self._cards}:
            raise ModelNotFound(f"{card.name} is not in the script of {self.name}", remedy="fireside models list")

    def _accept(self, request: ChatRequest | CompletionRequest, card: ModelCard) -> None:
        self._known(card)
        self.requests.append(request)

    def _choose(self, asked: str, tools: Set[str] = frozenset()) -> Reply:
        fitting = [
            index
            for index, reply in enumerate(self._script)
            if re.search(reply.when, asked) and (not reply.offered or reply.offered in tools)
        ]
        if not fitting:
            raise Invalid("the script has no reply to this", remedy='add a reply with an empty "when" as the last')
        unused = [index for index in fitting if index not in self._used]
        chosen = unused[0] if unused else fitting[-1]
        self._used.add(chosen)
        return self._script[chosen]

    async def _say(self, reply: Reply, prompt: int, sampling: Sampling, card: ModelCard) -> AsyncGenerator[Delta]:
        if card.context_window and prompt > card.context_window:
            raise ContextTooLong(
                f"the prompt has {prompt} tokens, {card.name} takes {card.context_window}",
                remedy="ask about fewer files",
                prompt_tokens=prompt,
                context_window=card.context_window,
            )
        self.running += 1
        over = False
        try:
            async with aclosing(_follow(reply, prompt, sampling)) as deltas:
                async for delta in deltas:
                    over = delta.finish_reason is not None
                    yield delta
        except FiresideError:
            over = True
            raise
        finally:
            self.running -= 1
            self.cancelled += not over


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
        offered=str(entry.get("offered", "")),
        pace=float(str(entry.get("pace", 0))),
        tool_calls=tuple(
            ToolCall(f"call_{index}", str(call["name"]), _written(call.get("arguments", {})))
            for index, call in enumerate(calls)
        ),
        error=ERRORS[ErrorKind(str(kind))]("as the script says") if kind else None,
        fail_after=int(str(entry.get("fail_after", 0))),
    )


def _written(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _check_chat(request: ChatRequest, card: ModelCard) -> None:
    """Refuse what a real engine would refuse, so that whoever asks learns it here."""
    _need(card, "chat", "chat")
    if not request.messages:
        raise Invalid("there is no message to answer", remedy="send at least one message")
    if request.tools and request.tool_choice != "none":
        _need(card, "tools", "call tools")
    if request.response_format is not None:
        _need(card, "json_schema", "answer in a given JSON form")
    if any(message.images for message in request.messages):
        _need(card, "vision", "see images")


def _need(card: ModelCard, capability: Capability, verb: str) -> None:
    if not card.can(capability):
        raise Invalid(f"{card.name} cannot {verb}", remedy="choose a model that can: fireside models list")


async def _follow(reply: Reply, prompt: int, sampling: Sampling) -> AsyncGenerator[Delta]:
    """The reply's pieces in order, with its waits and its error where the script puts them."""
    words, reason = _spoken(reply, sampling)
    pieces = [*_said(reply, words)]
    for index, piece in enumerate(pieces):
        await _pause(reply, index)
        yield piece
    await _pause(reply, len(pieces))
    if reply.error is not None:
        raise reply.error
    yield Delta(finish_reason=reason, usage=Usage(prompt_tokens=prompt, completion_tokens=len(pieces)))


def _said(reply: Reply, words: Sequence[str]) -> Iterator[Delta]:
    yield from (Delta(reasoning=piece) for piece in PIECE.findall(reply.reasoning))
    yield from (Delta(text=word) for word in words)
    yield from (Delta(tool_call=call) for call in reply.tool_calls)


async def _pause(reply: Reply, index: int) -> None:
    if reply.error is not None and index >= reply.fail_after:
        raise reply.error
    if reply.hold is not None and index == reply.hold_after:
        await reply.hold.wait()
    await asyncio.sleep(reply.pace)


def _spoken(reply: Reply, sampling: Sampling) -> tuple[list[str], FinishReason]:
    """The text in pieces, cut where a stop sequence begins or where ``max_tokens`` is reached, and the reason it ends there."""
    ends = [reply.text.index(stop) for stop in sampling.stop if stop and stop in reply.text]
    words = PIECE.findall(reply.text[: min(ends)] if ends else reply.text)
    if sampling.max_tokens is not None and len(words) > sampling.max_tokens:
        return words[: sampling.max_tokens], "length"
    return words, "tool_calls" if reply.tool_calls else "stop"


def _count(text: str) -> int:
    return len(PIECE.findall(text))


def _hash_vector(text: str) -> list[float]:
    """A unit vector that depends on the text alone: equal texts are equal, others almost orthogonal."""
    digest = hashlib.shake_256(text.encode()).digest(DIMENSIONS)
    raw = [byte - 127.5 for byte in digest]
    length = sum(value * value for value in raw) ** 0.5
    return [value / length for value in raw]
