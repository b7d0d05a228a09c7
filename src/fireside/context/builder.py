"""Put a prompt together: what never changes first, what changes with each turn last.

An engine that has computed a prompt computes only what differs from its first changed token on, so the order is: system prompt, earlier
turns exactly as they were sent, then this turn's material and question. No date, no counter and no random order stands before the end.
What does not fit is left out by name; nothing is cut in silence.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fireside.context.budget import Budget, estimate
from fireside.context.spans import beyond
from fireside.core.errors import ContextTooLong
from fireside.core.messages import Message
from fireside.core.turns import Citation
from fireside.core.values import replace
from fireside.index.chunks import Chunk, Hit

SYSTEM = """\
You are Fireside, a coding assistant that runs on the user's own machine. You answer questions about the user's project.
Rules:
- Answer from the excerpts given with the question. Each begins with its place, path:first-last.
- Name the place for what you say, as path:line, for example src/app.py:12-20.
- If the excerpts do not hold the answer, say so in one sentence and say what to look for.
- Be brief. Put code in fenced blocks with the language."""

MAX_NAME = 300
# What is handed over may have this share of the room, excerpts and earlier turns share the rest.
HANDED_OVER = 0.75
# Below this many tokens a piece of a long text says nothing.
LEAST_SHARE = 256
NAMED = 6


@dataclass(frozen=True, slots=True)
class Attachment:
    """Text that goes with the question: handed over by the user, or named in it. ``name``: how it is called in the prompt.

    ``place``: the lines of the project that ``text`` is, if it is some. ``outline``: what stands in for a text that does not fit.
    ``optional``: nobody asked for just this one; it goes in whole if nothing else needs the room, else not at all.
    """

    name: str
    text: str
    language: str = ""
    place: Citation | None = None
    outline: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Built:
    """``messages``: ready to send. ``dropped``: how many messages of the history, from its start, are not among them any more."""

    messages: tuple[Message, ...]
    citations: tuple[Citation, ...]
    left_out: tuple[str, ...]
    dropped: int = 0

    @property
    def question(self) -> Message:
        """The last message, to be kept in the history byte for byte."""
        return self.messages[-1]


@dataclass(frozen=True, slots=True)
class Given:
    """An attachment as it is shown, and the lines of the project this shows."""

    shown: str
    place: Citation | None


def build(
    question: str,
    hits: Sequence[Hit],
    *,
    budget: Budget,
    history: Sequence[Message] = (),
    attachments: Sequence[Attachment] = (),
    most: int | None = None,
    system: str = SYSTEM,
) -> Built:
    """The messages of one turn. ``most``: excerpts at most, of all the ``hits``.

    Order of spending: system prompt and question (always), attachments, earlier turns from the newest back, excerpts best first; but
    earlier turns leave the excerpts half of the room if they need it. Lines an attachment shows are not shown again as an excerpt, and
    an excerpt that an earlier turn shows is only pointed at.
    Raises ``ContextTooLong`` when the question alone is.
    """
    left_out: list[str] = []
    question = _encodable(question)
    _always(system, question, budget)
    given = _attach([one for one in attachments if not one.optional], budget, left_out)
    fresh = _fresh(hits, [one.place for one in given if one.place])[:most]
    kept = _recent(history, budget, sum(budget.cost(_excerpt(chunk)) for chunk in fresh))
    if len(kept) < len(history):
        left_out.append(f"{len(history) - len(kept)} earlier messages of this conversation")
    excerpts = _excerpts(fresh, kept, budget, left_out)
    given += _extras([one for one in attachments if one.optional], budget, left_out)
    shown = [one.place for one in given if one.place]
    chosen = [(chunk, text) for chunk, text in excerpts if beyond(chunk, shown)]
    material = (*(one.shown for one in given), *(text for _, text in chosen))
    content = "\n\n".join((*material, _asked(question, bool(material))))
    messages = (Message("system", system), *kept, Message("user", content))
    citations = (*shown, *(cite(chunk) for chunk, _ in chosen))
    return Built(messages, citations, tuple(left_out), len(history) - len(kept))


def cite(chunk: Chunk) -> Citation:
    return Citation(chunk.path, chunk.start_line, chunk.end_line, chunk.symbol)


def fence(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any run of backticks inside, so that no text can end it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}{language}\n{text.rstrip()}\n{mark}"


def _always(system: str, question: str, budget: Budget) -> None:
    needed = budget.cost(system) + budget.cost(question)
    if not budget.spend(needed):
        raise ContextTooLong(
            f"the question alone is about {needed:,} tokens, this model takes {budget.window:,} with its answer",
            remedy="ask something shorter, or hand the long part over as a file",
            prompt_tokens=needed,
            context_window=budget.window,
        )


def _asked(question: str, has_material: bool) -> str:
    return f"Question: {question}" if has_material else question


def _attach(attachments: Sequence[Attachment], budget: Budget, left_out: list[str]) -> list[Given]:
    """As many whole as fit, the shortest first; the others share what is left, outlined or cut, and that is said. Their order stays."""
    room = int(budget.left * HANDED_OVER)
    cleaned = [_clean(one) for one in attachments]
    costs = [budget.cost(_show(one, one.text)) for one in cleaned]
    whole: set[int] = set()
    for number in sorted(range(len(costs)), key=costs.__getitem__):
        if costs[number] > room:
            break
        whole.add(number)
        room -= costs[number]
    given: list[Given] = []
    missed: list[str] = []
    said: list[str] = []
    others = len(cleaned) - len(whole)
    for number, attachment in enumerate(cleaned):
        share = costs[number] if number in whole else min(room, max(room // max(others, 1), LEAST_SHARE))
        fitted = _fitted(attachment, share, budget, said)
        if number not in whole:
            others -= 1
            room -= budget.cost(fitted.shown) if fitted else 0
        if fitted is None:
            missed.append(attachment.name)
        else:
            given.append(fitted)
            budget.spend(budget.cost(fitted.shown))
    left_out += said if len(said) <= NAMED else [*said[:NAMED], f"most of {len(said) - NAMED} more texts"]
    if missed:
        left_out.append(f"{len(missed)} of {len(attachments)} texts handed over: {names(missed)}")
    return given


def _extras(extras: Iterable[Attachment], budget: Budget, left_out: list[str]) -> list[Given]:
    """Whole texts in what nothing else needs."""
    given: list[Given] = []
    missed: list[str] = []
    for attachment in map(_clean, extras):
        shown = _show(attachment, attachment.text)
        if budget.spend(budget.cost(shown)):
            given.append(Given(shown, attachment.place))
        else:
            missed.append(attachment.name)
    if missed:
        left_out.append(f"the text of {names(missed)}")
    return given


def _fitted(attachment: Attachment, share: int, budget: Budget, left_out: list[str]) -> Given | None:
    """The attachment within ``share`` tokens: whole, else its outline, else its start."""
    whole = _show(attachment, attachment.text)
    if budget.cost(whole) <= share:
        return Given(whole, attachment.place)
    if attachment.outline:
        outline = f"### {attachment.name} (outline)\n{fence(attachment.outline)}"
        if budget.cost(outline) <= share:
            left_out.append(f"{attachment.name}: only its outline fits")
            return Given(outline, None)
    # The fence is as long as the longest run of backticks; a text made of them costs three times its length.
    around = estimate(whole) - estimate(attachment.text)
    room = budget.bytes_for(share - budget.cost("") - int(around * budget.scale) - 2)
    cut = _start(attachment.text, room)
    if not cut and attachment.text:
        return None
    left_out.append(f"{attachment.name}: only its first {len(cut):,} of {len(attachment.text):,} characters fit")
    place = attachment.place
    if place is not None:
        place = replace(place, end_line=place.start_line + cut.rstrip("\n").count("\n"))
    shown = _show(replace(attachment, place=place), cut)
    return Given(shown, place) if budget.cost(shown) <= share else None


def _start(text: str, most_bytes: int) -> str:
    """The beginning of ``text``, in whole lines unless its first line is too long."""
    cut = text.encode()[:most_bytes].decode("utf-8", "ignore")
    return cut[: cut.rfind("\n") + 1] or cut


def _show(attachment: Attachment, text: str) -> str:
    name = attachment.name if attachment.place is None else _heading(attachment.place)
    return f"### {name}\n{fence(text, attachment.language)}"


def _heading(place: Citation) -> str:
    return f"{place} ({place.symbol})" if place.symbol else str(place)


def _clean(attachment: Attachment) -> Attachment:
    name, text = _encodable(attachment.name)[:MAX_NAME], _encodable(attachment.text)
    return replace(attachment, name=name, text=text, outline=_encodable(attachment.outline))


def _encodable(text: str) -> str:
    """Without what no engine can be sent (halves of surrogate pairs, from bytes that are no UTF-8)."""
    return text.encode("utf-8", "replace").decode()


def _fresh(hits: Iterable[Hit], shown: Sequence[Citation]) -> list[Chunk]:
    return [part for hit in hits for part in beyond(hit.chunk, shown)]


def _recent(history: Sequence[Message], budget: Budget, excerpts: int) -> list[Message]:
    """The newest turns that fit beside ``excerpts`` tokens, whole turns only; spends them.

    When not all fit, a half of the room is emptied at once: the prefix then stays the same for many turns instead of moving each turn.
    The last turn is worth more than excerpts: without it nobody knows what the question is about.
    """
    costs = [budget.cost(message.content) for message in history]
    room = budget.left - min(budget.left // 2, excerpts)
    first = 0 if sum(costs) <= room else _cut(history, costs, room // 2)
    if first == len(history):
        last = max((number for number, message in enumerate(history) if message.role == "user"), default=first)
        first = last if sum(costs[last:]) <= int(budget.left * HANDED_OVER) else first
    budget.spend(sum(costs[first:]))
    return list(history[first:])


def _cut(history: Sequence[Message], costs: Sequence[int], room: int) -> int:
    """The first message of those that fit, at the beginning of a turn."""
    first = len(history)
    for number in range(len(history) - 1, -1, -1):
        room -= costs[number]
        if room < 0:
            break
        if history[number].role == "user":
            first = number
    return first


def _excerpts(
    chunks: Sequence[Chunk], kept: Sequence[Message], budget: Budget, left_out: list[str]
) -> list[tuple[Chunk, str]]:
    """The chunks that fit, each with how it is shown."""
    chosen: list[tuple[Chunk, str]] = []
    missed: list[str] = []
    for chunk in chunks:
        text = _excerpt(chunk)
        if any(text in message.content for message in kept if message.role == "user"):
            text = f"### {_heading(cite(chunk))} as shown above"
        if budget.spend(budget.cost(text)):
            chosen.append((chunk, text))
        else:
            missed.append(str(cite(chunk)))
    if missed:
        left_out.append(f"{len(missed)} of {len(chunks)} excerpts found: {names(missed)}")
    return chosen


def _excerpt(chunk: Chunk) -> str:
    return f"### {_heading(cite(chunk))}\n{fence(_encodable(chunk.text), chunk.language)}"


def names(some: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    rest = len(some) - NAMED
    return ", ".join(one[:MAX_NAME] for one in some[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
