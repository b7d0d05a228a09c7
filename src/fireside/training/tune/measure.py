"""How many bits a model needs for each byte of a text: the loss that compares across tokenizers.

Knows a model that gives logits, and rows of tokens.
"""

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from fireside.training.tune.texts import Tokens


@dataclass(frozen=True, slots=True)
class Score:
    """``bits``: a byte, on ``bytes`` of text in ``tokens`` tokens."""

    bits: float
    bytes: int
    tokens: int

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "bits": round(self.bits, 5)}


def byte_lengths(tokenizer: Any, vocabulary: int, special: Collection[int]) -> "NDArray[numpy.int64]":
    """How many bytes of text each token stands for; none for special ones. ``tokenizer``: of transformers.

    Byte-level tokens are written with one letter a byte; SentencePiece writes a blank as U+2581 and a lone byte as ``<0x0A>``.
    """
    import numpy

    lengths = numpy.zeros(vocabulary, numpy.int64)
    pieces = tokenizer.get_vocab()
    sentencepiece = any(piece.startswith("\u2581") for piece in pieces)
    for piece, number in pieces.items():
        if number >= vocabulary or number in special:
            continue
        if not sentencepiece:
            lengths[number] = len(piece)
        elif len(piece) == 6 and piece.startswith("<0x"):
            lengths[number] = 1
        else:
            lengths[number] = len(piece.replace("\u2581", " ").encode())
    return lengths


def score(model: Any, rows: "Tokens", lengths: "NDArray[numpy.int64]", *, batch: int, pad: int = -1) -> Score:
    """Every token of every row but its first, told by the tokens before it. ``rows``: (rows, context + 1)."""
    import torch
    from torch.nn.functional import cross_entropy

    model.eval()
    device = next(model.parameters()).device
    nats = 0.0
    size = count = 0
    for start in range(0, len(rows), batch):
        ids = torch.from_numpy(rows[start : start + batch].astype("int64"))
        targets = ids[:, 1:].clone()
        known = targets != pad
        size += int(lengths[targets[known].numpy()].sum())
        count += int(known.sum())
        targets[~known] = -100
        with torch.no_grad():
            logits = model(input_ids=ids[:, :-1].to(device), use_cache=False).logits
            loss = cross_entropy(logits.float().flatten(0, 1), targets.to(device).flatten(), reduction="sum")
        nats += float(loss)
    return Score(nats / math.log(2) / max(1, size), size, count)


def change(before: float, after: float) -> float:
    """By what share ``after`` is larger than ``before``."""
    return after / before - 1 if before else 0.0
