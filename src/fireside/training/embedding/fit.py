"""Train term vectors so that a question lies near the passage that answers it and far from the others of its batch. torch; CPU is enough.

InfoNCE over the batch (van den Oord et al. 2018). A batch is made of blocks from one package each, so that part of what a question must
be told apart from is of its own project, as it will be in use. Knows arrays; neither files nor text.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from fireside.index.static import sublinear
from fireside.training.embedding.corpus import Bags

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class FitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``batch``: pairs; ``block``: of them from one package; ``rate``: Adam's step at the start, falling to a tenth along a cosine.

    ``start``: length of the random vectors to begin with; short ones, so that a term says little until something is learnt about it.
    ``balance``: a language with n pairs is drawn as if it had n ** balance.
    ``query_dropout``, ``passage_dropout``: share of the terms left out each time, so that no single term carries everything.
    """

    dimensions: int = 256
    epochs: int = 2
    batch: int = 1024
    block: int = 512
    rate: float = 5e-3
    start: float = 0.2
    temperature: float = 0.06
    balance: float = 0.7
    query_dropout: float = 0.1
    passage_dropout: float = 0.3
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Table:
    """What is learnt: ``vectors`` (terms, dimensions); how telling a term is in a passage and in a question."""

    vectors: "NDArray[np.float32]"
    passage_weights: "NDArray[np.float32]"
    query_weights: "NDArray[np.float32]"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Questions and passages in numbers of terms, row by row; packages and languages as numbers; ``same``: equal for equal passages."""

    questions: Bags
    passages: Bags
    packages: "NDArray[np.int32]"
    languages: "NDArray[np.int32]"
    same: "NDArray[np.int64]"


def fit(pairs: Pairs, terms: int, settings: FitSettings, report: Callable[[int, int, float], None]) -> Table:
    """Vectors and weights for ``terms`` terms. ``report(step, steps, loss)`` is called now and then."""
    import numpy as np
    import torch

    torch.manual_seed(settings.seed)
    chance = np.random.default_rng(settings.seed)
    rarity = _rarity(pairs.passages, terms)
    vectors = torch.nn.Parameter(torch.randn(terms, settings.dimensions) * settings.dimensions**-0.5 * settings.start)
    passage = torch.nn.Parameter(torch.from_numpy(rarity).log())
    query = torch.nn.Parameter(torch.from_numpy(rarity).log())
    optimizer = torch.optim.Adam([{"params": [vectors]}, {"params": [passage, query]}], lr=settings.rate)
    order = [block for _ in range(settings.epochs) for block in _batches(pairs, settings, chance)]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(order), eta_min=settings.rate / 10)
    mean = 0.0
    for step, rows in enumerate(order):
        left = _embed(pairs.questions, rows, vectors, query, settings.query_dropout, chance)
        right = _embed(pairs.passages, rows, vectors, passage, settings.passage_dropout, chance)
        loss = _loss(left, right, torch.from_numpy(pairs.same[rows]), settings.temperature)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        mean += (float(loss.detach()) - mean) / min(step + 1, 50)
        if step % 50 == 49 or step == len(order) - 1:
            report(step + 1, len(order), mean)
    return Table(vectors.detach().numpy(), passage.detach().exp().numpy(), query.detach().exp().numpy())


def _rarity(bags: Bags, terms: int) -> "NDArray[np.float32]":
    """Inverse document frequency as a first guess of how telling a term is."""
    import numpy as np

    found = np.bincount(bags.terms, minlength=terms)
    rarity: NDArray[np.float64] = np.log1p(len(bags) / (1 + found)) / 4
    return rarity.astype(np.float32)


def _batches(pairs: Pairs, settings: FitSettings, chance: "np.random.Generator") -> Iterator["NDArray[np.int64]"]:
    """Rows batch by batch, one epoch."""
    import numpy as np

    spoken = np.bincount(pairs.languages)
    share = spoken.astype(np.float64) ** (settings.balance - 1)
    share /= share[pairs.languages].max()
    keep = share[pairs.languages] * (len(spoken) > 1) + (len(spoken) == 1)
    wanted = np.flatnonzero(chance.random(len(keep)) < keep / keep.mean())
    shuffled = chance.permutation(wanted)
    by_package = shuffled[np.argsort(pairs.packages[shuffled], kind="stable")]
    blocks = [by_package[at : at + settings.block] for at in range(0, len(by_package), settings.block)]
    each = max(1, settings.batch // settings.block)
    mixed = [blocks[one] for one in chance.permutation(len(blocks))]
    for at in range(0, len(mixed), each):
        yield np.concatenate(mixed[at : at + each])


def _embed(
    bags: Bags,
    rows: "NDArray[np.int64]",
    vectors: "torch.Tensor",
    weights: "torch.Tensor",
    dropout: float,
    chance: "np.random.Generator",
) -> "torch.Tensor":
    """Sums of weighted term vectors, of length 1: (rows, dimensions). A share ``dropout`` of the terms is left out."""
    import numpy as np
    import torch

    lengths = bags.starts[rows + 1] - bags.starts[rows]
    row_of = np.repeat(np.arange(len(rows)), lengths)
    ends = np.cumsum(lengths)
    at = np.arange(ends[-1]) + np.repeat(bags.starts[rows] - (ends - lengths), lengths)
    if dropout:
        kept = chance.random(len(at), np.float32) >= dropout
        at, row_of = at[kept], row_of[kept]
    terms = torch.from_numpy(bags.terms[at].astype(np.int64))
    times = torch.from_numpy(sublinear()[bags.counts[at]])
    starts = torch.from_numpy(np.searchsorted(row_of, np.arange(len(rows))))
    factors = weights[terms].exp() * times
    summed = torch.nn.functional.embedding_bag(terms, vectors, starts, mode="sum", per_sample_weights=factors)
    return torch.nn.functional.normalize(summed, dim=1)


def _loss(left: "torch.Tensor", right: "torch.Tensor", same: "torch.Tensor", temperature: float) -> "torch.Tensor":
    import torch

    scores = left @ right.T / temperature
    # The same passage under another question is no wrong answer.
    twins = (same[:, None] == same[None, :]) & ~torch.eye(len(same), dtype=torch.bool)
    scores = scores.masked_fill(twins, -1e4)
    target = torch.arange(len(scores))
    entropy = torch.nn.functional.cross_entropy
    return (entropy(scores, target) + entropy(scores.T, target)) / 2


def passage_keys(bags: Bags) -> "NDArray[np.int64]":
    """One number per bag, equal where the bags are equal (and, once in 2 ** 60, where they are not)."""
    import numpy as np

    mixed = (bags.terms.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * (bags.counts.astype(np.uint64) * np.uint64(2) + np.uint64(1))
    sums = np.concatenate([[np.uint64(0)], np.cumsum(mixed)])
    keys: NDArray[np.int64] = (sums[bags.starts[1:]] - sums[bags.starts[:-1]]).astype(np.int64)
    return keys
