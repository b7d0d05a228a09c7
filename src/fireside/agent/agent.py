"""One conversation turn: find the lines, ask the model, say where the answer stands.

Works without a model too: then the answer is put together from the code itself and says so.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from fireside.agent import excerpts
from fireside.agent.gathering import Gathered, gather
from fireside.agent.session import Session
from fireside.agent.settings import AgentSettings
from fireside.context.budget import MESSAGE_OVERHEAD, Budget, estimate
from fireside.context.builder import SYSTEM, Attachment, Built, build, cite
from fireside.context.project import Project
from fireside.core.errors import FiresideError
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, Priority, Usage
from fireside.core.streams import closing
from fireside.core.turns import ContextGathered, ReasoningDelta, TextDelta, TurnEvent, TurnFailed, TurnFinished
from fireside.core.values import replace
from fireside.gateway.gateway import Gateway
from fireside.index.chunks import Chunk, Symbol
from fireside.models.card import ModelCard

# How often a prompt is put together anew once its tokens are counted.
FITTINGS = 3
# What is counted may not be the whole truth about the next prompt.
MARGIN = 1.03
# Of answers about code, where nobody wants another.
TEMPERATURE = 0.2
# From this share of the room on, an estimate is not trusted.
TIGHT = 0.8


class Agent:
    """Answers questions about one project. Holds no conversation: that is the caller's ``Session``."""

    def __init__(self, gateway: Gateway, project: Project, settings: AgentSettings) -> None:
        self._gateway = gateway
        self._project = project
        self._settings = settings
        self._scales: dict[str, float] = {}

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
            gathered = await asyncio.to_thread(self._gather, session.topic, question, attachments)
            card = await self._gateway.card_for(session.model, needs=["chat"])
            answer = self._extract(gathered) if card is None else self._generate(session, question, gathered, card)
            async with closing(answer) as events:
                async for event in events:
                    yield event
        except FiresideError as error:
            yield TurnFailed(error)

    def _gather(self, topic: str, question: str, attachments: Sequence[Attachment]) -> Gathered:
        limit, redact = self._settings.excerpts, self._settings.redact_secrets
        return gather(self._project, question, attachments=attachments, topic=topic, limit=limit, redact=redact)

    async def _extract(self, gathered: Gathered) -> AsyncIterator[TurnEvent]:
        shown = gathered.places()[: excerpts.MOST_SPANS]
        yield ContextGathered(tuple(cite(hit.chunk) for hit in shown), gathered.notes)
        texts = [one for one in gathered.named if one.place is None]
        for piece in await asyncio.to_thread(lambda: list(excerpts.answer(shown, self._defined, texts))):
            yield TextDelta(piece)
        yield TurnFinished(Usage(), "stop", generated=False)

    def _defined(self, chunk: Chunk) -> list[Symbol]:
        return self._project.index.symbols_in(chunk.path, chunk.start_line, chunk.end_line)

    async def _generate(
        self, session: Session, question: str, gathered: Gathered, card: ModelCard
    ) -> AsyncIterator[TurnEvent]:
        built = await self._fit(session, question, gathered, card)
        yield ContextGathered(built.citations, (*built.left_out, *gathered.notes))
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
            session.remember(built.question, "".join(said), dropped=built.dropped, topic=gathered.topic)
        yield finished

    async def warm(self, session: Session) -> None:
        """Load the model and compute the stable start of the prompt, while the user is still typing."""
        card = await self._gateway.card_for(session.model, needs=["chat"])
        if card is not None:
            await self._gateway.warm(self._request(session, (Message("system", SYSTEM), *session.sent)))

    async def _fit(self, session: Session, question: str, gathered: Gathered, card: ModelCard) -> Built:
        """The prompt that fits. Where the model's own window is the limit and an estimate too rough, its tokenizer is asked."""
        scale = self._scales.get(card.name, 1.0)
        for _ in range(FITTINGS):
            built = self._build(session, question, gathered, card, scale)
            guessed = sum(estimate(message.content) + MESSAGE_OVERHEAD for message in built.messages)
            room = card.context_window - min(self._settings.answer_tokens, card.context_window // 2)
            ours = not card.context_window or self._longest < card.context_window
            if ours or not (built.left_out or guessed * scale > TIGHT * room):
                return built
            counted = await self._gateway.count_tokens(self._request(session, built.messages), model=session.model)
            if not counted:
                return built
            found = self._scales[card.name] = MARGIN * counted / guessed
            if counted <= room and (not built.left_out or found > scale / MARGIN**2):
                return built
            scale = found
        return built

    @property
    def _longest(self) -> int:
        """The most tokens of prompt and answer that we want, whatever a model could take."""
        return self._settings.prompt_tokens + self._settings.answer_tokens

    def _build(self, session: Session, question: str, gathered: Gathered, card: ModelCard, scale: float) -> Built:
        window = min(card.context_window or self._settings.prompt_tokens, self._longest)
        budget = Budget.for_window(window, answer=self._settings.answer_tokens, scale=scale)
        return build(
            question,
            gathered.hits,
            budget=budget,
            history=session.sent,
            attachments=(*gathered.handed, *gathered.named),
            most=self._settings.excerpts,
        )

    def _request(self, session: Session, messages: tuple[Message, ...]) -> ChatRequest:
        room, wanted = self._settings.answer_tokens, session.sampling
        sampling = replace(
            wanted,
            temperature=TEMPERATURE if wanted.temperature is None else wanted.temperature,
            max_tokens=min(wanted.max_tokens or room, room),
        )
        return ChatRequest(
            messages,
            model=session.model,
            sampling=sampling,
            reasoning=session.reasoning,
            priority=Priority.CHAT,
            session=session.id,
            client=session.client,
        )
