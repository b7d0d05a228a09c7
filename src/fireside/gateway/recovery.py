"""What to do about an error: try again, bring the model, shorten the question, ask elsewhere, or give up.

Pure decisions: nothing here waits, pulls or asks. A request that is wrong is wrong everywhere, so it is never sent to another engine;
after the first content nothing can be taken back.
"""

from dataclasses import dataclass
from enum import StrEnum

from fireside.core.errors import ErrorKind, FiresideError
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest
from fireside.core.values import replace


class Step(StrEnum):
    RETRY = "retry"
    PULL = "pull"
    SHRINK = "shrink"
    NEXT = "next"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Action:
    """``wait``: seconds before a RETRY; ``None`` takes the next back-off."""

    step: Step
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the decision may count on.

    ``started``: the reader has seen content. ``others``: another candidate is left; ``wider``: one with a larger window is.
    ``retries``: how often the same engine may be asked again. ``patience``: the longest ``retry_after`` worth waiting for, in seconds.
    ``may_pull``, ``may_shrink``: allowed by the user, and not done yet for this request.
    """

    started: bool = False
    others: bool = False
    wider: bool = False
    retries: int = 2
    patience: float = 2.0
    may_pull: bool = False
    may_shrink: bool = False


GIVE_UP = Action(Step.GIVE_UP)
NEXT = Action(Step.NEXT)
RETRY = Action(Step.RETRY)
FINAL = frozenset((ErrorKind.VALIDATION, ErrorKind.PERMISSION, ErrorKind.TOOL_EXECUTION))
# Nobody listens there, or the breaker is open: waiting a moment changes nothing while another candidate could answer now.
HOPELESS = frozenset(("refused", "dns", "tls", "breaker"))


def decide(error: FiresideError, attempt: int, facts: Facts) -> Action:
    """``attempt``: how often this candidate was already asked again (0 after its first failure)."""
    if facts.started or error.kind in FINAL:
        return GIVE_UP
    again = error.retryable and attempt < facts.retries
    otherwise = NEXT if facts.others else GIVE_UP
    match error.kind:
        case ErrorKind.CONNECTION:
            hopeless = facts.others and error.context.get("cause") in HOPELESS
            return RETRY if again and not hopeless else otherwise
        case ErrorKind.RATE_LIMIT:
            return _wait_or(otherwise, error, again, facts)
        case ErrorKind.MODEL_NOT_FOUND:
            return Action(Step.PULL) if facts.may_pull else otherwise
        case ErrorKind.CONTEXT_LENGTH:
            shorter = Action(Step.SHRINK) if facts.may_shrink else GIVE_UP
            return NEXT if facts.wider else shorter
        case ErrorKind.TIMEOUT:
            # It has cost a long wait already; asking the same engine again would cost another.
            return otherwise
        case _:
            return otherwise if facts.others or not again else RETRY


def _wait_or(otherwise: Action, error: FiresideError, again: bool, facts: Facts) -> Action:
    named = error.context.get("retry_after")
    if not again:
        return otherwise
    if isinstance(named, int | float):
        return Action(Step.RETRY, float(named)) if named <= facts.patience else otherwise
    return otherwise if facts.others else RETRY


def shrink(request: ChatRequest, prompt_tokens: int, window: int) -> tuple[ChatRequest, int] | None:
    """The request without its oldest turns, and how many messages that left out; ``None`` when its last turn alone is too long.

    ``prompt_tokens``: what the whole prompt takes; ``window``: what the model takes; both in tokens, and the tokens of each message
    are taken to be in proportion to its length. Room is left for the answer. System messages stay, and a turn goes as a whole: a tool's
    result never loses the call it answers.
    """
    answer = min(request.sampling.max_tokens or window // 4, window // 2)
    total = sum(map(_length, request.messages)) or 1
    room = (window - answer) * total / max(prompt_tokens, 1)
    system = [message for message in request.messages if message.role == "system"]
    spoken = [message for message in request.messages if message.role != "system"]
    room -= sum(map(_length, system))
    for start in (index for index, message in enumerate(spoken) if index and message.role == "user"):
        kept = spoken[start:]
        if sum(map(_length, kept)) <= room:
            return replace(request, messages=(*system, *kept)), start
    return None


def _length(message: Message) -> int:
    return len(message.content.encode()) + sum(len(call.arguments) for call in message.tool_calls) + 16
