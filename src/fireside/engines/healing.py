"""Token healing, whatever the engine: the end of the prefix is taken back, and what the answer repeats of it is taken off again.

How an answer is held to begin with that end is the engine's own: llama.cpp by a grammar, a checkpoint by its own tokens. An engine that
can hold nothing gives back only blanks, the one end that does harm where it stays and none where it is missing.
"""

import re
from collections.abc import AsyncIterator
from itertools import takewhile

from fireside.core.requests import CompletionRequest, Delta, Logprob
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.models.trie import TokenTrie, last_piece

LEAST_TOKENS = 8
BLANKS = re.compile(r"[ \t]{1,47}\Z")
PLAIN = re.compile(r'[^"\\\x00-\x1f\x7f]')


def taken_back(request: CompletionRequest, tokens: TokenTrie | None = None) -> str:
    """The end of the prefix the model is to write again. ``tokens``: the model's; without them, the last piece a tokenizer would see.

    "" where nothing is to be healed: a stop text of the request might end in it, or the answer has too few tokens to spend any.
    """
    if not _wanted(request):
        return ""
    piece = last_piece(request.prefix)
    end = piece if tokens is None else request.prefix[len(request.prefix) - tokens.taken(request.prefix) :]
    return "" if any(_meets(stop, end) for stop in request.sampling.stop) else end


def blanks_back(request: CompletionRequest) -> str:
    """The blanks at the end of the prefix; for engines that cannot hold an answer to anything."""
    found = BLANKS.search(request.prefix[-64:]) if _wanted(request) else None
    return found[0] if found else ""


def without_end(request: CompletionRequest, end: str) -> CompletionRequest:
    return replace(request, prefix=request.prefix[: len(request.prefix) - len(end)]) if end else request


def grammar(end: str) -> str:
    """A GBNF grammar: ``end``, then anything. llama.cpp draws a token first and looks at the grammar then, so what fits costs nothing."""
    written = "".join(each if PLAIN.match(each) else f"\\x{ord(each):02X}" for each in end)
    return f'root ::= "{written}" [^\\x00]*'


def _wanted(request: CompletionRequest) -> bool:
    limit = request.sampling.max_tokens or request.max_tokens
    return request.heal and not request.raw and limit >= LEAST_TOKENS


def _meets(stop: str, end: str) -> bool:
    """Whether a stop text stands in ``end``, or begins in it: it would end an answer that has hardly begun."""
    return bool(stop) and (stop in end or any(end.endswith(stop[:size]) for size in range(1, len(stop))))


class Healed:
    """Takes ``end`` off the beginning of an answer, piece by piece. The likelihoods of the tokens that touch it go with it."""

    def __init__(self, end: str) -> None:
        self._end = end
        self._held = ""

    def take(self, delta: Delta) -> Delta:
        """The same piece without what stands before the cursor already."""
        if not self._end or not delta.text:
            return delta
        if not self._held and self._end[0] == " " != delta.text[0]:
            self._end = self._end[1:]  # SentencePiece loses the blank a text begins with
        self._held += delta.text
        behind = self._behind()
        if behind is None:
            return replace(delta, text="", logprobs=())
        self._end = ""
        return replace(delta, text=behind, logprobs=_last(delta.logprobs, len(behind)))

    def _behind(self) -> str | None:
        """What was written behind ``end``; ``None`` as long as that cannot be told, and for ever if the answer goes on otherwise.

        Blanks are not insisted on: without some of them the answer still fits where the user has typed them.
        """
        if self._held.startswith(self._end):
            return self._held[len(self._end) :]
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self._held, self._end, strict=False)))
        return self._held[same:] if same < len(self._held) and self._end.isspace() else None


async def healed(deltas: AsyncIterator[Delta], end: str) -> AsyncIterator[Delta]:
    healing = Healed(end)
    async with closing(deltas):
        async for delta in deltas:
            left = healing.take(delta)
            if left.has_content or left.finish_reason is not None or left.usage is not None:
                yield left


async def healed_batches(batches: AsyncIterator[list[Delta]], end: str) -> AsyncIterator[list[Delta]]:
    healing = Healed(end)
    async with closing(batches):
        async for batch in batches:
            yield [healing.take(delta) for delta in batch]


def _last(logprobs: tuple[Logprob, ...], characters: int) -> tuple[Logprob, ...]:
    """The tokens that lie wholly in the last ``characters``."""
    kept: list[Logprob] = []
    for each in reversed(logprobs):
        characters -= len(each.token)
        if characters < 0:
            break
        kept.append(each)
    return tuple(reversed(kept))
