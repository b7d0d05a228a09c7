"""Put a prompt together: what never changes first, what changes with each turn last.

An engine that has computed a prompt computes only what differs from its first changed token on, so the order is: system prompt, earlier
turns exactly as they were sent, then this turn's material and question. No date, no counter and no random order stands before the end.
What does not fit is left out by name; nothing is cut in silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fireside.context.budget import CHARACTERS_PER_TOKEN, Budget, estimate
from fireside.core.errors import ContextTooLong
from fireside.core.messages import Message
from fireside.core.turns import Citation
from fireside.index.chunks import Chunk, Hit

SYSTEM = """\
You are Fireside, a coding assistant that runs on the user's own machine. You answer questions about the user's project.
Rules:
- Answer from the excerpts given with the question. Each begins with its place, path:first-last.
- Name the place for what you say, as path:line, for example src/app.py:12-20.
- If the excerpts do not hold the answer, say so in one sentence and say what to look for.
- Be brief. Put code in fenced blocks with the language."""

# Wrapped around each message by the chat templates of the usual families.
MESSAGE_OVERHEAD = 8
MAX_NAME = 300


@dataclass(frozen=True, slots=True)
class Attachment:
    """Text the user handed over with the question (standard input, a file). ``name``: how it is called in the prompt."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Built:
    """``messages``: ready to send. ``question``: the last of them, to be kept in the history byte for byte."""

    messages: tuple[Message, ...]
    citations: tuple[Citation, ...]
    left_out: tuple[str, ...]

    @property
    def question(self) -> Message:
        return self.messages[-1]


def build(
    question: str,
    hits: Sequence[Hit],
    *,
    budget: Budget,
    history: Sequence[Message] = (),
    attachments: Sequence[Attachment] = (),
    system: str = SYSTEM,
) -> Built:
    """The messages of one turn.

    Order of spending: system prompt and question (always), attachments, earlier turns from the newest back, excerpts best first.
    At least half of what is left after the question goes to excerpts before earlier turns may have it.
    """
    left_out: list[str] = []
    question = _encodable(question)
    _always(system, question, budget)
    given = _attach(attachments, budget, left_out)
    reserved = budget.left // 2
    kept = _recent(history, Budget(window=budget.left - reserved, answer=0), left_out)
    budget.spend(sum(_cost(message.content) for message in kept))
    chosen = _excerpts(hits, budget, left_out)
    content = "\n\n".join((*given, *(_excerpt(chunk) for chunk in chosen), _asked(question, bool(given or chosen))))
    messages = (Message("system", system), *kept, Message("user", content))
    return Built(messages, tuple(cite(chunk) for chunk in chosen), tuple(left_out))


def cite(chunk: Chunk) -> Citation:
    return Citation(chunk.path, chunk.start_line, chunk.end_line, chunk.symbol)


def _always(system: str, question: str, budget: Budget) -> None:
    needed = _cost(system) + _cost(question)
    if not budget.spend(needed):
        raise ContextTooLong(
            f"the question alone is about {needed:,} tokens, this model takes {budget.window:,} with its answer",
            remedy="ask something shorter, or hand the long part over as a file",
            prompt_tokens=needed,
            context_window=budget.window,
        )


def _cost(text: str) -> int:
    return estimate(text) + MESSAGE_OVERHEAD


def _asked(question: str, has_material: bool) -> str:
    return f"Question: {question}" if has_material else question


def _attach(attachments: Sequence[Attachment], budget: Budget, left_out: list[str]) -> list[str]:
    """Attachments were handed over on purpose: one that is too long is shown from its start, and the cut is said."""
    given, missed = [], 0
    for attachment in attachments:
        name, text = _encodable(attachment.name)[:MAX_NAME], _encodable(attachment.text)
        shown = f"### {name}\n{_fence(text)}"
        if _cost(shown) > budget.left * 3 // 4:
            # The fence is as long as the longest run of backticks; an attachment made of them costs three times its length.
            around = estimate(shown) - estimate(text)
            room = max(0, (budget.left * 3 // 4 - around - MESSAGE_OVERHEAD) * int(CHARACTERS_PER_TOKEN))
            cut = text.encode()[:room].decode("utf-8", "ignore")
            if not cut and text:
                missed += 1
                continue
            left_out.append(f"{name}: only its first {len(cut):,} of {len(text):,} characters fit")
            shown = f"### {name}\n{_fence(cut)}"
        if budget.spend(_cost(shown)):
            given.append(shown)
        else:
            missed += 1
    if missed:
        left_out.append(f"{missed} of {len(attachments)} texts handed over")
    return given


def _encodable(text: str) -> str:
    """Without what no engine can be sent (halves of surrogate pairs, from bytes that are no UTF-8)."""
    return text.encode("utf-8", "replace").decode()


def _recent(history: Sequence[Message], budget: Budget, left_out: list[str]) -> list[Message]:
    """The newest turns that fit, whole turns only.

    When not all fit, a half of the room is emptied at once: the prefix then stays the same for many turns instead of moving each turn.
    """
    if all(budget.spend(_cost(message.content)) for message in history):
        return list(history)
    room = Budget(window=budget.window // 2, answer=0)
    kept: list[Message] = []
    for message in reversed(history):
        if not room.spend(_cost(message.content)):
            break
        kept.insert(0, message)
    while kept and kept[0].role != "user":
        kept.pop(0)
    left_out.append(f"{len(history) - len(kept)} earlier messages of this conversation")
    return kept


def _excerpts(hits: Sequence[Hit], budget: Budget, left_out: list[str]) -> list[Chunk]:
    chosen, missed = [], 0
    for hit in hits:
        if budget.spend(_cost(_excerpt(hit.chunk))):
            chosen.append(hit.chunk)
        else:
            missed += 1
    if missed:
        left_out.append(f"{missed} of {len(hits)} excerpts found")
    return chosen


def _excerpt(chunk: Chunk) -> str:
    symbol = f" ({chunk.symbol})" if chunk.symbol else ""
    return f"### {chunk.path}:{chunk.start_line}-{chunk.end_line}{symbol}\n{_fence(chunk.text, chunk.language)}"


def _fence(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any run of backticks inside, so that no text can end it."""
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
