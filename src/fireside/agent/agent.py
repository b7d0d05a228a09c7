"""One conversation turn: find the lines, ask the model, say where the answer stands.

Works without a model too: then the answer is put together from the code itself and says so.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import msgspec

from fireside.agent import excerpts
from fireside.agent.session import Session
from fireside.context.budget import Budget
from fireside.context.builder import SYSTEM, Attachment, Built, build, cite
from fireside.context.project import Project
from fireside.core.errors import FiresideError
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, Priority, Sampling, Usage
from fireside.core.streams import closing
from fireside.core.turns import ContextGathered, ReasoningDelta, TextDelta, TurnEvent, TurnFailed, TurnFinished
from fireside.gateway.gateway import Gateway
from fireside.index.chunks import Chunk, Hit, Symbol
from fireside.models.card import ModelCard


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``excerpts``: how many places of the project are shown to the model at most. ``answer_tokens``: the longest answer.

    ``prompt_tokens``: the longest prompt in tokens, whatever the model's window is: small models lose their way in long ones.
    """

    excerpts: Annotated[int, msgspec.Meta(ge=0, le=50)] = 8
    answer_tokens: Annotated[int, msgspec.Meta(ge=16)] = 1024
    prompt_tokens: Annotated[int, msgspec.Meta(ge=512)] = 8192


class Agent:
    """Answers questions about one project. Holds no conversation: that is the caller's ``Session``."""

    def __init__(self, gateway: Gateway, project: Project, settings: AgentSettings) -> None:
        self._gateway = gateway
        self._project = project
        self._settings = settings

    def configure(self, settings: AgentSettings) -> None:
        """Take over changed settings; a turn that has begun keeps the old ones."""
        self._settings = settings

    async def turn(
        self, session: Session, question: str, *, attachments: Sequence[Attachment] = ()
    ) -> AsyncIterator[TurnEvent]:
        """Everything that happens while ``question`` is answered. Ends with ``TurnFinished`` or ``TurnFailed``; raises nothing typed.

        Closing the iterator stops the answer; what was said until then stays in the session.
        """
        try:
            hits = await asyncio.to_thread(self._look, question)
            card = await self._gateway.card_for(session.model, needs=["chat"])
            answer = self._extract(hits) if card is None else self._generate(session, question, hits, card, attachments)
            async with closing(answer) as events:
                async for event in events:
                    yield event
        except FiresideError as error:
            yield TurnFailed(error)

    def _look(self, question: str) -> tuple[Hit, ...]:
        if self._project.too_wide:
            return ()
        self._project.update()
        limit = self._settings.excerpts
        return self._project.search(question, limit=limit).hits if limit and question.strip() else ()

    async def _extract(self, hits: Sequence[Hit]) -> AsyncIterator[TurnEvent]:
        shown = hits[: excerpts.MOST_SPANS]
        yield ContextGathered(tuple(cite(hit.chunk) for hit in shown))
        for piece in await asyncio.to_thread(lambda: list(excerpts.answer(shown, self._defined))):
            yield TextDelta(piece)
        yield TurnFinished(Usage(), "stop", generated=False)

    def _defined(self, chunk: Chunk) -> list[Symbol]:
        return self._project.index.symbols_in(chunk.path, chunk.start_line, chunk.end_line)

    async def _generate(
        self, session: Session, question: str, hits: Sequence[Hit], card: ModelCard, attachments: Sequence[Attachment]
    ) -> AsyncIterator[TurnEvent]:
        built = self._build(session, question, hits, card, attachments)
        yield ContextGathered(built.citations, built.left_out)
        request = self._request(session, built.messages)
        said: list[str] = []
        finished = TurnFinished(Usage(), "stop")
        try:
            async with closing(self._gateway.chat(request)) as deltas:
                async for delta in deltas:
                    if delta.reasoning:
                        yield ReasoningDelta(delta.reasoning)
                    if delta.text:
                        said.append(delta.text)
                        yield TextDelta(delta.text)
                    if delta.finish_reason:
                        finished = TurnFinished(delta.usage or Usage(), delta.finish_reason, delta.engine, delta.model)
        finally:
            session.remember(built.question, "".join(said))
        yield finished

    async def warm(self, session: Session) -> None:
        """Load the model and compute the stable start of the prompt, while the user is still typing."""
        card = await self._gateway.card_for(session.model, needs=["chat"])
        if card is not None:
            await self._gateway.warm(self._request(session, (Message("system", SYSTEM), *session.history)))

    def _build(
        self, session: Session, question: str, hits: Sequence[Hit], card: ModelCard, attachments: Sequence[Attachment]
    ) -> Built:
        settings = self._settings
        window = min(card.context_window or settings.prompt_tokens, settings.prompt_tokens + settings.answer_tokens)
        budget = Budget.for_window(window, answer=settings.answer_tokens)
        return build(question, hits, budget=budget, history=session.history, attachments=attachments)

    def _request(self, session: Session, messages: tuple[Message, ...]) -> ChatRequest:
        sampling = Sampling(temperature=0.2, max_tokens=self._settings.answer_tokens)
        return ChatRequest(messages, model=session.model, sampling=sampling, priority=Priority.CHAT, session=session.id)
