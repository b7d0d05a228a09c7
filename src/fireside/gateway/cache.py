"""Answers that are already known: the same question with the same dice has the same answer.

Only what is repeatable is kept: temperature 0 or a fixed seed. The key holds the model's digest, everything that shapes the answer, and
the privacy boundary, so that an answer from one side of it is never given on the other. Nothing is written to disk.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from fireside.core.requests import ChatRequest, CompletionRequest, Delta
from fireside.core.values import replace
from fireside.engines.engine import Boundary
from fireside.models.card import ModelCard

# Bookkeeping of one Delta in bytes, beside its text (measured with sys.getsizeof: the object, its slots, its place in the tuple).
DELTA_BYTES = 120


class ResponseCache:
    """Least recently used answers, ``max_bytes`` in all; 0 turns the cache off."""

    def __init__(self, max_bytes: int = 8 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._answers: OrderedDict[bytes, tuple[Delta, ...]] = OrderedDict()
        self._refusing: set[str] = set()
        self.size = 0

    def __len__(self) -> int:
        return len(self._answers)

    def refuse(self, session: str) -> None:
        """This session's requests are neither looked up nor kept from now on."""
        self._refusing.add(session)

    def key(self, request: ChatRequest | CompletionRequest, card: ModelCard, boundary: Boundary) -> bytes | None:
        """``None`` for a request whose answer may differ next time, or whose session refused."""
        sampling = request.sampling
        repeatable = sampling.temperature == 0 or sampling.seed is not None
        if not self._max_bytes or not repeatable or request.session in self._refusing:
            return None
        model = card.sha256 or (card.name, card.engine, card.size)
        try:
            asked = _encoder.encode((model, int(boundary), shape(request)))
        except OverflowError:
            # A number of a hundred digits, in a schema: it does not fit into a key, and hardly anybody asks it twice.
            return None
        return hashlib.blake2b(asked, digest_size=20).digest()

    def get(self, key: bytes) -> tuple[Delta, ...] | None:
        """The answer as it was streamed, marked as costing nothing."""
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def put(self, key: bytes, answer: Sequence[Delta]) -> None:
        """Keep a finished answer. One that was cancelled, or fills more than a quarter of the cache, is not kept."""
        size = sum(map(_size, answer))
        if answer[-1].finish_reason in (None, "cancelled") or size > self._max_bytes // 4:
            return
        self._drop(key)
        self._answers[key] = tuple(_replayed(answer))
        self.size += size
        while self.size > self._max_bytes:
            self._drop(next(iter(self._answers)))

    def clear(self) -> None:
        self._answers.clear()
        self.size = 0

    def _drop(self, key: bytes) -> None:
        self.size -= sum(map(_size, self._answers.pop(key, ())))


def shape(request: ChatRequest | CompletionRequest) -> tuple[object, ...]:
    """Everything that shapes the answer, and nothing else: not who asks, how urgently, or under which alias."""
    if isinstance(request, CompletionRequest):
        where = (request.prefix, request.suffix, request.path, request.neighbours)
        return ("complete", *where, request.raw, request.max_tokens, request.sampling)
    asked = (request.messages, request.tools, request.tool_choice)
    return ("chat", *asked, request.response_format, request.reasoning, request.sampling)


def _replayed(answer: Iterable[Delta]) -> Iterable[Delta]:
    for delta in answer:
        usage = delta.usage
        if usage is None:
            yield delta
        else:
            free = replace(
                usage,
                cached_tokens=usage.prompt_tokens,
                load_seconds=None,
                prompt_seconds=None,
                completion_seconds=None,
            )
            yield replace(delta, usage=free)


def _size(delta: Delta) -> int:
    call = delta.tool_call
    return DELTA_BYTES + len(delta.text) + len(delta.reasoning) + (len(call.arguments) if call else 0)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"cannot make a key of {type(value).__name__}")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
