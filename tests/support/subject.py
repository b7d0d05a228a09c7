"""What the conformance suite is run against: an engine, and a hand on whatever stands behind it. The engines are in ``subjects``.

A case says in neutral words what the backend is to do (``Says``) and gets the request to send. Where the backend is a fake it does
exactly that. A real model has random weights and says what it likes; it is made to say the words by a schema that allows nothing else,
or, where it knows no schema, only the form of its answer is checked (``check_said``).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from fireside.core.errors import ErrorKind
from fireside.core.messages import Message, ToolCall
from fireside.core.requests import ChatRequest, CompletionRequest
from fireside.core.values import replace
from fireside.engines.engine import Engine
from fireside.models.card import ModelCard
from support.answers import GUARD, Answer

Fault = Literal[
    "refused",  # nothing listens
    "reset",  # the connection is reset before an answer
    "cut",  # the connection breaks in mid-stream
    "ended",  # the stream ends in good order, but without a finish reason
    "killed",  # the process behind the engine is killed in mid-stream
    "broken",  # an event is not what the protocol says
    "html",  # a page instead of an answer
    "missing_model",
    "loading",  # not even the head of an answer comes for too long
    "silent",  # nothing follows the head for too long
    "stall",  # nothing more comes for too long
    "out_of_memory",
    "busy",
    "rate_limit",
    "bad_request",
    "forbidden",
    "too_long",
    "server_error",
    "error_in_stream",
]
KINDS: Mapping[Fault, frozenset[ErrorKind]] = {
    "refused": frozenset({ErrorKind.CONNECTION}),
    "reset": frozenset({ErrorKind.CONNECTION}),
    "cut": frozenset({ErrorKind.CONNECTION}),
    "ended": frozenset({ErrorKind.CONNECTION}),
    "killed": frozenset({ErrorKind.CONNECTION}),
    "broken": frozenset({ErrorKind.CONNECTION}),
    "html": frozenset({ErrorKind.CONNECTION, ErrorKind.VALIDATION}),
    "missing_model": frozenset({ErrorKind.MODEL_NOT_FOUND}),
    "loading": frozenset({ErrorKind.TIMEOUT}),
    "silent": frozenset({ErrorKind.TIMEOUT}),
    "stall": frozenset({ErrorKind.TIMEOUT}),
    "out_of_memory": frozenset({ErrorKind.RESOURCE}),
    "busy": frozenset({ErrorKind.RESOURCE, ErrorKind.RATE_LIMIT}),
    "rate_limit": frozenset({ErrorKind.RATE_LIMIT}),
    "bad_request": frozenset({ErrorKind.VALIDATION}),
    "forbidden": frozenset({ErrorKind.PERMISSION}),
    "too_long": frozenset({ErrorKind.CONTEXT_LENGTH}),
    "server_error": frozenset({ErrorKind.UNKNOWN}),
    "error_in_stream": frozenset(ErrorKind),
}
MID_STREAM: frozenset[Fault] = frozenset({"cut", "ended", "killed", "broken", "stall", "error_in_stream"})
IDLE = 3.0  # seconds a backend may take to notice that nobody listens; milliseconds on a quiet machine
RETRY_AFTER = 7  # seconds, as the fakes say with "rate_limit"


@dataclass(frozen=True, kw_only=True)
class Says:
    """What comes next. ``hold_after``: after so many pieces of it nothing more comes. ``fault`` comes after ``fault_after`` pieces.

    ``split``: bytes the network carries at a time, 0 for whole events.
    """

    text: str = "Hello, how are you today?"
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    hold_after: int | None = None
    fault: Fault | None = None
    fault_after: int = 0
    split: int = 0


class Meeting(NamedTuple):
    """Whom to ask what, to run into a fault."""

    engine: Engine
    request: ChatRequest
    card: ModelCard


async def until(condition: Callable[[], bool]) -> None:
    """Look at another task's doings until they are as expected."""
    async with asyncio.timeout(GUARD):
        while not condition():
            await asyncio.sleep(0.002)


class Subject:
    """``programmable``: the backend says what it is told. ``faults``: what can be made to go wrong behind this engine."""

    name: ClassVar[str]
    programmable: ClassVar[bool] = True
    faults: ClassVar[tuple[Fault, ...]] = ()
    engine: Engine
    card: ModelCard

    async def open(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        await self.engine.aclose()

    def arrange(self, says: Says) -> None:
        """Have the backend do this with everything it is asked from now on."""
        raise NotImplementedError

    async def vanish(self) -> None:
        """Take the backend away. Only on a subject of one's own."""
        raise NotImplementedError

    @property
    def embedder(self) -> ModelCard:
        """The card to embed with."""
        return self.card

    async def idle(self) -> None:
        """Wait until the backend works on nothing; fails when that takes seconds."""
        async with asyncio.timeout(IDLE):
            while (await self.engine.health()).busy:
                await asyncio.sleep(0.005)

    def ask(self, says: Says | None = None, content: str = "Say it.", **changes: object) -> ChatRequest:
        """Arrange what is to be said, and give the request that makes it so."""
        self.arrange(says or Says())
        request = ChatRequest(messages=(Message("user", content),), model=self.card.name)
        return replace(request, **changes)  # type: ignore[arg-type]

    def fill(self, says: Says | None = None, prefix: str = "def f(", **changes: object) -> CompletionRequest:
        self.arrange(says or Says(text="x, y"))
        return replace(CompletionRequest(prefix, model=self.card.name), **changes)  # type: ignore[arg-type]

    async def run_into(self, says: Says) -> Meeting:
        """What meets ``says.fault``."""
        if says.fault == "missing_model":
            return Meeting(self.engine, self.ask(), replace(self.card, name="no-such-model"))
        if says.fault == "too_long":
            return Meeting(self.engine, self.ask(content=self.words(2)), self.card)
        return Meeting(self.engine, self.ask(says), self.card)

    def words(self, windows: float) -> str:
        """Text of so many context windows, a token or more for each word."""
        return "word " * int(self.card.context_window * windows)

    def check_said(self, answer: Answer, says: Says) -> None:
        """The answer is what was to be said."""
        assert answer.text == says.text
        assert answer.reasoning == says.reasoning
        assert answer.finish == ("tool_calls" if says.tool_calls else "stop")
