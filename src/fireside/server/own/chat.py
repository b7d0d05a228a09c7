"""A chat: the agent's turn about the project, or a plain conversation with a model. Either way it is told as events."""

from collections.abc import Mapping
from dataclasses import asdict
from uuid import uuid4

from fireside.agent.session import Session
from fireside.app.fireside import Fireside
from fireside.core.errors import Invalid, Unknown
from fireside.core.messages import ToolCall
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, Usage
from fireside.core.streams import closing
from fireside.core.turns import (
    ContextGathered,
    EditProposed,
    PermissionAsked,
    ReasoningDelta,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEvent,
    TurnFailed,
    TurnFinished,
)
from fireside.server.answering import superseded
from fireside.server.asking import Asking
from fireside.server.exchange import Exchange
from fireside.server.own.schemas import ChatAsked
from fireside.server.own.streams import Event, Events


class Chat:
    def __init__(self, fireside: Fireside, asking: Asking) -> None:
        self._fireside = fireside
        self._asking = asking

    def events(self, asked: ChatAsked, exchange: Exchange) -> Events:
        """Ends with ``finished``. Raises what went wrong."""
        request = self._asking.dressed(exchange, asked.request())
        if not asked.with_context:
            return self.plain(request, exchange)
        if not asked.fits_context:
            raise Invalid(
                "the project's code is looked through for a user's last word, without tools, system prompt or schema",
                remedy="leave context out, or the others",
                param="context",
            )
        return self._turn(request, exchange)

    async def plain(self, request: ChatRequest | CompletionRequest, exchange: Exchange) -> Events:
        """What the model says, and nothing else."""
        batches = self._fireside.gateway.stream(request, told=exchange.story.hear)
        async with closing(batches) as each:
            async for batch in each:
                if batch[-1].finish_reason == "cancelled":
                    raise superseded()
                for event in told(batch):
                    yield event

    async def _turn(self, request: ChatRequest, exchange: Exchange) -> Events:
        """The agent's events. It asks the gateway itself; what that cost is taken from its last event."""
        session = Session(
            id=request.session or uuid4().hex,
            history=list(request.messages[:-1]),
            model=request.model,
            sampling=request.sampling,
            reasoning=request.reasoning,
            client=request.client,
        )
        async with closing(self._fireside.agent.turn(session, request.messages[-1].content)) as events:
            async for event in events:
                if isinstance(event, TurnFailed):
                    raise event.error
                if isinstance(event, TurnFinished):
                    story = exchange.story
                    story.usage, story.engine, story.model = event.usage, event.engine, event.model
                yield event_of(event)


def told(deltas: list[Delta]) -> list[Event]:
    """One event for text that came together."""
    events: list[Event] = []
    for kind in ("reasoning", "text"):
        said = "".join(delta.reasoning if kind == "reasoning" else delta.text for delta in deltas)
        if said:
            events.append(Event(kind, {"text": said}))
    events += [Event("tool_call", call_of(delta.tool_call)) for delta in deltas if delta.tool_call is not None]
    last = deltas[-1]
    if last.finish_reason is not None:
        usage = next((delta.usage for delta in reversed(deltas) if delta.usage is not None), Usage())
        events.append(event_of(TurnFinished(usage, last.finish_reason, last.engine, last.model)))
    return events


def event_of(event: TurnEvent) -> Event:
    match event:
        case TextDelta(text=text):
            return Event("text", {"text": text})
        case ReasoningDelta(text=text):
            return Event("reasoning", {"text": text})
        case ContextGathered(citations=citations, left_out=left_out):
            return Event("context", {"citations": [asdict(each) for each in citations], "left_out": list(left_out)})
        case ToolStarted(call=call):
            return Event("tool_started", call_of(call))
        case ToolFinished(call=call, output=output, failed=failed):
            return Event("tool_finished", call_of(call) | {"output": output, "failed": failed})
        case PermissionAsked(call=call, reason=reason):
            return Event("permission_asked", call_of(call) | {"reason": reason})
        case EditProposed():
            return Event("edit_proposed", asdict(event))
        case TurnFinished():
            return Event("finished", asdict(event))
        case TurnFailed(error=error):
            raise error


def call_of(call: ToolCall) -> dict[str, object]:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


async def whole(events: Events) -> dict[str, object]:
    """All events of a chat as the one object of an answer that is not streamed."""
    texts: dict[str, list[str]] = {"text": [], "reasoning": []}
    calls: list[Mapping[str, object]] = []
    context: Mapping[str, object] = {"citations": [], "left_out": []}
    async with closing(events) as each:
        async for event in each:
            if event.name in texts:
                texts[event.name].append(str(event.data["text"]))
            elif event.name == "tool_call":
                calls.append(event.data)
            elif event.name == "context":
                context = event.data
            elif event.name == "finished":
                said = {name: "".join(pieces) for name, pieces in texts.items()}
                return {**said, "tool_calls": calls, **context, **event.data}
    raise Unknown("the answer had no end")
