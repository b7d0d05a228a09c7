"""How well the model knows text it has never seen, in bits per byte: comparable whatever the tokenizer. Knows the held-out rows.

Only tokens that stand for text are scored, each with the bytes it stands for, so that any part of the rows gives an exact figure.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from fireside.training.prepare import packed, tokenizer
from fireside.training.pretrain.batches import in_parts, spread
from fireside.training.pretrain.decoder import Learner
from fireside.training.pretrain.machine import Machine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Tokens of each kind of text: at intervals; at the end a twentieth of what was learnt, within these bounds.
SOME, MOST, SHARE = 16_384, 4_194_304, 20


class Measure:
    """``micro``: sequences at once."""

    def __init__(self, prepared: Path, learner: Learner, machine: Machine, micro: int) -> None:
        import torch

        told = packed.meta(prepared)
        self._learner, self._machine, self._micro = learner, machine, micro
        self._context = told.context
        sizes = token_bytes(prepared, told.vocabulary)
        sizes[told.special] = 0
        self._bytes = torch.from_numpy(sizes).to(machine.device)
        self._texts = {name: packed.open_split(prepared, name) for name in ("held", "other_held")}
        self._answers = packed.open_split(prepared, "held_fim"), packed.open_mask(prepared)

    def all(self, learnt: int = 0) -> dict[str, float]:
        """Bits a byte by kind of text, and of how many bytes: ``held`` left to right, ``held_fim`` the middles, ``other`` code.

        ``learnt``: tokens so far, when it is the last measure: a long run is worth an exact figure. What there is no text of is left out.
        All processes must ask together.
        """
        most = min(max(SOME, learnt // SHARE), MOST)
        found: dict[str, float] = {}
        for name, rows in self._texts.items():
            if len(rows):
                found |= self._told(name.removesuffix("_held"), *self._score(spread(rows, most // self._context), None))
        rows, mask = self._answers
        if len(rows):
            count = max(most // self._context // 2, 1)
            found |= self._told("held_fim", *self._score(spread(rows, count), spread(mask, count)))
        return found

    def _told(self, name: str, nats: float, size: float) -> dict[str, float]:
        return {f"{name}_bits_per_byte": round(nats / math.log(2) / max(size, 1), 5), f"{name}_bytes": int(size)}

    def _score(self, rows: "NDArray[np.int64]", mask: "NDArray[np.int64] | None") -> tuple[float, float]:
        """Nats and bytes of the targets in all rows, each process doing its part."""
        import torch

        machine = self._machine
        sums = torch.zeros(2, dtype=torch.float64, device=machine.device)
        rows = rows[machine.rank :: machine.world]
        masks = None if mask is None else mask[machine.rank :: machine.world]
        for number, part in enumerate(in_parts(rows, self._micro)):
            tokens = torch.from_numpy(part).to(machine.device)
            sizes = self._bytes[tokens[:, 1:]]
            if masks is not None:
                start = number * self._micro
                sizes = sizes * torch.from_numpy(masks[start : start + len(part)]).to(machine.device)
            nats = self._learner.measure(tokens).double() * (sizes > 0)
            sums += torch.stack((nats.sum(), sizes.sum().double()))
        machine.summed(sums)
        nats_found, size = sums.tolist()
        return nats_found, size


def token_bytes(prepared: Path, vocabulary: int) -> "NDArray[np.int64]":
    """How many bytes each token stands for; of a byte-level vocabulary, one for each sign of its spelling."""
    import numpy as np

    sizes = np.zeros(vocabulary, np.int64)
    for token, number in tokenizer.load(prepared / "tokenizer").get_vocab(with_added_tokens=False).items():
        sizes[number] = len(token)
    return sizes
