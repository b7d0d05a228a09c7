"""What fits into a model's context window: a prompt that does not is refused or, for code at a cursor, cut where it matters least; a
limit that cannot be kept is lowered. Each of them is said, none happens silently.

Most requests are far from the edge, and an estimate that is never too low says so without asking anybody. Engines count only near it; one
that slips through is refused by its engine, which never cuts a prompt.
"""

import orjson

from fireside.core.errors import ContextTooLong
from fireside.core.messages import JsonSchema
from fireside.core.requests import ChatRequest, CompletionRequest, Snippet
from fireside.core.values import replace
from fireside.gateway.attempts import Call
from fireside.gateway.plans import Candidate, Request
from fireside.gateway.signals import Clamped, Trimmed
from fireside.gateway.texts import scan

# Code and prose run to three or four bytes a token; hardly any text that is worth asking about to more than eight.
BYTES_A_TOKEN, MOST_BYTES_A_TOKEN = 3, 8
# A chat template adds a handful of tokens to each message, the marks around prefix and suffix as many.
TEMPLATE_TOKENS = 8
# Where nobody can count, an answer keeps this part of the window however long the prompt seems.
LEAST = 8
# Text is cut a little more than in proportion, for its tokens are not all equally long; so often at most.
SPARE, CUTS = 0.97, 3
# Of what is kept around a cursor, what comes after it gets this part, unless there is less before it.
AFTER = 0.25


async def fitted(call: Call, candidate: Candidate) -> Request:
    """The call's request as the candidate can take it. Raises ``ContextTooLong`` for a prompt that cannot.

    Whatever is changed is changed for this candidate only: another may have more room.
    """
    request, window = call.request, candidate.card.context_window
    assert request is not None
    call.counted = None
    if not window:
        return request
    asked, likely = _limit(request), likely_tokens(request, call.size)
    if likely + (asked or 1) <= window:
        return request
    absurd = asked is not None and asked > window - likely * BYTES_A_TOKEN // MOST_BYTES_A_TOKEN
    if absurd and likely <= window // 2:
        return _clamped(call, candidate, request, window - likely)
    tokens = await _count(request, candidate)
    if tokens is not None:
        call.counted = tokens
    if isinstance(request, CompletionRequest) and not request.raw:
        return await _cut(call, candidate, request, tokens or likely)
    if tokens is None:
        return _clamped(call, candidate, request, max(window - likely, window // LEAST)) if absurd else request
    if tokens >= window:
        raise _too_long(candidate, tokens)
    return _clamped(call, candidate, request, window - tokens)


def check_read(call: Call, candidate: Candidate) -> None:
    """Raise ``ContextTooLong`` when the engine says that it read less than half of a prompt that was counted: it cut it silently."""
    # Some servers leave what was in their cache out of the prompt; and of a few words the marks around them are the greater part.
    read = call.usage.prompt_tokens + call.usage.cached_tokens
    if call.counted and 0 < read < (call.counted - TEMPLATE_TOKENS) // 2:
        raise ContextTooLong(
            f"{candidate.engine.name} read {read} of the prompt's {call.counted} tokens and answered to the rest of it",
            remedy="ask about less at once, or give the model a larger window on its server",
            prompt_tokens=call.counted,
            context_window=candidate.card.context_window,
            cause="truncated",
        )


def likely_tokens(request: Request, size: int | None) -> int:
    """Rather too many than too few. ``size``: bytes of its text, where that is known already."""
    if size is None:
        size = scan(request)[1]
    if isinstance(request, CompletionRequest):
        return size // BYTES_A_TOKEN + TEMPLATE_TOKENS
    for tool in request.tools:
        size += len(tool.description) + _written(tool.parameters)
    return size // BYTES_A_TOKEN + TEMPLATE_TOKENS * (len(request.messages) + len(request.tools))


def _limit(request: Request) -> int | None:
    if isinstance(request, CompletionRequest):
        return request.sampling.max_tokens or request.max_tokens
    return request.sampling.max_tokens


def _clamped(call: Call, candidate: Candidate, request: Request, room: int) -> Request:
    """The request with a limit that can be kept: what a server makes of one that cannot is anybody's guess, often a cut prompt."""
    asked = _limit(request)
    if asked is None or asked <= room:
        return request
    call.say(Clamped(call.number, candidate.engine.name, candidate.card.name, asked, room))
    sampling = replace(request.sampling, max_tokens=room)
    if isinstance(request, CompletionRequest):
        return replace(request, sampling=sampling, max_tokens=room)
    return replace(request, sampling=sampling)


async def _count(request: Request, candidate: Candidate) -> int | None:
    if isinstance(request, ChatRequest):
        return await candidate.engine.count_tokens(request, candidate.card)
    parts = [text for each in request.neighbours for text in (each.path, each.text)]
    tokens = await candidate.engine.count_tokens("\n".join((*parts, request.prefix, request.suffix)), candidate.card)
    return None if tokens is None else tokens + TEMPLATE_TOKENS


async def _cut(call: Call, candidate: Candidate, request: CompletionRequest, tokens: int) -> Request:
    """Code at a cursor, and as much around it as fits. An editor has sent what it had; an error would only leave the line empty."""
    window, asked = candidate.card.context_window, _limit(request) or 1
    kept = _clamped(call, candidate, request, max(window // 2, window - tokens))
    assert isinstance(kept, CompletionRequest)
    room = window - (_limit(kept) or asked)
    for _ in range(CUTS):
        if tokens <= room:
            break
        kept = cut(kept, int(_length(kept) * SPARE * room / tokens))
        tokens = await _count(kept, candidate) or likely_tokens(kept, None)
    left_out = _length(request) - _length(kept)
    if left_out:
        call.counted = None
        call.say(Trimmed(call.number, candidate.engine.name, candidate.card.name, 0, left_out))
    return kept


def cut(request: CompletionRequest, characters: int) -> CompletionRequest:
    """The request with at most so many characters: neighbours go first, the last of them before the first; then what is far from the
    cursor."""
    neighbours: list[Snippet] = []
    room = characters - len(request.prefix) - len(request.suffix)
    for each in request.neighbours:
        room -= len(each.path) + len(each.text)
        if room < 0:
            break
        neighbours.append(each)
    after = min(len(request.suffix), max(int(characters * AFTER), characters - len(request.prefix)))
    before = min(len(request.prefix), characters - after)
    prefix = request.prefix[len(request.prefix) - before :]
    return replace(request, prefix=prefix, suffix=request.suffix[:after], neighbours=tuple(neighbours))


def _length(request: CompletionRequest) -> int:
    around = sum(len(each.path) + len(each.text) for each in request.neighbours)
    return len(request.prefix) + len(request.suffix) + around


def _too_long(candidate: Candidate, tokens: int) -> ContextTooLong:
    window = candidate.card.context_window
    return ContextTooLong(
        f"the prompt has {tokens} tokens, {candidate.card.name} on {candidate.engine.name} takes {window}",
        remedy="ask about less at once, or use a model with a larger window: fireside models list",
        prompt_tokens=tokens,
        context_window=window,
    )


def _written(schema: JsonSchema) -> int:
    """Characters of a schema as JSON; about as many where it holds numbers JSON libraries do not write."""
    try:
        return len(orjson.dumps(schema, default=dict))
    except orjson.JSONEncodeError:
        return len(repr(schema))
