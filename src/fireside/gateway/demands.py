"""What a request demands of its answer, held at its end: a call that must be made, a schema the text must fit.

Engines that can are held to it while they write; here it is seen that they were. An answer that misses is an error, never patched up.
"""

import orjson

from fireside.core.errors import Invalid
from fireside.core.requests import ChatRequest, Delta
from fireside.core.streams import closing
from fireside.gateway.batches import Batches
from fireside.gateway.calls import Offered, is_valid

# The request was right, and this model cannot do it; a 5xx would have clients and proxies send it again and again.
BAD_ANSWER = 422


async def one_call(request: ChatRequest, batches: Batches, offered: Offered) -> Batches:
    """The first valid call of an answer that must be one, and nothing beside it but reasoning. Raises ``Invalid`` when there is none."""
    found: Delta | None = None
    async with closing(batches):
        async for batch in batches:
            thoughts = [Delta(reasoning=delta.reasoning) for delta in batch if delta.reasoning]
            if found is None:
                found = next((delta for delta in batch if _is_demanded(delta, request, offered)), None)
            last = batch[-1]
            if last.finish_reason is None:
                if thoughts:
                    yield thoughts
                continue
            if last.finish_reason == "cancelled":
                yield [*thoughts, last]
                return
            if found is None:
                raise _no_call(request, last)
            yield [
                *thoughts,
                Delta(tool_call=found.tool_call),
                Delta(finish_reason="tool_calls", usage=last.usage, engine=last.engine, model=last.model),
            ]


async def fitting(request: ChatRequest, batches: Batches) -> Batches:
    """An answer whose text fits the schema it was asked for. Raises ``Invalid`` for one that does not: before the reader has seen any of
    it where nobody reads along, else before it is called finished. A text that its limit cut says so itself, and passes.
    """
    text: list[str] = []
    kept: list[Delta] = []
    called = False
    async with closing(batches):
        async for batch in batches:
            text += [delta.text for delta in batch]
            called = called or any(delta.tool_call is not None for delta in batch)
            if batch[-1].finish_reason in ("stop", "tool_calls") and not called:
                _check(request, "".join(text))
            if request.stream:
                yield batch
                continue
            kept += batch
            if batch[-1].finish_reason is not None:
                yield kept


def _is_demanded(delta: Delta, request: ChatRequest, offered: Offered) -> bool:
    call = delta.tool_call
    if call is None or request.tool_choice not in ("required", call.name):
        return False
    tool = offered.match(call.name)
    try:
        arguments = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        return False
    return tool is not None and isinstance(arguments, dict) and is_valid(arguments, tool.parameters)


def _no_call(request: ChatRequest, last: Delta) -> Invalid:
    cut = last.finish_reason == "length"
    wanted = "a tool" if request.tool_choice == "required" else request.tool_choice
    return Invalid(
        f"the model was to call {wanted}, and {'its answer was cut by its limit' if cut else 'made no valid call'}",
        remedy="allow a longer answer"
        if cut
        else "use an engine that can hold a model to a schema: llama_server, ollama",
        http_status=BAD_ANSWER,
    )


def _check(request: ChatRequest, text: str) -> None:
    assert request.response_format is not None
    assert request.response_format.schema is not None
    try:
        if is_valid(orjson.loads(text), request.response_format.schema):
            return
        problem = "does not fit the JSON schema"
    except orjson.JSONDecodeError:
        problem = "is no JSON"
    raise Invalid(
        f"the answer {problem} that was asked for",
        remedy="use an engine that can hold a model to a schema: llama_server, ollama",
        http_status=BAD_ANSWER,
    )
